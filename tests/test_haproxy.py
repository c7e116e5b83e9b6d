"""Two servers behind the real HAProxy, with the configuration that is shipped."""

import csv
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.process import PATIENCE, Address, Serving, read_rest, serving
from support.server import stdlib_context

HAPROXY = shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
SHIPPED = Path(__file__).parents[1] / "deploy/haproxy.cfg"
CLIENTS = 6  # that ask at the same time
LOAD = 300  # requests before and after something happens under load
SIZE = 32 * 1024 * 1024  # bytes: more than the kernel's buffers and HAProxy's take
CONFIGURATION = """
[[forwarder]]
listen = "127.0.0.1:0"
from = ["127.0.0.1"]
[log]
format = "json"
addresses = "full"
"""

pytestmark = [
    pytest.mark.machine,
    pytest.mark.skipif(HAPROXY is None, reason="haproxy is not installed (Debian package haproxy)"),
]


@dataclass
class Forwarding:
    """HAProxy, and what it has behind it."""

    address: Address
    admin: Path
    servers: dict[str, Serving]

    def command(self, text: str) -> str:
        """What HAProxy's administration socket answers."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(PATIENCE)
            sock.connect(str(self.admin))
            sock.sendall(f"{text}\n".encode())
            return b"".join(iter(lambda: sock.recv(65536), b"")).decode()

    def states(self, column: str) -> dict[str, str]:
        """A column of HAProxy's statistics for each server."""
        table = csv.DictReader(self.command("show stat").lstrip("# ").splitlines())
        return {row["svname"]: row[column] for row in table if row["svname"] in self.servers}

    def records(self) -> list[dict[str, str]]:
        """The access logs of both, when all has been logged that was forwarded until now."""
        counts = self.states("stot")
        return [
            record for name, server in self.servers.items() for record in server.records(int(counts[name]))
        ]


@contextmanager
def forwarding(folder: Path, *changes: tuple[str, str]) -> Iterator[Forwarding]:
    """The shipped configuration, with other addresses and maybe other changes."""
    (folder / "content").mkdir()
    (folder / "content/index.gmi").write_text("# Pad 19\n")
    with (folder / "content/large.bin").open("wb") as file:
        file.truncate(SIZE)
    (folder / "pad19.toml").write_text(CONFIGURATION)
    admin = folder / "admin.sock"
    with ExitStack() as stack:
        # One after the other: the first one makes the certificate, the second one has the same.
        servers = {name: stack.enter_context(serving(folder, home=folder)) for name in ("one", "two")}
        front = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        text = SHIPPED.read_text()
        for old, new in (
            # On its standard error, from where we learn that it is ready.
            ("    log /dev/log local0\n", "    log stderr format raw local0\n"),
            ("    option dontlognull\n", "    option dontlognull\n    option log-health-checks\n"),
            ("/run/haproxy/admin.sock mode", f"{admin} mode"),
            (":::1965 v4v6", f"fd@{front.fileno()}"),
            ("maxconn 10000", "maxconn 400"),  # what the system allows, wherever this runs
            ("server one 192.0.2.11:1966", f"server one {place(servers['one'])}"),
            ("server two 192.0.2.12:1966", f"server two {place(servers['two'])}"),
            ("gemini://example.org/", "gemini://localhost/"),
            ("check-sni example.org", "check-sni localhost"),
            *changes,
        ):
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        path = folder / "haproxy.cfg"
        path.write_text(text)
        process = subprocess.Popen(
            [str(HAPROXY), "-db", "-f", path], pass_fds=[front.fileno()], stderr=subprocess.PIPE
        )
        haproxy = Serving(process)
        stack.callback(end, process, haproxy)
        for name in servers:
            haproxy.wait_for_err(
                f"Health check for server pad19/{name} succeeded, reason: Layer7 check passed"
            )
        yield Forwarding(front.getsockname(), admin, servers)


def place(server: Serving) -> str:
    [found] = re.findall(r"(127\.0\.0\.1:\d+) \(for forwarders\)", server.err)
    return str(found)


def end(process: subprocess.Popen[bytes], haproxy: Serving) -> None:
    with process:
        process.kill()
        haproxy.wait()


def request(there: Forwarding, source: str, path: str) -> ssl.SSLSocket:
    """A connection from that address of loopback, with the request sent."""
    sock = socket.create_connection(there.address, PATIENCE, (source, 0))
    try:
        stream = stdlib_context().wrap_socket(sock, server_hostname="localhost", suppress_ragged_eofs=False)
    except BaseException:
        sock.close()
        raise
    stream.sendall(f"gemini://localhost:{there.address[1]}{path}\r\n".encode())
    return stream


def ask(there: Forwarding, source: str) -> int | None:
    """The status of one request, or None if it was not answered to the end."""
    try:
        with request(there, source, "/") as stream:
            answer = read_rest(stream)
    except OSError:
        return None
    return answer.status if answer.clean else None


class Load:
    """Requests of many clients at once: when each was begun, and its status."""

    def __init__(self) -> None:
        self.asked: list[tuple[float, int | None]] = []
        self._changed = threading.Condition()

    def add(self, begun: float, status: int | None) -> None:
        with self._changed:
            self.asked.append((begun, status))
            self._changed.notify_all()

    def wait_for_more(self, count: int) -> None:
        """Wait until so many more have got their answer, or none."""
        with self._changed:
            wanted = len(self.asked) + count
            assert self._changed.wait_for(lambda: len(self.asked) >= wanted, PATIENCE), len(self.asked)

    @property
    def failed(self) -> list[float]:
        return [begun for begun, status in self.asked if status != 20]


@contextmanager
def load(there: Forwarding) -> Iterator[Load]:
    """Ask all the time, until the block ends."""
    found = Load()
    stop = threading.Event()

    def client(number: int) -> None:
        while not stop.is_set():
            begun = time.monotonic()
            found.add(begun, ask(there, f"127.0.1.{number}"))

    threads = [threading.Thread(target=client, args=(number,)) for number in range(1, CLIENTS + 1)]
    for thread in threads:
        thread.start()
    try:
        found.wait_for_more(LOAD)
        yield found
        found.wait_for_more(LOAD)
    finally:
        stop.set()
        for thread in threads:
            thread.join(PATIENCE)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param((), id="as shipped"),
        pytest.param(
            (("server send-proxy-v2 ", "server send-proxy-v2 proxy-v2-options crc32c,unique-id "),),
            id="crc32c",
        ),
        pytest.param((("server send-proxy-v2 ", "server send-proxy "),), id="version 1"),
    ],
)
def test_the_log_has_the_addresses_of_clients_and_no_health_checks(
    tmp_path: Path, changes: tuple[tuple[str, str], ...]
) -> None:
    sources = [f"127.0.0.{number}" for number in range(2, 8)]
    with forwarding(tmp_path, *changes) as there:
        assert [ask(there, source) for source in sources] == [20] * len(sources)
        assert sorted(record["address"] for record in there.records()) == sources
        assert all(server.out for server in there.servers.values()), "both had some"


def test_a_stranger_may_not_say_who_he_is(tmp_path: Path) -> None:
    with forwarding(tmp_path) as there:
        host, _, port = place(there.servers["one"]).partition(":")
        with socket.create_connection((host, int(port)), PATIENCE, ("127.0.0.9", 0)) as sock:
            sock.sendall(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 1965\r\n")
            with suppress(ConnectionResetError):
                assert sock.recv(1) == b""
        [record] = there.servers["one"].records(1)
        assert (record["address"], record["reason"]) == ("127.0.0.9", "not a forwarder")


def test_a_server_that_dies_takes_only_its_own_requests_along(tmp_path: Path) -> None:
    with forwarding(tmp_path) as there:
        with load(there) as found:
            there.servers["one"].signal(signal.SIGKILL)
            there.servers["one"].wait()  # until then its socket takes connections
            killed = time.monotonic()
        assert there.servers["two"].records(1)
        assert [begun for begun in found.failed if begun > killed] == []
        assert len(found.failed) <= CLIENTS
        assert len([begun for begun, _ in found.asked if begun > killed]) > CLIENTS


def test_a_server_that_is_stopped_loses_no_request(tmp_path: Path) -> None:
    with forwarding(tmp_path) as there:
        with load(there) as found:
            assert there.servers["one"].stop() == 0
        assert found.failed == []


def test_a_server_that_is_drained_first_finishes_what_runs(tmp_path: Path) -> None:
    with forwarding(tmp_path) as there:
        there.command("set server pad19/two state drain")
        with request(there, "127.0.0.2", "/large.bin") as download:
            assert download.recv(2) == b"20"
            there.command("set server pad19/two state ready")
            with load(there) as found:
                there.command("set server pad19/one state drain")
                there.servers["one"].signal(signal.SIGTERM)
                there.servers["one"].wait_for_err("stopping: ")
            assert found.failed == []
            answer = read_rest(download)
        assert answer.clean
        assert len(answer.received) == len("20 application/octet-stream\r\n") - len("20") + SIZE
        assert there.servers["one"].wait() == 0
