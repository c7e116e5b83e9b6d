import json
import os
import pickle
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pad19.service import shared_memory
from pad19.service.config.capsule import Capsule
from pad19.service.config.listen import Listen
from pad19.service.config.model import Config, Forwarder, Server
from pad19.service.handover import (
    MAX_REPORT,
    Alive,
    Failed,
    HandedSocket,
    Order,
    Ready,
    Report,
    ReportReader,
    Shown,
    handed,
    send,
)
from pad19.service.shared_state import Handed
from pad19.service.sockets import bind
from support.disk import descriptors, small_files

SHOWN = Shown("localhost", "sha256:00", "sha256:01", 4102444800.5, is_new=True)


# Orders


def test_an_order_arrives_as_it_was_given(tmp_path: Path) -> None:
    config = Config(
        server=Server(listen=(Listen(path=tmp_path / "a.sock"),), workers=3),
        capsules=(Capsule(hosts=("a.example", "*.b.example"), content=tmp_path / "\udce9t\udce9"),),
        source=tmp_path / "pad19.toml",
    )
    sockets = (HandedSocket(7, Listen(port=1965), Forwarder(listen=Listen(port=1966))),)
    order = Order(
        config=config,
        is_development=False,
        stands_in=False,
        generation=4,
        number=2,
        size=3,
        slot=19,
        shared=Handed(17, 18, 256),
        keyring=21,
        sockets=sockets,
        reports=11,
        lifeline=13,
        known=frozenset({"a.crt"}),
    )
    fd = order.put()
    try:
        assert not os.get_inheritable(fd)  # only who it is for
        taken = Order.take(os.dup(fd))
    finally:
        os.close(fd)
    assert taken == order
    assert taken.descriptors == (11, 13, 17, 18, 21, 7)


def test_an_order_that_finds_no_room_leaves_nothing_open() -> None:
    order = Order(
        config=Config(capsules=(Capsule(content=Path("x" * 4096)),)),
        is_development=False,
        stands_in=False,
        generation=1,
        number=0,
        size=1,
        slot=0,
        shared=Handed(-1, -1, 1),
        keyring=-1,
        sockets=(),
        reports=-1,
        lifeline=-1,
    )
    before = descriptors()
    with small_files(1024), pytest.raises(OSError, match="File too large"):
        order.put()
    assert descriptors() == before


def test_what_is_no_order_is_not_taken() -> None:
    fd = shared_memory.create("test", 0)
    os.write(fd, pickle.dumps("an order"))
    with pytest.raises(TypeError, match="an Order was expected, not str"):
        Order.take(fd)


def test_sockets_are_handed_over_with_what_they_are_for(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    forwarder = Forwarder(listen=Listen(path=path))
    mine = bind(Config(server=Server(listen=(Listen.parse("127.0.0.1:0"),)), forwarders=(forwarder,)))
    order = Order(
        config=Config(),
        is_development=False,
        stands_in=False,
        generation=1,
        number=0,
        size=1,
        slot=0,
        shared=Handed(-1, -1, 1),
        keyring=-1,
        sockets=handed(mine),
        reports=-1,
        lifeline=-1,
    )
    for entry, written in zip(mine, order.sockets, strict=True):
        assert written.fd == entry.socket.fileno()
        entry.socket.detach()  # as in the worker: the number without the object
    theirs = order.bound()
    assert [(entry.listen, entry.forwarder) for entry in theirs] == [
        (entry.listen, entry.forwarder) for entry in mine
    ]
    with socket.create_connection(("127.0.0.1", theirs[0].listen.port)):
        pass
    for entry in theirs:
        entry.close()
    assert path.exists()  # the supervisor's to remove


# Reports


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    yield reader, writer
    os.close(reader)
    os.close(writer)


REPORTS: list[Report] = [
    Alive(),
    Failed(("a is broken", 'so is "b"\n'), {"/etc/a.crt": (1, 2, 3, 4, 33188, 0, 0), "/etc/b.key": None}),
    Ready((SHOWN,), {}),
    Ready((), {"/home/caf\udce9/a.key": (2**63, 2**63, 2**62, 2**62, 2**32, 2**32, 2**32)}),  # no UTF-8
    Failed(("/home/caf\udce9/a.key is empty",), {}),
]


def test_reports_arrive_in_order(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    reports = ReportReader(reader)
    assert [*reports.read()] == []
    for report in REPORTS:
        send(writer, report)
    assert [*reports.read()] == REPORTS
    assert [*reports.read()] == []


@pytest.mark.parametrize("report", REPORTS)
def test_reports_arrive_byte_by_byte(pipe: tuple[int, int], report: Report) -> None:
    reader, writer = pipe
    send(writer, report)
    data = os.read(reader, 65536)
    reports = ReportReader(reader)
    found = []
    for byte in data + data:
        os.write(writer, bytes([byte]))
        found += [*reports.read()]
    assert found == [report, report]


def test_a_long_report_arrives_while_it_is_written(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    hosts = 5000
    report = Ready(
        (SHOWN,) * hosts, {f"/etc/pad19/{number}": (1, 2, 3, 4, 33188, 0, 0) for number in range(hosts)}
    )
    thread = threading.Thread(target=send, args=(writer, report))
    thread.start()
    reports = ReportReader(reader)
    found: list[Report] = []
    while not found:
        found += reports.read()
    thread.join()
    assert found == [report]


GARBAGE = [
    b"\n",
    b"null\n",
    b"[]\n",
    b'{"type": "ready"}\n',
    b'{"type": "other"}\n',
    b'{"type": "failed", "problems": "a", "files": {}}\n',
    b'{"type": "failed", "problems": [], "files": {"a": [1, 2]}}\n',
    b"\xff\n",
    b"[" * 60_000 + b"\n",
    b"1" * 60_000 + b"\n",
]


@pytest.mark.parametrize("garbage", GARBAGE)
def test_who_writes_something_else_is_cut_off(pipe: tuple[int, int], garbage: bytes) -> None:
    reader, writer = pipe
    reports = ReportReader(reader)
    send(writer, Alive())
    os.write(writer, garbage)
    send(writer, Alive())
    assert [*reports.read()] == [Alive()]
    send(writer, Alive())
    assert [*reports.read()] == []
    with pytest.raises(BlockingIOError):  # which was read all the same, so that it can write on
        os.read(reader, 1)


def test_a_line_without_end_is_cut_off(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    reports = ReportReader(reader)
    for _ in range(MAX_REPORT // 65536 + 1):
        os.write(writer, b" " * 65536)
        assert [*reports.read()] == []
    os.write(writer, b"\n" + json.dumps({"type": "alive"}).encode() + b"\n")
    assert [*reports.read()] == []


def test_the_end_is_no_report() -> None:
    reader, writer = os.pipe()
    send(writer, Alive())
    os.write(writer, b'{"type": "al')
    os.close(writer)
    reports = ReportReader(reader)
    assert [*reports.read()] == [Alive()]
    assert [*reports.read()] == []
    os.close(reader)


def test_nobody_reads() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    os.write(writer, bytes(10**6))  # as much as it takes
    with pytest.raises(BlockingIOError):
        send(writer, Alive())
    os.close(reader)
    with pytest.raises(BrokenPipeError):
        send(writer, Alive())
    os.close(writer)
