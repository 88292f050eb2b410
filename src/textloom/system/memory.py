"""The main memory of this process."""

import re
import resource
import sys
from pathlib import Path


def peak_resident_bytes() -> int:
    """The largest resident set of this process so far.

    On Linux from ``/proc``: ``getrusage`` counts the process that started this one, too.
    """
    if sys.platform == "linux":
        said = re.search(r"^VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"), re.MULTILINE)
        if said is not None:
            return 1024 * int(said[1])
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most
