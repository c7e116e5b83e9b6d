"""Previous versions of files: ``notes/.titan/tea.gmi/TIME`` for ``notes/tea.gmi``.

They are in the same folder, so in the same file system, and under a dotted name, so nobody is served them.
"""

import errno
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from .inodes import NEW, OLD, TEMPORARY, open_folder, remove, write_all

FOLDER = ".titan"
COPY = 1024 * 1024  # bytes at once
# No hard links there, or too many, or not of files that are somebody else's (proc(5), protected_hardlinks).
_NO_LINK = {errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS}


def keep_version(folder: int, name: str, count: int) -> None:
    """Make a file one of its previous versions, beside what it is, and have ``count`` of them at most."""
    with ExitStack() as held:
        versions = folder
        for part in (FOLDER, name):
            with suppress(FileExistsError):
                os.mkdir(part, dir_fd=versions)
            versions = open_folder(held, part, versions)
        _link_or_copy(folder, name, versions, _stamp())
        names = os.listdir(versions)  # noqa: PTH208 - a descriptor is no path
        for stamp in sorted(name for name in names if not name.startswith("."))[:-count]:
            os.unlink(stamp, dir_fd=versions)


def weigh(root: str, folders: Sequence[str]) -> tuple[int, list[tuple[str, int, Path]]]:
    """The bytes of all files below a folder, and the previous versions there: their times, sizes, paths.

    What is no folder is weighed as a file.
    """
    live = 0
    versions: list[tuple[str, int, Path]] = []
    for folder, names in _below(Path(root, *folders)):
        is_old = FOLDER in Path(folder).relative_to(root).parts
        for name in names:
            path = Path(folder, name)
            with suppress(FileNotFoundError):  # removed meanwhile
                size = path.lstat().st_size
                if is_old:
                    versions.append((name, size, path))
                elif not name.startswith(TEMPORARY):
                    live += size
    return live, versions


def _below(path: Path) -> Iterator[tuple[str | Path, list[str]]]:
    """The folders below a path, and the names in them: all, or only those that belong to this file."""
    if not path.is_dir():
        yield path.parent, [path.name]
        path = path.parent / FOLDER / path.name
    for folder, _, names in os.walk(path):
        yield folder, names


def _stamp() -> str:
    """A name that sorts by time."""
    seconds, fraction = divmod(time.time_ns(), 1_000_000_000)
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime(seconds))}.{fraction:09d}Z"


def _link_or_copy(folder: int, name: str, versions: int, stamp: str) -> None:
    try:
        os.link(name, stamp, src_dir_fd=folder, dst_dir_fd=versions, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
    else:
        return
    part = f"{TEMPORARY}part"  # only who has the lock uses it
    remove(versions, part)
    with ExitStack() as held:
        source = os.open(name, OLD, dir_fd=folder)
        held.callback(os.close, source)
        target = os.open(part, NEW, 0o666, dir_fd=versions)
        held.callback(os.close, target)
        while data := os.read(source, COPY):
            write_all(target, data)
        os.fsync(target)
        os.rename(part, stamp, src_dir_fd=versions, dst_dir_fd=versions)
