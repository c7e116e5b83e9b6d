"""CGI as a handler, and through the whole server: peers' scripts, failures, clients that leave."""

import logging
import os
import subprocess
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from pad19.protocol.client import Client
from pad19.protocol.failure import BadRequest, CGIError, Failure, NotFound, TemporaryFailure
from pad19.protocol.request import parse_request
from pad19.protocol.response import BrokenBody, Redirect, Reply, Response, Stream
from pad19.protocol.status import Status
from pad19.routes.cgi.environment import Gateway
from pad19.routes.cgi.handler import CGI
from pad19.routes.cgi.process import Limits, Program, Programs
from support.scripts import PYTHON, SH, Lifeline, running, write_script
from support.server import Server, ask, connect, listening

TIMEOUT = 20.0


class Announcing(Programs):
    """Says when the first one has been started: a script may be up before we know that."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self.started = trio.Event()

    async def start(
        self, path: str, variables: Mapping[str, str], stdin: int = subprocess.DEVNULL
    ) -> Program:
        program = await super().start(path, variables, stdin)
        self.started.set()
        return program


@dataclass
class Capsule:
    """A folder of scripts that are run."""

    root: Path
    programs: Announcing

    def handler(self, prefix: str = "/cgi-bin/") -> CGI:
        return CGI(prefix, self.root / "cgi-bin", Gateway(self.root / "content"), self.programs)

    def write(self, name: str, text: str, mode: int = 0o755) -> Path:
        return write_script(self.root / "cgi-bin" / name, text, mode)

    async def get(self, path: str, prefix: str = "/cgi-bin/") -> Response:
        return await self.handler(prefix)(parse_request(f"gemini://localhost{path}".encode(), Client()))

    async def answer(self, path: str, prefix: str = "/cgi-bin/") -> str:
        """The header, and the body behind a bar."""
        try:
            response = await self.get(path, prefix)
        except Failure as failure:
            return f"{int(failure.status)} {failure}"
        body = b""
        if isinstance(response.body, Stream):
            try:
                body = b"".join([bytes(chunk) async for chunk in response.body])
            finally:
                await response.body.aclose()
        return f"{int(response.status)} {response.meta}|{body.decode()}"


@pytest.fixture
async def capsule(tmp_path: Path) -> AsyncIterator[Capsule]:
    programs = Announcing(Limits(timeout=TIMEOUT))
    async with running(programs):
        yield Capsule(tmp_path, programs)


# Scripts as the peers' manuals have them

JETFORCE = f"""{PYTHON}
import os, sys, urllib.parse
query = os.environ["QUERY_STRING"]
if not query:
    print("10 Enter your message: ")
    sys.exit()
print("20 text/plain")
print(os.environ["GATEWAY_INTERFACE"], os.environ["SERVER_PROTOCOL"], urllib.parse.unquote(query))
"""
GMCAPSULE = f"""{PYTHON}
import os
if "GEMINI_QUERY_STRING" not in os.environ:
    print("10 Say something\\r")
else:
    print("20 text/gemini\\r")
    print("# " + os.environ["SCRIPT_NAME"] + " " + os.environ["PATH_INFO"] + " " + os.environ["REMOTE_IDENT"])
"""
MOLLY_BROWN = f"""{SH}
printf '20 text/plain\\r\\n'
printf 'Hello %s from %s, %s' "$SERVER_NAME" "$SCRIPT_PATH" "${{TLS_CLIENT_HASH:-nobody}}"
"""
PEERS = [  # script, path, answer
    (JETFORCE, "/cgi-bin/a.py", "10 Enter your message:|"),
    (JETFORCE, "/cgi-bin/a.py?a%20b", "20 text/plain|CGI/1.1 GEMINI a b\n"),
    (GMCAPSULE, "/cgi-bin/a.py", "10 Say something|"),
    (GMCAPSULE, "/cgi-bin/a.py/more/%C3%A9?", "20 text/gemini|# /cgi-bin/a.py /more/é \n"),
    (MOLLY_BROWN, "/cgi-bin/a", "20 text/plain|Hello localhost from ROOT/cgi-bin/a.py, nobody"),
]


@pytest.mark.parametrize(("script", "path", "answer"), PEERS)
async def test_scripts_of_the_peers(capsule: Capsule, script: str, path: str, answer: str) -> None:
    capsule.write("a.py", script)
    assert await capsule.answer(path) == answer.replace("ROOT", str(capsule.root))


PLACES = [  # prefix, path, SCRIPT_NAME and PATH_INFO
    ("/cgi-bin/", "/cgi-bin/env.sh", "/cgi-bin/env.sh|"),
    ("/cgi-bin/", "/cgi-bin/env", "/cgi-bin/env|"),
    ("/cgi-bin/", "/cgi-bin/env/", "/cgi-bin/env|/"),
    ("/cgi-bin/", "/cgi-bin/env.sh/a%20b//c", "/cgi-bin/env.sh|/a b//c"),
    ("/cgi-bin/", "/cgi-bin/", "/cgi-bin/|"),
    ("/cgi-bin/", "/cgi-bin/sub/", "/cgi-bin/sub/|"),
    ("/cgi-bin/", "/cgi-bin/sub/x/y", "/cgi-bin/sub|/x/y"),
    ("/cgi-bin/", "/cgi-bin/x/../env.sh", "/cgi-bin/env.sh|"),
    ("/", "/", "/|"),
    ("/", "/env", "/env|"),
    ("/", "/sub/x", "/sub|/x"),
    ("/a/b/", "/a/b/env/x", "/a/b/env|/x"),
]


@pytest.mark.parametrize(("prefix", "path", "place"), PLACES)
async def test_places(capsule: Capsule, prefix: str, path: str, place: str) -> None:
    for name in ("env.sh", "index.gmi", "sub/index.sh"):
        capsule.write(name, f"""{SH}echo 20 text/plain; echo "$SCRIPT_NAME|$PATH_INFO|$(pwd)|$0" """)
    folder, name = ("cgi-bin/sub", "index.sh") if "sub" in path else ("cgi-bin", "env.sh")
    if place.endswith("/|") and name == "env.sh":
        name = "index.gmi"
    where = f"{capsule.root}/{folder}"
    assert await capsule.answer(path, prefix) == f"20 text/plain|{place}|{where}|{where}/{name}\n"


MISSING = [
    "/cgi-bin/none", "/cgi-bin/none/x", "/cgi-bin/data.txt", "/cgi-bin/.hidden.sh", "/cgi-bin/bare/",
    "/cgi-bin/bare", "/elsewhere/a.sh", "/cgi-bin/a.sh/..%2f..%2fetc/passwd", "/cgi-bin/a.sh/x%2Fy",
    "/cgi-bin/sub%2fa.sh", "/",
]  # fmt: skip


@pytest.mark.parametrize("path", MISSING)
async def test_nothing_is_run(capsule: Capsule, path: str) -> None:
    for name in ("a.sh", ".hidden.sh", "sub/a.sh", "bare/a.sh"):
        capsule.write(name, f"{SH}echo 20 text/plain")
    capsule.write("data.txt", "20 text/plain\n", 0o644)
    with pytest.raises(NotFound):
        await capsule.get(path)


async def test_folder_gets_its_slash(capsule: Capsule) -> None:
    capsule.write("sub é/index.sh", f"{SH}echo 20 text/plain")
    capsule.write("index.sh", f"{SH}echo 20 text/plain")
    permanent = [await capsule.get("/cgi-bin/sub%20%C3%A9?a%20b"), await capsule.get("/cgi-bin")]
    assert permanent == [
        Redirect("/cgi-bin/sub%20%C3%A9/?a%20b", permanent=True),
        Redirect("/cgi-bin/", permanent=True),
    ]
    with pytest.raises(BadRequest, match="too long"):
        await capsule.get(f"/cgi-bin/sub%20é?{'q' * 1002}")


async def test_disk_in_trouble(
    capsule: Capsule, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(path: str) -> os.stat_result:
        raise OSError(5, "Input/output error", path)

    handler = capsule.handler()
    monkeypatch.setattr("pad19.routes.cgi.scripts.os.stat", fail)
    with pytest.raises(TemporaryFailure, match="cannot be read now"):
        await handler(parse_request(b"gemini://localhost/cgi-bin/a", Client()))
    assert caplog.messages == [f"{str(capsule.root / 'cgi-bin/a')!r}: Input/output error"]


# Failures (case 113 and its neighbours)

FAILED = [  # script, what the log says
    ("exit 1", "it ended with status 1"),
    ("exit 0", "it wrote nothing"),
    ("printf '20 text/plain'", "it ended within the header"),
    ("printf '20 text/plain'; exit 1", "it ended with status 1"),
    ("echo garbage", "its header does not begin with a two-digit status"),
    ("echo 99 what", "its status 99 is not one of 10 to 69"),
    ("echo 7 what", "its header does not begin with a two-digit status"),
    ("echo 30 /next; exit 1", "it ended with status 1"),
    ("kill -9 $$", "it was killed by SIGKILL"),
    ("yes | tr -d '\\n'", "its header is longer than 1029 bytes"),
]


@pytest.mark.parametrize(("script", "message"), FAILED)
async def test_failures(
    capsule: Capsule, script: str, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = capsule.write("a.sh", SH + script)
    caplog.set_level(logging.ERROR)
    with pytest.raises(CGIError, match="the program behind this page failed"):
        await capsule.get("/cgi-bin/a.sh")
    assert caplog.messages == [f"{path}: {message}"]


async def test_log_tells_what_happened_in_its_order(
    capsule: Capsule, caplog: pytest.LogCaptureFixture
) -> None:
    path = capsule.write("a.sh", f"{SH}echo 'no such table' >&2; echo 'giving up' >&2; exit 1")
    with pytest.raises(CGIError):
        await capsule.get("/cgi-bin/a.sh")
    assert caplog.messages == [
        f"{path}: no such table",
        f"{path}: giving up",
        f"{path}: it ended with status 1",
    ]


@pytest.mark.parametrize("begun", ["", "printf '20 te'", "echo 30 /next"])
async def test_script_that_hangs(
    capsule: Capsule, lifeline: Lifeline, mock_clock: MockClock, begun: str
) -> None:
    capsule.write("a.sh", f"{SH}exec 3>{capsule.root}/lifeline; {begun}\necho up >&3; sleep 1000")
    async with trio.open_nursery() as nursery:

        async def wait() -> None:
            with pytest.raises(CGIError, match="took too long"):
                await capsule.get("/cgi-bin/a.sh")

        nursery.start_soon(wait)
        assert await lifeline.word() == "up"
        await capsule.programs.started.wait()
        await wait_all_tasks_blocked()
        mock_clock.jump(TIMEOUT)
    await lifeline.cut()


async def test_cancelled_while_it_waits(capsule: Capsule, lifeline: Lifeline) -> None:
    capsule.write("a.sh", f"{SH}exec 3>{capsule.root}/lifeline; echo up >&3; sleep 1000")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(capsule.get, "/cgi-bin/a.sh")
        assert await lifeline.word() == "up"
        nursery.cancel_scope.cancel()
    await lifeline.cut()


async def test_failure_behind_the_header(capsule: Capsule) -> None:
    path = capsule.write("a.sh", f"{SH}printf '20 text/plain\\nhalf\\n'; exit 3")
    response = await capsule.get("/cgi-bin/a.sh")
    assert isinstance(response, Reply)
    assert isinstance(response.body, Stream)
    chunks = aiter(response.body)
    assert await anext(chunks) == b"half\n"
    with pytest.raises(BrokenBody) as caught:
        await anext(chunks)
    assert str(caught.value) == f"{path}: it ended with status 3"
    await response.body.aclose()


async def test_other_responses_wait_for_the_end(capsule: Capsule) -> None:
    """Who follows a redirect finds what was done behind it."""
    capsule.write("a.sh", f"{SH}echo 30 /next; yes | head -c 300000; echo done > note")
    response = await capsule.get("/cgi-bin/a.sh")
    assert response == Reply(Status.TEMPORARY_REDIRECT, "/next")
    assert (capsule.root / "cgi-bin/note").read_text() == "done\n"


# Through the whole server


async def test_response_over_tls(capsule: Capsule) -> None:
    capsule.write("a.sh", f"{SH}echo 20 text/plain; echo $QUERY_STRING $TLS_VERSION; yes | head -c 300000")
    server = Server({"localhost": capsule.handler()})
    async with listening(server) as address:
        answer = await ask(address, b"gemini://localhost/cgi-bin/a?x\r\n")
    assert answer.received == b"20 text/plain\r\nx TLSv1.3\n" + b"y\n" * 150000
    assert answer.clean


async def test_truncation_shows(capsule: Capsule) -> None:
    capsule.write("a.sh", f"{SH}echo 20 text/plain; echo half; exit 3")
    server = Server({"localhost": capsule.handler()})
    async with listening(server) as address:
        answer = await ask(address, b"gemini://localhost/cgi-bin/a.sh\r\n")
    assert answer.received == b"20 text/plain\r\nhalf\n"
    assert not answer.clean
    assert server.records[0].reason.endswith("a.sh: it ended with status 3")


async def test_client_leaves(capsule: Capsule, lifeline: Lifeline) -> None:
    capsule.write("a.sh", f"{SH}exec 3>{capsule.root}/lifeline; echo up >&3; echo 20 text/plain; yes")
    server = Server({"localhost": capsule.handler()})
    async with listening(server) as address:
        stream = await connect(address)
        await stream.send_all(b"gemini://localhost/cgi-bin/a.sh\r\n")
        assert await stream.receive_some(1000)
        assert await lifeline.word() == "up"
        await trio.aclose_forcefully(stream)
        await lifeline.cut()


async def test_server_stops(capsule: Capsule, lifeline: Lifeline) -> None:
    capsule.write("a.sh", f"{SH}exec 3>{capsule.root}/lifeline; echo up >&3; echo 20 text/plain; sleep 1000")
    server = Server({"localhost": capsule.handler()})
    async with listening(server) as address:
        stream = await connect(address)
        await stream.send_all(b"gemini://localhost/cgi-bin/a.sh\r\n")
        assert await lifeline.word() == "up"
        assert await stream.receive_some(1000) == b"20 text/plain\r\n"
    await lifeline.cut()
    await trio.aclose_forcefully(stream)
