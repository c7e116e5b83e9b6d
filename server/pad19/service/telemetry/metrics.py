"""Metrics for Prometheus, over HTTP on an address of this machine that is only for that.

The server runs in threads of its own, so that a scraper never holds up the loop of the supervisor.
"""

import errno
import logging
import os
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

from pad19.service.config.listen import Listen
from pad19.service.config.model import ConfigError
from pad19.service.descriptors import Spare
from pad19.service.sockets import NO_FAMILY, Unavailable, ports_shared
from pad19.service.unix_listener import UnixListener

from .status import Snapshot

if TYPE_CHECKING:
    from .metrics_text import Exposition

LOGGER = logging.getLogger("pad19.service")

MAX_CLIENTS = 8  # at once, each in a thread; one more is closed at once
PATIENCE = 5.0  # seconds from accept to close: a scrape takes milliseconds
LOOK_EVERY = 0.5  # seconds between two looks at who has taken too long, and at whether to stop
BACKLOG = 16  # connections that wait to be accepted
_TEXT = "text/plain; charset=utf-8"


class MetricsServer:
    """Listens from the beginning, and answers between `start` and `stop`.

    ``snapshot`` is called for every scrape, in a thread of this server. ``before``: whose place this one is
    going to take; what both listen on stays open in between.

    Raises:
        ConfigError: The package that writes metrics is not installed.
        Unavailable: The address cannot be had.
    """

    def __init__(
        self, listen: Listen, snapshot: Callable[[], Snapshot], before: "MetricsServer | None" = None
    ) -> None:
        try:
            from .metrics_text import Exposition
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "prometheus_client":
                raise
            raise ConfigError(
                ("metrics needs a package more: install it with `pip install 'pad19[metrics]'`",)
            ) from None
        try:
            sockets = _bind(listen, before._sockets if before else {})
        except OSError as error:
            raise Unavailable((_problem(listen, error),)) from error
        self._servers = [_Server(sock, Exposition(snapshot)) for sock in sockets]

    @property
    def addresses(self) -> tuple[Listen, ...]:
        """Where it listens, with real ports."""
        return tuple(server.listen for server in self._servers)

    @property
    def is_reachable(self) -> bool:
        """Whether the path of a UNIX socket leads to it still."""
        return all(server.is_reachable for server in self._servers)

    @property
    def _sockets(self) -> dict[Listen, socket.socket]:
        return {server.listen: server.socket for server in self._servers}

    def start(self) -> None:
        """Begin to answer. Without a thread nobody is, which is logged."""
        try:
            for server in self._servers:
                server.start()
        except RuntimeError as error:
            LOGGER.error("metrics: nobody is answered (%s): allow more threads, and start again", error)  # noqa: TRY400 - no bug
            self.stop()

    def stop(self) -> None:
        """Stop and close, within `LOOK_EVERY`. Stopping twice is fine, and so is without a start."""
        for server in self._servers:
            server.stop()


def _bind(listen: Listen, before: Mapping[Listen, socket.socket]) -> "list[socket.socket | UnixListener]":
    """All addresses, or none; but one of two families is enough."""
    if listen.path is not None:
        return [UnixListener.bind(listen.path, 0o666)]
    found: list[socket.socket | UnixListener] = []
    missing: OSError | None = None
    port = listen.port
    with ports_shared(before.values()):
        for address in listen.addresses:
            taken = before.get(Listen(host=address, port=port))
            try:
                sock = taken.dup() if taken else _listening(address, port, shared=bool(before))
            except OSError as error:
                if error.errno in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                    missing = error
                    continue
                for other in found:
                    other.close()
                raise
            port = sock.getsockname()[1]
            found.append(sock)
    if missing and not found:
        raise missing
    return found


def _listening(address: str, port: int, *, shared: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.create_server((address, port), family=family, backlog=BACKLOG, reuse_port=shared)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0)
    sock.setblocking(False)
    return sock


def _problem(listen: Listen, error: OSError) -> str:
    reason = {
        errno.EADDRINUSE: "another program has it; stop that one, or choose another",
        errno.EACCES: "this user may not; choose another",
        errno.EAFNOSUPPORT: f"{NO_FAMILY}; name a UNIX socket, such as unix:/run/pad19/metrics.sock",
    }.get(error.errno or 0)
    if reason is None:
        # create_server() adds the address to what it says.
        reason = f"{os.strerror(error.errno) if error.errno else error}; choose another"
    return f'metrics.listen: "{listen}" cannot be listened on: {reason}'


class _Server(socketserver.BaseServer):
    """Answers on one socket. What may take time has a thread, and a deadline."""

    def __init__(self, listener: socket.socket | UnixListener, exposition: "Exposition") -> None:
        self._listener = listener
        self.socket = listener.socket if isinstance(listener, UnixListener) else listener
        self._spare = Spare()
        self._clients: dict[socket.socket, float] = {}  # and the monotonic time when each must be done
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        name = self.socket.getsockname()
        if isinstance(listener, UnixListener):
            self.listen = Listen(path=listener.path)
        else:
            self.listen = Listen(host=name[0], port=name[1])
        super().__init__(name, partial(_Handler, exposition))

    @property
    def is_reachable(self) -> bool:
        return not isinstance(self._listener, UnixListener) or self._listener.is_reachable

    def start(self) -> None:
        thread = threading.Thread(target=self.serve_forever, args=(LOOK_EVERY,), name="metrics", daemon=True)
        thread.start()
        self._thread = thread

    def stop(self) -> None:
        if self._thread is not None:
            self.shutdown()
            self._thread.join()
            self._thread = None
        self._cut(lambda _: True)
        self._listener.close()
        self._spare.close()

    # What socketserver calls

    def fileno(self) -> int:
        return self.socket.fileno()

    def get_request(self) -> tuple[socket.socket, object]:
        try:
            client, address = self.socket.accept()
        except OSError as error:
            if error.errno in {errno.EMFILE, errno.ENFILE}:
                self._spare.turn_away(self.socket)
            raise
        client.setblocking(True)  # where the listening socket hands on that it is not
        return client, address

    def process_request(self, request: socket.socket, client_address: object) -> None:  # type: ignore[override]  # it is a socket here
        with self._lock:
            is_full = len(self._clients) >= MAX_CLIENTS
            if not is_full:
                self._clients[request] = time.monotonic() + PATIENCE
        if is_full:
            request.close()
            return
        threading.Thread(
            target=self._serve, args=(request, client_address), name="metrics client", daemon=True
        ).start()

    def _serve(self, request: socket.socket, client_address: object) -> None:
        try:
            self.finish_request(request, client_address)
        except OSError:
            pass  # the client left, or took too long
        except Exception:
            self.handle_error(request, client_address)
        finally:
            self.close_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        LOGGER.exception("metrics: an answer failed")

    def close_request(self, request: socket.socket) -> None:  # type: ignore[override]  # it is a socket here
        with self._lock:  # so that nobody touches a descriptor that is another one by now
            self._clients.pop(request, None)
            request.close()

    def service_actions(self) -> None:
        now = time.monotonic()
        self._cut(lambda deadline: deadline < now)

    def _cut(self, is_over: Callable[[float], bool]) -> None:
        """End what takes too long: its thread wakes up with an error, or at the end of the stream."""
        with self._lock:
            for client, deadline in self._clients.items():
                if is_over(deadline):
                    with suppress(OSError):  # the client has left by itself
                        client.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    """GET /metrics, and a word for people who look at /."""

    server_version = "pad19"
    sys_version = ""

    def __init__(self, exposition: "Exposition", *arguments: Any) -> None:
        self._exposition = exposition
        super().__init__(*arguments)  # which does all of the work

    def do_GET(self) -> None:
        """Answer, and close."""
        path = self.path.partition("?")[0]
        if path == "/metrics":
            body, content_type = self._exposition.write(self.headers.get("Accept", ""))
            self._answer(HTTPStatus.OK, content_type, body)
        elif path == "/":
            self._answer(HTTPStatus.OK, _TEXT, b"pad19: the metrics are at /metrics\n")
        else:
            self._answer(HTTPStatus.NOT_FOUND, _TEXT, b"not found\n")

    def _answer(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: scrapes come every few seconds."""
