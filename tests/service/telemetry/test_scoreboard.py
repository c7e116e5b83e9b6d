import inspect
import mmap
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from OpenSSL import SSL

from pad19.dispatch import connection, forwarded
from pad19.dispatch.record import Record
from pad19.protocol.status import Status
from pad19.service.telemetry import scoreboard
from pad19.service.telemetry.scoreboard import (
    DURATIONS,
    HANDSHAKE_FAILED,
    HANDSHAKE_FAILURES,
    OTHER,
    SIZES,
    UNANSWERED,
    Histogram,
    Scoreboard,
    Totals,
    size,
)

ERR_LIB_SSL = 20  # err.h


def record(status: int | None = None, reason: str = "", duration: float = 0.012, sent: int = 0) -> Record:
    return Record("192.0.2.1", 1.0, duration, "gemini://a.test/", status, sent, reason)


def counted(*records: Record) -> Totals:
    board = Scoreboard(bytearray(size(2)), 2)
    for entry in records:
        board.slot(1).count(entry)
    return board.totals()


def existing(counts: dict[str, int]) -> dict[str, int]:
    return {name: count for name, count in counts.items() if count}


# What is counted


def test_nothing_was_counted() -> None:
    totals = counted()
    assert (totals.connections, totals.statuses) == (0, {})
    assert list(totals.unanswered) == [HANDSHAKE_FAILED, *UNANSWERED]
    assert list(totals.handshake_failures) == [*HANDSHAKE_FAILURES]
    assert not any([*totals.unanswered.values(), *totals.handshake_failures.values()])
    assert totals.durations == Histogram(DURATIONS, (0,) * (len(DURATIONS) + 1), 0)
    assert totals.sizes == Histogram(SIZES, (0,) * (len(SIZES) + 1), 0)


@pytest.mark.parametrize("status", Status)
def test_every_status_has_its_counter(status: Status) -> None:
    totals = counted(record(status), record(status, "the URI is longer than 1024 bytes"))
    assert totals.statuses == {status: 2}
    assert (totals.connections, totals.durations.count) == (2, 2)
    assert not any(totals.unanswered.values())


@pytest.mark.parametrize("status", [10, 69])
def test_the_ends_of_the_range_do_not_reach_what_is_beside_it(status: int) -> None:
    board = Scoreboard(bytearray(size(1)), 1)
    board.slot(0).count(record(status))
    assert board.totals().statuses == {status: 1}
    assert not any(board.totals().unanswered.values())
    assert board.pulse(0) == scoreboard.Pulse(0, None)


REASONS = [  # of a connection without a header, where it is counted
    ("handshake timeout", "handshake timeout"),
    ("request timeout", "request timeout"),
    ("client left: Connection reset by peer", "client left"),
    ("client left: client read nothing for 30 s", "client left"),
    ("closed before CRLF", "closed before CRLF"),
    ("no room", "no room"),
    ("server stopped", "server stopped"),
    ("not a forwarder", "not a forwarder"),
    ("bad PROXY header: TLS came without one", "bad PROXY header"),
    ("PROXY header timeout", "PROXY header timeout"),
    ("internal error", "internal error"),
    ("", OTHER),
    ("other", OTHER),
    ("a new reason", OTHER),
    (": ", OTHER),
    ("alert unknown ca", OTHER),
]


@pytest.mark.parametrize(("reason", "place"), REASONS)
def test_connections_without_a_header(reason: str, place: str) -> None:
    totals = counted(record(reason=reason))
    assert existing(totals.unanswered) == {place: 1}
    assert not any(totals.handshake_failures.values())
    # Nobody was answered, so that took no time.
    assert (totals.connections, totals.statuses, totals.durations.count) == (1, {}, 0)


HANDSHAKES = [  # OpenSSL's reason, where it is counted
    ("closed during the handshake", "closed during the handshake"),
    ("wrong version number", "wrong version number"),
    ("tlsv1 alert unknown ca", "alert unknown ca"),
    ("sslv3 alert certificate unknown", "alert certificate unknown"),  # OpenSSL 3.0
    ("ssl/tls alert certificate unknown", "alert certificate unknown"),  # 3.2
    ("tls alert certificate unknown", "alert certificate unknown"),  # 4.0
    ("tlsv1 alert from a stranger", OTHER),
    ("invalid alert", OTHER),
    ("nothing that is known", OTHER),
    ("other", OTHER),
    ("", OTHER),
]


@pytest.mark.parametrize(("reason", "place"), HANDSHAKES)
def test_failed_handshakes(reason: str, place: str) -> None:
    totals = counted(record(reason=f"handshake failed: {reason}"), record(reason="no room"))
    assert existing(totals.handshake_failures) == {place: 1}
    assert existing(totals.unanswered) == {HANDSHAKE_FAILED: 1, "no room": 1}
    assert totals.connections == 2


def test_every_reason_in_the_code_has_its_place() -> None:
    source = inspect.getsource(connection) + inspect.getsource(forwarded)
    found = set(re.findall(r'reason ?= ?(?:record\.reason or )?f?"([A-Za-z ]+)', source))
    assert {"no room", "handshake failed", "server stopped", "not a forwarder"} <= found
    # That one is said of connections that have their header already.
    assert found - {"body broke off", "rate limit"} <= {HANDSHAKE_FAILED, *UNANSWERED}


def test_reasons_of_handshakes_are_as_openssl_spells_them() -> None:
    lib: Any = SSL._lib  # type: ignore[attr-defined]  # pyOpenSSL has no public way to its texts
    ffi: Any = SSL._ffi  # type: ignore[attr-defined]  # the same
    SSL.Connection(SSL.Context(SSL.TLS_METHOD), None)  # loads them
    texts = {lib.ERR_reason_error_string((ERR_LIB_SSL << 23) | number) for number in range(1, 1200)}
    known = {ffi.string(text).decode() for text in texts if text != ffi.NULL}
    known |= {f"alert {text.partition(' alert ')[2]}" for text in known}
    assert len(known) > 100
    ours = {"closed during the handshake", "closed without close_notify", OTHER}
    assert set(HANDSHAKE_FAILURES) - ours <= known


def test_values_are_counted_up_to_the_bound_of_their_class() -> None:
    totals = counted(
        *(record(20, duration=seconds, sent=sent) for seconds, sent in ((0, 0), (0.001, 256), (0.0011, 257))),
        record(51, duration=100.0, sent=0),
        record(20, duration=60.0, sent=2**40),
    )
    assert totals.durations.counts == (2, 1, *(0,) * 12, 1, 1)
    assert totals.durations.sum == 160.0021
    assert (totals.sizes.counts, totals.sizes.sum) == ((2, 1, *(0,) * 9, 1), 2**40 + 513)


@pytest.mark.parametrize(
    ("share", "bound"), [(0, 1), (0.25, 1), (0.26, 2), (0.5, 2), (0.75, 4), (0.76, None), (1, None)]
)
def test_a_bound_that_a_share_keeps_to(share: float, bound: float | None) -> None:
    assert Histogram((1, 2, 4), (1, 1, 1, 1), 0).bound_of(share) == bound
    assert Histogram((1, 2, 4), (0, 0, 0, 0), 0).bound_of(share) is None


# Slots


def test_slots_are_added_up_and_do_not_touch() -> None:
    board = Scoreboard(bytearray(size(3)), 3)
    for number in range(3):
        for _ in range(number + 1):
            board.slot(number).count(record(20, sent=10))
        board.slot(number).beat(10 * number)
    totals = board.totals()
    assert (totals.statuses, totals.sizes.sum) == ({20: 6}, 60)
    assert [board.pulse(number).open_connections for number in range(3)] == [0, 10, 20]
    board.retire(1)
    assert [board.pulse(number).open_connections for number in range(3)] == [0, 0, 20]


def test_the_pulse(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 5_000_000_000
    monkeypatch.setattr(time, "monotonic_ns", lambda: now)
    board = Scoreboard(bytearray(size(1)), 1)
    assert board.pulse(0) == scoreboard.Pulse(0, None)
    board.slot(0).beat(7)
    assert board.pulse(0) == scoreboard.Pulse(7, 0.0)
    now += 1_500_000_000
    assert board.pulse(0) == scoreboard.Pulse(7, 1.5)
    now = 4_000_000_000  # as another processor may have it
    assert board.pulse(0) == scoreboard.Pulse(7, 0.0)
    board.retire(0)
    assert board.pulse(0) == scoreboard.Pulse(0, None)


def test_what_a_worker_counted_outlives_it() -> None:
    board = Scoreboard(bytearray(size(2)), 2)
    entries = [record(20, sent=5), record(44), record(reason="no room"), record(reason="handshake failed: x")]
    for _ in range(3):
        for entry in entries:
            board.slot(1).count(entry)
        before = board.totals()
        board.retire(1)
        assert board.totals() == before
    board.retire(0)  # which had nothing to do
    assert board.totals() == before
    assert (before.statuses, before.connections, before.sizes.sum) == ({20: 3, 44: 3}, 12, 15)


def test_totals_never_go_back_while_a_worker_is_retired() -> None:
    board = Scoreboard(bytearray(size(1)), 1)
    seen: list[int] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            seen.append(board.totals().connections)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    looking = threading.Thread(target=look)
    looking.start()
    try:
        for _ in range(3000):
            board.slot(0).count(record(20))
            board.retire(0)
    finally:
        sys.setswitchinterval(interval)
        done.set()
        looking.join()
    assert seen == sorted(seen)
    assert board.totals().connections == 3000 >= max(seen)


@pytest.mark.parametrize("wrong", [0, 8, size(2) - 8, size(2) + 8, size(1)])
def test_memory_of_another_version(wrong: int) -> None:
    with pytest.raises(ValueError, match=rf"^2 slots take {size(2)} bytes, but the buffer has {wrong}$"):
        Scoreboard(bytearray(wrong), 2)


# Processes

WORKER = """
import mmap, sys
from pad19.dispatch.record import Record
from pad19.service.telemetry.scoreboard import Scoreboard
fd, slots, number, count = map(int, sys.argv[1:])
board = Scoreboard(mmap.mmap(fd, 0), slots)
slot = board.slot(number)
for _ in range(count):
    slot.count(Record("", 1.0, 0.002, status=20, bytes_sent=number))
    slot.count(Record("", 1.0, reason="client left: x"))
slot.beat(number)
print("counted", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def shared() -> Iterator[tuple[int, Scoreboard]]:
    fd = os.memfd_create("scoreboard")
    os.ftruncate(fd, size(4))
    yield fd, Scoreboard(mmap.mmap(fd, 0), 4)
    os.close(fd)


def worker(fd: int, number: int, count: int) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, *map(str, (fd, 4, number, count))],
        pass_fds=[fd],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="the system has no memfd_create(2)")
def test_processes_share_it(shared: tuple[int, Scoreboard]) -> None:
    fd, board = shared
    workers = [worker(fd, number, 2000) for number in range(4)]
    try:
        for process in workers:
            assert process.stdout is not None
            assert process.stdout.readline() == "counted\n"
        totals = board.totals()
        assert totals.statuses == {20: 8000}
        assert existing(totals.unanswered) == {"client left": 8000}
        assert totals.sizes.sum == 2000 * (1 + 2 + 3)
        pulses = [board.pulse(number) for number in range(4)]
        assert [pulse.open_connections for pulse in pulses] == [0, 1, 2, 3]
        assert all(pulse.beat_age_s is not None and pulse.beat_age_s < 60 for pulse in pulses)
        # One dies a sudden death, and another worker gets its slot.
        workers[2].send_signal(signal.SIGKILL)
        assert workers[2].wait() == -signal.SIGKILL
        board.retire(2)
        assert board.totals() == totals
        workers.append(worker(fd, 2, 5))
        assert workers[-1].stdout is not None
        assert workers[-1].stdout.readline() == "counted\n"
        assert board.totals().statuses == {20: 8005}
    finally:
        for process in workers:
            process.kill()
            process.communicate()
