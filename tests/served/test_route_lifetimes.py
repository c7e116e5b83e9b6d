"""What runs for longer than a request, and for whom: lifespans, background tasks, streams, programs."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.capsule_folder import LARGE, configure, header_of, reload, request
from support.files import write
from support.process import PATIENCE, fetch, gemini, read_rest, serving
from support.route_modules import PAGE, ROUTED, module
from support.scripts import SH, write_script
from support.server import Answer

pytestmark = pytest.mark.machine

STREAMS = 200

# Beside the requests


LIVES = """
    @routes.lifespan
    async def life(capsule):
        print("begins")
        try:
            yield
        finally:
            await trio.sleep(0.01)
            await capsule.store.set("ended", True)
            print("ends")

    @routes.gemini("/slow")
    async def slow(request: Request) -> str:
        from pathlib import Path
        print("asked")
        while not Path(__file__).with_name("go").exists():
            await trio.sleep(0.01)
        print("answered")
        return "done"
"""


def test_a_lifespan_ends_when_the_last_request_is_answered(folder: Path) -> None:
    configure(write(folder, {"routes/index.py": module(LIVES)}), capsule=ROUTED)
    with serving(folder, home=folder) as server, request(server.address, "/slow") as stream:
        server.wait_for_err("asked")
        reload(server)
        (folder / "routes/go").touch()
        assert read_rest(stream).body == b"done"
        server.wait_for_err(": ends\n")
        said = re.findall(r"^pad19: index[.\w]*: (\w+)$|^pad19: (reloaded)", server.err, re.MULTILINE)
        assert [a or b for a, b in said] == ["begins", "asked", "begins", "reloaded", "answered", "ends"]
        assert server.stop() == 0
        assert server.err.count(": ends\n") == 2


def test_a_background_task_that_fails_starts_again(folder: Path) -> None:
    text = """
        runs = 0
        @routes.background
        async def beside(capsule):
            global runs
            runs += 1
            print(f"run {runs}")
            if runs == 1:
                1 / 0
            await trio.sleep_forever()
    """
    files = {"routes/index.py": module(text + PAGE.format("page").replace("\n", "\n        "))}
    configure(write(folder, files), capsule=ROUTED)
    with serving(folder, home=folder, suffers=True) as server:
        server.wait_for_err("run 2")
        assert re.search(r"background task index\.beside .*failed, it starts again in 1 seconds", server.err)
        assert "ZeroDivisionError" in server.err
        assert fetch(server.address, gemini(server.address)).body == b"page"
        assert server.stop() == 0


# Who stops, and who leaves


class Lifeline:
    """A FIFO that programs hold open with ``exec 3>FIFO``: its end is their death."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        self._reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def has_word(self) -> None:
        """Somebody holds it, and has written a line to it."""
        assert select.select([self._reader], [], [], PATIENCE)[0], "nobody holds it"
        assert os.read(self._reader, 100).endswith(b"\n")

    def is_cut(self, seconds: float) -> bool:
        """Whether nobody holds it any more within that time."""
        return bool(select.select([self._reader], [], [], seconds)[0]) and not os.read(self._reader, 100)

    def close(self) -> None:
        os.close(self._reader)


@pytest.fixture
def lifeline(folder: Path) -> Iterator[Lifeline]:
    lifeline = Lifeline(folder / "lifeline")
    yield lifeline
    lifeline.close()


TICKS = """
    @routes.gemini("/tick")
    async def tick(request: Request):
        try:
            while True:
                yield "tick\\n"
                await trio.sleep(1)
        finally:
            print("ended")

    @routes.gemini("/wait")
    async def wait(request: Request) -> str:
        try:
            print("waits")
            await trio.sleep_forever()
        finally:
            print("ended")

    @routes.gemini("/file")
    async def file(request: Request):
        from pathlib import Path
        return Path("large.bin")
"""
# It and what it has started: nobody of them listens to SIGTERM.
STUBBORN = """trap '' TERM
exec 3>'{}'
(while :; do sleep 1; done) &
printf '20 text/plain\\r\\nline\\n'
echo up >&3
while :; do sleep 1; done
"""


def ticking(folder: Path, lifeline: Lifeline | None = None, *, grace: float = 30) -> Path:
    write(folder, {"routes/index.py": module(TICKS)})
    (folder / "cgi-bin").mkdir()
    if lifeline:
        write_script(folder / "cgi-bin/stubborn", SH + STUBBORN.format(lifeline.path))
    cgi = "cgi = { '/cgi-bin/' = 'cgi-bin' }"
    return configure(folder, capsule=ROUTED + cgi, rest=f"[limits]\ngrace_s = {grace}")


def test_a_stop_ends_streams_and_programs(folder: Path, lifeline: Lifeline) -> None:
    with (
        serving(ticking(folder, lifeline, grace=0.5), home=folder) as server,
        request(server.address, "/tick") as stream,
        request(server.address, "/cgi-bin/stubborn") as program,
    ):
        workers = server.workers
        for connection in (stream, program):
            assert header_of(connection).startswith(b"20 ")
        lifeline.has_word()
        begin = time.monotonic()
        server.signal(signal.SIGTERM)
        server.wait_for_err("open connections (2) have 0.5 s")
        assert server.wait() == 0
        assert 0.5 <= time.monotonic() - begin < 6
        assert lifeline.is_cut(0)
        assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
        assert [read_rest(connection).clean for connection in (stream, program)] == [False, False]
        assert {record["reason"] for record in server.records(2)} == {"server stopped"}
        assert server.err.count("ended") == 1


def test_a_client_that_leaves_ends_what_is_done_for_it(folder: Path, lifeline: Lifeline) -> None:
    with serving(ticking(folder, lifeline), home=folder) as server:
        with request(server.address, "/tick") as stream:
            header_of(stream)
        server.wait_for_err("index.tick: ended", patience=1)
        with request(server.address, "/wait"):
            server.wait_for_err("waits")
        server.wait_for_err("index.wait: ended", patience=1)
        with request(server.address, "/cgi-bin/stubborn") as stream:
            header_of(stream)
            lifeline.has_word()
        assert lifeline.is_cut(5)  # SIGTERM, three seconds, SIGKILL
        reasons = [record["reason"] for record in server.records(3)]
        assert reasons == ["client left: it closed the connection"] * 3


def test_many_streams_end_with_their_clients(folder: Path) -> None:
    with serving(ticking(folder), home=folder) as server, ExitStack() as crowd:
        fetch(server.address, gemini(server.address, "/none"))
        before = server.descriptors
        streams = [crowd.enter_context(request(server.address, "/tick")) for _ in range(STREAMS)]
        assert {header_of(stream) for stream in streams} == {b"20 text/gemini\r\n"}
        for line in range(2):  # each has its own pace
            assert {stream.recv(100) for stream in streams} <= {b"tick\n", b"tick\ntick\n"}, line
        assert server.descriptors == before + STREAMS
        crowd.close()
        server.wait_for_err("index.tick: ended", STREAMS, patience=3)
        server.records(STREAMS + 1)
        assert fetch(server.address, gemini(server.address, "/none")).status == 51
        assert server.descriptors <= before


@pytest.mark.parametrize("path", ["/large.bin", "/file"])
def test_a_stored_file_goes_on_to_who_has_closed_its_side(folder: Path, path: str) -> None:
    with serving(ticking(folder), home=folder) as server, request(server.address, path) as stream:
        head = header_of(stream)
        socket.socket.shutdown(stream, socket.SHUT_WR)  # a FIN without close_notify
        answer = read_rest(stream)
        assert Answer(head, clean=True).status == 20
        assert (len(answer.received), answer.clean) == (LARGE, True)
        assert server.records(1)[0]["reason"] == ""
