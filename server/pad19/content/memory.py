"""Answers kept in memory, each with what it was made from.

A kept answer is good as long as the disk looks the same: every path it depends on is looked at
again on every request (about 1.5 us each).
"""

from collections import OrderedDict
from dataclasses import dataclass

from pad19.protocol.response import Success

from .files import Signature, signature_of

CAPACITY = 8 * 1024 * 1024  # bytes
_ENTRY = 1024  # bytes that an entry costs besides its body and witnesses, about
_WITNESS = 512  # bytes that a witness costs besides its path, about
_SECOND = 1_000_000_000  # nanoseconds
# Two edits within one tick of the kernel's clock (4 or 10 ms) carry the same time. What is younger
# than this is not kept, since a second edit would go unseen.
TICK_NS = 50_000_000
COARSE_NS = 2 * _SECOND + TICK_NS  # FAT counts in pairs of seconds, old ext4 and HFS+ in seconds

Witnesses = tuple[tuple[str, Signature | None], ...]  # path, and what was there (None: nothing)


def is_settled(seen: Signature, looked: int) -> bool:
    """Was it old enough when it was seen (nanoseconds since 1970) for any later change to show?"""
    changed = seen[-1]
    return looked - changed > (TICK_NS if changed % _SECOND else COARSE_NS)


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer and its witnesses, the most likely to change first."""

    response: Success
    size: int  # bytes of the body
    witnesses: Witnesses
    looked: int  # nanoseconds since 1970, before the first witness was seen

    @property
    def cost(self) -> int:
        """Bytes that it takes, about. Paths count: links to a parent folder make endless ones."""
        return _ENTRY + self.size + sum(_WITNESS + len(path) for path, _ in self.witnesses)

    def is_current(self) -> bool:
        """Does the disk still look as it did?"""
        for path, seen in self.witnesses:  # noqa: SIM110 - all() costs a generator on every request
            if signature_of(path) != seen:
                return False
        return True

    def is_settled(self) -> bool:
        """Would any change since show?"""
        return all(is_settled(seen, self.looked) for _, seen in self.witnesses if seen)


class Memory:
    """Kept answers by path, the least recently kept leave first."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[str, Kept] = OrderedDict()
        self._size = 0

    @property
    def size(self) -> int:
        """Bytes that all entries take, about."""
        return self._size

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
        self._size += kept.cost
        while self._size > self._capacity:
            self._drop(next(iter(self._entries)))

    def _drop(self, path: str) -> None:
        if kept := self._entries.pop(path, None):
            self._size -= kept.cost
