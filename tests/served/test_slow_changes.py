"""Changes that take their time: what is half-written is not served, and holds up nothing that is."""

from __future__ import annotations

import select
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from pad19.service.fleet import FAIR_START
from support.capsule_folder import NOT_RELOADED, RELOADED, configure, page, received, reload
from support.files import write
from support.process import Serving, connect_socket, serving
from support.waiting import wait_for_end, wait_for_workers

pytestmark = pytest.mark.machine

PAUSE = 0.1  # seconds between two steps of whoever writes
OBSERVED = 1.0  # seconds in which what must not happen would have happened

# Each line of it completes a configuration that could be served. The last ones close the door.
LINES = ["[[capsule]]", "hosts = ['localhost']", *[f"# {number}" for number in range(20)]]
LINES += ["[[capsule.zone]]", "path = '/members/'", "allow = 'any'"]


def steps(count: int) -> Iterator[int]:
    """Numbers from 0 on, with a pause after each."""
    for step in range(count):
        yield step
        select.select([], [], [], PAUSE)


@pytest.fixture
def members(folder: Path) -> Path:
    return write(folder, {"content/members/a.gmi": "for members\n"})


def ask_members(server: Serving) -> bytes:
    return received(server.address, "/members/a.gmi")[:2]


def write_slowly(file: Path, parts: list[str], server: Serving, expected: bytes) -> None:
    """One after the other; members' pages are asked for meanwhile."""
    with file.open("w") as stream:
        for step in steps(len(parts)):
            stream.write(parts[step])
            stream.flush()
            assert ask_members(server) == expected, step


def test_many_saves_are_one_change(folder: Path) -> None:
    configure(folder, watch=True)
    with serving(folder, home=folder) as server:
        text = (folder / "pad19.toml").read_text()
        for step in steps(20):
            (folder / "pad19.toml").write_text(f"{text}# {step}\n")
            assert "reloaded" not in server.err
        server.wait_for_err(RELOADED)
        assert server.stop() == 0
        assert server.err.count(RELOADED) == 1


def test_a_file_that_is_written_slowly_is_read_when_it_is_complete(members: Path) -> None:
    configure(members, watch=True)
    start = (members / "pad19.toml").read_text()
    write(members, {"pad19.toml": start + "\n".join(LINES)})
    with serving(members, home=members) as server:
        halves = [half for line in LINES for half in (line[: len(line) // 2], f"{line[len(line) // 2 :]}\n")]
        write_slowly(members / "pad19.toml", [start, *halves], server, b"60")
        server.wait_for_err(RELOADED)
        assert ask_members(server) == b"60"
        assert server.stop() == 0
        assert (server.err.count(RELOADED), server.err.count("not reloaded")) == (1, 0)


def test_so_is_one_that_nobody_has_read_so_far(members: Path) -> None:
    """It belongs to a configuration that could not be read, so there is nothing to compare it with."""
    configure(members, watch=True, capsule="hosts = ['a.example']\ncontent = 'another'")
    configuration = (members / "pad19.toml").read_text()
    write(members, {"another/index.gmi": "", "sites/a.toml": "broken"})
    with serving(members, home=members) as server:
        write(members, {"pad19.toml": f"include = 'sites/*.toml'\n{configuration}"})
        server.wait_for_err(NOT_RELOADED)
        lines = [f"{line}\n" for line in (LINES[0], "content = '../content'", *LINES[1:])]
        write_slowly(members / "sites/a.toml", lines, server, b"53")
        server.wait_for_err(RELOADED)
        assert ask_members(server) == b"60"
        assert server.err.count(RELOADED) == 1


HUNG = "import sys, time\nprint('it hangs', file=sys.stderr)\ntime.sleep(999)\n"
ROUTES = """
from pad19 import Request, Routes

routes = Routes()

@routes.gemini("/")
def page(request: Request) -> str:
    return "{}"
""".format


def answer(text: str) -> bytes:
    return f"20 text/gemini; charset=utf-8\r\n{text}".encode()


@pytest.fixture
def routes(folder: Path) -> Path:
    configure(folder, watch=True, capsule="routes = 'routes'")
    return write(folder, {"routes/a.py": ROUTES("first")})


@pytest.mark.parametrize("by_signal", [False, True])
def test_routes_that_hang_make_way(routes: Path, by_signal: bool) -> None:
    configure(routes, watch=not by_signal, capsule="routes = 'routes'")
    with serving(routes, home=routes) as server:
        [old] = server.workers
        write(routes, {"routes/a.py": HUNG})
        if by_signal:
            server.signal(signal.SIGHUP)
        server.wait_for_err("it hangs")
        [_, hung] = server.workers
        write(routes, {"routes/a.py": ROUTES("second")})
        if by_signal:
            server.signal(signal.SIGHUP)
        server.wait_for_err(RELOADED, patience=FAIR_START + 5)
        wait_for_end([old, hung])
        assert b"second" in received(server.address, "/a/")
        assert server.stop() == 0
        assert (server.err.count(RELOADED), server.err.count("not reloaded")) == (1, 0)


def test_what_made_way_is_tried_anew_though_its_files_are_as_before(routes: Path) -> None:
    with serving(routes, home=routes) as server:
        (routes / "hang").touch()
        hung = "".join(f"    {line}\n" for line in HUNG.splitlines())
        text = f"import os\nif os.path.exists('{routes}/hang'):\n{hung}{ROUTES('new')}"
        write(routes, {"routes/a.py": text})
        server.wait_for_err("it hangs")
        file, kept = routes / "routes/a.py", routes / "kept"
        file.rename(kept)
        file.write_text("")
        for _ in steps(8):  # until that has been noticed
            pass
        (routes / "hang").unlink()
        kept.replace(file)
        server.wait_for_err(RELOADED)
        assert b"new" in received(server.address, "/a/")


def test_what_hangs_lets_go_of_new_addresses(routes: Path) -> None:
    """The next generation, which has them too, must not find them taken."""
    with serving(routes, home=routes) as server:
        with connect_socket(server.address) as sock:
            other = ("127.0.0.2", sock.getsockname()[1])  # which is free there
        configure(routes, watch=True, listen=f"{other[0]}:{other[1]}", capsule="routes = 'routes'")
        write(routes, {"routes/a.py": HUNG})
        server.wait_for_err("it hangs")
        write(routes, {"routes/a.py": ROUTES("second")})
        server.wait_for_err(RELOADED, patience=FAIR_START + 5)
        assert b"second" in received(other, "/a/")
        assert server.err.count("not reloaded") == 0


def test_a_storm_of_signals_ends_with_what_is_newest(folder: Path) -> None:
    with serving(folder, home=folder) as server:
        for step in steps(50):
            configure(folder, lang=("de", "fr")[step % 2])
            server.signal(signal.SIGHUP)
            received(server.address)
        configure(folder, lang="it")
        reloaded = server.err.count(RELOADED)
        assert reloaded  # in the middle of it
        reload(server)
        reload(server)
        assert received(server.address) == page("it")
        wait_for_workers(server, 1)
        assert server.stop() == 0
        assert server.err.count("not reloaded") == 0
