"""Answers kept in memory, each with what it was made from.

A kept answer is good as long as the disk looks the same: every path it depends on is looked at
again on every request (about 1.5 us each).
"""

import time
from collections import OrderedDict
from dataclasses import dataclass

from pad19.protocol.response import Success

from .files import Signature, signature_of

CAPACITY = 8 * 1024 * 1024  # bytes of bodies
_ENTRY = 1024  # bytes that an entry costs besides its body, about
# Two edits within one tick of the kernel's clock (4 or 10 ms) carry the same time. What is younger
# than this is not kept, since a second edit would go unseen.
TICK_NS = 50_000_000

Witnesses = tuple[tuple[str, Signature | None], ...]  # path, and what was there (None: nothing)


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer and its witnesses, the most likely to change first."""

    response: Success
    size: int  # bytes of the body
    witnesses: Witnesses

    def is_current(self) -> bool:
        """Does the disk still look as it did?"""
        for path, seen in self.witnesses:  # noqa: SIM110 - all() costs a generator on every request
            if signature_of(path) != seen:
                return False
        return True

    def is_settled(self) -> bool:
        """Is everything older than the clock's grain, so that a change would show?"""
        newest = max((seen[-1] for _, seen in self.witnesses if seen), default=0)
        return time.time_ns() - newest > TICK_NS


class Memory:
    """Kept answers by path, the least recently kept leave first."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[str, Kept] = OrderedDict()
        self._size = 0

    def get(self, path: str) -> Success | None:
        """The answer for a path, if it is still the right one."""
        kept = self._entries.get(path)
        if kept is None:
            return None
        if kept.is_current():
            return kept.response
        self._drop(path)
        return None

    def keep(self, path: str, kept: Kept) -> None:
        """Remember an answer; one whose files changed just now is left out."""
        if not kept.is_settled():
            return
        self._drop(path)
        self._entries[path] = kept
        self._size += kept.size + _ENTRY
        while self._size > self._capacity:
            self._drop(next(iter(self._entries)))

    def _drop(self, path: str) -> None:
        if kept := self._entries.pop(path, None):
            self._size -= kept.size + _ENTRY
