"""Which script answers for a path, among the executables below one folder."""

import errno
import logging
import os
import stat
from dataclasses import dataclass
from pathlib import Path

LOGGER = logging.getLogger("pad19.cgi")

# What answers for a folder, the first that is there; the name in front is GmCapsule's.
INDEX = ("index.gmi", "index.cgi", "index.py", "index.sh")
# What a URI may leave out, so that it outlives the script's language.
SUFFIXES = (".cgi", ".py", ".sh", ".pl")
# Where a path leads to nothing that may be run.
_ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG}


@dataclass(frozen=True, slots=True)
class Script:
    """An executable below the folder, and how many of the segments name it."""

    path: str  # absolute
    depth: int
    is_index: bool = False  # of the folder that the segments name


class Scripts:
    """The scripts below ``root``."""

    def __init__(self, root: Path) -> None:
        self._root = os.path.abspath(root)
        self._told: set[str] = set()

    def find(self, segments: tuple[str, ...]) -> Script | None:
        """The script for the segments of a path; the rest of them is its ``PATH_INFO``. Blocks.

        A folder's index also answers for what does not exist in it, except in the root, where other
        handlers may have an answer. None: there is no script, or one that is not executable, is a
        link that leaves the root, or has a dotted name on the way to it.

        Raises:
            OSError: The system is in trouble (EIO and the like).
        """
        folder, depth = self._root, 0
        for name in segments:
            if not name and depth == len(segments) - 1:
                break
            if not name or name.startswith(".") or "/" in name:
                return None
            path = f"{folder}/{name}"
            status = _status(path)
            if status is None:
                path, status = _complete(path)
            if status is None:
                break
            if not stat.S_ISDIR(status.st_mode):
                return Script(path, depth + 1) if self._may_run(path, status) else None
            folder, depth = path, depth + 1
        else:
            return self._find_index(folder, depth)
        itself = not segments[depth]
        return self._find_index(folder, depth) if depth or itself else None

    def _find_index(self, folder: str, depth: int) -> Script | None:
        for name in INDEX:
            path = f"{folder}/{name}"
            status = _status(path)
            if status and self._may_run(path, status):
                return Script(path, depth, is_index=True)
        return None

    def _may_run(self, path: str, status: os.stat_result) -> bool:
        if not stat.S_ISREG(status.st_mode):
            return False
        if not os.access(path, os.X_OK):
            self._tell(path, "is not executable")
            return False
        # Judged by its path, unlike static files: who can swap a link below this folder between here
        # and the start of the script can as well put a script of his own there.
        if not os.path.realpath(path).startswith(os.path.realpath(self._root).rstrip("/") + "/"):
            self._tell(path, "is a link that leads out of the folder")
            return False
        return True

    def _tell(self, path: str, what: str) -> None:
        """Log it once: clients may ask as often as they like. There are only so many files."""
        if path not in self._told:
            self._told.add(path)
            LOGGER.warning("%r %s and is answered with 51", path, what)


def _status(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except UnicodeEncodeError:  # nothing has such a name here
        return None
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise


def _complete(path: str) -> tuple[str, os.stat_result | None]:
    for suffix in SUFFIXES:
        status = _status(path + suffix)
        if status and stat.S_ISREG(status.st_mode):
            return path + suffix, status
    return path, None
