import socket

import trio
import trio.testing

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
