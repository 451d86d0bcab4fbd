"""What a process holds of the machine, where the system says so."""

import os
import re
import sys
from pathlib import Path

__all__ = ["memory_mb", "open_files"]


def memory_mb(process: int | None = None, *, most: bool = False) -> float | None:
    """Resident memory in megabytes, now or at most since the process began; None where there is no /proc.

    Args:
        process: its number; our own unless told.
        most: not what it is now, but the most that it was. (`ru_maxrss` would begin with what the parent had.)
    """
    field = "VmHWM" if most else "VmRSS"
    try:
        status = Path("/proc", str(process or os.getpid()), "status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    found = re.search(rf"{field}:\s+(\d+) kB", status)  # a process that has ended has none
    return int(found[1]) * 1_024 / 1e6 if found else None


def open_files() -> int | None:
    """Files that this process has open; None where the system does not say."""
    return len(os.listdir("/dev/fd")) - 1 if sys.platform != "win32" else None  # the listing itself is one more
