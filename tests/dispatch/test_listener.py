import errno
import os
import socket

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from pad19.dispatch.listener import Listener
from pad19.protocol.request import Request
from pad19.protocol.response import Response, Success
from pad19.service.sockets import listen_on
from support.server import Server, read_all, stdlib_context


async def hello(_: Request) -> Response:
    return Success(b"# Hello\n")


async def test_what_waits_in_the_kernel_is_served_though_nothing_more_is_accepted() -> None:
    there = Server({"localhost": hello})
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    listen_on(sock)
    listener = Listener(sock, there.connections, there.admission, port=None, stall=5)
    async with trio.open_nursery() as running:
        transports = [await trio.open_tcp_stream(*sock.getsockname()) for _ in range(3)]
        streams = [trio.SSLStream(each, stdlib_context(), server_hostname="localhost") for each in transports]
        for stream in streams:
            running.start_soon(stream.do_handshake)  # its first bytes: TCP_DEFER_ACCEPT waits for them
        await trio.testing.wait_all_tasks_blocked()
        listener.take_rest(running)
        sock.close()
        for stream in streams:
            await stream.send_all(b"gemini://localhost/\r\n")
            assert (await read_all(stream)).body == b"# Hello\n"
            await trio.aclose_forcefully(stream)
    assert [record.status for record in there.records] == [20] * 3


DUAL = [(False, "127.0.0.1", "127.0.0.1"), (False, "::1", "::1"), (True, "::1", "::1")]


@pytest.mark.parametrize(("v6only", "to", "address"), DUAL)
async def test_a_client_has_one_address_also_on_a_socket_for_both_families(
    v6only: bool, to: str, address: str
) -> None:
    addresses: list[str] = []

    async def hello(request: Request) -> Response:
        addresses.append(request.client.address)
        return Success(b"")

    there = Server({"localhost": hello})
    with socket.socket(socket.AF_INET6) as sock:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
        sock.bind(("::", 0))
        listen_on(sock)
        listener = Listener(sock, there.connections, there.admission, port=None, stall=5)
        async with trio.open_nursery() as running:
            running.start_soon(listener.run, running)
            transport = await trio.open_tcp_stream(to, sock.getsockname()[1])
            stream = trio.SSLStream(transport, stdlib_context(), server_hostname="localhost")
            await stream.send_all(b"gemini://localhost/\r\n")
            await read_all(stream)
            await trio.aclose_forcefully(stream)
            running.cancel_scope.cancel()
    assert addresses == [address]
    assert [record.address for record in there.records] == [address]


async def test_a_socket_that_does_not_listen_yet_is_waited_for() -> None:
    there = Server({"localhost": hello})
    with socket.socket() as sock:
        sock.setblocking(False)
        sock.bind(("127.0.0.1", 0))
        listener = Listener(sock, there.connections, there.admission, port=None, stall=5)
        async with trio.open_nursery() as running:
            running.start_soon(listener.run, running)
            await trio.testing.wait_all_tasks_blocked()
            sock.listen()
            transport = await trio.open_tcp_stream(*sock.getsockname())
            stream = trio.SSLStream(transport, stdlib_context(), server_hostname="localhost")
            await stream.send_all(b"gemini://localhost/\r\n")
            assert (await read_all(stream)).body == b"# Hello\n"
            await trio.aclose_forcefully(stream)
            running.cancel_scope.cancel()


class Late(socket.socket):
    """It is made to listen in the moment when it has told somebody that it does not."""

    tries = 0

    def accept(self) -> tuple[socket.socket, object]:
        self.tries += 1
        if self.tries == 1:
            self.listen()
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return super().accept()


async def test_one_that_begins_to_listen_just_then_is_waited_for(autojump_clock: MockClock) -> None:
    there = Server({"localhost": hello})
    with Late() as sock:
        sock.setblocking(False)
        sock.bind(("127.0.0.1", 0))
        with trio.move_on_after(1):
            async with trio.open_nursery() as running:
                await Listener(sock, there.connections, there.admission, port=None, stall=5).run(running)
        assert sock.tries == 2


class Failing(socket.socket):
    """A listening socket whose connections the system cannot hand over."""

    error = 0

    def accept(self) -> tuple[socket.socket, object]:
        raise OSError(self.error, os.strerror(self.error))


@pytest.mark.parametrize(
    ("error", "mend"),
    [
        (errno.EMFILE, "raise LimitNOFILE= or ulimit -n"),
        (errno.ENFILE, "raise fs.file-max, or end what has so many files open"),
        (errno.ENOMEM, "free memory, or lower limits.connections"),
        (errno.ENOBUFS, "free memory, or lower limits.connections"),
    ],
)
async def test_what_runs_out_is_told_once_a_minute_with_the_mend(
    error: int, mend: str, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    there = Server({"localhost": hello})
    with Failing() as sock:
        sock.error = error
        with trio.move_on_after(90):
            async with trio.open_nursery() as running:
                await Listener(sock, there.connections, there.admission, port=None, stall=5).run(running)
    assert caplog.messages == [f"new connections wait: {os.strerror(error)} ({mend})"] * 2


async def test_an_error_of_the_listening_socket_itself_is_not_hidden() -> None:
    there = Server({"localhost": hello})
    with Failing() as sock:
        sock.error = errno.ENOTSOCK
        async with trio.open_nursery() as running:
            with pytest.raises(OSError, match="non-socket"):
                await Listener(sock, there.connections, there.admission, port=None, stall=5).run(running)


class Losing(Failing):
    """One whose clients have always left already, until nobody comes any more."""

    losses = 1000

    def accept(self) -> tuple[socket.socket, object]:
        if not self.losses:
            return socket.socket.accept(self)
        self.losses -= 1
        return super().accept()


# accept(2) hands on what has become of a connection meanwhile; not all systems have all of these.
LOST = [
    "ECONNABORTED", "ECONNRESET", "EPERM", "EPROTO", "ENETDOWN", "ENOPROTOOPT", "EHOSTDOWN", "ENONET",
    "EHOSTUNREACH", "EOPNOTSUPP", "ENETUNREACH",
]  # fmt: skip


@pytest.mark.parametrize("name", [name for name in LOST if hasattr(errno, name)])
async def test_clients_that_are_lost_end_nothing_and_keep_nobody_waiting(name: str) -> None:
    there = Server({"localhost": hello})
    with Losing() as sock:
        sock.error = getattr(errno, name)
        sock.setblocking(False)
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        listener = Listener(sock, there.connections, there.admission, port=None, stall=5)
        async with trio.open_nursery() as running:
            running.start_soon(listener.run, running)
            await trio.lowlevel.checkpoint()
            await trio.lowlevel.checkpoint()
            assert 0 < sock.losses < 1000
            await trio.testing.wait_all_tasks_blocked()
            assert sock.losses == 0
            running.cancel_scope.cancel()
