import contextlib
import socket
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from pad19.tls import socket_stream
from pad19.tls.errors import CutOff
from pad19.tls.socket_stream import DRAIN_BYTES, DRAIN_SECONDS, SocketStream
from support.tls import socket_pair


async def test_a_reader_that_stalls_is_given_up(autojump_clock: MockClock) -> None:
    client, server = socket_pair(stall=30)
    start = trio.current_time()
    with pytest.raises(trio.BrokenResourceError, match="read nothing for 30 s"):
        await server.send_all(bytes(50_000_000))
    assert trio.current_time() - start == 30
    client.close()
    server.close()


async def test_finish_reads_unread_input_first() -> None:
    """Closing with unread input would reset the connection and may destroy the answer."""
    listener = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(listener.getsockname())
    accepted, _ = listener.accept()
    accepted.setblocking(False)
    client.sendall(bytes(200_000))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(SocketStream(accepted).finish, b"59 too long\r\n", drain=True))
        received = await trio.to_thread.run_sync(lambda: (client.recv(100), client.recv(100)))
        assert received == (b"59 too long\r\n", b"")
        client.sendall(b"still talking")  # no reset: it is still being read
        client.close()
    listener.close()


async def test_draining_ends_by_time(autojump_clock: MockClock) -> None:
    client, server = socket_pair()
    start = trio.current_time()
    await server.finish(b"59 bad\r\n", drain=True)
    assert trio.current_time() - start == DRAIN_SECONDS
    client.close()


async def test_draining_ends_by_volume() -> None:
    client, server = socket_pair()
    sent = 0

    async def flood() -> None:
        nonlocal sent
        with contextlib.suppress(trio.BrokenResourceError):
            while True:
                await client.send_all(bytes(1 << 16))
                sent += 1 << 16

    async with trio.open_nursery() as nursery:
        nursery.start_soon(flood)
        await server.finish(b"59 bad\r\n", drain=True)
    assert DRAIN_BYTES <= sent < DRAIN_BYTES + (8 << 20)
    client.close()


@pytest.mark.parametrize("takes", ["something", "nothing"])
async def test_a_socket_tells_whether_a_part_is_out(takes: str, autojump_clock: MockClock) -> None:
    client, server = socket_pair(stall=30)
    if takes == "nothing":
        with pytest.raises(CutOff, match="client read nothing for 30 s"):
            await server.send_all(bytes(50_000_000))
    with pytest.raises(trio.BrokenResourceError, match="client read nothing for 30 s") as broken:
        await server.send_all(bytes(50_000_000))
    assert isinstance(broken.value, CutOff) == (takes == "something")
    client.close()
    with pytest.raises(trio.BrokenResourceError, match="Broken pipe") as broken:
        await server.send_all(b"x")
    assert not isinstance(broken.value, CutOff)
    server.close()


async def test_a_closed_socket_is_not_waited_for() -> None:
    client, server = socket_pair()
    await server.send_all(b"x")
    assert await client.receive_some() == b"x"
    client.close()
    for call in (client.receive_some, client.wait_send_all_might_not_block):
        with pytest.raises(trio.ClosedResourceError):
            await call()
    server.close()


def test_there_may_be_no_acknowledgements(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        SocketStream(ours).acknowledge()  # a UNIX socket
    client, server = socket_pair()
    client.close()
    client.acknowledge()
    monkeypatch.setattr(socket_stream, "_TCP_QUICKACK", None)
    server.acknowledge()
    server.close()
