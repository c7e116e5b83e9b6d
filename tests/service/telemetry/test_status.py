import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pad19.dispatch.record import Record
from pad19.service.telemetry.status import (
    MAX_LINES,
    Certificate,
    Reloads,
    Snapshot,
    Worker,
    as_json,
    as_text,
    duration,
    message,
    read_message,
)
from support.status import totals

NOW = datetime(2026, 11, 23, 5, 8, 21, tzinfo=UTC)


IDLE = Snapshot(
    version="0.1.0",
    uptime_s=0.0,
    generation=1,
    addresses=(),
    workers=(),
    certificates=(),
    totals=totals(),
    taken_at=NOW,
)
WORKER = Worker(pid=4711, generation=7, state="ready", age_s=7500, open_connections=12, beat_age_s=0.4)
BUSY = Snapshot(
    version="0.1.0",
    uptime_s=300_000,
    generation=7,
    addresses=("[::]:1965", "unix:/run/pad19/pad19.sock"),
    workers=(
        WORKER,
        Worker(pid=99, generation=6, state="draining", age_s=3600, open_connections=1003, beat_age_s=65),
        Worker(pid=4712, generation=8, state="starting", age_s=0.25, open_connections=0, beat_age_s=None),
    ),
    certificates=(
        Certificate(host="example.org", not_after=NOW + timedelta(days=36500), fingerprint="sha256:aa"),
        Certificate(host="b.test", not_after=NOW + timedelta(days=3), fingerprint="sha256:bb"),
        Certificate(host="c.test", not_after=NOW - timedelta(seconds=1), fingerprint="sha256:cc"),
    ),
    totals=totals(
        *[Record("", 1.0, 0.02, status=20, bytes_sent=2000)] * 1200,
        *[Record("", 1.0, 0.4, status=51)] * 33,
        *[Record("", 1.0, reason="handshake failed: http request")] * 3,
        *[Record("", 1.0, reason="client left: Broken pipe")] * 4,
    ),
    reloads=Reloads(succeeded=6, failed=1, error="a.toml: x is no key", failed_at=NOW - timedelta(hours=2)),
    restarts=2,
    taken_at=NOW,
)

BUSY_TEXT = """\
pad19 0.1.0, up 3 d 11 h, generation 7

listening on  [::]:1965, unix:/run/pad19/pad19.sock
workers       pid 4711    generation 7   ready       12 open, up 2 h 5 min
              pid 99      generation 6   draining 1,003 open, up 1 h 0 min, silent for 1 min
              pid 4712    generation 8   starting     0 open, up 0.2 s
connections   1,015 open, 1,240 ended
answers       20: 1,200; 51: 33
no answer     client left: 4; handshake failed: 3
handshakes    http request: 3
durations     50% within 25 ms, 99% within 500 ms
bodies        2.3 MiB in 1,200
reloads       6 done, 1 failed
              the last failure was 2 h 0 min ago:
              a.toml: x is no key
restarts      2 after crashes
certificates  c.test       until 2026-11-23, EXPIRED  sha256:cc
              b.test       until 2026-11-26, 3 d 0 h left  sha256:bb
              example.org  until 2126-10-30  sha256:aa
"""
IDLE_TEXT = """\
pad19 0.1.0, up 0 s, generation 1, NOT SERVING

listening on  nothing
workers       none
connections   0 open, 0 ended
answers       none
no answer     none
handshakes    none
durations     none
bodies        0 B in 0
reloads       0 done, 0 failed
restarts      0 after crashes
certificates  none
"""


@pytest.mark.parametrize(("snapshot", "text"), [(BUSY, BUSY_TEXT), (IDLE, IDLE_TEXT)])
def test_as_people_read_it(snapshot: Snapshot, text: str) -> None:
    assert as_text(snapshot) == text


def test_several_sentences_are_several_lines() -> None:
    reloads = Reloads(failed=1, error="one\ntwo", failed_at=NOW)
    lines = as_text(replace(BUSY, reloads=reloads)).splitlines()
    at = lines.index("              one")
    assert lines[at - 1 : at + 2] == [
        "              the last failure was 0 s ago:", "              one", "              two",
    ]  # fmt: skip


def test_long_lists_are_cut_short() -> None:
    many = MAX_LINES + 5
    hosts = [
        Certificate(host=f"{n}.test", not_after=NOW + timedelta(days=100 - n), fingerprint="sha256:aa")
        for n in range(many)
    ]
    text = as_text(replace(BUSY, workers=(WORKER,) * many, certificates=(*hosts,)))
    assert text.count("pid 4711") == text.count("sha256:aa") == MAX_LINES
    assert text.count("              and 5 more\n") == 2
    # The ones that expire first.
    assert re.findall(r"(\d+)\.test", text) == ["12", "11", "10", "9", "8", "7", "6", "5"]
    exactly = as_text(replace(BUSY, workers=(WORKER,) * MAX_LINES))
    assert exactly.count("pid 4711") == MAX_LINES
    assert "more" not in exactly


def test_slow_answers() -> None:
    slow = totals(*[Record("", 1.0, 0.001, status=20)] * 9, Record("", 1.0, 61.0, status=20))
    assert "50% within 1 ms, more than 1% over 60 s" in as_text(replace(BUSY, totals=slow))


@pytest.mark.parametrize("states", [(), ("starting",), ("draining", "starting")])
def test_a_server_without_a_ready_worker_does_not_serve(states: tuple[str, ...]) -> None:
    by_state = {worker.state: worker for worker in BUSY.workers}
    workers = tuple(worker for state, worker in by_state.items() if state in states)
    assert len(workers) == len(states)
    assert not replace(BUSY, workers=workers).is_serving
    assert replace(BUSY, workers=(*workers, WORKER)).is_serving


def test_as_programs_read_it() -> None:
    text = as_json(BUSY)
    assert "\n" not in text
    told = json.loads(text)
    assert told["workers"][1] == {
        "pid": 99, "generation": 6, "state": "draining", "age_s": 3600, "open_connections": 1003,
        "beat_age_s": 65,
    }  # fmt: skip
    assert told["workers"][2]["beat_age_s"] is None
    assert told["certificates"][1]["not_after"] == "2026-11-26T05:08:21Z"
    assert told["totals"]["statuses"] == {"20": 1200, "51": 33}
    assert told["totals"]["unanswered"]["client left"] == 4
    assert sum(told["totals"]["durations"]["counts"]) == 1233
    assert told["reloads"]["failed_at"] == "2026-11-23T03:08:21Z"
    assert told["taken_at"] == "2026-11-23T05:08:21Z"
    assert told.keys() == {
        "version", "uptime_s", "generation", "addresses", "workers", "certificates", "totals", "reloads",
        "restarts", "lacks", "metrics", "taken_at",
    }  # fmt: skip


def test_a_path_that_is_not_utf_8() -> None:
    path = "unix:/\udcff"
    assert json.loads(as_json(replace(IDLE, addresses=(path,))))["addresses"] == [path]
    assert path in as_text(replace(IDLE, addresses=(path,)))


def test_both_forms_in_one_message() -> None:
    one_line, text = read_message(message(BUSY))
    assert (one_line, text) == (f"{as_json(BUSY)}\n", BUSY_TEXT)
    assert read_message("") == ("", "")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0 s"), (0, "0 s"), (0.19, "0.1 s"), (9.99, "9.9 s"), (10, "10 s"), (59.9, "59 s"),
        (60, "1 min"), (3599, "59 min"), (3600, "1 h 0 min"), (86_399, "23 h 59 min"), (86_400, "1 d 0 h"),
        (100 * 86_400 + 7200, "100 d 2 h"),
    ],
)  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        (1, "1 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536 * 1024, "1.5 MiB"),
        (2**50, "1024.0 TiB"),
    ],
)
def test_sizes(sent: int, text: str) -> None:
    sizes = totals(Record("", 1.0, 0.1, status=20, bytes_sent=sent))
    assert f"bodies        {text} in 1\n" in as_text(replace(IDLE, totals=sizes))
