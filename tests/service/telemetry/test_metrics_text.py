import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from pad19.dispatch.record import Record
from pad19.protocol.status import Status
from pad19.service.telemetry.metrics_text import Exposition
from pad19.service.telemetry.scoreboard import HANDSHAKE_FAILURES, UNANSWERED
from pad19.service.telemetry.status import Certificate, Reloads, Snapshot, Worker
from support.status import totals

PAGE = Path(__file__).parents[3] / "capsule/content/hosting/metrics.gmi"
Samples = dict[tuple[str, str], float]  # a name and its labels as text, the value


SNAPSHOT = Snapshot(
    version="0.1.0",
    uptime_s=99.5,
    generation=7,
    addresses=("[::]:1965",),
    workers=(
        Worker(pid=1, generation=7, state="ready", age_s=9, open_connections=12, beat_age_s=0.5),
        Worker(pid=2, generation=6, state="draining", age_s=9, open_connections=3, beat_age_s=8.0),
        Worker(pid=3, generation=8, state="starting", age_s=9, open_connections=0, beat_age_s=None),
    ),
    certificates=(
        Certificate(host="a.test", not_after=datetime(2027, 1, 1, tzinfo=UTC), fingerprint="sha256:aa"),
        Certificate(host='b"\\\n', not_after=datetime(1969, 1, 1, tzinfo=UTC), fingerprint="sha256:bb"),
    ),
    totals=totals(
        *[Record("", 1.0, 0.02, status=20, bytes_sent=2000)] * 3,
        Record("", 1.0, 70.0, status=44),
        Record("", 1.0, 0.02, status=20, bytes_sent=100),
        Record("", 1.0, reason="handshake failed: http request"),
        Record("", 1.0, reason="client left: Broken pipe"),
    ),
    reloads=Reloads(succeeded=6, failed=1, error="x", failed_at=datetime(2026, 1, 1, tzinfo=UTC)),
    restarts=2,
)
IDLE = Snapshot(
    version="0", uptime_s=0, generation=1, addresses=(), workers=(), certificates=(), totals=totals()
)


def labels_as_text(labels: Mapping[str, str]) -> str:
    return ",".join(f"{name}={value}" for name, value in labels.items())


def samples(snapshot: Snapshot) -> Samples:
    body, content_type = Exposition(lambda: snapshot).write("")
    assert content_type.startswith("text/plain; version=")
    found: Samples = {}
    for family in parse(body.decode()):
        for sample in family.samples:
            key = (sample.name, labels_as_text(sample.labels))
            assert key not in found
            found[key] = sample.value
    return found


EXPECTED: list[tuple[str, str, float]] = [
    ("pad19_info", "version=0.1.0", 1),
    ("pad19_up", "", 1),
    ("pad19_uptime_seconds", "", 99.5),
    ("pad19_connections_total", "", 7),
    ("pad19_open_connections", "", 15),
    ("pad19_requests_total", "status=20", 4),
    ("pad19_requests_total", "status=44", 1),
    ("pad19_requests_total", "status=41", 0),
    ("pad19_unanswered_connections_total", "reason=handshake failed", 1),
    ("pad19_unanswered_connections_total", "reason=client left", 1),
    ("pad19_unanswered_connections_total", "reason=no room", 0),
    ("pad19_handshake_failures_total", "reason=http request", 1),
    ("pad19_handshake_failures_total", "reason=other", 0),
    ("pad19_request_duration_seconds_bucket", "le=0.01", 0),
    ("pad19_request_duration_seconds_bucket", "le=0.025", 4),
    ("pad19_request_duration_seconds_bucket", "le=60.0", 4),
    ("pad19_request_duration_seconds_bucket", "le=+Inf", 5),
    ("pad19_request_duration_seconds_count", "", 5),
    ("pad19_request_duration_seconds_sum", "", 70.08),
    ("pad19_response_bytes_bucket", "le=256.0", 1),
    ("pad19_response_bytes_bucket", "le=4096.0", 4),
    ("pad19_response_bytes_bucket", "le=+Inf", 4),
    ("pad19_response_bytes_sum", "", 6100),
    ("pad19_worker_generation", "", 7),
    ("pad19_workers", "state=ready", 1),
    ("pad19_workers", "state=draining", 1),
    ("pad19_workers", "state=starting", 1),
    ("pad19_worker_silence_seconds", "", 8.0),
    ("pad19_worker_restarts_total", "", 2),
    ("pad19_reloads_total", "outcome=succeeded", 6),
    ("pad19_reloads_total", "outcome=failed", 1),
    ("pad19_certificate_expiry_seconds", "host=a.test", 1798761600),
    ("pad19_certificate_expiry_seconds", 'host=b"\\\n', -31536000),
]


@pytest.mark.parametrize(("name", "labels", "value"), EXPECTED)
def test_a_sample(name: str, labels: str, value: float) -> None:
    assert samples(SNAPSHOT)[name, labels] == value


def test_no_metric_is_forgotten_here() -> None:
    assert {name for name, _ in samples(SNAPSHOT)} == {
        *(name for name, _, _ in EXPECTED),
        "pad19_response_bytes_count",
    }


def test_the_manual_has_all_of_them() -> None:
    body, _ = Exposition(lambda: SNAPSHOT).write("")
    families = [*parse(body.decode())]
    text = PAGE.read_text("utf-8")
    assert re.findall(r"^pad19_\w+", text, re.MULTILINE) == [
        f"{family.name}_total" if family.type == "counter" else family.name for family in families
    ]
    rules = re.findall(r"pad19_\w+", text.partition("```rules for alerts")[2])
    assert {*rules} <= {sample.name for family in families for sample in family.samples}


def test_a_server_that_does_not_serve() -> None:
    found = samples(IDLE)
    assert found["pad19_up", ""] == 0
    assert found["pad19_workers", "state=ready"] == 0
    assert found["pad19_worker_silence_seconds", ""] == 0
    assert not any(name == "pad19_certificate_expiry_seconds" for name, _ in found)


def test_counters_are_there_from_the_beginning() -> None:
    # The same series, so that none of them appears with a number that nobody sees increase.
    hosts = {key for key in samples(SNAPSHOT) if key[0] == "pad19_certificate_expiry_seconds"}
    before = {key for key in samples(IDLE) if key[0] != "pad19_info"}
    assert before == {key for key in samples(SNAPSHOT) if key[0] != "pad19_info"} - hosts
    counts = {name: [key for key in before if key[0] == name] for name, _ in before}
    assert len(counts["pad19_requests_total"]) == len(Status)
    assert len(counts["pad19_unanswered_connections_total"]) == len(UNANSWERED) + 1
    assert len(counts["pad19_handshake_failures_total"]) == len(HANDSHAKE_FAILURES)


def test_a_status_that_is_not_in_the_specification() -> None:
    odd = replace(IDLE, totals=totals(Record("", 1.0, status=45)))
    assert samples(odd)["pad19_requests_total", "status=45"] == 1


def test_openmetrics_for_those_who_ask_for_it() -> None:
    body, content_type = Exposition(lambda: SNAPSHOT).write("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    found = {family.name: family for family in parse_openmetrics(body.decode())}  # type: ignore[no-untyped-call]  # the library's
    assert found["pad19_requests"].type == "counter"
    assert found["pad19_request_duration_seconds"].type == "histogram"
    assert found["pad19"].type == "info"


def test_every_scrape_takes_a_snapshot_and_making_it_none() -> None:
    taken: list[Snapshot] = []

    def snapshot() -> Snapshot:
        taken.append(IDLE)
        return IDLE

    exposition = Exposition(snapshot)
    assert taken == []
    exposition.write("")
    exposition.write("")
    assert len(taken) == 2
