"""Notices that files change: their folders are watched by watchfiles, in a thread.

It says that something has happened, not what, nor that it is over: whoever is told compares
`signatures`. So nothing is lost when events are, as on network file systems, and nothing happens twice.
"""

import logging
import os
import stat
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress

LOGGER = logging.getLogger("pad19.service")

STEP = 100  # milliseconds between two looks at what has happened: each of them wakes a processor
STEP_IN_DEVELOPMENT = 20  # an author has saved one file, and waits
SOON = 500  # milliseconds until a first look: what changed before anybody watched has no event
MAX_LINKS = 40  # on the way to one file, as for the kernel
PATIENCE = 1000  # milliseconds until news is told though there is more and more of it


class Watcher:
    """Readable, as a file descriptor, when one of the files or folders may have changed."""

    def __init__(self, *, step: int = STEP) -> None:
        """``step``: milliseconds."""
        self._step = step
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self._watched: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset())
        self._stop = threading.Event()
        self._telling = threading.Lock()

    def fileno(self) -> int:
        """The descriptor."""
        return self._read

    def look_at(self, files: Iterable[str], folders: Iterable[str]) -> None:
        """Watch these from now on: files, which need not be there, and whatever is in folders."""
        watched = names, within = frozenset(_names(files)), frozenset(folders)
        if watched == self._watched:
            return
        self._watched = watched
        self._stop.set()
        self._stop = threading.Event()
        if names or within:
            arguments = (names, within, self._stop)
            thread = threading.Thread(target=self._run, args=arguments, name="watch", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # there are no threads to be had
                _complain(error)

    def clear(self) -> None:
        """Forget what has happened."""
        with suppress(BlockingIOError):
            while os.read(self._read, 4096):
                pass

    def close(self) -> None:
        """Watch nothing more. A thread that still has news keeps it to itself."""
        with self._telling:
            self._stop.set()
            os.close(self._read)
            os.close(self._write)

    def _run(self, names: frozenset[str], folders: frozenset[str], stop: threading.Event) -> None:
        # Strings are what watchfiles takes.
        wanted = folders | {os.path.dirname(name) for name in names}  # noqa: PTH120
        try:
            while not stop.is_set():
                # A folder that was replaced has its old name, but the kernel looks at the one that is gone.
                if roots := _places(wanted):
                    with suppress(FileNotFoundError):  # gone just now
                        self._look(roots, names | wanted, folders, wanted, stop)
                else:
                    stop.wait(SOON / 1000)
        except (OSError, RuntimeError, ValueError, ImportError) as error:
            _complain(error)  # inotify and descriptors have their limits, watchfiles wants UTF-8

    def _look(
        self,
        roots: "_Places",
        names: frozenset[str],
        folders: frozenset[str],
        wanted: frozenset[str],
        stop: threading.Event,
    ) -> None:
        """Tell of what happens, until there is another folder of one of these names."""

        def matters(_change: object, path: str) -> bool:
            return path in names or os.path.dirname(path) in folders  # noqa: PTH120 - as above

        from watchfiles import Change, watch  # here, so that nobody waits for it at the start

        news = True
        found = watch(
            *roots,
            watch_filter=matters,
            debounce=PATIENCE,
            step=self._step,
            rust_timeout=SOON,
            yield_on_timeout=True,
            stop_event=stop,
            recursive=False,
            ignore_permission_denied=True,
        )
        with closing(found):
            for changes in found:
                # One that is put back, or made anew with the number of the old one, is not what is watched.
                gone = any(change == Change.deleted and path in roots for change, path in changes)
                if changes or news:
                    news = False
                    self._tell(stop)
                if gone or _places(wanted) != roots:
                    return

    def _tell(self, stop: threading.Event) -> None:
        with self._telling, suppress(BlockingIOError):  # it is full of news already
            if not stop.is_set():
                os.write(self._write, b"!")


_Places = dict[str, tuple[int, int]]  # folders, and their devices and inodes


def _places(paths: Iterable[str]) -> _Places:
    """Those that are there."""
    found: _Places = {}
    for path in sorted(paths):
        with suppress(OSError, ValueError):
            status = os.stat(path)
            if stat.S_ISDIR(status.st_mode):
                found[path] = (status.st_dev, status.st_ino)
    return found


def _complain(error: Exception) -> None:
    LOGGER.warning("changes of files are noticed late, since they cannot be watched (%s)", error)


def _names(files: Iterable[str]) -> set[str]:
    """The paths at which something changes when one of the files does: links, and what they lead to."""
    names: set[str] = set()
    for file in files:
        names.add(file)
        with suppress(OSError, ValueError):
            names.update(_trail(file))
    return names


def _trail(file: str) -> Iterator[str]:
    """Every link on the way to a file, also those among its folders, and the file, by their real folders."""
    left = os.path.abspath(file).split("/")[:0:-1]
    here, links = "/", 0
    while left:
        name = left.pop()
        if name == "..":
            here = os.path.dirname(here)  # noqa: PTH120 - strings are what watchfiles takes
            continue
        path = os.path.join(here, name)
        if links < MAX_LINKS and os.path.islink(path):  # noqa: PTH114 - likewise
            links += 1
            yield path
            target = os.readlink(path)  # noqa: PTH115 - likewise
            here = "/" if target.startswith("/") else here
            left += [part for part in reversed(target.split("/")) if part not in {"", "."}]
        else:
            here = path
    yield here
