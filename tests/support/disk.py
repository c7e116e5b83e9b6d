"""What tests of files share: open descriptors, clocks, failures, disks of their own."""

import errno
import gc
import os
import resource
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


def descriptors() -> list[str]:
    """The files that this process has open, sorted; comparing two lists also tells which one leaked."""
    gc.collect()  # what earlier tests have left shall not go away between two lists
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


class FailingOpen:
    """os.open() that fails at the nth call."""

    def __init__(self, nth: int, number: int = errno.EIO) -> None:
        self.left = nth
        self._number = number
        self._open = os.open

    def __call__(self, path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        self.left -= 1
        if not self.left:
            raise OSError(self._number, os.strerror(self._number), path)
        return self._open(path, flags, mode, dir_fd=dir_fd)


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[None]:
    """Have mount(8) put something over a folder, and take it away in the end."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    done = subprocess.run(["mount", *options, str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        unmount(folder)


def unmount(folder: Path) -> None:
    """At once, whoever uses it. It need not be there any more."""
    subprocess.run(["umount", "--lazy", str(folder)], stderr=subprocess.DEVNULL, check=False)


@contextmanager
def small_files(size: int) -> Iterator[None]:
    """No file that this process writes, be it in memory, can be larger than that, in bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk of 64 KiB in the place of a folder."""
    with mounted(folder, "-t", "tmpfs", "-o", "size=65536,mode=755", "tmpfs"):
        yield


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nobody can write into a folder, root neither."""
    with mounted(folder, "--bind", str(folder)):
        subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)
        yield


def fill_up(file: Path) -> None:
    """Let a file take all that is left of its disk."""
    with file.open("wb", buffering=0) as stream:
        for size in (4096, 1):
            with suppress(OSError):  # ENOSPC
                while True:
                    stream.write(b"x" * size)
