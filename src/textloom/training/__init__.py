"""Training: the LightningModule, its callbacks, and the function that puts all parts together.

Lightning imports torchmetrics, and that imports scipy.signal for sound: up to a second of every start, for what nothing
here uses. So while Lightning is imported an empty module stands in its place.
"""

import sys
from types import ModuleType

if not {"scipy.signal", "pytorch_lightning"} & sys.modules.keys():
    _stand_in = ModuleType("scipy.signal")
    vars(_stand_in)["hamming"] = None  # all that torchmetrics looks for
    sys.modules["scipy.signal"] = _stand_in
    try:
        import pytorch_lightning  # noqa: F401
    finally:
        del sys.modules["scipy.signal"]
