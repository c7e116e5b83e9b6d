"""`pad19 serve` as a process of its own, and clients that block."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from . import proc
from .server import Answer, stdlib_context

COMMAND = [sys.executable, "-c", "from pad19.cli import main; main()"]
PATIENCE = 10.0  # seconds until something that must happen counts as missing
CHUNK = 65536  # bytes

Address = tuple[str, int]


def command(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run a command that ends by itself."""
    return subprocess.run(
        [*COMMAND, *arguments],
        env=_environment(home),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def _environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "XDG_DATA_HOME"}
    return kept | {"HOME": str(home)}


class Serving:
    """A server that listens. Its output is collected as it comes."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._changed = threading.Condition()
        self._out = bytearray()
        self._err = bytearray()
        pipes = ((process.stdout, self._out), (process.stderr, self._err))
        self._readers = [
            threading.Thread(target=self._collect, args=(pipe, into)) for pipe, into in pipes if pipe
        ]
        for reader in self._readers:
            reader.start()

    def _collect(self, pipe: IO[bytes], into: bytearray) -> None:
        while data := os.read(pipe.fileno(), CHUNK):
            with self._changed:
                into += data
                self._changed.notify_all()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def out(self) -> str:
        with self._changed:
            return self._out.decode()

    @property
    def err(self) -> str:
        with self._changed:
            return self._err.decode()

    @property
    def addresses(self) -> list[Address]:
        """Where it listens with TCP, as it has announced."""
        [line] = [line for line in self.err.splitlines() if line.startswith("Listening on ")]
        places = re.findall(r"\[?([0-9a-f.:]+?)\]?:(\d+)(?=[,.])", line)
        return [(host, int(port)) for host, port in places]

    @property
    def address(self) -> Address:
        return self.addresses[0]

    @property
    def workers(self) -> list[int]:
        """The processes that serve, the oldest first."""
        return proc.children(self.pid)

    @property
    def worker(self) -> int:
        """The only one of them."""
        [pid] = self.workers
        return pid

    @property
    def descriptors(self) -> int:
        """How many its worker has open."""
        return len(os.listdir(f"/proc/{self.worker}/fd"))  # noqa: PTH208 - a folder of the kernel's, not a path of ours

    @property
    def memory(self) -> int:
        """Bytes that its worker occupies in memory."""
        return proc.memory(self.worker)

    def wait_for_err(self, text: str, count: int = 1, *, patience: float = PATIENCE) -> None:
        """Wait until standard error has had a text so many times. ``patience``: seconds."""
        with self._changed:
            found = self._changed.wait_for(lambda: self._err.count(text.encode()) >= count, patience)
        assert found, f"{text!r} is missing in: {self.err}"

    def lines(self, count: int) -> list[str]:
        """The access log, when it has so many lines."""
        with self._changed:
            found = self._changed.wait_for(lambda: self._out.count(b"\n") >= count, PATIENCE)
        assert found, f"{count} lines were expected: {self.out}"
        return self.out.splitlines()

    def records(self, count: int) -> list[dict[str, Any]]:
        """The access log, which is JSON, when it has so many lines."""
        return [json.loads(line) for line in self.lines(count)]

    def records_until(self, request: str, count: int = 1) -> list[dict[str, Any]]:
        """The access log, which is JSON, up to the line where a request has come so many times."""
        wanted = f'"request":{json.dumps(request)},'.encode()

        def is_there() -> bool:
            return self._out.count(wanted, 0, self._out.rfind(b"\n") + 1) >= count

        with self._changed:
            found = self._changed.wait_for(is_there, PATIENCE)
        assert found, f"{request} is missing in: {self.out}"
        records = [json.loads(line) for line in self.out.rpartition("\n")[0].splitlines()]
        last = [number for number, record in enumerate(records, 1) if record["request"] == request][count - 1]
        return records[:last]

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self) -> int:
        """Its exit status, and all of its output."""
        status = self._process.wait(PATIENCE)
        for reader in self._readers:
            reader.join(PATIENCE)
        return status

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return self.wait()


# What systemd does before it starts a service: descriptors from 3 on, and its number in LISTEN_PID.
_HAND_OVER = """
import fcntl, os, sys
count = int(os.environ["LISTEN_FDS"])
high = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 100) for fd in sys.argv[1 : count + 1]]
for number, fd in enumerate(high):
    os.dup2(fd, 3 + number)
    os.close(fd)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[count + 1], sys.argv[count + 1 :])
"""


@contextmanager
def serving(
    *arguments: str | Path,
    home: Path,
    stdout: int = subprocess.PIPE,
    environment: Mapping[str, str] | None = None,
    sockets: Sequence[socket.socket] = (),
    launcher: Sequence[str] = (),
    descriptors: Sequence[int] = (),
    suffers: bool = False,
) -> Iterator[Serving]:
    """`pad19 serve` with the arguments, from its announcement to its end. It never prints a traceback.

    ``sockets``: handed over as systemd does it. ``launcher``: a command that becomes the one that
    follows it, as nohup(1) does; it inherits the ``descriptors``. ``suffers``: from something that
    may well lead to tracebacks, as the end of all memory does.
    """
    command = [*launcher, *COMMAND, "serve", *map(str, arguments)]
    variables = _environment(home) | dict(environment or {})
    fds = [sock.fileno() for sock in sockets]
    if fds:
        command = [sys.executable, "-c", _HAND_OVER, *map(str, fds), *command]
        variables["LISTEN_FDS"] = str(len(fds))
    process = subprocess.Popen(
        command,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        pass_fds=[*fds, *descriptors],
    )
    with process:
        server = Serving(process)
        try:
            server.wait_for_err("Listening on ")
            yield server
        finally:
            process.kill()
            server.wait()
    assert suffers or "Traceback" not in server.err, server.err


# Clients


def connect_socket(
    address: Address | Path, *, buffer: int | None = None, source: str | None = None
) -> socket.socket:
    """A connection without TLS. ``buffer``: bytes that the kernel may hold unread. ``source``: our own IP."""
    if isinstance(address, Path):
        family = socket.AF_UNIX
    else:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    if buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    sock.settimeout(PATIENCE)
    try:
        if source:
            sock.bind((source, 0))
        sock.connect(str(address) if isinstance(address, Path) else address)
    except BaseException:
        sock.close()
        raise
    return sock


def connect_tls(
    address: Address | Path,
    context: ssl.SSLContext | None = None,
    server_name: str | None = "localhost",
    *,
    session: ssl.SSLSession | None = None,
    buffer: int | None = None,
    source: str | None = None,
) -> ssl.SSLSocket:
    """A connection with hands shaken."""
    sock = connect_socket(address, buffer=buffer, source=source)
    try:
        return (context or stdlib_context()).wrap_socket(
            sock, server_hostname=server_name, suppress_ragged_eofs=False, session=session
        )
    except BaseException:
        sock.close()
        raise


def read_rest(stream: ssl.SSLSocket) -> Answer:
    """Read to the end."""
    received = bytearray()
    try:
        while data := stream.recv(CHUNK):
            received += data
    except (ssl.SSLError, ConnectionError):
        return Answer(bytes(received), clean=False)
    return Answer(bytes(received), clean=True)


def fetch(
    address: Address | Path,
    uri: str,
    *,
    context: ssl.SSLContext | None = None,
    server_name: str | None = "localhost",
) -> Answer:
    """One request, and all of its answer."""
    with connect_tls(address, context, server_name) as stream:
        stream.sendall(f"{uri}\r\n".encode())
        return read_rest(stream)


def fingerprint(address: Address, server_name: str | None = "localhost") -> str:
    """Of the certificate that a client is shown."""
    with connect_tls(address, server_name=server_name) as stream:
        return fingerprint_of(stream)


def fingerprint_of(stream: ssl.SSLSocket) -> str:
    """The same, of a connection."""
    certificate = stream.getpeercert(binary_form=True)
    assert certificate
    return f"sha256:{hashlib.sha256(certificate).hexdigest()}"


def gemini(address: Address, path: str = "/", host: str = "localhost") -> str:
    """The URI of a path at the port of the address."""
    return f"gemini://{host}:{address[1]}{path}"
