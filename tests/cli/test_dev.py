"""`pad19 dev`: from a save to what the browser and the terminal show."""

from __future__ import annotations

import os
import pty
import re
import statistics
import subprocess
import time
import tty
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import click
import pytest

from pad19.service.changes import POLL
from support import proc
from support.capsule_folder import NOT_RELOADED, RELOADED
from support.load import Load
from support.process import COMMAND, Serving, command, fetch, gemini
from support.waiting import wait_for_workers

pytestmark = pytest.mark.machine

PAGE = """\
from pad19 import Request, Routes
routes = Routes()

@routes.gemini("/")
async def page(request: Request) -> str:
    return "{}"
"""
SAVES = 20
SOON = 2.0  # seconds from a save to its effect, half of the time; on a machine that does nothing else, 0.3
MANY = 100
GROWTH = 4 * 1024 * 1024  # bytes that a supervisor may gain by many saves: caches that fill once


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("content", "routes"):
        (tmp_path / name).mkdir()
    (tmp_path / "content/index.gmi").write_text("# Pad 19\n")
    save(tmp_path, "page", PAGE.format("old"))
    configure(tmp_path)
    return tmp_path


def configure(folder: Path, rest: str = "") -> None:
    (folder / "pad19.toml").write_text(
        f"[server]\nlisten = ['127.0.0.1:0']\n{rest}\n[[capsule]]\nroutes = 'routes'\n"
    )


def save(folder: Path, name: str, text: str) -> None:
    """As most editors do it: in place."""
    (folder / f"routes/{name}.py").write_text(text)


@contextmanager
def developing(
    folder: Path, *arguments: str, stdout: int = subprocess.PIPE, environment: Mapping[str, str] | None = None
) -> Iterator[Serving]:
    """`pad19 dev`, from its announcement to its end."""
    kept = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    process = subprocess.Popen(
        [*COMMAND, "dev", *arguments, str(folder)],
        env=kept | {"HOME": str(folder.parent)} | dict(environment or {}),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
    )
    with process:
        server = Serving(process)
        try:
            server.wait_for_err("Try: ")
            yield server
        finally:
            process.kill()
            server.wait()


def received(server: Serving, path: str = "/page/") -> str:
    answer = fetch(server.address, gemini(server.address, path))
    assert answer.clean
    return answer.received.decode()


def until(server: Serving, expected: Callable[[str], bool], path: str = "/page/") -> str:
    """Ask after each reload until that is the answer.

    When a reload is told nobody gets an older answer any more, so an answer that is not the expected one
    becomes so by a reload that has not been told when it was asked for.
    """
    while True:
        reloads = server.err.count(RELOADED)
        if expected(answer := received(server, path)):
            return answer
        server.wait_for_err(RELOADED, reloads + 1)


def shows(text: str) -> Callable[[str], bool]:
    return lambda answer: answer == f"20 text/gemini\r\n{text}"


# What is said at the start


def test_it_says_how_to_try_it(folder: Path) -> None:
    with developing(folder) as server:
        port = server.address[1]
        *_, listening, hint = server.err.splitlines()
        assert listening == f"Listening on 127.0.0.1:{port}. Stop with Ctrl-C."
        assert hint == f"Try: pad19 get gemini://localhost:{port}/"
        done = command(*hint.split()[2:], home=folder)
        assert (done.returncode, done.stdout) == (0, "# Pad 19\n")
        assert server.stop() == 0


def test_a_folder_of_pages_is_enough(folder: Path) -> None:
    with developing(folder / "content", "--listen", "127.0.0.1:0") as server:
        assert received(server, "/") == "20 text/gemini\r\n# Pad 19\n"


def test_a_mistake_in_the_configuration_is_one_sentence(folder: Path) -> None:
    configure(folder, "workers = 'x'")
    done = command("dev", str(folder), home=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"pad19: .*pad19\.toml: server\.workers is .*\n", done.stderr)


def test_what_the_file_says_of_workers_watching_and_logs_is_for_serving(folder: Path) -> None:
    configure(folder, "workers = 3\nwatch = false\n[log]\naccess = 'access.log'\nformat = 'json'")
    with developing(folder) as server:
        assert len(server.workers) == 1
        save(folder, "page", PAGE.format("new"))
        until(server, shows("new"))
        assert server.lines(1)
        assert server.stop() == 0
    assert not (folder / "access.log").exists()


# Saving


def test_a_save_is_served_soon(folder: Path, record_property: Callable[[str, object], None]) -> None:
    with developing(folder) as server:
        seconds = []
        for number in range(SAVES):
            start = time.monotonic()
            save(folder, "page", PAGE.format(number))
            until(server, shows(f"{number}"))
            seconds.append(time.monotonic() - start)
            server.wait_for_err(RELOADED, number + 1)
        assert server.stop() == 0
    median = statistics.median(seconds)
    record_property("seconds", f"{median:.3f}")
    assert median <= SOON


def test_files_come_and_go(folder: Path) -> None:
    with developing(folder) as server:
        assert received(server, "/more/") == "51 not found\r\n"
        save(folder, "more", PAGE.format("more"))
        until(server, shows("more"), "/more/")
        (folder / "routes/more.py").unlink()
        until(server, lambda answer: answer == "51 not found\r\n", "/more/")
        assert received(server) == "20 text/gemini\r\nold"


def test_so_do_files_in_folders(folder: Path) -> None:
    with developing(folder) as server:
        (folder / "routes/blog").mkdir()
        (folder / "routes/blog/__init__.py").write_text(PAGE.format("blog"))
        until(server, shows("blog"), "/blog/")
        (folder / "routes/blog/_posts.py").write_text("text = 'posts'")
        (folder / "routes/blog/__init__.py").write_text(
            "from ._posts import text\n" + PAGE.replace('"{}"', "text")
        )
        until(server, shows("posts"), "/blog/")
        (folder / "routes/blog/_posts.py").write_text("text = 'changed'")
        until(server, shows("changed"), "/blog/")


@pytest.mark.parametrize("name", ["blog", "."])
def test_saves_in_a_folder_that_was_replaced_are_noticed(folder: Path, name: str) -> None:
    routes, file = folder / "routes", folder / "routes/blog/__init__.py"
    file.parent.mkdir()
    file.write_text(PAGE.format("old"))
    with developing(folder) as server:
        (routes / name).rename(folder / "before")
        file.parent.mkdir(parents=True)
        file.write_text(PAGE.format("new"))
        until(server, shows("new"), "/blog/")
        for number in range(3):
            start = time.monotonic()
            file.write_text(PAGE.format(number))
            until(server, shows(f"{number}"), "/blog/")
            assert time.monotonic() - start < POLL / 2
        assert server.stop() == 0


def test_content_and_configuration_too(folder: Path) -> None:
    with developing(folder) as server:
        (folder / "content/index.gmi").write_text("# Changed\n")
        assert received(server, "/") == "20 text/gemini\r\n# Changed\n"
        with (folder / "pad19.toml").open("a") as file:
            file.write("lang = 'de'\n")
        until(server, lambda answer: answer.startswith("20 text/gemini; lang=de\r\n"), "/")


# Mistakes


BROKEN = [  # the module, the title of its page
    ("def page(:\n", "# SyntaxError: invalid syntax"),
    ("import nowhere\n", "# ModuleNotFoundError: No module named 'nowhere'"),
    (PAGE.format("") + "1 / 0\n", "# ZeroDivisionError: division by zero"),
    ("", "# it has no routes: write routes = Routes()"),
    (
        PAGE.format("new") + "@routes.lifespan\nasync def life(capsule):\n    1 / 0\n    yield\n",
        "# ZeroDivisionError: division by zero",
    ),
    (
        PAGE.format("one") + PAGE.format("two").partition("routes = Routes()\n")[2],
        "# route /page/, page.page (/",
    ),
]


@pytest.mark.parametrize(("text", "title"), BROKEN)
def test_a_broken_module_shows_what_ails_it(folder: Path, text: str, title: str) -> None:
    save(folder, "other", PAGE.format("other"))
    with developing(folder) as server:
        save(folder, "page", text)
        answer = until(server, lambda answer: title in answer)
        assert answer.startswith(f"20 text/gemini\r\n{title}")
        assert f"{folder}/routes/page.py cannot be mounted" in answer
        server.wait_for_err(f"pad19: {folder}/routes/page.py")
        if "nowhere" in text:
            server.wait_for_err("Traceback (most recent call last):\n")
            assert "    import nowhere\n" in server.err
        assert received(server, "/page/or/any/other").startswith(f"20 text/gemini\r\n{title}")
        assert received(server, "/other/") == "20 text/gemini\r\nother"
        assert received(server, "/") == "20 text/gemini\r\n# Pad 19\n"
        save(folder, "page", PAGE.format("mended"))
        until(server, shows("mended"))
        assert server.stop() == 0


@pytest.mark.parametrize(("text", "title"), BROKEN)
def test_it_begins_with_a_broken_module_too(folder: Path, text: str, title: str) -> None:
    save(folder, "page", text)
    with developing(folder) as server:
        assert title in received(server)
        assert received(server, "/") == "20 text/gemini\r\n# Pad 19\n"
        save(folder, "page", PAGE.format("mended"))
        until(server, shows("mended"))


def test_where_the_index_is_broken_files_are_still_served(folder: Path) -> None:
    (folder / "content/a.txt").write_text("a file")
    with developing(folder) as server:
        save(folder, "index", "1 / 0\n")
        page = "20 text/gemini\r\n# ZeroDivisionError: division by zero\n"
        until(server, lambda answer: answer.startswith(page), "/")
        assert received(server, "/none").startswith(page)
        assert received(server, "/a.txt") == "20 text/plain\r\na file"
        assert received(server) == "20 text/gemini\r\nold"


def test_an_error_in_a_route_shows_there_and_in_the_terminal(folder: Path) -> None:
    save(folder, "page", PAGE.replace('return "{}"', "return 1 / 0"))
    with developing(folder) as server:
        answer = received(server)
        assert answer.startswith("20 text/gemini\r\n# ZeroDivisionError: division by zero\n")
        [error] = re.findall(r"The log has it as error ([0-9a-f]{8})\.", answer)
        server.wait_for_err("ZeroDivisionError: division by zero\n")
        assert f"pad19: error {error}: route /page/, page.page" in server.err
        assert "    return 1 / 0\n" in server.err
        [line] = server.lines(1)
        assert line.endswith(f"  {gemini(server.address, '/page/')}  (error page)")


def test_a_missing_await_is_told_in_the_terminal(folder: Path) -> None:
    save(folder, "page", PAGE.replace('return "{}"', 'request.store.set("x", 1)\n    return "lost"'))
    with developing(folder) as server:
        assert received(server).endswith("lost")
        server.wait_for_err("SQLiteStore.set() was called, but has done nothing\n")
        assert f"pad19: page.page: await is missing at {folder}/routes/page.py, line " in server.err


# The terminal


LINE = r"\d\d:\d\d:\d\d  (\d\d|--)  +\d+\.\d ms  +[\d,]+ B  (.+)"


def test_requests_show_in_the_terminal(folder: Path) -> None:
    with developing(folder) as server:
        for path in ("/", "/none", "/page/?a%1Bb"):
            received(server, path)
        lines = server.lines(3)
        found = [re.fullmatch(LINE, line) for line in lines]
        assert [match.groups() for match in found if match] == [
            ("20", gemini(server.address)),
            ("51", gemini(server.address, "/none")),
            ("20", gemini(server.address, "/page/?a%1Bb")),
        ]


@pytest.mark.parametrize(("environment", "has_colour"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colours_are_for_terminals(folder: Path, environment: dict[str, str], has_colour: bool) -> None:
    """Unless somebody does not want them: https://no-color.org."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)  # as the bytes are
    try:
        with developing(folder, stdout=theirs, environment=environment) as server:
            received(server)
            shown = b""
            while not shown.endswith(b"\n"):
                shown += os.read(ours, 4096)
            text = shown.decode().rstrip()
            assert re.fullmatch(LINE, click.unstyle(text))
            assert ("\x1b[" in text) is has_colour
            assert server.stop() == 0
    finally:
        os.close(theirs)
        os.close(ours)


# Nothing is left behind


class Supervisor:
    """What a process has, as the kernel tells it (proc(5))."""

    def __init__(self, server: Serving) -> None:
        self._server = server
        self._folder = Path(f"/proc/{server.pid}")

    @property
    def descriptors(self) -> list[str]:
        """What they lead to, without numbers of sockets and pipes."""
        names = [str(fd.readlink()) for fd in (self._folder / "fd").iterdir()]
        return sorted(re.sub(r"\[\d+\]", "", name) for name in names)

    @property
    def memory(self) -> int:
        return proc.memory(self._server.pid)

    @property
    def threads(self) -> int:
        return len(list((self._folder / "task").iterdir()))

    def settled(self) -> None:
        """Wait until it has one worker, and those before it have ended."""
        wait_for_workers(self._server, 1)


@pytest.mark.timeout(120)
def test_many_saves_under_load_leave_nothing_behind(
    folder: Path, record_property: Callable[[str, object], None]
) -> None:
    with developing(folder) as server:
        supervisor = Supervisor(server)
        for number in range(5):  # until everything is there that stays
            save(folder, "page", PAGE.format(f"first {number}"))
            until(server, shows(f"first {number}"))
        supervisor.settled()
        before = (supervisor.descriptors, supervisor.threads)
        memory = supervisor.memory
        seen: set[str] = set()
        with Load(2, lambda: seen.add(received(server))) as load:
            for number in range(MANY):
                save(folder, "page", PAGE.format(number))
                if number % 5 == 4:  # and the others while it reloads
                    until(server, shows(f"{number}"))
            load.stop()
        assert load.failures == []
        supervisor.settled()
        assert (supervisor.descriptors, supervisor.threads) == before
        growth = supervisor.memory - memory
        reloads = server.err.count(RELOADED)
        record_property("growth", growth)
        record_property("reloads", reloads)
        assert growth < GROWTH
        assert reloads >= MANY / 5  # several saves may be one change
        assert NOT_RELOADED not in server.err
        assert seen >= {f"20 text/gemini\r\n{MANY - 1}"}
        assert server.stop() == 0
