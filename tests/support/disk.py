"""What tests of files share: open descriptors, and the clocks that tell one change from the next."""

import os
import time
from pathlib import Path


def descriptors() -> list[str]:
    """The files that this process has open, sorted; comparing two lists also tells which one leaked."""
    found = []
    for fd in Path("/proc/self/fd").iterdir():
        try:
            found.append(f"{fd.name} {fd.readlink()}")
        except FileNotFoundError:  # the one that lists them
            continue
    return sorted(found)


def next_tick(scratch: Path) -> None:
    """Return when whatever changes from now on carries a later time than all that changed before."""
    scratch.touch()
    start = scratch.stat().st_ctime_ns
    while scratch.stat().st_ctime_ns == start:
        os.utime(scratch)


class TomorrowsClock:
    """Stands in for the module `time` where everything on the disk should look settled."""

    @staticmethod
    def time_ns() -> int:
        return time.time_ns() + 86_400_000_000_000
