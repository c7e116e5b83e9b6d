"""Files of fingerprints as they are changed: a line more or less, and all the rest stays as it is.

A file is replaced as a whole, so that a server never reads half of one, and under a lock of its folder, so
that nothing is lost when several do it at once: the owner at a terminal, and a route.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from pad19.content.inodes import lock
from pad19.tls.whole_file import written_beside

from .fingerprints import MAX_NAME, Entry, is_name, normalize, parse_line

_HEAD = (
    "# Who is let in: a fingerprint on each line, and a name behind it. `pad19 identity` looks after them."
)
MODE = 0o644  # of a new file: nothing in it is secret, and the server may be another user
LOCK_TIMEOUT = 10.0  # seconds to wait for the lock; others hold it for milliseconds

T = TypeVar("T")


class KnownOtherwise(ValueError):
    """The fingerprint is in the file under another name."""

    def __init__(self, entry: Entry) -> None:
        name = f"as {entry.name}" if entry.name else "without a name"
        super().__init__(f"that fingerprint is there already, {name}")
        self.entry = entry


def let_in(path: str | os.PathLike[str], name: str, fingerprint: str) -> bool:
    """Add somebody to a file of fingerprints, which is made if it is missing. Blocks.

    What ``pad19 identity add`` does: zones that name the file let them in from the next request on.

    Args:
        path: The file. Its folder must be writable, too.
        name: For whoever reads the file, up to 63 characters without colons and ``#``.
        fingerprint: Of a certificate, or of its public key.

    Returns:
        False if they were in it already.

    Raises:
        ValueError: It is no name or no fingerprint, or that is there under another name.
        OSError: The file cannot be read or written.
    """
    if not is_name(name):
        raise ValueError(f"a name has 1 to {MAX_NAME} characters, without colons and #")
    entry = Entry(normalize(fingerprint), name)

    def append(lines: list[str]) -> bool:
        for known in map(entry_of, lines):
            if known and known.fingerprint == entry.fingerprint:
                if known.name != entry.name:
                    raise KnownOtherwise(known)
                return False
        lines.append(str(entry))
        return True

    return change(Path(path), append)


def change(path: Path, function: Callable[[list[str]], T]) -> T:
    """Change the lines of a file, which need not exist, under a lock. What the function returns is returned.

    Raises:
        OSError: It cannot be read or written.
    """
    path = path.resolve()  # one that a link leads to is replaced where it is
    with _locked(path.parent):
        try:
            # A line that is not UTF-8 is broken, and must stay as it is.
            before = path.read_bytes().decode("utf-8", "surrogateescape").removeprefix("\ufeff")
            status = path.stat()
        except FileNotFoundError:
            before, status = f"{_HEAD}\n", None
        lines = before.removesuffix("\n").split("\n") if before else []
        result = function(lines)
        after = "".join(f"{line}\n" for line in lines)
        if after != before:
            owner = (status.st_uid, status.st_gid) if status else None
            mode = status.st_mode & 0o777 if status else MODE
            data = after.encode("utf-8", "surrogateescape")
            with written_beside(path, data, mode, owner) as temporary:
                temporary.replace(path)
        return result


def entry_of(line: str) -> Entry | None:
    """What a line says; None also for one that is broken, which stays as it is."""
    try:
        return parse_line(line)
    except ValueError:
        return None


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep others from doing the same. Anybody who may look into the folder can lock it, and for ever."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # so we go on then, and where NFS locks no folders: two at once are rare
            lock(descriptor, LOCK_TIMEOUT)
        yield
    finally:
        os.close(descriptor)
