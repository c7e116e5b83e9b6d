"""A `Snapshot` as Prometheus reads it. The only module that needs prometheus-client."""

from collections.abc import Callable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from pad19.protocol.status import Status

from .scoreboard import Histogram, Totals
from .status import Snapshot

_STATES = ("starting", "ready", "draining")


class Exposition(Collector):
    """Writes what ``snapshot`` returns."""

    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        self._snapshot = snapshot
        # One of our own: the library's has metrics of this Python process, which is not what serves.
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def describe(self) -> list[Metric]:
        """Nothing, so that registering asks for no snapshot."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Take a snapshot."""
        return families(self._snapshot())

    def write(self, accept: str) -> tuple[bytes, str]:
        """The metrics and their content type, for a scraper with that ``Accept`` header."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type


def families(snapshot: Snapshot) -> Iterator[Metric]:
    """All metrics. Labels are from lists of ours, or from the configuration: their number is bounded."""
    yield InfoMetricFamily("pad19", "What runs.", {"version": snapshot.version})
    yield GaugeMetricFamily("pad19_up", "Whether a worker takes connections.", snapshot.is_serving)
    yield GaugeMetricFamily("pad19_uptime_seconds", "Since the start of the server.", snapshot.uptime_s)
    yield from _of_connections(snapshot.totals, snapshot.open_connections)
    yield from _of_workers(snapshot)
    family = GaugeMetricFamily(
        "pad19_certificate_expiry_seconds",
        "When the certificate of a host expires, in Unix time.",
        labels=["host"],
    )
    for certificate in snapshot.certificates:
        family.add_metric([certificate.host], certificate.not_after.timestamp())
    yield family


def _of_connections(totals: Totals, open_connections: int) -> Iterator[Metric]:
    yield CounterMetricFamily("pad19_connections", "Connections that have ended.", totals.connections)
    yield GaugeMetricFamily("pad19_open_connections", "Connections that are open now.", open_connections)
    # Counters begin at 0, so that their first increase is seen as one.
    statuses = {int(status): 0 for status in Status} | totals.statuses
    yield _counter(
        "pad19_requests", "Headers that were sent.", "status", {str(key): n for key, n in statuses.items()}
    )
    yield _counter(
        "pad19_unanswered_connections",
        "Connections that ended without a header.",
        "reason",
        totals.unanswered,
    )
    yield _counter(
        "pad19_handshake_failures",
        "TLS handshakes that failed, by OpenSSL's reason.",
        "reason",
        totals.handshake_failures,
    )
    yield _histogram(
        "pad19_request_duration_seconds",
        "From accept to close, of connections with a header.",
        totals.durations,
    )
    yield _histogram("pad19_response_bytes", "Bodies of 2x answers, as far as they were sent.", totals.sizes)


def _of_workers(snapshot: Snapshot) -> Iterator[Metric]:
    workers = snapshot.workers
    yield GaugeMetricFamily(
        "pad19_worker_generation", "Of the workers that take connections.", snapshot.generation
    )
    family = GaugeMetricFamily("pad19_workers", "Worker processes.", labels=["state"])
    for state in _STATES:
        family.add_metric([state], sum(worker.state == state for worker in workers))
    yield family
    yield GaugeMetricFamily(
        "pad19_worker_silence_seconds",
        "Since the last sign of life of the worker that is silent for longest; each gives one a second.",
        max((worker.beat_age_s or 0.0 for worker in workers), default=0.0),
    )
    yield CounterMetricFamily("pad19_worker_restarts", "Workers that crashed.", snapshot.restarts)
    reloads = {"succeeded": snapshot.reloads.succeeded, "failed": snapshot.reloads.failed}
    yield _counter("pad19_reloads", "Changes of the configuration.", "outcome", reloads)


def _counter(name: str, text: str, label: str, counts: dict[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=[label])
    for value, count in counts.items():
        family.add_metric([value], count)
    return family


def _histogram(name: str, text: str, histogram: Histogram) -> HistogramMetricFamily:
    bounds = [*map(str, histogram.bounds), "+Inf"]
    return HistogramMetricFamily(
        name, text, [*zip(bounds, accumulate(histogram.counts), strict=True)], histogram.sum
    )
