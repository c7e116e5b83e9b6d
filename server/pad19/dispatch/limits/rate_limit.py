"""How often a group may come, counted by all workers together in bounded memory.

A window begins with the first connection of a group, and then so many are let in until it ends.
Whoever counts one takes the newest window that any worker knows of, and writes it with one more into
its own table: so the last writer's count is everybody's. Those that are refused are not counted: who
waits for as long as told is let in, however often they asked too early.

A full bucket forgets the group that came least often. A flood from many addresses displaces others
of its kind, not those that are near their limit.
"""

import os
import time
from collections.abc import Callable, Sequence

from pad19.protocol.rate import Rate

from .buckets import BUCKET, KEY, WORDS, find, places
from .shared_counts import WORD, RateTable, SharedCounts

# The end of a window, in the lower 40 bits of a word: 34 years of a clock that starts with the machine.
MAX_TIME = 0xFF_FFFF_FFFF  # milliseconds
_MILLISECOND = 1_000_000  # nanoseconds

Clock = Callable[[], int]


class RateLimit:
    """Counts connections of groups. ``clock``: nanoseconds, the same for all processes."""

    def __init__(
        self, rate: Rate, shared: SharedCounts | None = None, clock: Clock = time.monotonic_ns
    ) -> None:
        self._count = rate.count
        self._length = rate.seconds * 1000  # milliseconds
        self._clock = clock
        self._others: Sequence[RateTable] = ()
        if shared is not None:
            self._place = shared.place
            self._own = shared.rates
            self._others = shared.rates_elsewhere
        else:
            self._place = places(os.urandom(KEY))
            self._own = RateTable.of(memoryview(bytearray(2 * WORDS * WORD)).cast("Q"))

    def take(self, group: str) -> int:
        """Count one, if it may come. Otherwise the seconds until the next one may, at least 1."""
        now = self._clock() // _MILLISECOND
        first, digest = self._place(group)
        tag = digest & ~MAX_TIME
        index, end, count = self._look(self._own, first, tag, now)
        for table in self._others:
            _, other_end, other_count = self._look(table, first, tag, now)
            end, count = max((end, count), (other_end, other_count))
        if count >= self._count:
            return -((now - end) // 1000)  # rounded up
        if not end:
            end = now + self._length
        if index is None:
            index = min(range(first, first + BUCKET), key=lambda i: self._weight(i, now))
        ends, counts = self._own
        if ends[index] != tag | end:
            counts[index] = 0  # first: nobody shall take the count of another window for ours
            ends[index] = tag | end
        counts[index] = count + 1
        return 0

    def _look(self, table: RateTable, first: int, tag: int, now: int) -> tuple[int | None, int, int]:
        """Index, end and count of a group's window in one table; the last two are 0 if there is none."""
        found = find(table.ends, first, tag, MAX_TIME)
        if found is None:
            return None, 0, 0
        index, end = found
        return (index, end, table.counts[index]) if self._is_open(end, now) else (index, 0, 0)

    def _is_open(self, end: int, now: int) -> bool:
        # One that ends later than any can was left behind by a longer rate, before a reload.
        return now < end <= now + self._length

    def _weight(self, index: int, now: int) -> int:
        """How much would be lost with a word of ours: its count, or nothing if its window is over."""
        ends, counts = self._own
        return counts[index] if self._is_open(ends[index] & MAX_TIME, now) else 0
