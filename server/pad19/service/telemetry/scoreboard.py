"""Counters that worker processes write and the supervisor reads, in memory that they share.

A slot is a row of unsigned 64-bit words that belongs to one worker at a time, and nobody else writes
to it, so there are no locks: a word is aligned and written whole. A reader may see a connection in
one counter and not yet in the next one, never half a number. A slot begins with two gauges, the time
of the last sign of life and the connections that are open; then come counters, which only grow.

What is counted has a fixed place in the table, whatever clients send: no text of theirs gets here.
"""

import mmap
import threading
import time
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from pad19.dispatch.record import Record

HANDSHAKE_FAILED = "handshake failed"
OTHER = "other"
# Why no header was sent: `Record.reason` up to its colon. Failed handshakes are counted by their own reasons.
UNANSWERED = (
    "handshake timeout", "request timeout", "client left", "closed before CRLF", "no room",
    "server stopped", "not a forwarder", "bad PROXY header", "PROXY header timeout", "internal error",
    OTHER,
)  # fmt: skip
# OpenSSL has some 350 reasons; these are the ones that scanners, old clients and refused certificates
# lead to. Versions of OpenSSL call one alert "sslv3 alert ...", "ssl/tls alert ..." or "tls alert ...".
HANDSHAKE_FAILURES = (
    "closed during the handshake", "closed without close_notify", "unexpected eof while reading",
    "wrong version number", "http request", "https proxy request", "unsupported protocol",
    "version too low", "no protocols available", "no shared cipher", "no suitable key share",
    "bad key share", "no suitable signature algorithm", "unexpected message", "packet length too long",
    "decryption failed or bad record mac", "alert bad certificate", "alert certificate expired",
    "alert certificate unknown", "alert decode error", "alert handshake failure", "alert internal error",
    "alert no application protocol", "alert protocol version", "alert unknown ca",
    "alert unsupported certificate", "alert user cancelled", OTHER,
)  # fmt: skip
# Durations (seconds) and bodies (bytes) are counted in classes, by these upper bounds; one more has the rest.
DURATIONS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
SIZES = tuple(float(4**power) for power in range(4, 15))  # 256 bytes to 256 MiB

FIRST_STATUS, LAST_STATUS = 10, 69
_MICRO = 1_000_000  # durations are added up in whole microseconds

# The words of a slot
_BEAT, _OPEN, _COUNTERS = 0, 1, 2
_STATUSES, _UNANSWERED, _FAILURES, _DURATIONS, _DURATION_SUM, _SIZES, _SIZE_SUM, _END = accumulate(
    (
        LAST_STATUS - FIRST_STATUS + 1,
        len(UNANSWERED),
        len(HANDSHAKE_FAILURES),
        len(DURATIONS) + 1,
        1,
        len(SIZES) + 1,
        1,
    ),
    initial=_COUNTERS,
)
_WORD = 8  # bytes
_SLOT = -(-_END // 8) * 8  # words; whole cache lines, so that workers do not slow one another down

_STATUS_0 = _STATUSES - FIRST_STATUS
_UNANSWERED_WORDS = {reason: _UNANSWERED + number for number, reason in enumerate(UNANSWERED)}
_FAILURE_WORDS = {reason: _FAILURES + number for number, reason in enumerate(HANDSHAKE_FAILURES)}

Buffer = bytearray | memoryview | mmap.mmap


def size(slots: int) -> int:
    """Bytes of shared memory, all zero at first, for so many workers at once."""
    return slots * _SLOT * _WORD


class Slot:
    """The worker's side of its slot."""

    __slots__ = ("_words",)

    def __init__(self, words: "memoryview[int]") -> None:
        self._words = words

    def count(self, record: Record) -> None:
        """Count a connection that has ended. Half a microsecond: every request comes by here."""
        words = self._words
        status = record.status
        if status is None:
            words[_word_of(record.reason)] += 1
            return
        words[_STATUS_0 + status] += 1
        words[_DURATIONS + bisect_left(DURATIONS, record.duration)] += 1
        words[_DURATION_SUM] += int(record.duration * _MICRO)
        if 20 <= status < 30:  # nothing else has a body
            words[_SIZES + bisect_left(SIZES, record.bytes_sent)] += 1
            words[_SIZE_SUM] += record.bytes_sent

    def beat(self, open_connections: int) -> None:
        """Say that this worker lives, and how many connections it has. Once a second is enough."""
        self._words[_OPEN] = open_connections
        self._words[_BEAT] = time.monotonic_ns()


def _word_of(reason: str) -> int:
    """Where a connection without a header is counted."""
    kind, _, detail = reason.partition(": ")
    if kind != HANDSHAKE_FAILED:
        return _UNANSWERED_WORDS.get(kind) or _UNANSWERED_WORDS[OTHER]
    _, alert, name = detail.partition(" alert ")
    return _FAILURE_WORDS.get(f"alert {name}" if alert else detail) or _FAILURE_WORDS[OTHER]


@dataclass(frozen=True, slots=True)
class Pulse:
    """What a worker last said of itself."""

    open_connections: int
    beat_age_s: float | None  # seconds since then; None: nothing was said yet


@dataclass(frozen=True, slots=True)
class Histogram:
    """How values are spread. ``counts[n]`` are those up to ``bounds[n]``, and above the bound before it."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]  # one more than bounds: what is above the last
    sum: float

    @property
    def count(self) -> int:
        return sum(self.counts)

    def bound_of(self, share: float) -> float | None:
        """The lowest bound that at least this share (0 to 1) of the values keeps to; None: there is none."""
        if not self.count:
            return None
        below = accumulate(self.counts)
        return next(
            (bound for bound, n in zip(self.bounds, below, strict=False) if n >= share * self.count), None
        )


@dataclass(frozen=True, slots=True)
class Totals:
    """Everything since the start, by all workers that there have been. No number ever gets less."""

    statuses: dict[int, int]  # those that were sent
    unanswered: dict[str, int]  # connections without a header, by `HANDSHAKE_FAILED` and each of `UNANSWERED`
    handshake_failures: dict[str, int]  # by each of `HANDSHAKE_FAILURES`
    durations: Histogram  # seconds from accept to close, of connections with a header
    sizes: Histogram  # bytes, of the bodies of 2x answers as far as they were sent

    @property
    def connections(self) -> int:
        """Those that have ended."""
        return sum(self.statuses.values()) + sum(self.unanswered.values())


class Scoreboard:
    """Slots in a buffer of `size`: shared memory that every process maps for itself.

    The supervisor's side may be used by several threads.

    Raises:
        ValueError: The buffer is of another size, as one of another version of pad19 is.
    """

    def __init__(self, buffer: Buffer, slots: int) -> None:
        words = memoryview(buffer).cast("B").cast("Q")
        if words.nbytes != size(slots):
            raise ValueError(f"{slots} slots take {size(slots)} bytes, but the buffer has {words.nbytes}")
        self._slots = [words[start : start + _SLOT] for start in range(0, len(words), _SLOT)]
        self._retired = [0] * _END  # the counters of workers that are gone
        self._lock = threading.Lock()  # else a worker could be missing, or in twice, while it is retired

    def slot(self, number: int) -> Slot:
        """For the worker that has this slot."""
        return Slot(self._slots[number])

    # The supervisor's side

    def pulse(self, number: int) -> Pulse:
        """The gauges of a slot."""
        words = self._slots[number]
        beat = words[_BEAT]
        age = max(0, time.monotonic_ns() - beat) / 1_000_000_000 if beat else None
        return Pulse(words[_OPEN], age)

    def retire(self, number: int) -> None:
        """Keep what a worker counted, and clear its slot for the next one. It must have ended."""
        words = self._slots[number]
        with self._lock:
            self._retired = _sums([self._retired, words])
            words[:] = memoryview(bytes(words.nbytes)).cast("Q")

    def totals(self) -> Totals:
        """All slots and all that were retired."""
        with self._lock:
            words = _sums([self._retired, *self._slots])
        statuses = words[_STATUSES:_UNANSWERED]
        failures = words[_FAILURES:_DURATIONS]
        return Totals(
            {status: count for status, count in enumerate(statuses, FIRST_STATUS) if count},
            {HANDSHAKE_FAILED: sum(failures)}
            | dict(zip(UNANSWERED, words[_UNANSWERED:_FAILURES], strict=True)),
            dict(zip(HANDSHAKE_FAILURES, failures, strict=True)),
            Histogram(DURATIONS, (*words[_DURATIONS:_DURATION_SUM],), words[_DURATION_SUM] / _MICRO),
            Histogram(SIZES, (*words[_SIZES:_SIZE_SUM],), words[_SIZE_SUM]),
        )


def _sums(rows: "Sequence[Sequence[int] | memoryview[int]]") -> list[int]:
    # Sums of gauges are in there too, and nobody looks at them.
    return [sum(words) for words in zip(*(row[:_END] for row in rows), strict=True)]
