"""Folders and files as uploads handle them: by descriptors and single names, so that no link leads astray.

What a client has asked for and cannot have is a Failure; what the system cannot do is an OSError.
"""

import errno
import fcntl
import hashlib
import os
import stat
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from pad19.protocol.failure import BadRequest, PermanentFailure

TEMPORARY = ".titan-"  # and something that tells them apart: names that nobody asks for
PROC_FDS = "/proc/self/fd"
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
OLD = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
ABANDONED = 60.0  # seconds without a change, and nobody has it locked: then whoever wrote it is dead
LOCK_PAUSE = 0.002  # seconds between two looks at whether others are done
_O_TMPFILE = getattr(os, "O_TMPFILE", 0)  # Linux
_NO_FOLDER = {errno.ENOTDIR, errno.ELOOP}
_NOT_NAMELESS = {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL}  # as file systems and old kernels say it


def descend(held: ExitStack, root: str, folders: Sequence[str]) -> tuple[int, Sequence[str]]:
    """Open the deepest folder that is there, and tell the names of the missing ones below it.

    Raises:
        BadRequest: One of them is no folder, or a link.
    """
    fd = os.open(root, FOLDER)
    held.callback(os.close, fd)
    for depth, name in enumerate(folders):
        try:
            fd = open_folder(held, name, fd)
        except FileNotFoundError:
            return fd, folders[depth:]
        except OSError as error:
            if error.errno in _NO_FOLDER:  # links as well, wherever they lead
                raise BadRequest("a part of the path is no folder") from None
            raise
    return fd, ()


def open_folder(held: ExitStack, name: str, folder: int) -> int:
    """Open a folder in a folder; it is closed with ``held``."""
    fd = os.open(name, FOLDER | os.O_NOFOLLOW, dir_fd=folder)
    held.callback(os.close, fd)
    return fd


def remove_if_empty(folder: int, name: str) -> None:
    """Remove a folder, or leave it as it is."""
    with suppress(OSError):
        os.rmdir(name, dir_fd=folder)


def look(folder: int, name: str) -> os.stat_result | None:
    """What is there; None: nothing.

    Raises:
        BadRequest: A folder.
        PermanentFailure: Something else than a file, such as a link or a device.
    """
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(status.st_mode):
        raise BadRequest("this is the path of a folder: add the name of a file")
    if not stat.S_ISREG(status.st_mode):
        raise PermanentFailure("what is there is no file, and stays as it is")
    return status


def check_unchanged(folder: int, name: str, old: os.stat_result | None, expected: str | None) -> None:
    """See whether a file is what somebody knows of it: a digest, ``""`` if there was none, None for anything.

    Raises:
        PermanentFailure: It is not.
    """
    if expected is None:
        return
    digest = ""
    if old:
        with ExitStack() as held:
            fd = os.open(name, OLD, dir_fd=folder)
            held.callback(os.close, fd)
            digest = digest_of(fd)
    if digest != expected:
        raise PermanentFailure(
            "this has changed since you opened it, and stays as it is: keep your text, open the page for "
            "editing once more, and put the two together"
        )


def digest_of(fd: int) -> str:
    """The SHA-256 of a file, from its beginning."""
    os.lseek(fd, 0, os.SEEK_SET)
    with open(fd, "rb", closefd=False) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def nameless(held: ExitStack, folder: int) -> tuple[int, str | None]:
    """A new file and its name, if it has to have one. It is gone with ``held``, whatever has it open."""
    if _O_TMPFILE and Path(PROC_FDS).is_dir():
        try:
            fd = os.open(".", _O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o666, dir_fd=folder)
        except OSError as error:
            if error.errno not in _NOT_NAMELESS:
                raise
        else:
            held.callback(os.close, fd)
            return fd, None
    _sweep(folder)
    name = TEMPORARY + os.urandom(8).hex()
    fd = os.open(name, NEW, 0o666, dir_fd=folder)
    held.callback(os.close, fd)
    held.callback(remove, folder, name)
    fcntl.flock(fd, fcntl.LOCK_EX)  # as long as it is written, it is not swept away
    return fd, name


def remove(folder: int, name: str) -> None:
    """Remove a file, if it is there."""
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)


def _sweep(folder: int) -> None:
    """Remove what processes left that were killed."""
    for name in os.listdir(folder):
        if name.startswith(TEMPORARY):
            with suppress(OSError), ExitStack() as held:
                fd = os.open(name, OLD, dir_fd=folder)
                held.callback(os.close, fd)
                if time.time() - os.fstat(fd).st_mtime > ABANDONED:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(name, dir_fd=folder)


def lock(fd: int, timeout: float) -> None:
    """Wait for a lock on a file or folder, which everybody holds for moments. ``timeout``: seconds.

    Raises:
        TimeoutError: Somebody does not let go of it.
        OSError: What is there cannot be locked.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise TimeoutError(errno.ETIMEDOUT, "another process holds the lock") from None
            time.sleep(LOCK_PAUSE)
        else:
            return


def write_all(fd: int, data: bytes) -> None:
    """Write all of it, as write(2) alone need not."""
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left) :]
