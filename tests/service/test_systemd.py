import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pad19.service import systemd
from pad19.service.systemd import ActivationError, activated
from support.manager import manager_at

NAMES = (
    "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM",
    "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _no_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


# Messages


@pytest.fixture(params=["path", "abstract"])
def manager(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    """What reads messages in the place of systemd."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@{tmp_path / 'notify'}"
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    with manager_at(name) as sock:
        yield sock


ESCAPED = r"\udcff" * 1000
MESSAGES: list[tuple[Callable[[], None], str]] = [
    (lambda: systemd.ready("Serving é"), "READY=1\nSTATUS=Serving é"),
    (lambda: systemd.ready("a\nMAINPID=1\r\nb\x0bc"), "READY=1\nSTATUS=a MAINPID=1 b c"),
    (lambda: systemd.ready("x" * 5000), f"READY=1\nSTATUS={'x' * systemd.MAX_VALUE}"),
    (lambda: systemd.ready("é" * 5000), f"READY=1\nSTATUS={'é' * (systemd.MAX_VALUE // 2)}"),
    (lambda: systemd.ready("\udcff"), "READY=1\nSTATUS=\\udcff"),
    (lambda: systemd.ready("\udcff" * 1000), f"READY=1\nSTATUS={ESCAPED[: systemd.MAX_VALUE]}"),
    (lambda: systemd.stopping(35.5, "bye"), "STOPPING=1\nSTATUS=bye\nEXTEND_TIMEOUT_USEC=35500000"),
    (systemd.still_alive, "WATCHDOG=1"),
    (lambda: systemd.notify(ERRNO=2, STATUS=""), "ERRNO=2\nSTATUS="),
]


@pytest.mark.parametrize(("send", "expected"), MESSAGES)
def test_messages(manager: socket.socket, send: Callable[[], None], expected: str) -> None:
    send()
    assert manager.recv(8192).decode() == expected


def test_a_reload_says_when_it_began(manager: socket.socket) -> None:
    before = time.monotonic_ns() // 1000
    systemd.reloading()
    first, second = manager.recv(8192).decode().split("\n")
    assert first == "RELOADING=1"
    name, _, value = second.partition("=")
    assert name == "MONOTONIC_USEC"
    assert before <= int(value) <= time.monotonic_ns() // 1000


@pytest.mark.parametrize("name", ["", "relative", "/nowhere/notify", "@nobody", f"/{'x' * 200}", "vsock:2:1"])
def test_messages_that_cannot_be_sent_are_lost(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    systemd.ready()


def test_a_manager_that_reads_nothing_does_not_stop_us(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systemd, "SEND_TIMEOUT", 0.01)
    for _ in range(3000):  # more than net.unix.max_dgram_qlen
        start = time.monotonic()
        systemd.still_alive()
        if time.monotonic() - start >= 0.01:
            break
    else:
        pytest.fail("the queue was never full")
    assert manager.recv(100) == b"WATCHDOG=1"


WATCHDOG = [  # WATCHDOG_USEC, WATCHDOG_PID, seconds
    ("30000000", None, 15.0),
    ("30000000", "own", 15.0),
    ("1", "own", 0.0000005),
    ("30000000", "1", None),
    ("30000000", "", None),
    ("30000000", "x", None),
    (None, None, None),
    (None, "own", None),
    ("", None, None),
    ("0", None, None),
    ("-5", None, None),
    ("x", None, None),
    ("3.5", None, None),
    ("٣", None, None),
    ("9" * 5000, None, None),
]


@pytest.mark.parametrize(("allowed", "pid", "expected"), WATCHDOG)
def test_the_watchdog_is_fed_twice_as_often_as_it_asks(
    allowed: str | None, pid: str | None, expected: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("WATCHDOG_USEC", allowed), ("WATCHDOG_PID", pid)):
        if value is not None:
            monkeypatch.setenv(name, str(os.getpid()) if value == "own" else value)
    assert systemd.watchdog_interval() == expected


# Sockets


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> int:
    """A number from which on no descriptor is open. The first ones are pytest's own business."""
    room = 20  # for those that a test opens before
    first = max(int(path.name) for path in Path("/dev/fd").iterdir()) + room
    monkeypatch.setattr(systemd, "LISTEN_FDS_START", first)
    return first


def hand_over(
    monkeypatch: pytest.MonkeyPatch, *, pid: str | None = None, count: str = "1", names: str | None = None
) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()) if pid is None else pid)
    monkeypatch.setenv("LISTEN_FDS", count)
    monkeypatch.setenv("LISTEN_PIDFDID", "4711")
    if names is not None:
        monkeypatch.setenv("LISTEN_FDNAMES", names)


def place(sock: socket.socket, fd: int) -> None:
    """Where systemd puts it, and inheritable as systemd leaves it; the original is closed."""
    os.dup2(sock.fileno(), fd)
    sock.close()


def tcp(family: socket.AddressFamily = socket.AF_INET) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
    sock.listen()
    return sock


def unix(path: Path | str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(str(path))
    sock.listen()
    return sock


def assert_nothing_left() -> None:
    assert [name for name in os.environ if name.startswith("LISTEN_")] == []
    assert activated() == []


def test_sockets_of_all_families_with_names(
    start: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [tcp(), tcp(socket.AF_INET6), unix(tmp_path / "sock"), unix(f"\0pad19-test-{os.getpid()}")]
    expected = [(sock.family, sock.getsockname()) for sock in made]
    for number, sock in enumerate(made):
        place(sock, start + number)
    hand_over(monkeypatch, count="4", names="gemini:gemini::more.socket")
    found = activated()
    with ExitStack() as stack:
        for _, sock in found:
            stack.enter_context(sock)
        assert [name for name, _ in found] == ["gemini", "gemini", "unknown", "more.socket"]
        assert [(sock.family, sock.getsockname()) for _, sock in found] == expected
        assert [sock.fileno() for _, sock in found] == [*range(start, start + 4)]
        assert not any(sock.get_inheritable() for _, sock in found)
        assert_nothing_left()


@pytest.mark.parametrize("names", [None, "", "a:b:c"])
def test_names_that_do_not_fit(start: int, names: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    place(tcp(), start)
    hand_over(monkeypatch, names=names)
    [(name, sock)] = activated()
    sock.close()
    assert name == (names or "unknown").split(":")[0]


@pytest.mark.parametrize("pid", ["1", "", "x", "-1", "9" * 5000, "own other"])
def test_sockets_of_another_process(start: int, pid: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place(tcp(), start)
    hand_over(monkeypatch, pid=pid)
    assert activated() == []
    assert_nothing_left()
    os.close(start)  # it was left alone


def test_without_systemd_there_are_none() -> None:
    assert activated() == []


def test_no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    hand_over(monkeypatch, count="0")
    assert activated() == []
    assert_nothing_left()


@pytest.mark.parametrize("count", ["abc", "", "-1", "1.0", "9" * 5000, "²"])
def test_a_count_that_is_none(count: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hand_over(monkeypatch, count=count)
    with pytest.raises(ActivationError, match=r"LISTEN_FDS is '.{0,20}', but must be a number"):
        activated()
    assert_nothing_left()


@pytest.mark.parametrize("count", ["2", "1000000", "9999999999999999999"])
def test_a_count_that_is_too_large(start: int, count: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place(tcp(), start)
    hand_over(monkeypatch, count=count)
    with pytest.raises(ActivationError, match=f"descriptor {start + 1} is no open socket"):
        activated()
    assert_nothing_left()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(start)  # what came before it was closed


def datagrams() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    return sock


def not_listening() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_STREAM)


def connected() -> socket.socket:
    ours, theirs = socket.socketpair()
    theirs.close()
    return ours


def netlink() -> socket.socket:
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)


WRONG: list[tuple[Callable[[], socket.socket], str]] = [
    (datagrams, "is not for streams: use ListenStream="),
    (not_listening, "does not listen: set Accept=no"),
    (connected, "does not listen: set Accept=no"),  # what Accept=yes hands over
    (netlink, "is of another family"),
]


@pytest.mark.parametrize(("make", "said"), WRONG)
def test_sockets_that_cannot_be_used(
    start: int, make: Callable[[], socket.socket], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(make(), start)
    hand_over(monkeypatch)
    with pytest.raises(ActivationError, match=f"socket {start} {said}"):
        activated()
    assert_nothing_left()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(start)


def test_a_file_is_no_socket(start: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = os.open(tmp_path, os.O_RDONLY)
    os.dup2(file, start)
    os.close(file)
    hand_over(monkeypatch)
    with pytest.raises(ActivationError, match="is no open socket"):
        activated()
    os.close(start)


# Standard error


def test_only_the_journals_own_stream_is_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "a").open("w") as journal, (tmp_path / "b").open("w") as other:
        assert not systemd.is_journal(journal.fileno())
        fd = journal.fileno()
        found = os.fstat(fd)
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        assert systemd.is_journal(journal.fileno())
        assert not systemd.is_journal(other.fileno())
        for wrong in ("", "x", f"{found.st_dev}:", f"{found.st_dev + 1}:{found.st_ino}"):
            monkeypatch.setenv("JOURNAL_STREAM", wrong)
            assert not systemd.is_journal(journal.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        assert systemd.is_journal(fd)
    assert not systemd.is_journal(fd)  # it is closed


PRIORITIES = [
    (logging.DEBUG, "<7>x"),
    (logging.INFO, "<6>x"),
    (logging.INFO + 5, "<6>x"),
    (logging.WARNING, "<4>x"),
    (logging.ERROR, "<3>x"),
    (logging.CRITICAL, "<2>x"),
]


@pytest.mark.parametrize(("level", "expected"), PRIORITIES)
def test_priorities(level: int, expected: str) -> None:
    assert systemd.prioritized("x", level) == expected


def test_each_line_has_its_priority() -> None:
    assert systemd.prioritized("a\n  b\n", logging.ERROR) == "<3>a\n<3>  b\n<3>"
