import errno
import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from pad19.service.config.listen import Listen
from pad19.service.config.model import ConfigError
from pad19.service.sockets import Unavailable
from pad19.service.telemetry import metrics
from pad19.service.telemetry.metrics import MAX_CLIENTS, MetricsServer
from pad19.service.telemetry.status import Certificate, Snapshot
from support.descriptors import no_descriptors
from support.status import totals
from support.waiting import wait_until

SNAPSHOT = Snapshot(
    version="0.1.0",
    uptime_s=99.5,
    generation=7,
    addresses=("[::]:1965",),
    workers=(),
    certificates=(),
    totals=totals(),
)
LOCAL = Listen(host="127.0.0.1")
PATIENCE = 10.0  # seconds until something that must happen counts as missing


def snapshot() -> Snapshot:
    return SNAPSHOT


@contextmanager
def running(listen: Listen = LOCAL, take: Callable[[], Snapshot] = snapshot) -> Iterator[Listen]:
    server = MetricsServer(listen, take)
    server.start()
    try:
        yield server.addresses[0]
    finally:
        server.stop()


def connect(address: Listen) -> socket.socket:
    if address.path:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(PATIENCE)
        sock.connect(str(address.path))
        return sock
    return socket.create_connection((address.host, address.port), PATIENCE)


def get(address: Listen, path: str = "/metrics", method: str = "GET") -> tuple[int, str, bytes]:
    """The status, the type, the body."""
    connection = HTTPConnection("localhost")
    connection.sock = connect(address)
    try:
        connection.request(method, path)
        response: HTTPResponse = connection.getresponse()
        return response.status, response.headers.get("Content-Type", ""), response.read()
    finally:
        connection.close()


def is_answered(address: Listen) -> bool:
    """Whether there is a place, and time: at first there may be neither."""

    try:
        return get(address, "/")[0] == 200
    except (OSError, HTTPException):
        return False


def read_all(sock: socket.socket) -> bytes:
    parts = []
    try:
        while data := sock.recv(65536):
            parts.append(data)
    except ConnectionResetError:
        pass
    return b"".join(parts)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that has less patience than one has outside."""
    monkeypatch.setattr(metrics, "PATIENCE", 0.05)
    monkeypatch.setattr(metrics, "LOOK_EVERY", 0.01)


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "LOOK_EVERY", 0.01)


# Answers


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_over_tcp(host: str) -> None:
    with running(Listen(host=host)) as address:
        assert address.port != 0
        status, content_type, body = get(address)
    assert (status, content_type.partition(";")[0]) == (200, "text/plain")
    families = {family.name: family for family in parse(body.decode())}
    assert families["pad19_worker_generation"].samples[0].value == 7


def test_both_families_of_localhost_have_one_port() -> None:
    server = MetricsServer(Listen(host="localhost"), snapshot)
    server.start()
    try:
        assert {address.port for address in server.addresses} == {server.addresses[0].port}
        assert [get(address)[0] for address in server.addresses] == [200] * len(server.addresses)
    finally:
        server.stop()
    assert "127.0.0.1" in {address.host for address in server.addresses}


def test_over_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "metrics.sock"
    with running(Listen(path=path)) as address:
        assert address == Listen(path=path)
        assert b"pad19_up 0.0\n" in get(address)[2]
    assert [*tmp_path.iterdir()] == []


PATHS = [
    ("/metrics?name[]=pad19_up", 200, b"# HELP pad19_info"),
    ("/", 200, b"pad19: the metrics are at /metrics\n"),
    ("/metrics/", 404, b"not found\n"),
    ("/etc/passwd", 404, b"not found\n"),
    ("/%6detrics", 404, b"not found\n"),
]


@pytest.mark.parametrize(("path", "status", "start"), PATHS)
def test_paths(path: str, status: int, start: bytes) -> None:
    with running() as address:
        answer = get(address, path)
    assert (answer[0], answer[2][: len(start)]) == (status, start)


@pytest.mark.parametrize("method", ["POST", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_other_methods(method: str) -> None:
    with running() as address:
        assert get(address, method=method)[0] == 501


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"400"),
        (b"gemini://localhost/\r\n\r\n", b"400"),
        (b"GET /" + b"a" * 70_000 + b"\r\n", b"414"),
        (b"GET / HTTP/1.0\r\n" + b"a: b\r\n" * 200 + b"\r\n", b"431"),
        (b"GET / HTTP/1.0\r\na: " + b"b" * 70_000 + b"\r\n\r\n", b"431"),
    ],
)
def test_what_is_no_request(request_: bytes, status: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    with running() as address:
        with connect(address) as sock:
            sock.sendall(request_)
            assert status in read_all(sock)[:400]
        assert get(address)[0] == 200
    assert capfd.readouterr() == ("", "")


def test_nothing_is_said_of_a_server_and_python(capfd: pytest.CaptureFixture[str]) -> None:
    with running() as address, connect(address) as sock:
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert b"\r\nServer: pad19 \r\n" in read_all(sock)
    assert capfd.readouterr() == ("", "")


def test_a_snapshot_that_fails(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    results = iter([None, SNAPSHOT])

    def take() -> Snapshot:
        result = next(results)
        if result is None:
            raise ValueError("broken")
        return result

    with running(take=take) as address:
        with connect(address) as sock:
            sock.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            assert read_all(sock) == b""
        assert get(address)[0] == 200
    assert [(entry.levelno, entry.getMessage()) for entry in caplog.records] == [
        (logging.ERROR, "metrics: an answer failed")
    ]
    assert capfd.readouterr() == ("", "")


# Clients that take their time


def test_a_slow_client_holds_nobody_up() -> None:
    with running() as address, connect(address) as slow:
        slow.sendall(b"GET /met")
        assert get(address)[0] == 200
        slow.sendall(b"rics HTTP/1.0\r\n\r\n")
        assert b" 200 OK\r\n" in read_all(slow)


def test_a_client_that_takes_too_long_is_cut_off(quick: None) -> None:
    with running() as address, connect(address) as silent, connect(address) as dribbling:
        assert read_all(silent) == b""
        for _ in range(100_000):  # each byte is progress, and still there is an end
            try:
                dribbling.sendall(b"x")
            except OSError:
                break
        else:
            pytest.fail("it may go on")
        wait_until(lambda: is_answered(address))


def test_clients_that_do_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "PATIENCE", 0.5)  # for writing
    certificate = Certificate(host="a" * 4000, not_after=datetime(2027, 1, 1, tzinfo=UTC), fingerprint="x")
    many = replace(SNAPSHOT, certificates=(certificate,) * 1000)  # more than the kernel takes
    with running(Listen(path=tmp_path / "a.sock"), lambda: many) as address:
        dead = [connect(address) for _ in range(MAX_CLIENTS)]
        for sock in dead:
            sock.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        wait_until(lambda: is_answered(address))
        assert len(read_all(dead[0])) < 4000 * 1000  # for which the first one was cut off
        for sock in dead:
            sock.close()


def test_too_many_clients() -> None:
    with running() as address:
        silent = [connect(address) for _ in range(MAX_CLIENTS)]
        for sock in silent:
            sock.sendall(b"GET / HTTP/1.0\r\n")
        with connect(address) as late:
            assert read_all(late) == b""
        silent[0].sendall(b"\r\n")
        assert b" 200 OK\r\n" in read_all(silent[0])
        for sock in silent:
            sock.close()
        wait_until(lambda: is_answered(address))  # now that there are places again


def test_a_client_that_there_is_no_descriptor_for() -> None:
    with running() as address, socket.socket() as client:
        assert get(address)[0] == 200  # so the loop runs
        client.settimeout(PATIENCE)
        with no_descriptors():
            client.connect((address.host, address.port))
            assert client.recv(1) == b""  # and does not keep the loop busy
        assert get(address)[0] == 200


def test_stopping_waits_for_nobody() -> None:
    server = MetricsServer(LOCAL, snapshot)
    server.start()
    [address] = server.addresses
    with connect(address) as silent:
        silent.sendall(b"GET")
        with connect(address) as other:  # taken after the first one, so that one is in its thread
            other.sendall(b"GET / HTTP/1.0\r\n\r\n")
            read_all(other)
        server.stop()
        assert read_all(silent) == b""
    server.stop()
    with pytest.raises(ConnectionRefusedError):
        connect(address)


def test_one_that_was_never_started() -> None:
    server = MetricsServer(LOCAL, snapshot)
    [address] = server.addresses
    server.stop()
    with pytest.raises(ConnectionRefusedError):
        connect(address)


def test_a_machine_that_has_no_thread_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def start(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    server = MetricsServer(LOCAL, snapshot)
    [address] = server.addresses
    monkeypatch.setattr(threading.Thread, "start", start)
    server.start()
    assert caplog.messages == [
        "metrics: nobody is answered (can't start new thread): allow more threads, and start again"
    ]
    with pytest.raises(ConnectionRefusedError):  # and nobody waits for an answer
        connect(address)
    server.stop()


# One after the other

MOVES = [  # hosts of the one and the next
    ("localhost", "127.0.0.1"),
    ("127.0.0.1", "localhost"),
    ("127.0.0.1", "127.0.0.2"),
    ("127.0.0.1", ""),
    ("", "127.0.0.1"),
]


@pytest.mark.parametrize(("old", "new"), MOVES)
def test_the_next_one_is_there_before_the_first_one_goes(old: str, new: str) -> None:
    first = MetricsServer(Listen(host=old), snapshot)
    port = first.addresses[0].port
    given_up = MetricsServer(Listen(host=new, port=port), snapshot, first)
    given_up.stop()
    first.start()
    place = Listen(host=first.addresses[-1].host, port=port)
    assert get(place)[0] == 200  # it has lost nothing by that
    second = MetricsServer(Listen(host=new, port=port), snapshot, first)
    with pytest.raises(Unavailable):  # nobody else gets in between
        MetricsServer(Listen(host=new, port=port), snapshot)
    first.stop()
    second.start()
    assert [get(address)[0] for address in second.addresses] == [200] * len(second.addresses)
    assert {address.port for address in second.addresses} == {port}
    with pytest.raises(Unavailable):
        MetricsServer(Listen(host=new, port=port), snapshot)
    second.stop()
    with pytest.raises(ConnectionRefusedError):
        connect(second.addresses[-1])


def test_who_comes_in_between_waits() -> None:
    first = MetricsServer(LOCAL, snapshot)
    [address] = first.addresses
    second = MetricsServer(address, snapshot, first)
    first.stop()
    with connect(address) as early:
        early.sendall(b"GET / HTTP/1.0\r\n\r\n")
        second.start()
        assert b" 200 OK\r\n" in read_all(early)
    second.stop()


# What cannot be


def test_an_address_that_is_taken() -> None:
    with running() as address, pytest.raises(Unavailable) as caught:
        MetricsServer(address, snapshot)
    assert caught.value.problems == (
        f'metrics.listen: "{address}" cannot be listened on: another program has it; stop that one, '
        "or choose another",
    )


def test_an_address_that_is_taken_in_one_family_only() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        listen = Listen(host="localhost", port=other.getsockname()[1])
        with pytest.raises(Unavailable, match="another program has it"):
            MetricsServer(listen, snapshot)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as caught:
        MetricsServer(Listen(path=tmp_path / "none/a.sock"), snapshot)
    assert caught.value.problems == (
        f'metrics.listen: "unix:{tmp_path}/none/a.sock" cannot be listened on: '
        "No such file or directory; choose another",
    )


def test_an_address_of_another_machine() -> None:
    with pytest.raises(Unavailable, match="cannot be listened on: Cannot assign requested address; choose"):
        MetricsServer(Listen(host="192.0.2.1"), snapshot)


def test_a_sandbox_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_address: str, _port: int, *, shared: bool) -> socket.socket:
        del shared
        raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))

    monkeypatch.setattr(metrics, "_listening", refused)
    with pytest.raises(Unavailable) as caught:
        MetricsServer(Listen(host="localhost", port=9965), snapshot)
    assert caught.value.problems == (
        'metrics.listen: "localhost:9965" cannot be listened on: this machine, or the sandbox around pad19, '
        "has no such kind of address; name a UNIX socket, such as unix:/run/pad19/metrics.sock",
    )


def test_a_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "pad19.service.telemetry.metrics_text", raising=False)
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ConfigError) as caught:
        MetricsServer(LOCAL, snapshot)
    assert not isinstance(caught.value, Unavailable)  # trying again does not help
    assert caught.value.problems == (
        "metrics needs a package more: install it with `pip install 'pad19[metrics]'`",
    )


def test_a_mistake_of_ours_is_not_taken_for_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pad19.service.telemetry.metrics_text", None)
    with pytest.raises(ModuleNotFoundError, match="metrics_text"):
        MetricsServer(LOCAL, snapshot)


def test_who_has_no_metrics_loads_nothing_of_it() -> None:
    program = (
        "import sys\n"
        "import pad19.service.config.load\n"
        "import pad19.service.telemetry.status, pad19.service.telemetry.status_socket\n"
        "print({'prometheus_client', 'http.server'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
