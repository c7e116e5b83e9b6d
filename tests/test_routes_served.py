"""Routes, programs and proxies as `pad19 serve` has them: answers, mistakes, and what is left behind."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest

from support.fake_server import FakeServer, answers
from support.fake_server import serving as upstream
from support.process import (
    PATIENCE,
    Address,
    Serving,
    command,
    connect_tls,
    fetch,
    gemini,
    read_rest,
    serving,
)
from support.scripts import SH, write_script
from support.server import Answer

pytestmark = pytest.mark.machine

LARGE = 32 * 1024 * 1024  # bytes: more than the kernel's buffers take
STREAMS = 200
RELOADED = "pad19: reloaded: Serving "
NOT_RELOADED = "pad19: not reloaded: what was served before is served still\n"

ROUTES = """\
import trio
from pad19 import Input, Redirect, Request, Routes, Success
routes = Routes()
"""


def routes(text: str) -> str:
    """A module with some more in it."""
    return ROUTES + dedent(text)


PAGE = """
@routes.gemini("/")
async def page(request: Request) -> str:
    return "{}"
"""


def write(folder: Path, files: dict[str, str]) -> Path:
    """Files as editors write them: whole or not at all."""
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        new = file.with_name(".new")
        new.write_text(text)
        new.replace(file)
    (folder / "content").mkdir(exist_ok=True)
    return folder


def configure(folder: Path, capsule: str = "", *, server: str = "", rest: str = "") -> Path:
    (folder / "routes").mkdir(exist_ok=True)
    text = f"[server]\nlisten = ['127.0.0.1:0']\n{server}\n{rest}\n[log]\nformat = 'json'\n"
    text += f"[[capsule]]\nroutes = 'routes'\n{capsule}\n"
    return write(folder, {"pad19.toml": text})


def header_of(stream: ssl.SSLSocket) -> bytes:
    """The first line, and no byte more."""
    line = b""
    while not line.endswith(b"\r\n"):
        data = stream.recv(1)
        assert data, line
        line += data
    return line


def request(address: Address, path: str) -> ssl.SSLSocket:
    """A connection on which something was asked for."""
    stream = connect_tls(address)
    stream.sendall(f"{gemini(address, path)}\r\n".encode())
    return stream


# Everything in front of the files of one capsule


class SCGIBackend(socketserver.ThreadingUnixStreamServer):
    """Answers with two of the variables that it is given."""

    daemon_threads = True

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            digits = b""
            while (byte := self.rfile.read(1)) != b":":
                digits += byte
            parts = self.rfile.read(int(digits) + 1).split(b"\0")
            found = dict(zip(parts[::2], parts[1::2], strict=False))
            self.wfile.write(b"20 text/plain\r\nscgi %b %b" % (found[b"SCRIPT_NAME"], found[b"PATH_INFO"]))

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), self.Handler)


@contextmanager
def scgi(path: Path) -> Iterator[None]:
    with SCGIBackend(path) as backend:
        thread = threading.Thread(target=backend.serve_forever)
        thread.start()
        try:
            yield
        finally:
            backend.shutdown()
            thread.join()


INDEX = """
    @routes.gemini("/")
    async def page(request: Request) -> str:
        return request.settings["title"]

    @routes.gemini("/both.gmi")
    @routes.gemini("/cgi-bin/both")
    @routes.gemini("/proxy/both")
    async def both(request: Request) -> str:
        return "route"

    @routes.gemini("/def")
    def in_thread(request: Request) -> str:
        import threading
        return f"{threading.current_thread() is threading.main_thread()}"

    @routes.gemini("/ask")
    async def ask(request: Request) -> Input | str:
        return Input("Name?") if request.query is None else repr(request.query.splitlines())

    @routes.gemini("/again")
    async def again(request: Request) -> Input:
        return Input(f"Not {request.query}!")

    @routes.gemini("/go")
    async def go(request: Request) -> Redirect:
        return Redirect(f"/{request.query}")

    @routes.gemini("/refuse")
    async def refuse(request: Request) -> str:
        from pad19 import BadRequest
        raise BadRequest(f"what is {request.query}?")

    @routes.gemini("/raises")
    async def raises(request: Request) -> str:
        return 1 / 0

    @routes.gemini("/breaks-off")
    async def breaks_off(request: Request):
        yield "first"
        1 / 0
"""
SCRIPTS = {
    "both": "printf '20 text/plain\\r\\nscript'",
    "hello": 'printf "20 text/plain\\r\\n$SCRIPT_NAME $PATH_INFO"',
    "fails": "exit 3",
    "garbage": "head -c 5000 /dev/zero",
    "99": "printf '99 x\\r\\n'",
    "7": "printf '7 x\\r\\n'",
    "hangs": "sleep 60",
}


@pytest.fixture(scope="module")
def capsule(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Serving, FakeServer]]:
    folder = tmp_path_factory.mktemp("capsule")
    write(
        folder,
        {
            "routes/index.py": routes(INDEX),
            "routes/guestbook.py": routes(PAGE.format("the first guestbook")),
            "routes2/guestbook.py": routes(PAGE.format("the second guestbook")),
            "content/both.gmi": "file",
            "content/page.gmi": "file",
            "content/docs/index.gmi": "docs",
            "content/cgi-bin/both": "file",
            "content2/page.gmi": "the second file",
            "cgi-bin/source": "#!/bin/sh\nsecret",
        },
    )
    for name, text in SCRIPTS.items():
        write_script(folder / "cgi-bin" / name, f"{SH}{text}\n")
    with scgi(folder / "app.sock"), upstream(answers(b"20 text/plain\r\nupstream")) as behind:
        configure(
            folder,
            "settings = { title = 'A title' }\ncgi = { '/cgi-bin/' = 'cgi-bin' }\n"
            "scgi = { '/app/' = 'unix:app.sock' }\n"
            f"[[capsule.proxy]]\npath = '/proxy/'\nto = 'gemini://127.0.0.1:{behind.port}/'\n"
            "[[capsule]]\nhosts = ['second.test']\ncontent = 'content2'\nroutes = 'routes2'\n",
            rest="[cgi]\ntimeout_s = 1",
        )
        with serving(folder, home=folder, suffers=True) as server:  # tracebacks of routes are logged
            yield server, behind


@dataclass(frozen=True, slots=True)
class Row:
    """A path and its answer. ``number``: of the case in the list of what servers have to get right."""

    number: int | None
    path: str
    status: int
    meta: str | None = None  # None: any; as a regular expression
    body: bytes = b""
    host: str = "localhost"
    clean: bool = True

    def __str__(self) -> str:
        return f"{self.number or ''} {self.host}{self.path}".strip()


TEXT = "text/gemini"
ROWS = [
    Row(None, "/", 20, TEXT, b"A title"),
    Row(None, "/both.gmi", 20, TEXT, b"route"),
    Row(None, "/cgi-bin/both", 20, TEXT, b"route"),
    Row(None, "/proxy/both", 20, TEXT, b"route"),
    Row(None, "/def", 20, TEXT, b"False"),
    Row(None, "/guestbook/", 20, TEXT, b"the first guestbook"),
    Row(None, "/guestbook", 31, "/guestbook/"),
    Row(None, "/ask/", 31, "/ask"),
    Row(None, "/ask/?a", 31, r"/ask\?a"),
    Row(None, "/cgi-bin/hello", 20, "text/plain", b"/cgi-bin/hello "),
    Row(None, "/app/a/b", 20, "text/plain", b"scgi /app /a/b"),
    Row(None, "/proxy/a", 20, "text/plain", b"upstream"),
    Row(None, "/page.gmi", 20, TEXT, b"file"),
    Row(None, "/docs/", 20, TEXT, b"docs"),
    Row(None, "/docs", 31, "/docs/"),
    Row(None, "/none", 51),
    Row(None, "/guestbook/", 20, TEXT, b"the second guestbook", "second.test"),
    Row(None, "/page.gmi", 20, TEXT, b"the second file", "second.test"),
    Row(None, "/both.gmi", 51, host="second.test"),
    Row(None, "/app/", 51, host="second.test"),
    Row(None, "/proxy/", 51, host="second.test"),
    Row(110, "/ask", 10, r"Name\?"),
    Row(110, "/ask?", 20, TEXT, b"[]"),
    Row(110, "/ask?a%20b", 20, TEXT, b"['a b']"),
    Row(110, "/ask?a+b", 20, TEXT, b"['a+b']"),
    *(Row(110, f"/ask?a{end}b", 20, TEXT, b"['a', 'b']") for end in ("%0D%0A", "%0A", "%0a")),
    Row(111, "/again?a%0D%0A20%20text/plain", 10, "Not a +20 text/plain!"),
    Row(111, "/refuse?a%0D%0A20%20text/plain", 59, r"what is a +20 text/plain\?"),
    Row(111, "/go?a%0D%0A20%20text/plain", 42, "internal error, id [0-9a-f]{8}"),
    Row(112, "/raises", 42, "internal error, id [0-9a-f]{8}"),
    Row(112, "/breaks-off", 20, TEXT, b"first", clean=False),
    *(Row(113, f"/cgi-bin/{name}", 42) for name in ("fails", "garbage", "99", "7", "hangs")),
    Row(114, "/cgi-bin/source", 51),
    Row(114, "/cgi-bin/none", 51),
    Row(114, "/cgi-bin/hello/extra/path", 20, "text/plain", b"/cgi-bin/hello /extra/path"),
]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_rows(row: Row, capsule: tuple[Serving, FakeServer]) -> None:
    server, _ = capsule
    answer = fetch(server.address, gemini(server.address, row.path, row.host), server_name=row.host)
    assert (answer.status, answer.body, answer.clean) == (row.status, row.body, row.clean)
    assert re.fullmatch(row.meta or ".*", answer.meta or "")


def test_only_the_proxy_asks_its_upstream(capsule: tuple[Serving, FakeServer]) -> None:
    server, behind = capsule
    behind.requests.clear()
    for path in ("/proxy/both", "/page.gmi", "/none", "/proxy/a/b?c"):
        fetch(server.address, gemini(server.address, path))
    assert behind.requests == [f"gemini://127.0.0.1:{behind.port}/a/b?c"]


# Workers


def test_workers_share_the_store(tmp_path: Path) -> None:
    text = """
        import os
        @routes.gemini("/")
        async def count(request: Request) -> str:
            return f"{await request.store.increment('visits')} {os.getpid()}"
    """
    configure(write(tmp_path, {"routes/index.py": routes(text)}), server="workers = 2")
    with serving(tmp_path, home=tmp_path) as server:
        seen: dict[int, str] = {}
        while len(set(seen.values())) < 2 or len(seen) < 20:
            visits, pid = fetch(server.address, gemini(server.address)).body.decode().split()
            assert int(visits) == len(seen) + 1
            seen[int(visits)] = pid
            assert len(seen) < 2000, "one worker takes them all"
        assert server.stop() == 0
    assert oct((tmp_path / "state/store.sqlite3").stat().st_mode)[-3:] == "600"
    with serving(tmp_path, home=tmp_path) as server:
        answer = fetch(server.address, gemini(server.address)).body
        assert answer.split()[0] == b"%d" % (len(seen) + 1)


TALKS = """
    import logging, sys
    print("module")
    LOGGER = logging.getLogger(__name__)

    @routes.gemini("/")
    async def page(request: Request) -> str:
        print("to", "the log")
        print("\\x1b[31mred")
        LOGGER.warning("of %s", "its own")
        logging.getLogger("library").info("of a library")
        sys.stdout.write("no end")
        return ""
"""


def test_what_routes_print_and_log_is_on_standard_error(tmp_path: Path) -> None:
    configure(write(tmp_path, {"routes/talks.py": routes(TALKS)}))
    with serving(tmp_path, home=tmp_path) as server:
        fetch(server.address, gemini(server.address, "/talks/"))
        server.wait_for_err("no end\n")
        expected = [
            "pad19: talks: module",
            "pad19: talks.page: to the log",
            "pad19: talks.page: \\x1b[31mred",
            "pad19: talks.page: of its own",
            "pad19: talks.page: of a library",
            "pad19: talks.page: no end",
        ]
        assert [line for line in server.err.splitlines() if line.startswith("pad19: ")] == expected
        [record] = server.records(1)  # and standard output has the access log, and nothing else
        assert record["status"] == 20
        assert server.out.count("\n") == 1


# Mistakes


def life(before: str = "", after: str = "") -> str:
    text = """
        @routes.lifespan
        async def life(capsule):
            BEFORE
            yield
            AFTER
    """
    return dedent(text).replace("BEFORE", before).replace("AFTER", after)


BROKEN = [  # the module, what is said of it
    ("import pad19\ndef f(:\n", r"{file}, line 2, column 7: SyntaxError: invalid syntax"),
    ("import nowhere\n", r"{file}, line 1: ModuleNotFoundError: No module named 'nowhere': install it, .*"),
    (routes("1 / 0"), r"{file}, line 4: ZeroDivisionError: division by zero"),
    ("import os\n", r"{file}: it has no routes: write routes = Routes\(\), or begin its name with _ .*"),
    ("raise SystemExit(0)\n", r"{file}, line 1: it ends the program, with sys\.exit\(0\): let it only .*"),
    (routes(life("1 / 0")), r"a lifespan of the routes failed \(ZeroDivisionError: .*\): mend it"),
]


@pytest.mark.parametrize(("text", "said"), BROKEN, ids=range(len(BROKEN)))
def test_a_broken_module_at_the_start(tmp_path: Path, text: str, said: str) -> None:
    configure(write(tmp_path, {"routes/broken.py": text, "routes/good.py": routes(PAGE.format("x"))}))
    done = command("serve", str(tmp_path), home=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    expected = said.format(file=re.escape(f"{tmp_path}/routes/broken.py"))
    assert re.fullmatch(f"pad19: {expected}", done.stderr.splitlines()[-1])
    if "lifespan" not in said:  # that one has its traceback in the log: it is no mistake in a file alone
        assert done.stderr.count("\n") == 1


def test_all_mistakes_are_told_together(tmp_path: Path) -> None:
    files = {f"routes/{name}.py": "import nowhere" for name in "ab"}
    configure(write(tmp_path, files), "certificate = 'pad19.toml'\nkey = 'pad19.toml'")
    done = command("serve", str(tmp_path), home=tmp_path)
    assert done.returncode == 2
    places = ("routes/a.py", "routes/b.py", "pad19.toml")
    for place, line in zip(places, done.stderr.splitlines(), strict=True):
        assert line.startswith(f"pad19: {tmp_path}/{place}")


@pytest.mark.parametrize(("text", "said"), BROKEN, ids=range(len(BROKEN)))
def test_a_broken_module_at_a_reload(tmp_path: Path, text: str, said: str) -> None:
    configure(write(tmp_path, {"routes/page.py": routes(PAGE.format("old"))}), server="watch = false")
    with serving(tmp_path, home=tmp_path, suffers="lifespan" in said) as server:
        uri = gemini(server.address, "/page/")
        write(tmp_path, {"routes/page.py": routes(PAGE.format("new")), "routes/broken.py": text})
        server.signal(signal.SIGHUP)
        server.wait_for_err(NOT_RELOADED)
        expected = said.format(file=re.escape(f"{tmp_path}/routes/broken.py"))
        assert re.search(f"^pad19: {expected}$", server.err, re.MULTILINE)
        assert fetch(server.address, uri).body == b"old"
        (tmp_path / "routes/broken.py").unlink()
        server.signal(signal.SIGHUP)
        server.wait_for_err(RELOADED)
        assert fetch(server.address, uri).body == b"new"


def test_saving_is_enough_where_files_are_watched(tmp_path: Path) -> None:
    configure(write(tmp_path, {"routes/page.py": routes(PAGE.format("old"))}))
    with serving(tmp_path, home=tmp_path) as server:
        uri = gemini(server.address, "/page/")
        write(tmp_path, {"routes/page.py": "def"})
        server.wait_for_err(NOT_RELOADED)
        assert f"pad19: {tmp_path}/routes/page.py, line 1, column 4: SyntaxError: " in server.err
        assert fetch(server.address, uri).body == b"old"
        write(tmp_path, {"routes/page.py": routes(PAGE.format("new"))})
        server.wait_for_err(RELOADED)
        assert fetch(server.address, uri).body == b"new"
        write(tmp_path, {"routes/more.py": routes(PAGE.format("more"))})
        server.wait_for_err(RELOADED, 2)
        assert fetch(server.address, gemini(server.address, "/more/")).body == b"more"


def test_check_loads_routes_and_asks_none(tmp_path: Path) -> None:
    touches = "open(__file__ + '.touched', 'w').close()"
    page = PAGE.format("x").replace("    return", f"    {touches}\n    return")
    write(
        tmp_path,
        {
            "routes/book.py": routes(page + life(touches)),
            "content/index.gmi": "=> /book/\n=> /book\n=> /cgi-bin/touch\n=> /none.gmi\n",
        },
    )
    write_script(tmp_path / "cgi-bin/touch", f"{SH}touch ran")
    configure(tmp_path, "cgi = { '/cgi-bin/' = 'cgi-bin' }")
    done = command("check", str(tmp_path), home=tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    *_, finding, count = done.stdout.splitlines()
    assert finding.endswith('content/index.gmi:4: "/none.gmi" leads to /none.gmi: 51 not found')
    assert count == "1 file, 4 links: 1 problem"
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert left == ["cgi-bin/touch", "content/index.gmi", "pad19.toml", "routes/book.py"]

    write(tmp_path, {"routes/broken.py": "1 / 0"})
    done = command("check", str(tmp_path), home=tmp_path)
    assert done.returncode == 2
    assert f"pad19: {tmp_path}/routes/broken.py, line 1: ZeroDivisionError: division by zero\n" in done.stderr
    assert "Traceback" not in done.stderr


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


def test_a_lifespan_ends_when_the_last_request_is_answered(tmp_path: Path) -> None:
    configure(write(tmp_path, {"routes/index.py": routes(LIVES)}), server="watch = false")
    with serving(tmp_path, home=tmp_path) as server, request(server.address, "/slow") as stream:
        server.wait_for_err("asked")
        server.signal(signal.SIGHUP)
        server.wait_for_err(RELOADED)
        (tmp_path / "routes/go").touch()
        assert read_rest(stream).body == b"done"
        server.wait_for_err(": ends\n")
        said = re.findall(r"^pad19: index[.\w]*: (\w+)$|^pad19: (reloaded)", server.err, re.MULTILINE)
        assert [a or b for a, b in said] == ["begins", "asked", "begins", "reloaded", "answered", "ends"]
        assert server.stop() == 0
        assert server.err.count(": ends\n") == 2


def test_a_background_task_that_fails_starts_again(tmp_path: Path) -> None:
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
    files = {"routes/index.py": routes(text + PAGE.format("page").replace("\n", "\n        "))}
    with serving(configure(write(tmp_path, files)), home=tmp_path, suffers=True) as server:
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
def lifeline(tmp_path: Path) -> Iterator[Lifeline]:
    lifeline = Lifeline(tmp_path / "lifeline")
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
    write(folder, {"routes/index.py": routes(TICKS)})
    with (folder / "content/large.bin").open("wb") as file:
        file.truncate(LARGE)
    (folder / "cgi-bin").mkdir()
    if lifeline:
        write_script(folder / "cgi-bin/stubborn", SH + STUBBORN.format(lifeline.path))
    return configure(folder, "cgi = { '/cgi-bin/' = 'cgi-bin' }", rest=f"[limits]\ngrace_s = {grace}")


def test_a_stop_ends_streams_and_programs(tmp_path: Path, lifeline: Lifeline) -> None:
    with (
        serving(ticking(tmp_path, lifeline, grace=0.5), home=tmp_path) as server,
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


def test_a_client_that_leaves_ends_what_is_done_for_it(tmp_path: Path, lifeline: Lifeline) -> None:
    with serving(ticking(tmp_path, lifeline), home=tmp_path) as server:
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


def test_many_streams_end_with_their_clients(tmp_path: Path) -> None:
    with serving(ticking(tmp_path), home=tmp_path) as server, ExitStack() as crowd:
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
def test_a_stored_file_goes_on_to_who_has_closed_its_side(tmp_path: Path, path: str) -> None:
    with serving(ticking(tmp_path), home=tmp_path) as server, request(server.address, path) as stream:
        head = header_of(stream)
        socket.socket.shutdown(stream, socket.SHUT_WR)  # a FIN without close_notify
        answer = read_rest(stream)
        assert Answer(head, clean=True).status == 20
        assert (len(answer.received), answer.clean) == (LARGE, True)
        assert server.records(1)[0]["reason"] == ""
