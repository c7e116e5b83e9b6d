"""Opening files beneath a root, and nothing else (no links out, no devices, no races).

A path is opened first and judged afterwards: the kernel is asked where the open file really is, so
no link can be swapped between the check and the use.
"""

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path

# Where a path leads to nothing that may be served; the client is told 51 and not which.
_ABSENT = {
    errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG,
    errno.EISDIR, errno.ENXIO, errno.EINVAL,
}  # fmt: skip
_PROC_FDS = "/proc/self/fd"
_O_PATH = getattr(os, "O_PATH", 0)

Signature = tuple[int, int, int, int, int]


class Absent(Exception):
    """Nothing that may be served is there."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A regular file (``fd`` is the caller's to close) or a folder (``fd`` is -1)."""

    fd: int
    status: os.stat_result

    @property
    def is_folder(self) -> bool:
        """Is it a folder?"""
        return self.fd < 0


def signature(status: os.stat_result) -> Signature:
    """What changes when a file does. The change time also sees chmod and edits that keep the mtime."""
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def signature_of(path: str) -> Signature | None:
    """The signature of what is at ``path`` now, or None."""
    try:
        return signature(os.stat(path))
    except (OSError, ValueError):
        return None


def open_beneath(root: str, relative: str) -> Opened:
    """Open ``relative`` (no dot segments; "" is the root itself) if it really is beneath ``root``.

    Raises:
        Absent: It is not there, not readable, outside, or neither a regular file nor a folder.
        OSError: The system is in trouble (EMFILE, EIO and the like).
    """
    try:
        root_fd = os.open(root, _O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return _open_at(root_fd, root, relative or ".")
        finally:
            os.close(root_fd)
    except OSError as error:
        if error.errno in _ABSENT:
            raise Absent(os.strerror(error.errno or 0)) from None
        raise


def _open_at(root_fd: int, root: str, relative: str) -> Opened:
    if not _O_PATH or not Path(_PROC_FDS).is_dir():
        return _open_checked(root, relative)
    # O_PATH has no side effects: it neither waits for a FIFO's writer nor rewinds a tape.
    path_fd = os.open(relative, _O_PATH | os.O_CLOEXEC, dir_fd=root_fd)
    try:
        real, real_root = (str(Path(f"{_PROC_FDS}/{fd}").readlink()) for fd in (path_fd, root_fd))
        status = os.fstat(path_fd)
        _judge(real, real_root, status)
        if stat.S_ISDIR(status.st_mode):
            return Opened(-1, status)
        return Opened(os.open(f"{_PROC_FDS}/{path_fd}", os.O_RDONLY | os.O_CLOEXEC), status)
    finally:
        os.close(path_fd)


def _open_checked(root: str, relative: str) -> Opened:
    """Without O_PATH or /proc: resolve, judge, open without following, and compare."""
    real = os.path.realpath(os.path.join(root, relative))
    status = os.lstat(real)
    _judge(real, os.path.realpath(root), status)
    if stat.S_ISDIR(status.st_mode):
        return Opened(-1, status)
    fd = os.open(real, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    now = os.fstat(fd)
    if (now.st_dev, now.st_ino) != (status.st_dev, status.st_ino):
        os.close(fd)
        raise Absent("swapped while it was opened")
    return Opened(fd, now)


def _judge(real: str, real_root: str, status: os.stat_result) -> None:
    if real != real_root and not real.startswith(real_root.rstrip("/") + "/"):
        raise Absent("outside the root")
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise Absent("neither a file nor a folder")
