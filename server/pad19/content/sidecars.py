"""The `.meta` files of a content folder: which line applies to a path.

Each one speaks for its folder and everything below. The nearest folder is asked first, and within a
file the first line that matches wins.
"""

import logging
import os
import time

from .files import Absent, Signature, open_beneath, signature_of
from .listing import SIDECAR
from .memory import TICK_NS, Witnesses
from .sidecar import MAX_TEXT, Directive, Sidecar, parse

LOGGER = logging.getLogger("pad19.content")


class Sidecars:
    """Reads them as needed and again when they change. Blocks: call it in a worker thread."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._known: dict[str, tuple[Signature, Sidecar]] = {}

    def find(self, relative: str) -> Directive | None:
        """What applies to ``relative`` (``a/b.gmi``, or ``a/`` for a folder)."""
        for folder in _folders(relative):
            rules = self._read(folder)
            if rules is not None and (directive := rules.find(relative[len(folder) :])) is not None:
                return directive
        return None

    def witnesses(self, relative: str) -> Witnesses:
        """What would look different if a sidecar file, or an index, came, went or changed."""
        seen: list[tuple[str, Signature | None]] = []
        for folder in _folders(relative):
            path = os.path.join(self._root, folder)
            seen.append((path, signature_of(path)))
            path = os.path.join(path, SIDECAR)
            if now := signature_of(path):
                seen.append((path, now))
        return tuple(seen)

    def _read(self, folder: str) -> Sidecar | None:
        path = os.path.join(self._root, folder, SIDECAR)
        now = signature_of(path)
        if now is None:
            self._known.pop(folder, None)
            return None
        if (known := self._known.get(folder)) and known[0] == now:
            return known[1]
        try:
            opened = open_beneath(self._root, folder + SIDECAR)
        except Absent:
            return None
        if opened.is_folder:
            return None
        with open(opened.fd, "rb") as file:
            text = file.read(MAX_TEXT + 1).decode("utf-8", "replace")
        rules, problems = parse(text)
        for problem in problems:
            LOGGER.warning("%s: %s", path, problem)
        if time.time_ns() - now[-1] > TICK_NS:
            self._known[folder] = (now, rules)
        return rules


def _folders(relative: str) -> list[str]:
    """The folders on the way, nearest first, as prefixes: ``a/b/c`` has ``a/b/``, ``a/`` and "" ."""
    prefixes = [""]
    for name in relative.split("/")[:-1]:
        prefixes.append(f"{prefixes[-1]}{name}/")
    return prefixes[::-1]
