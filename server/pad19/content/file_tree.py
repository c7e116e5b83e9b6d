"""Files that are put in the place of others: whole, and at once. Blocks; call it in worker threads.

General theory of operation. A body is written to a file without a name in the folder where it will be (or
in the nearest one that is there yet), so nothing is left of it when this process dies. When all of it is
on the disk, it gets a name that nobody asks for, and is renamed over the old file: readers and crashes see
the old one or the new one. Where a system has no files without names, it has that other name from the
beginning, and what dead processes left is removed when the next one is made there.

All changes below a root happen under one lock, also those of other workers. It is held for moments: bodies
are written and brought to the disk before. It is a file in a folder of the server's own: whoever may open a
file may lock it (flock(2)), and anybody may be allowed to read the root, which NFS would not lock either.

Paths are walked name by name and no link is followed, so nothing outside of the root is ever reached. The
previous versions of ``notes/tea.gmi`` are ``notes/.titan/tea.gmi/TIME``, which nobody is served, and which
are in the same file system.
"""

import hashlib
import os
import stat
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pad19.protocol.failure import BadRequest, NotFound, PermanentFailure

from .inodes import (
    OLD,
    PROC_FDS,
    TEMPORARY,
    check_unchanged,
    descend,
    digest_of,
    lock,
    look,
    nameless,
    open_folder,
    remove,
    remove_if_empty,
    write_all,
)
from .versions import keep_version, weigh

LOCK_MODE = 0o600
LOCKS_MODE = 0o700
LOCK_TIMEOUT = 10.0  # seconds to wait for the lock; others hold it for milliseconds


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file is or will be. No name is empty, begins with a dot, or has a slash in it."""

    folders: tuple[str, ...]
    name: str

    def __str__(self) -> str:
        return "/" + "/".join((*self.folders, self.name))


@dataclass(frozen=True, slots=True)
class Quota:
    """How many bytes there may be below a folder, or of a file.

    Previous versions count, and give way to new files.
    """

    folders: tuple[str, ...]
    size: int

    def check(self, place: Place) -> None:
        """See whether a file counts for it, and not for a namesake, which other disks would take for it.

        Raises:
            BadRequest: It does not.
        """
        if (*place.folders, place.name)[: len(self.folders)] != self.folders:
            there = "/" + "/".join(self.folders)
            raise BadRequest(f"write {there} in the path as it stands here, letter by letter")


@dataclass(frozen=True, slots=True)
class Found:
    """A file that is open; ``fd`` is the caller's to close."""

    fd: int
    size: int
    digest: str


class FileTree:
    """The files below a root.

    ``locks``: a folder that only this user may enter, made when it is missing; all trees with the same root
    must have the same. ``keep``: how many previous versions there are of each file. ``folders``: those that
    are missing are made.
    """

    def __init__(self, root: str, locks: Path, *, keep: int = 0, folders: bool = False) -> None:
        self._root = root
        self._locks = locks
        self._keep = keep
        self._makes_folders = folders
        self._lock = threading.Lock()
        self._coming: dict[Quota, int] = {}  # bytes that are on their way

    def draft(
        self, place: Place, size: int, *, expected: str | None = None, quotas: Sequence[Quota] = ()
    ) -> "Draft":
        """Begin to write a file of ``size`` bytes, which replaces nothing yet. The caller closes it.

        ``expected``: what must be in its place, as a digest; ``""`` for nothing, None for anything.

        Raises:
            BadRequest: A folder is in its place, a file in that of a folder, or a folder is missing.
            PermanentFailure: It cannot be replaced, is not what is expected, or there is no room.
            OSError: The system is in trouble.
        """
        with ExitStack() as held:
            folder, missing = descend(held, self._root, place.folders)
            if missing and not self._makes_folders:
                raise BadRequest("there is no such folder, and none is made by an upload")
            old = None if missing else look(folder, place.name)
            check_unchanged(folder, place.name, old, expected)
            for quota in quotas:
                self._reserve(held, quota, size, size - (old.st_size if old else 0))
            fd, name = nameless(held, folder)
            return Draft(self, place, held.pop_all(), folder, fd, name, expected, quotas)

    def remove(self, place: Place, *, expected: str | None = None) -> None:
        """Delete a file. It becomes one of its previous versions, which stay.

        Raises:
            NotFound: There is none.
            BadRequest: A folder is in its place, or a file in that of a folder.
            PermanentFailure: It is no file, or not what is expected (see `draft`).
            OSError: The system is in trouble.
        """
        with ExitStack() as held:
            held.enter_context(self.locked())
            folder, missing = descend(held, self._root, place.folders)
            old = None if missing else look(folder, place.name)
            if old is None:
                raise NotFound
            check_unchanged(folder, place.name, old, expected)
            self.keep_version(folder, place.name)
            os.unlink(place.name, dir_fd=folder)
            os.fsync(folder)

    def read(self, place: Place, largest: int) -> Found | None:
        """Open a file; None: there is none.

        Raises:
            BadRequest: A folder is in its place, or a file in that of a folder.
            PermanentFailure: It is no file, or longer than ``largest`` bytes.
            OSError: The system is in trouble.
        """
        with ExitStack() as held:
            folder, missing = descend(held, self._root, place.folders)
            old = None if missing else look(folder, place.name)
            if old is None:
                return None
            if old.st_size > largest:
                raise PermanentFailure(f"it has more than {largest} bytes, too many to be edited here")
            fd = os.open(place.name, OLD, dir_fd=folder)
            try:
                return Found(fd, os.fstat(fd).st_size, digest_of(fd))
            except BaseException:
                os.close(fd)
                raise

    # What a draft does in the end

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep everybody else from changing what is below the root.

        Raises:
            TimeoutError: Somebody does not let go of it.
        """
        fd = self._open_lock()
        try:
            lock(fd, LOCK_TIMEOUT)
            yield
        finally:
            os.close(fd)

    def _open_lock(self) -> int:
        root = os.stat(self._root)  # the folder itself, whatever path leads to it
        self._locks.mkdir(mode=LOCKS_MODE, parents=True, exist_ok=True)
        name = f"uploads-{root.st_dev:x}-{root.st_ino:x}.lock"
        return os.open(self._locks / name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, LOCK_MODE)

    def enter(self, held: ExitStack, folders: Sequence[str]) -> int:
        """The folder, made if it is missing. Should nothing come into it, it goes again with ``held``."""
        fd, missing = descend(held, self._root, folders)
        for name in missing:
            os.mkdir(name, dir_fd=fd)
            held.callback(remove_if_empty, fd, name)
            os.fsync(fd)
            fd = open_folder(held, name, fd)
        return fd

    def keep_version(self, folder: int, name: str) -> None:
        """Make what is in that place one of its previous versions, beside what it is."""
        if self._keep:
            keep_version(folder, name, self._keep)

    def check_room(self, quota: Quota, growth: int) -> None:
        """See whether there is room for so many bytes more.

        Raises:
            PermanentFailure: There is none, even without previous versions.
        """
        live, _ = weigh(self._root, quota.folders)
        if live + growth > quota.size:
            raise PermanentFailure(f"there is no room for it: {quota.size} bytes may be here in all")

    def make_room(self, quota: Quota) -> None:
        """Let the oldest previous versions go until all is within a quota, as far as they can be removed."""
        live, versions = weigh(self._root, quota.folders)
        total = live + sum(size for _, size, _ in versions)
        for _, size, path in sorted(versions):
            if total <= quota.size:
                break
            with suppress(OSError):  # it may be somebody else's
                path.unlink(missing_ok=True)
                total -= size

    def _reserve(self, held: ExitStack, quota: Quota, size: int, growth: int) -> None:
        # Not only when they are complete: many at once would fill the disk together.
        with self._lock:
            coming = self._coming.get(quota, 0)
            self._coming[quota] = coming + size
        held.callback(self._release, quota, size)
        self.check_room(quota, growth + coming)

    def _release(self, quota: Quota, size: int) -> None:
        with self._lock:
            self._coming[quota] -= size


class Draft:
    """A file that is being written and has no place yet."""

    def __init__(
        self,
        tree: FileTree,
        place: Place,
        held: ExitStack,
        folder: int,
        fd: int,
        name: str | None,
        expected: str | None,
        quotas: Sequence[Quota],
    ) -> None:
        """See `FileTree.draft`. ``held``: what ends with it. ``name``: in ``folder``; None: it has none."""
        self._tree = tree
        self._place = place
        self._held = held
        self._folder = folder
        self._fd = fd
        self._name = name
        self._expected = expected
        self._quotas = quotas
        self._hash = hashlib.sha256()
        self._size = 0

    @property
    def digest(self) -> str:
        """Of what was written."""
        return self._hash.hexdigest()

    def write(self, data: bytes) -> None:
        """Add to it."""
        write_all(self._fd, data)
        self._hash.update(data)
        self._size += len(data)

    def publish(self) -> None:
        """Put it in its place.

        Raises:
            BadRequest: See `FileTree.draft`; so much can have changed meanwhile.
            PermanentFailure: Likewise.
            OSError: The system is in trouble.
        """
        os.fsync(self._fd)
        name = self._place.name
        with ExitStack() as held:
            with self._tree.locked():
                folder = self._tree.enter(held, self._place.folders)
                old = look(folder, name)
                check_unchanged(folder, name, old, self._expected)
                for quota in self._quotas:
                    self._tree.check_room(quota, self._size - (old.st_size if old else 0))
                if old:
                    os.fchmod(self._fd, stat.S_IMODE(old.st_mode) & 0o666)
                    self._tree.keep_version(folder, name)
                self._rename(folder)
                for quota in self._quotas:
                    with suppress(OSError):  # it is there; the next upload makes room
                        self._tree.make_room(quota)
            os.fsync(folder)  # what was renamed is there at once, but would not be after a power cut

    def _rename(self, folder: int) -> None:
        source, name = self._folder, self._name
        if name is None:
            source, name = folder, f"{TEMPORARY}new"  # only who has the lock uses it
            remove(folder, name)  # left by one that was killed just here
            os.link(f"{PROC_FDS}/{self._fd}", name, dst_dir_fd=folder)
        try:
            os.rename(name, self._place.name, src_dir_fd=source, dst_dir_fd=folder)
        except BaseException:
            remove(source, name)
            raise

    def close(self) -> None:
        """Let go of it; unless it was published, nothing is left, or it is swept away later."""
        with suppress(OSError):  # some disks fail only here; what was published is on the disk by now
            self._held.close()
