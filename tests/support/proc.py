"""What the kernel tells of any process (proc(5))."""

import os
from pathlib import Path


def children(pid: int) -> list[int]:
    """The processes that its first thread has started, the oldest first."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def cpu_time(pid: int) -> float:
    """Seconds that it has kept processors busy (stat: utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> int:
    """Bytes that it occupies in memory (statm: the second number)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
