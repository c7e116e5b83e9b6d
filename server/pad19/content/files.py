"""Opening files beneath a root, and nothing else (no links out, no devices, no races).

A path is opened first and judged afterwards: the kernel is asked where the open file really is, so
no link can be swapped between the check and the use.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

WELL_KNOWN = ".well-known"  # RFC 8615; the one dotted name that is public
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


class Unreadable(Absent):
    """Something is there, and this process may not read it: clients see no difference, operators do."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A regular file or a folder. ``fd`` is the caller's to close, or to `read`; -1: it was not opened."""

    fd: int
    status: os.stat_result

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.status.st_mode)

    def read(self, limit: int) -> bytes:
        """The first ``limit`` bytes, or all there are; closes the file."""
        with open(self.fd, "rb") as file:
            return file.read(limit)


def signature(status: os.stat_result) -> Signature:
    """What changes when a file does. The change time also sees chmod and edits that keep the mtime."""
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def signature_of(path: str) -> Signature | None:
    """The signature of what is at ``path`` now, or None."""
    try:
        return signature(os.stat(path))
    except (OSError, ValueError):
        return None


@contextmanager
def absences(path: str) -> Iterator[None]:
    """Turn errors that mean "nothing to serve here" into `Absent`; the others get ``path`` as their file."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.EACCES, errno.EPERM}:
            raise Unreadable(error.strerror) from None
        if error.errno in _ABSENT:
            raise Absent(error.strerror) from None
        error.filename = path  # rather than a part of it, or a number below /proc
        raise
    except UnicodeEncodeError as error:  # no file can be called like that in this locale
        raise Absent(error.reason) from None


def open_beneath(root: str, relative: str, opens: Callable[[int], bool] = stat.S_ISREG) -> Opened:
    """Open ``relative`` (no dot segments; "" is the root itself) if it really is beneath ``root``.

    ``opens``: whether it is to be opened at all, by its mode.

    Raises:
        Absent: It is not there, not readable (`Unreadable`), outside, or neither a regular file nor a
            folder.
        OSError: The system is in trouble (EMFILE, EIO and the like).
    """
    with absences(os.path.join(root, relative)):
        if not _O_PATH or not Path(_PROC_FDS).is_dir():
            return _open_stepwise(os.path.realpath(root), relative, opens)
        root_fd = os.open(root, _O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return _open_at(root_fd, relative or ".", opens)
        finally:
            os.close(root_fd)


def open_file(root: str, relative: str) -> Opened:
    """As `open_beneath`, but a folder is `Absent` too."""
    opened = open_beneath(root, relative)
    if opened.is_folder:
        raise Absent("a folder")
    return opened


def _open_at(root_fd: int, relative: str, opens: Callable[[int], bool]) -> Opened:
    # O_PATH has no side effects: it neither waits for a FIFO's writer nor rewinds a tape.
    path_fd = os.open(relative, _O_PATH | os.O_CLOEXEC, dir_fd=root_fd)
    try:
        real, real_root = (str(Path(f"{_PROC_FDS}/{fd}").readlink()) for fd in (path_fd, root_fd))
        status = os.fstat(path_fd)
        _judge_place(real, real_root)
        _judge_kind(status)
        if not opens(status.st_mode):
            return Opened(-1, status)
        return Opened(os.open(f"{_PROC_FDS}/{path_fd}", os.O_RDONLY | os.O_CLOEXEC), status)
    finally:
        os.close(path_fd)


def _open_stepwise(real_root: str, relative: str, opens: Callable[[int], bool]) -> Opened:
    """Without O_PATH or /proc: resolve, judge, then go there name by name and follow no link.

    Comparing before and after would not do: a folder on the way may be swapped for a link in between,
    and then both are the wrong file. Where there is no O_PATH, folders on the way must be readable.
    """
    real = os.path.realpath(os.path.join(real_root, relative))
    _judge_place(real, real_root)
    *folders, last = [name for name in real.removeprefix(real_root).split("/") if name] or ["."]
    step = _O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    folder_fd = os.open(real_root, step)
    try:
        for name in folders:
            inner_fd = os.open(name, step, dir_fd=folder_fd)
            os.close(folder_fd)
            folder_fd = inner_fd
        status = os.stat(last, dir_fd=folder_fd, follow_symlinks=False)
        _judge_kind(status)
        if not opens(status.st_mode):
            return Opened(-1, status)
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        fd = os.open(last, flags, dir_fd=folder_fd)
    finally:
        os.close(folder_fd)
    now = os.fstat(fd)
    # The kind as well: a folder may have got the inode of the file that made room for it.
    if not os.path.samestat(now, status) or stat.S_IFMT(now.st_mode) != stat.S_IFMT(status.st_mode):
        os.close(fd)
        raise Absent("swapped while it was opened")
    return Opened(fd, now)


def _judge_place(real: str, real_root: str) -> None:
    if real != real_root and not real.startswith(real_root.rstrip("/") + "/"):
        raise Absent("outside the root")


def _judge_kind(status: os.stat_result) -> None:
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise Absent("neither a file nor a folder")
