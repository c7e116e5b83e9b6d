"""The processes that serve: how many they are, and what becomes of those that crash or hang."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from pathlib import Path

import pytest

from pad19.service.fleet import SILENCE
from support.capsule_folder import (
    NOT_RELOADED,
    RELOADED,
    assert_whole,
    configure,
    page,
    received,
    reload,
    request,
    slow_download,
)
from support.files import write
from support.load import Load
from support.namespaces import isolated
from support.proc import children, cpu_time
from support.process import PATIENCE, connect_socket, fetch, gemini, read_rest, serving
from support.server import stdlib_context
from support.waiting import wait_for_end, wait_for_workers, wait_until

pytestmark = pytest.mark.machine

# A page that keeps its worker busy for ever.
BUSY = """
from pad19.content import static

call = static.StaticFiles.__call__

async def busy(self, request):
    while request.path == "/busy":
        pass
    return await call(self, request)

static.StaticFiles.__call__ = busy
"""


# Their number


def test_the_number_of_workers_changes(folder: Path) -> None:
    configure(folder, workers=0)
    with serving(folder, home=folder) as server:
        assert len(wait_for_workers(server, len(os.sched_getaffinity(0)))) > 0
        for count in (3, 1, 2):
            configure(folder, workers=count)
            reload(server)
            policies = {os.sched_getscheduler(pid) for pid in wait_for_workers(server, count)}
            # Several do not take the core from one another: each waits for its turn.
            assert policies == {os.SCHED_OTHER if count == 1 else os.SCHED_BATCH}
            assert received(server.address) == page()


def test_the_flag_counts_after_a_reload_too(folder: Path) -> None:
    with serving(folder, "--workers", "2", home=folder) as server:
        assert len(server.workers) == 2
        old = server.workers
        reload(server)
        wait_for_end(old)
        wait_for_workers(server, 2)


# Crashes


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_that_are_killed_are_missed_by_nobody_who_comes_later(folder: Path, workers: int) -> None:
    configure(folder, workers=workers)
    clients = 4
    context = stdlib_context()
    kills: list[float] = []
    gaps: list[float] = []  # seconds without an answer
    with serving(folder, home=folder) as server:
        address = server.address

        def ask() -> None:
            answer = fetch(address, gemini(address), context=context)
            assert answer.clean
            assert answer.received == page()

        with Load(clients, ask) as load:
            load.answered(0.0, 20)
            for _ in range(3):
                victims = server.workers
                assert len(victims) == workers
                kills.append(time.monotonic())
                for pid in victims:
                    os.kill(pid, signal.SIGKILL)
                gaps.append(load.answered(kills[-1]) - kills[-1])
                load.answered(kills[-1], 20)
                assert not {*victims} & {*wait_for_workers(server, workers)}
            load.stop()
        assert server.err.count("was ended by SIGKILL") == 3 * workers
        assert server.stop() == 0
    assert min(gaps) < 1.0, gaps  # each of them, on a machine that has nothing else to do
    # A moment for the second kill: who is lost was being served by one of them.
    lost = [sum(asked.start <= kill + 0.1 and kill <= asked.end for asked in load.failures) for kill in kills]
    assert sum(lost) == len(load.failures), load.failures
    assert max(lost) <= clients


def test_a_supervisor_that_is_killed_takes_its_workers_with_it(folder: Path) -> None:
    configure(folder, workers=3)
    with serving(folder, home=folder) as server:
        address, workers = server.address, server.workers
        assert received(address) == page()
        server.signal(signal.SIGKILL)
        wait_for_end(workers)
        socket.create_server(address).close()  # the port is free
        assert server.wait() == -signal.SIGKILL
    configure(folder, listen=f"127.0.0.1:{address[1]}")
    with serving(folder, home=folder) as server:
        assert received(address) == page()


# Processes that nobody else sees to

LEAVES_ONE = """#!/bin/sh
printf '20 text/plain\\r\\n'
(setsid sleep 0.2 >/dev/null 2>&1 &)
"""


def test_the_first_process_of_a_container_buries_what_others_leave_behind(folder: Path) -> None:
    launcher = isolated("", "--pid", "--fork", "--mount-proc", "--kill-child")
    write(folder, {"cgi/leave": LEAVES_ONE})
    (folder / "cgi/leave").chmod(0o755)
    configure(folder, capsule="cgi = { '/cgi/' = 'cgi' }")
    with serving(folder, home=folder, launcher=launcher) as server:
        [first] = server.workers  # of what has made the namespace
        [worker] = children(first)
        for _ in range(3):
            assert received(server.address, "/cgi/leave") == b"20 text/plain\r\n"
        wait_until(lambda: children(first), [worker])
        os.kill(worker, signal.SIGKILL)
        server.wait_for_err("was ended by SIGKILL")  # that status is not lost
        wait_until(lambda: len(children(first)), 1)
        assert received(server.address) == page()
        os.kill(first, signal.SIGTERM)
        assert server.wait() == 0


# Signals that are for the supervisor, and come to all processes of a service

FOR_SUPERVISORS = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP)


@pytest.mark.parametrize("number", FOR_SUPERVISORS)
def test_a_signal_that_comes_to_all_processes_ends_no_worker(folder: Path, number: signal.Signals) -> None:
    configure(folder, workers=2)
    with serving(folder, home=folder) as server:
        workers = server.workers
        with slow_download(server.address) as stream:
            for pid in workers:
                os.kill(pid, number)
            assert_whole(stream)
        assert received(server.address) == page()
        assert server.workers == workers
        assert server.stop() == 0
        assert "was ended by" not in server.err


@pytest.mark.parametrize("number", FOR_SUPERVISORS)
def test_nor_one_that_is_only_starting(folder: Path, number: signal.Signals) -> None:
    routes = {"routes/slow.py": "import time\nfrom pad19 import Routes\nroutes = Routes()\ntime.sleep(1)\n"}
    write(folder, routes)
    configure(folder, capsule="routes = 'routes'")
    with serving(folder, home=folder) as server:
        [old] = server.workers
        server.signal(signal.SIGHUP)
        wait_until(lambda: len(server.workers) == 2)
        [new] = {*server.workers} - {old}
        while RELOADED not in server.err:  # from its very beginning on
            os.kill(new, number)
            time.sleep(0.001)
        assert wait_for_workers(server, 1) == [new]
        assert NOT_RELOADED not in server.err


# Workers that hang


@pytest.fixture
def busy(folder: Path) -> dict[str, str]:
    """An environment in which ``/busy`` never ends."""
    (folder / "site").mkdir()
    (folder / "site/sitecustomize.py").write_text(BUSY)
    return {"PYTHONPATH": str(folder / "site")}


def wait_until_busy(pids: list[int]) -> int:
    """The one that is."""
    before = {pid: cpu_time(pid) for pid in pids}

    def are_busy() -> list[int]:
        return [pid for pid in pids if cpu_time(pid) - before[pid] > 0.2]

    wait_until(lambda: bool(are_busy()))
    return are_busy()[0]


def test_also_a_worker_that_is_busy(folder: Path, busy: dict[str, str]) -> None:
    with serving(folder, home=folder, environment=busy) as server, request(server.address, "/busy"):
        worker = wait_until_busy(server.workers)
        server.signal(signal.SIGKILL)
        wait_for_end([worker])


def test_workers_that_hang_are_replaced(folder: Path, busy: dict[str, str]) -> None:
    configure(folder, workers=2)
    environment = busy | {"PYTHONFAULTHANDLER": "1"}
    with serving(folder, home=folder, environment=environment) as server, request(server.address, "/busy"):
        workers = server.workers
        endless = wait_until_busy(workers)
        [stopped] = {*workers} - {endless}
        os.kill(stopped, signal.SIGSTOP)
        with connect_socket(server.address) as sock:  # which has to wait, but is not lost
            for pid in (endless, stopped):
                text = f"a worker (process {pid}) gave no sign of life for {SILENCE:g} s, so it was killed"
                server.wait_for_err(text, patience=SILENCE + PATIENCE)
            with stdlib_context().wrap_socket(sock, server_hostname="localhost") as stream:
                stream.sendall(f"{gemini(server.address)}\r\n".encode())
                assert read_rest(stream).received == page()
        wait_for_end(workers)
        assert not {*wait_for_workers(server, 2)} & {*workers}
        assert re.search(r'sitecustomize\.py", line \d in busy', server.err)  # what it was doing
        assert server.stop() == 0


def test_a_stop_in_a_hurry_does_not_wait_for_a_worker_that_hangs(
    folder: Path, manager: socket.socket
) -> None:
    with serving(folder, home=folder, environment={"NOTIFY_SOCKET": str(folder / "notify")}) as server:
        assert manager.recv(8192).startswith(b"READY=1")
        os.kill(server.worker, signal.SIGSTOP)
        server.signal(signal.SIGINT)
        assert manager.recv(8192).startswith(b"STOPPING=1")
        server.signal(signal.SIGINT)
        assert server.wait() == 0
