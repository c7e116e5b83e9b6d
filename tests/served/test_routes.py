"""Routes, programs and proxies in front of the files of one capsule."""

from __future__ import annotations

import re
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.capsule_folder import configure
from support.fake_server import FakeServer, answers
from support.fake_server import serving as upstream
from support.files import write
from support.process import Serving, fetch, gemini, serving
from support.route_modules import PAGE, ROUTED, module
from support.scripts import SH, write_script

pytestmark = pytest.mark.machine


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
            "routes/index.py": module(INDEX),
            "routes/guestbook.py": module(PAGE.format("the first guestbook")),
            "routes2/guestbook.py": module(PAGE.format("the second guestbook")),
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
            capsule=f"{ROUTED}settings = {{ title = 'A title' }}\ncgi = {{ '/cgi-bin/' = 'cgi-bin' }}\n"
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


def test_workers_share_the_store(folder: Path) -> None:
    text = """
        import os
        @routes.gemini("/")
        async def count(request: Request) -> str:
            return f"{await request.store.increment('visits')} {os.getpid()}"
    """
    configure(write(folder, {"routes/index.py": module(text)}), workers=2, capsule=ROUTED)
    with serving(folder, home=folder) as server:
        seen: dict[int, str] = {}
        while len(set(seen.values())) < 2 or len(seen) < 20:
            visits, pid = fetch(server.address, gemini(server.address)).body.decode().split()
            assert int(visits) == len(seen) + 1
            seen[int(visits)] = pid
            assert len(seen) < 2000, "one worker takes them all"
        assert server.stop() == 0
    assert oct((folder / "state/store.sqlite3").stat().st_mode)[-3:] == "600"
    with serving(folder, home=folder) as server:
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


def test_what_routes_print_and_log_is_on_standard_error(folder: Path) -> None:
    configure(write(folder, {"routes/talks.py": module(TALKS)}), capsule=ROUTED)
    with serving(folder, home=folder) as server:
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
