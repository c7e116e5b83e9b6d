"""What tells one state of a file from another: of its target, device, inode, size, time of change, rights.

Rights, since a file that could not be read may be readable by now. Not st_ctime: that also changes when
a backup makes a hard link to the file.
"""

import os
from collections.abc import Iterable
from pathlib import Path

Signature = tuple[int, int, int, int, int, int, int] | None  # None: it is not there
Signatures = dict[str, Signature]  # by path


def signatures(paths: Iterable[Path | str]) -> Signatures:
    """As the files are now; through symbolic links."""
    return {os.fspath(path): _signature(path) for path in paths}


def _signature(path: Path | str) -> Signature:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return (
        found.st_dev,
        found.st_ino,
        found.st_size,
        found.st_mtime_ns,
        found.st_mode,
        found.st_uid,
        found.st_gid,
    )


def size(signature: Signature) -> int | None:
    """In bytes; None: the file is not there."""
    return signature and signature[2]
