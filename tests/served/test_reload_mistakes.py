"""A reload that cannot be: what was served before is served still, and what is wrong is said."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.capsule_folder import (
    NOT_RELOADED,
    RELOADED,
    configure,
    is_refused,
    page,
    received,
    reload,
    reload_in_vain,
    write_pair,
)
from support.files import write
from support.load import Load
from support.process import command, fetch, fingerprint, gemini, serving
from support.server import stdlib_context
from support.tls import self_signed
from support.waiting import kill_worker, wait_for_workers

pytestmark = pytest.mark.machine


def broken_toml(folder: Path, _stack: ExitStack) -> list[str]:
    (folder / "pad19.toml").write_text("a = ")
    return ["line 1, column 5 is not TOML"]


def two_mistakes(folder: Path, _stack: ExitStack) -> list[str]:
    (folder / "pad19.toml").write_text("[server]\nworkers = 65\nlissten = []")
    return ["server.lissten is no key", "server.workers is 65"]


def no_file(folder: Path, _stack: ExitStack) -> list[str]:
    (folder / "pad19.toml").unlink()
    (folder / "pad19.toml").mkdir()
    return ["pad19.toml is a folder: name a file, such as pad19.toml in it"]


def nothing_in_it(folder: Path, _stack: ExitStack) -> list[str]:
    (folder / "pad19.toml").write_text("")
    return ["pad19.toml has become empty: put back what was in it, or a comment if you mean that"]


def missing_content(folder: Path, _stack: ExitStack) -> list[str]:
    configure(folder, capsule="content = 'missing'")
    return ["there is no such folder"]


def unreadable_key(folder: Path, _stack: ExitStack) -> list[str]:
    write_pair(folder, self_signed())
    (folder / "a.key").unlink()
    (folder / "a.key").mkdir()
    configure(folder, capsule="certificate = 'a.crt'\nkey = 'a.key'")
    return ["a.key is a folder where a file belongs"]


def wrong_key(folder: Path, _stack: ExitStack) -> list[str]:
    write_pair(folder, self_signed())
    (folder / "a.key").write_bytes(self_signed("other").key_pem)
    configure(folder, capsule="certificate = 'a.crt'\nkey = 'a.key'", workers=2)
    return ["a.key is not the key of a.crt"]


def no_log(folder: Path, _stack: ExitStack) -> list[str]:
    configure(folder, log="access = 'missing/access.log'")
    return ["log.access is"]


def taken_port(folder: Path, stack: ExitStack) -> list[str]:
    sock = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    configure(folder, listen=f"127.0.0.1:{sock.getsockname()[1]}")
    return ["another program has it"]


MISTAKES: list[Callable[[Path, ExitStack], list[str]]] = [
    broken_toml, two_mistakes, no_file, nothing_in_it, missing_content, unreadable_key, wrong_key, no_log,
    taken_port,
]  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_with_a_mistake_the_old_one_is_served_still(
    folder: Path, mistake: Callable[[Path, ExitStack], list[str]]
) -> None:
    with serving(folder, home=folder) as server, ExitStack() as stack:
        shown = fingerprint(server.address)
        worker = server.worker
        expected = mistake(folder, stack)
        for _ in range(2):
            problems = reload_in_vain(server)
            assert len(problems) == len(expected)
            for problem, text in zip(problems, expected, strict=True):
                assert text in problem
            assert received(server.address) == page()
            assert fingerprint(server.address) == shown
        assert wait_for_workers(server, 1) == [worker]
        if (folder / "pad19.toml").is_dir():
            (folder / "pad19.toml").rmdir()
        configure(folder, lang="de")
        reload(server)
        assert received(server.address) == page("de")
        assert server.stop() == 0


def test_an_address_that_takes_precedence_takes_no_clients_before_it_is_served(folder: Path) -> None:
    slow = "import time\nfrom pad19 import Routes\nroutes = Routes()\ntime.sleep(2)\n"
    write(folder, {"routes/a.py": "from pad19 import Routes\nroutes = Routes()\n"})
    configure(folder, listen="0.0.0.0:0", capsule="routes = 'routes'")
    context = stdlib_context()
    with serving(folder, home=folder) as server:
        address = ("127.0.0.1", server.address[1])

        def ask() -> None:
            answer = fetch(address, gemini(address), context=context)
            assert answer.clean
            assert answer.received == page()

        with Load(2, ask) as load:
            for text in ("import nonsense\n", slow):
                write(folder, {"routes/a.py": text})
                configure(folder, listen=f"127.0.0.1:{address[1]}", capsule="routes = 'routes'")
                (reload if text == slow else reload_in_vain)(server)
            load.answered(time.monotonic(), 10)
            assert load.stop()
        assert not load.failures
        assert max(asked.end - asked.start for asked in load.stop()) < 1.5  # seconds: nobody waited for slow
        assert server.addresses[0] == ("0.0.0.0", address[1])
        assert is_refused(("127.0.0.2", address[1]))


ROUTE = "from pad19 import Routes\nroutes = Routes()\n@routes.gemini('/')\nasync def a(request): return 'a'\n"


def test_a_crash_while_a_route_is_broken(folder: Path) -> None:
    write(folder, {"routes/a.py": ROUTE, "routes/b.py": ROUTE})
    configure(folder, capsule="routes = 'routes'", watch=True)
    with serving(folder, home=folder) as server:
        write(folder, {"routes/a.py": "import nonsense\n"})
        server.wait_for_err(NOT_RELOADED)
        assert received(server.address, "/a/").endswith(b"\r\na")
        for count in (1, 2):
            kill_worker(server)
            server.wait_for_err("was ended by SIGKILL", count)
            assert received(server.address) == page()
            assert received(server.address, "/a/") == b"42 internal error\r\n"
            assert received(server.address, "/b/").endswith(b"\r\na")
        [told] = [line for line in server.err.splitlines() if "is answered with 42" in line]
        assert f"{folder}/routes/a.py, line 1: ModuleNotFoundError" in told
        assert told.removeprefix("pad19: ") in command("status", str(folder), home=folder).stdout
        write(folder, {"routes/a.py": ROUTE})
        server.wait_for_err(RELOADED)
        assert received(server.address, "/a/").endswith(b"\r\na")
        status = command("status", str(folder), home=folder).stdout
        assert "is answered with 42" not in status
        assert server.stop() == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_a_crash_while_a_certificate_is_broken(folder: Path, workers: int) -> None:
    configure(folder, workers=workers)
    with serving(folder, home=folder) as server:
        before = fingerprint(server.address)
        (folder / "certs/localhost.key").write_text("half")
        old = server.workers
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        server.wait_for_err("was ended by SIGKILL", workers)
        assert received(server.address) == page()
        assert fingerprint(server.address) == before
        assert not {*wait_for_workers(server, workers)} & {*old}
        assert reload_in_vain(server)  # whoever wants the file hears of it
        assert fingerprint(server.address) == before
        assert server.stop() == 0


def test_a_check_beside_a_server_that_runs_asks_nobody_but_its_status(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        ports = [sock.getsockname()[1] for sock in (one, two)]
    more = f"[[forwarder]]\nlisten = '127.0.0.1:{ports[0]}'\nfrom = ['127.0.0.1']\n"
    more += f"[metrics]\nlisten = '127.0.0.1:{ports[1]}'\n"
    configure(folder, listen=f"unix:{folder}/a.sock", rest=more)
    with serving(folder, home=folder) as server:
        done = command("check", str(folder), home=folder)
        assert done.stderr == ""
        assert f"note: pad19 runs already, on 127.0.0.1:{ports[0]}\n" in done.stdout
        (folder / "a.sock").unlink()
        done = command("check", str(folder), home=folder)
        assert "it was removed, though pad19 runs; reload that" in done.stderr
        assert server.stop() == 0
        assert server.out == ""
        assert "PROXY" not in server.err


def test_systemd_is_told(folder: Path, manager: socket.socket) -> None:
    with serving(folder, home=folder, environment={"NOTIFY_SOCKET": str(folder / "notify")}) as server:

        def told() -> list[str]:
            return manager.recv(8192).decode().split("\n")

        status = f"STATUS=Serving localhost on 127.0.0.1:{server.address[1]}"
        assert told() == ["READY=1", status]
        reload(server)
        assert [line.partition("=")[0] for line in told()] == ["RELOADING", "MONOTONIC_USEC"]
        assert told() == ["READY=1", status]
        for mistake in (broken_toml, wrong_key):
            mistake(folder, ExitStack())
            reload_in_vain(server)
            assert told()[0] == "RELOADING=1"
            assert told() == ["READY=1", f"{status} (the last reload failed)"]
