"""The state of a running server as one value, and the two forms in which it is told."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

import msgspec

from .scoreboard import Totals

SILENT_S = 3.0  # seconds; a worker gives a sign of life every second
SOON_D = 14  # days until a certificate expires that are worth a word
MAX_LINES = 8  # of workers and of certificates, in the text
_HALF, _NEARLY_ALL = 0.5, 0.99
_GAP = "  "

State = Literal["starting", "ready", "draining"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """One worker process."""

    pid: int
    generation: int
    state: State
    age_s: float  # seconds since its start
    open_connections: int
    beat_age_s: float | None  # seconds since its last sign of life; None: there was none yet


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloads:
    """How changes of the configuration went."""

    succeeded: int = 0
    failed: int = 0
    error: str | None = None  # of the last one that failed: a sentence, or one in each line
    failed_at: datetime | None = None  # aware; when that was


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What is shown to the clients of a host."""

    host: str
    not_after: datetime  # aware
    fingerprint: str  # "sha256:..."


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A server at one moment."""

    version: str  # of pad19
    uptime_s: float
    generation: int  # of the workers that take connections; each reload begins another one
    addresses: tuple[str, ...]  # that are listened on
    workers: tuple[Worker, ...]
    certificates: tuple[Certificate, ...]
    totals: Totals
    metrics: tuple[str, ...] = ()  # addresses for scrapers
    reloads: Reloads = Reloads()
    restarts: int = 0  # of workers that crashed
    lacks: tuple[str, ...] = ()  # what does not work, of workers that came after those; a sentence each
    taken_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def open_connections(self) -> int:
        return sum(worker.open_connections for worker in self.workers)

    @property
    def is_serving(self) -> bool:
        """Whether there is a worker that takes connections."""
        return any(worker.state == "ready" for worker in self.workers)


def message(snapshot: Snapshot) -> str:
    """Both forms: JSON in the first line, and the text below. `read_message` takes them apart."""
    return f"{as_json(snapshot)}\n{as_text(snapshot)}"


def read_message(text: str) -> tuple[str, str]:
    """The JSON and the text, each with its newline at the end."""
    json, newline, rest = text.partition("\n")
    return json + newline, rest


def as_json(snapshot: Snapshot) -> str:
    """One line with all that is known, for programs."""
    import json  # not msgspec's, which refuses what paths that are no UTF-8 are in Python

    return json.dumps(msgspec.to_builtins(snapshot))


def as_text(snapshot: Snapshot) -> str:
    """Some 15 lines with what matters, for people."""
    lines: list[str] = []
    rows = _rows(snapshot)
    width = max(len(name) for name, _ in rows)
    for name, texts in rows:
        for number, text in enumerate(texts):
            lines.append(f"{'' if number else name:{width}}{_GAP}{text}")
    head = f"pad19 {snapshot.version}, up {duration(snapshot.uptime_s)}, generation {snapshot.generation}"
    if not snapshot.is_serving:
        head += ", NOT SERVING"
    return "\n".join([head, "", *lines, ""])


def _rows(snapshot: Snapshot) -> list[tuple[str, list[str]]]:
    """Headings, each with its lines."""
    totals = snapshot.totals
    return [
        ("listening on", [", ".join(snapshot.addresses) or "nothing"]),
        ("workers", _first(_workers(snapshot.workers), len(snapshot.workers)) or ["none"]),
        ("connections", [f"{snapshot.open_connections:,} open, {totals.connections:,} ended"]),
        ("answers", [_counts(dict(sorted(totals.statuses.items())))]),
        ("no answer", [_counts(_largest_first(totals.unanswered))]),
        ("handshakes", [_counts(_largest_first(totals.handshake_failures))]),
        ("durations", [_within(snapshot)]),
        ("bodies", [f"{_bytes(totals.sizes.sum)} in {totals.sizes.count:,}"]),
        ("reloads", [*_reloads(snapshot)]),
        ("restarts", [f"{snapshot.restarts:,} after crashes", *snapshot.lacks]),
        ("certificates", _first(_certificates(snapshot), len(snapshot.certificates)) or ["none"]),
    ]


def _workers(workers: Iterable[Worker]) -> Iterator[str]:
    for worker in workers:
        silent = worker.beat_age_s is not None and worker.beat_age_s > SILENT_S
        yield (
            f"pid {worker.pid:<7} generation {worker.generation:<3} {worker.state:8} "
            f"{worker.open_connections:>5,} open, up {duration(worker.age_s)}"
            + (f", silent for {duration(worker.beat_age_s or 0)}" if silent else "")
        )


def _reloads(snapshot: Snapshot) -> Iterator[str]:
    reloads = snapshot.reloads
    yield f"{reloads.succeeded:,} done, {reloads.failed:,} failed"
    if reloads.error and reloads.failed_at:
        yield f"the last failure was {duration((snapshot.taken_at - reloads.failed_at).total_seconds())} ago:"
        yield from reloads.error.splitlines()


def _certificates(snapshot: Snapshot) -> Iterator[str]:
    """Those that expire first come first."""
    found = sorted(snapshot.certificates, key=lambda certificate: certificate.not_after)
    width = max((len(certificate.host) for certificate in found[:MAX_LINES]), default=0)
    for certificate in found:
        left = certificate.not_after - snapshot.taken_at
        note = ""
        if left.total_seconds() <= 0:
            note = ", EXPIRED"
        elif left.days < SOON_D:
            note = f", {duration(left.total_seconds())} left"
        yield (
            f"{certificate.host:{width}}{_GAP}until {certificate.not_after:%Y-%m-%d}{note}"
            f"{_GAP}{certificate.fingerprint}"
        )


def _first(lines: Iterator[str], total: int) -> list[str]:
    shown = [line for _, line in zip(range(MAX_LINES), lines, strict=False)]
    return shown if total <= MAX_LINES else [*shown, f"and {total - MAX_LINES} more"]


def _largest_first(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def _counts(counts: Mapping[str, int] | Mapping[int, int]) -> str:
    return "; ".join(f"{name}: {count:,}" for name, count in counts.items() if count) or "none"


def _within(snapshot: Snapshot) -> str:
    durations = snapshot.totals.durations
    if not durations.count:
        return "none"
    parts = []
    for share in (_HALF, _NEARLY_ALL):
        if bound := durations.bound_of(share):
            parts.append(f"{share:.0%} within {_seconds(bound)}")
        else:
            parts.append(f"more than {1 - share:.0%} over {_seconds(durations.bounds[-1])}")
    return ", ".join(parts)


def _seconds(seconds: float) -> str:
    return f"{seconds * 1000:g} ms" if seconds < 1 else f"{seconds:g} s"


def duration(seconds: float) -> str:
    """``2.5 s``, ``3 min``, ``2 h 5 min``, ``3 d 4 h``: rounded down."""
    if seconds < 10:
        return f"{int(max(seconds, 0) * 10) / 10:g} s"
    if seconds < 60:
        return f"{int(seconds)} s"
    minutes = int(seconds / 60)
    hours, days = minutes // 60, minutes // 1440
    if days:
        return f"{days} d {hours % 24} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"


def _bytes(count: float) -> str:
    """``1.5 MiB``."""
    unit = "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if count < 1024:
            break
        count, unit = count / 1024, larger
    return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
