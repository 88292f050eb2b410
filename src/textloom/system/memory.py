"""How much main memory this process took."""

import re
import resource
import sys
from pathlib import Path


def peak_resident_bytes() -> int:
    """The most that this process was resident in.

    ``getrusage`` of Linux says no less than what the process took that started this one, so ``/proc`` is asked.
    """
    if sys.platform == "linux":
        said = re.search(r"^VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"), re.MULTILINE)
        if said is not None:
            return 1024 * int(said[1])
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most
