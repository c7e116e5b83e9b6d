"""The `.meta` files of a content folder: which line applies to a path.

Each one speaks for its folder and everything below. The nearest folder is asked first, and within a
file the first line that matches wins.
"""

import logging
import os
import threading
import time
from dataclasses import dataclass

from pad19.protocol.failure import TemporaryFailure

from .files import Absent, Signature, Unreadable, open_file, signature_of
from .listing import SIDECAR
from .memory import Witnesses, is_settled
from .notices import Notices
from .sidecar import MAX_TEXT, Directive, Sidecar, parse

LOGGER = logging.getLogger("pad19.content")

MAX_KNOWN = 1024  # sidecar files that are held in memory
MAX_TOLD = 10  # problems of one file that go to the log

_Folder = tuple[int, int]  # device and inode: links to a parent folder give it endless paths


@dataclass(frozen=True, slots=True)
class Survey:
    """The folders on the way to a path and what they said at one moment, the nearest first."""

    looked: int  # nanoseconds since 1970, before anything was seen
    witnesses: Witnesses  # what would look different if a sidecar file, or an index, came, went or changed
    rules: tuple[tuple[int, Sidecar], ...]  # the length of the folder's path, and its rules

    def find(self, relative: str) -> Directive | None:
        """What applies to ``relative`` (``a/b.gmi``, or ``a/`` for a folder), which the way leads to."""
        for length, rules in self.rules:
            if (directive := rules.find(relative[length:])) is not None:
                return directive
        return None


@dataclass(frozen=True, slots=True)
class _Known:
    """A sidecar file as it was read, also if it could not be."""

    signature: Signature | None
    settled: bool
    rules: Sidecar
    problems: list[str]


class Sidecars:
    """Reads them as needed and again when they change. Blocks: call it in a worker thread."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._known: dict[_Folder, _Known] = {}
        self._lock = threading.Lock()
        self._notices = Notices()

    def survey(self, relative: str) -> Survey:
        """Look at the folders from the root to ``relative``, as far as they are there.

        What is wrong with a sidecar file is logged when it is first seen. One that is no regular file
        has no rules.

        Raises:
            TemporaryFailure: This process may not read one of them.
            OSError: The system is in trouble (EMFILE, EIO and the like).
        """
        looked = time.time_ns()
        witnesses: list[tuple[str, Signature | None]] = []
        rules: list[tuple[int, Sidecar]] = []
        prefix = ""
        for name in ("", *relative.split("/")[:-1]):
            prefix = f"{prefix}{name}/" if name else ""
            folder = os.path.join(self._root, prefix)
            path = folder + SIDECAR
            seen = signature_of(folder)
            if seen is None:  # and nothing below it: a long path to nowhere costs no more than this
                witnesses.append((folder, None))
                break
            now = signature_of(path)
            # A link to nothing counts, since what it leads to can come without a trace in this folder.
            if now or os.path.lexists(path):
                witnesses.append((path, now))
                rules.append((len(prefix), self._read(seen[:2], prefix, now, looked)))
            witnesses.append((folder, seen))
        return Survey(looked, tuple(reversed(witnesses)), tuple(reversed(rules)))

    def _read(self, folder: _Folder, prefix: str, now: Signature | None, looked: int) -> Sidecar:
        known = self._known.get(folder)
        if known and known.settled and known.signature == now:
            return known.rules
        rules, problems = self._load(prefix)
        settled = now is not None and is_settled(now, looked)
        with self._lock:
            known = self._known.pop(folder, None)
            self._known[folder] = _Known(now, settled, rules, problems)
            if len(self._known) > MAX_KNOWN:
                del self._known[next(iter(self._known))]
        if not known or (known.signature, known.problems) != (now, problems):
            self._tell(os.path.join(self._root, prefix, SIDECAR), problems)
        return rules

    def _load(self, prefix: str) -> tuple[Sidecar, list[str]]:
        try:
            content = open_file(self._root, prefix + SIDECAR).read(MAX_TEXT + 1)
        except Unreadable as error:
            # It may say that a page is gone, or no page at all: to serve without knowing would be wrong.
            what = f"cannot be read: {error}. Until this process may, the folder is answered with 40"
            self._notices.tell(os.path.join(self._root, prefix, SIDECAR), what)
            raise TemporaryFailure("the rules for this folder cannot be read now") from None
        except Absent as error:
            return Sidecar(()), [f"it is ignored: {error}"]
        rules, problems = parse(content.decode("utf-8", "replace"))
        try:
            content.decode()
        except UnicodeDecodeError as error:
            # What is too long, which is told already, may end within a character.
            if len(content) <= MAX_TEXT or error.end < len(content):
                number = content.count(b"\n", 0, error.start) + 1
                problems.insert(0, f"line {number}: it is not UTF-8")
        return rules, problems

    def _tell(self, path: str, problems: list[str]) -> None:
        for problem in problems[:MAX_TOLD]:
            LOGGER.warning("%r: %s", path, problem)
        if len(problems) > MAX_TOLD:
            LOGGER.warning("%r: and so on, %d problems in all", path, len(problems))
