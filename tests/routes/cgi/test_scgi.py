"""SCGI: the request byte by byte, a backend of other hands, and backends that misbehave."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from pad19.protocol.client import Client
from pad19.protocol.failure import CGIError, NotFound
from pad19.protocol.request import parse_request
from pad19.protocol.response import BrokenBody, Reply, Response, Stream
from pad19.protocol.status import Status
from pad19.routes.cgi.environment import Gateway
from pad19.routes.cgi.scgi import SCGI, Backend, encode
from support.server import Server, ask, listening

TIMEOUT = 20.0
GATEWAY = Gateway(Path("/srv/content"))
TEXT = st.text(st.characters(exclude_characters="\0", codec="utf-8"))


async def get(handler: SCGI, path: str = "/app/") -> Response:
    return await handler(parse_request(f"gemini://localhost{path}".encode(), Client("192.0.2.7", 50000)))


async def read(response: Response) -> bytes:
    assert isinstance(response.body, Stream)
    try:
        return b"".join([bytes(chunk) async for chunk in response.body])
    finally:
        await response.body.aclose()


# The request


def test_encoding() -> None:
    """Like the example in the text, without its body."""
    assert encode({"REQUEST_URI": "/deepthought"}) == (
        b"49:CONTENT_LENGTH\x000\x00SCGI\x001\x00REQUEST_URI\x00/deepthought\x00,"
    )


def decode(message: bytes) -> dict[str, str]:
    """By the text: a netstring of pairs, none of them twice, the length first."""
    digits, _, rest = message.partition(b":")
    assert re.fullmatch(rb"0|[1-9][0-9]*", digits)
    block, comma = rest[: int(digits)], rest[int(digits) :]
    assert comma == b","
    assert block.endswith(b"\0")
    words = [word.decode("utf-8", "surrogateescape") for word in block[:-1].split(b"\0")]
    names, values = words[::2], words[1::2]
    assert names[0] == "CONTENT_LENGTH"
    assert len(names) == len(values) == len(set(names))
    return dict(zip(names, values, strict=True))


@given(st.dictionaries(TEXT.filter(lambda name: name not in {"", "CONTENT_LENGTH", "SCGI"}), TEXT))
def test_any_variables_come_through(variables: dict[str, str]) -> None:
    assert decode(encode(variables)) == {"CONTENT_LENGTH": "0", "SCGI": "1"} | variables


def test_bytes_that_are_not_utf8() -> None:
    assert b"A\0\xff\0" in encode({"A": "\udcff"})


# A real backend

SERVER = r"""
import os, socket, sys
from scgi.scgi_server import SCGIServer
from scgi.util import SCGIHandler

class Handler(SCGIHandler):
    def produce(self, env, bodysize, input, output):
        if env["PATH_INFO"] == "/fail":
            return
        output.write(b"20 text/plain\r\n")
        for name in ("SCGI", "CONTENT_LENGTH", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "REMOTE_ADDR"):
            output.write(f"{name}={env[name]}\n".encode("iso-8859-1"))
        output.write(b"x" * 300000)

SCGIServer(Handler, max_children=2).serve_on_socket(socket.socket(fileno=int(sys.argv[1])))
"""


@contextmanager
def real_backend(listener: socket.socket) -> Iterator[None]:
    """A server by the package ``scgi``, in processes of its own, which takes what waits at the socket."""
    listener.listen()
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(listener.fileno())],
        pass_fds=[listener.fileno()],
        start_new_session=True,
    )
    try:
        yield
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def unix_listener(tmp_path: Path) -> tuple[socket.socket, Backend]:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "app.sock"))
    return listener, tmp_path / "app.sock"


def tcp_listener(_: Path) -> tuple[socket.socket, Backend]:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    return listener, listener.getsockname()


@pytest.mark.parametrize("listen", [unix_listener, tcp_listener])
@pytest.mark.skipif(
    find_spec("scgi") is None,
    reason="scgi is not installed: it needs a compiler, and comes with the extra dev",
)
async def test_real_backend(tmp_path: Path, listen: Callable[[Path], tuple[socket.socket, Backend]]) -> None:
    listener, backend = listen(tmp_path)
    with listener, real_backend(listener):
        server = Server({"localhost": SCGI("/app/", backend, GATEWAY, timeout=TIMEOUT)})
        async with listening(server) as address:
            answer = await ask(address, b"gemini://localhost/app/page/%C3%A9?a%20b\r\n")
            failed = await ask(address, b"gemini://localhost/app/fail\r\n")
    head, _, rest = answer.body.partition(b"x")
    assert answer.header == b"20 text/plain"
    assert head.decode() == (
        "SCGI=1\nCONTENT_LENGTH=0\nSCRIPT_NAME=/app\nPATH_INFO=/page/é\n"
        "QUERY_STRING=a%20b\nREMOTE_ADDR=127.0.0.1\n"
    )
    assert len(rest) == 299_999
    assert answer.clean
    assert failed.received == b"42 the program behind this page failed\r\n"


# Backends that misbehave


@asynccontextmanager
async def fake_backend(*steps: bytes, ends: str = "close") -> AsyncIterator[tuple[SCGI, list[bytes]]]:
    """Writes its steps and then closes, resets or hangs; what it has read until the client closed is kept."""
    received: list[bytes] = []

    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            received.append(await stream.receive_some(65536))
            for step in steps:
                await stream.send_all(step)
            if ends == "hang":
                try:
                    received.append(await stream.receive_some(1))
                except trio.BrokenResourceError:  # closed with something unread
                    received.append(b"")
            elif ends == "reset":
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve, [listener])
        yield SCGI("/app/", listener.socket.getsockname(), GATEWAY, timeout=TIMEOUT), received
        nursery.cancel_scope.cancel()


PATHS = [  # path, SCRIPT_NAME, PATH_INFO
    ("/app/", "/app", "/"),
    ("/app", "/app", ""),
    ("/app/a%20b/c", "/app", "/a b/c"),
]


@pytest.mark.parametrize(("path", "script_name", "path_info"), PATHS)
async def test_places(path: str, script_name: str, path_info: str) -> None:
    async with fake_backend(b"20 text/plain\n", b"hello") as (handler, received):
        assert await read(await get(handler, path)) == b"hello"
        found = decode(received[0])
    assert (found["SCRIPT_NAME"], found["PATH_INFO"]) == (script_name, path_info)
    assert not {"PATH", "LANG", "SCRIPT_PATH"} & found.keys()


@pytest.mark.parametrize("path", ["/other", "/app2/", "/app/a%2Fb"])
async def test_paths_of_others(path: str) -> None:
    with pytest.raises(NotFound):
        await get(SCGI("/app/", ("127.0.0.1", 1), GATEWAY, timeout=TIMEOUT), path)


async def test_answer_without_a_body() -> None:
    async with fake_backend(b"10 Your ", b"name?\r\n", b"never sent on") as (handler, _):
        assert await get(handler) == Reply(Status.INPUT, "Your name?")


FAILED = [  # what it writes, how it ends, what the log says
    (b"", "close", "it wrote nothing"),
    (b"HTTP/1.0 200 OK\r\n", "close", "its header does not begin with a two-digit status"),
    (b"", "reset", "it broke the connection"),
    (b"20 text", "reset", "it broke the connection"),
]


@pytest.mark.parametrize(("written", "ends", "message"), FAILED)
async def test_failures(written: bytes, ends: str, message: str, caplog: pytest.LogCaptureFixture) -> None:
    async with fake_backend(written, ends=ends) as (handler, _):
        with pytest.raises(CGIError, match="the program behind this page failed"):
            await get(handler)
    [line] = caplog.messages
    assert re.fullmatch(rf"127\.0\.0\.1:\d+: {message}", line)


async def test_nobody_listens(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        backends: list[Backend] = [tmp_path / "none", tmp_path / "file", unused.getsockname()]
        for backend in backends:
            with pytest.raises(CGIError):
                await get(SCGI("/app/", backend, GATEWAY, timeout=TIMEOUT))
    assert caplog.messages[0] == f"unix:{tmp_path / 'none'}: it cannot be reached: No such file or directory"
    assert all(": it cannot be reached: " in line for line in caplog.messages)


async def test_broken_body() -> None:
    async with fake_backend(b"20 text/plain\n", b"half", ends="reset") as (handler, _):
        response = await get(handler)
        with pytest.raises(BrokenBody, match="it broke the connection"):
            await read(response)


async def test_no_answer(mock_clock: MockClock) -> None:
    """The whole header has one deadline, however many pieces it comes in."""
    async with fake_backend(b"20 te", ends="hang") as (handler, received), trio.open_nursery() as nursery:

        async def wait() -> None:
            with pytest.raises(CGIError, match="took too long"):
                await get(handler)

        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        mock_clock.jump(TIMEOUT - 1)
        await wait_all_tasks_blocked()
        assert len(received) == 1
        mock_clock.jump(1)
        await wait_all_tasks_blocked()
        assert received[1:] == [b""]  # it was told


async def test_body_that_stops(mock_clock: MockClock) -> None:
    """Each piece of the body has the time anew."""
    async with fake_backend(b"20 text/plain\n", b"half", ends="hang") as (handler, _):
        response = await get(handler)
        mock_clock.jump(TIMEOUT + 1)
        assert isinstance(response.body, Stream)
        chunks = aiter(response.body)
        assert await anext(chunks) == b"half"
        async with trio.open_nursery() as nursery:

            async def wait() -> None:
                with pytest.raises(BrokenBody, match="did not answer within 20 seconds"):
                    await anext(chunks)

            nursery.start_soon(wait)
            await wait_all_tasks_blocked()
            mock_clock.jump(TIMEOUT)
        await response.body.aclose()


async def test_client_leaves() -> None:
    async with fake_backend(b"20 text/plain\n", b"half", ends="hang") as (handler, received):
        response = await get(handler)
        assert isinstance(response.body, Stream)
        await response.body.aclose()
        await wait_all_tasks_blocked()
        assert received[1:] == [b""]


async def test_cancelled_while_it_waits() -> None:
    async with fake_backend(ends="hang") as (handler, received):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(get, handler)
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        await wait_all_tasks_blocked()
        assert received[1:] == [b""]
