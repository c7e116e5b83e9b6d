"""Open connections of all processes of one server, so that more workers do not mean higher limits.

The processes share one area of memory. Each has a column there which only it writes, and reads the
columns of the others; see `buckets` for why that needs no lock. What two processes do in the same
microsecond they may both miss, so a limit can be passed by as many as there are workers.

The area: the key of the hash; the total of each column; a table of counts for each column; a table
of rates for each worker. A column belongs to a process and is cleared after its death. A table of
rates belongs to the number of a worker, whose successor goes on with it.
"""

import os
from collections.abc import Sequence
from mmap import mmap
from typing import NamedTuple

from .buckets import BUCKET, KEY, WORDS, find, places

WORD = 8  # bytes
MAX_COUNT = 0xFF_FFFF  # in the lower 24 bits of a word; limits.connections is at most 10 000 000
_KEY_WORDS = KEY // WORD

Buffer = bytearray | memoryview | mmap


class RateTable(NamedTuple):
    """Two words for each group: see `RateLimit`."""

    ends: memoryview
    counts: memoryview

    @classmethod
    def of(cls, words: memoryview) -> "RateTable":
        """Over twice `WORDS` words."""
        return cls(words[:WORDS], words[WORDS:])


def size(columns: int) -> int:
    """Bytes of an area. The system gives memory only for the part of it that is in use."""
    return WORD * _rates(columns, columns)


def prepare(buffer: Buffer) -> None:
    """Make an area of zeros ready for use, once, before anybody else sees it."""
    buffer[:KEY] = os.urandom(KEY)


def clear(buffer: Buffer, columns: int, column: int) -> None:
    """Forget the connections of a process that is dead."""
    with _words(buffer, columns) as words:
        words[_KEY_WORDS + column] = 0  # first: from now on nobody reads the rest
    start = WORD * _counts(columns, column)
    buffer[start : start + WORD * WORDS] = bytes(WORD * WORDS)


class SharedCounts:
    """What one worker tells the others, and what they tell it."""

    def __init__(self, buffer: Buffer, columns: int, own: int, *, worker: int, workers: int) -> None:
        """``own``: a cleared column, from 0. ``worker``: the number of this one of ``workers``, from 0.

        Raises:
            ValueError: The area is too small, or has no such column or worker.
        """
        if len(buffer) < size(columns) or not (0 <= own < columns and 0 <= worker < workers <= columns):
            raise ValueError("the shared area is too small")
        words = _words(buffer, columns)
        self.place = places(bytes(buffer[:KEY]))
        self._own = own
        self._totals = words[_KEY_WORDS : _KEY_WORDS + columns]
        starts = [_counts(columns, column) for column in range(columns)]
        self._tables = [words[start : start + WORDS] for start in starts]
        self._table = self._tables[own]
        self._indices: dict[str, int] = {}  # of the groups that have a word in our table
        starts = [_rates(columns, number) for number in range(workers)]
        rates = [RateTable.of(words[start : start + 2 * WORDS]) for start in starts]
        self.rates = rates.pop(worker)
        self.rates_elsewhere: Sequence[RateTable] = rates

    def total_elsewhere(self) -> int:
        """Connections of the other processes."""
        return sum(self._totals) - self._totals[self._own]

    def elsewhere(self, group: str) -> int:
        """Connections of a group to the other processes."""
        first, digest = self.place(group)
        tag = digest & ~MAX_COUNT
        count = 0
        for column, total in enumerate(self._totals):
            if total and column != self._own and (found := find(self._tables[column], first, tag, MAX_COUNT)):
                count += found[1]
        return count

    def tell(self, group: str, count: int, total: int) -> None:
        """How many connections of the group, and of all, this process has now.

        Where the bucket is full, the others do not learn of the group. There is room for twice as many
        as the default of limits.connections, so only who brings thousands of addresses gets that far.
        """
        self._totals[self._own] = total
        index = self._indices.get(group)
        if not count:
            if index is not None:
                self._table[index] = 0
                del self._indices[group]
            return
        first, digest = self.place(group)
        if index is None:
            words = self._table[first : first + BUCKET].tolist()
            if 0 not in words:
                return
            index = self._indices[group] = first + words.index(0)
        self._table[index] = digest & ~MAX_COUNT | count


def _words(buffer: Buffer, columns: int) -> memoryview:
    return memoryview(buffer)[: size(columns)].cast("Q")


def _counts(columns: int, column: int) -> int:
    """Index of the first word of a table of counts."""
    head = -(-(_KEY_WORDS + columns) // BUCKET) * BUCKET
    return head + column * WORDS


def _rates(columns: int, number: int) -> int:
    """Index of the first word of a table of rates; they come after the counts of all columns."""
    return _counts(columns, columns) + number * 2 * WORDS
