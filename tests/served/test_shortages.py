"""Too little of something: descriptors, memory, watches, ports.

There is a sentence that says so, and whoever can be served still is. When there is enough again, all
is well, without a restart.
"""

from __future__ import annotations

import json
import resource
import select
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from pad19.service.changes import POLL
from support.capsule_folder import RELOADED, configure, page, received, reload, reload_in_vain
from support.namespaces import isolated
from support.proc import cpu_time
from support.process import PATIENCE, command, connect_socket, fetch, gemini, serving
from support.waiting import kill_worker, wait_for_workers, wait_until

pytestmark = pytest.mark.machine


# Descriptors


@contextmanager
def no_descriptors(pid: int, spare: int) -> Iterator[None]:
    """A process can open so many more files and no other."""
    taken = {int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir()}
    free = (number for number in range(len(taken) + spare + 1) if number not in taken)
    limit = [*free][spare]
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("spare", [0, 1, 2, 5])
def test_a_supervisor_without_descriptors(folder: Path, spare: int) -> None:
    with serving(folder, home=folder) as server:
        wait_until(lambda: command("status", str(folder), home=folder).returncode, 0)
        with no_descriptors(server.pid, spare):
            server.signal(signal.SIGUSR2)
            server.wait_for_err("generation 1\n")
            [problem] = reload_in_vain(server)
            assert "Too many open files" in problem
            assert received(server.address) == page()
            asked = command("status", str(folder), home=folder)
            assert asked.returncode == (0 if spare else 1), asked.stderr
            kill_worker(server)
            # What that one's pipes took is free now, and may or may not be enough for another one.
            failed = "a worker cannot be started (Too many open files)"
            wait_until(lambda: bool(server.workers) or failed in server.err)
        assert received(server.address) == page()
        reload(server)
        assert received(server.address) == page()
        assert server.stop() == 0


def test_who_asks_for_the_status_in_vain_keeps_nobody_busy(folder: Path) -> None:
    with serving(folder, home=folder, environment={"RUNTIME_DIRECTORY": str(folder)}) as server:
        wait_until(lambda: len([*folder.glob("*.sock")]), 1)
        [path] = folder.glob("*.sock")
        with no_descriptors(server.pid, 0):
            for _ in range(20):
                with connect_socket(path) as sock:
                    assert sock.recv(1) == b""
            before = cpu_time(server.pid)
            select.select([], [], [], 1.0)
            assert cpu_time(server.pid) - before < 0.3
        with connect_socket(path) as sock:
            assert json.loads(sock.makefile("rb").readline())["generation"] == 1
        assert server.stop() == 0


def test_no_descriptors_left(folder: Path) -> None:
    with serving(folder, home=folder) as server, ExitStack() as crowd:
        fetch(server.address, gemini(server.address, "/large.bin"))
        server.records(1)
        free = 10
        limit = server.descriptors + free
        resource.prlimit(server.worker, resource.RLIMIT_NOFILE, (limit, limit))
        socks = [crowd.enter_context(connect_socket(server.address)) for _ in range(2 * free)]
        for sock in socks:
            sock.sendall(b"\x16")  # so that it is handed over
        server.wait_for_err("new connections wait: Too many open files (raise LimitNOFILE= or ulimit -n)")
        assert server.descriptors == limit
        for sock in socks:
            sock.close()
        for _ in range(2):
            assert fetch(server.address, gemini(server.address)).received == page()
        assert fetch(server.address, gemini(server.address, "/large.bin")).clean
        records = server.records(1 + len(socks) + 3)
        assert server.stop() == 0
        assert server.err.count("new connections wait") == 1
    reasons = Counter(record["reason"] for record in records)
    assert reasons == {"": 4, "handshake failed: closed during the handshake": len(socks)}


# Everything else


def test_a_worker_without_memory(folder: Path) -> None:
    with (folder / "content/mebibyte.bin").open("wb") as file:
        file.truncate(1024 * 1024)
    with serving(folder, home=folder, suffers=True) as server:
        worker = server.worker
        # It has more already.
        resource.prlimit(worker, resource.RLIMIT_AS, (server.memory, resource.RLIM_INFINITY))
        for _ in range(50):
            with suppress(OSError):  # it may even be that there is enough
                fetch(server.address, gemini(server.address, "/mebibyte.bin"))
        with suppress(ProcessLookupError):  # it is dead, and replaced
            resource.prlimit(worker, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        for _ in range(5):
            assert received(server.address) == page()
        assert server.stop() == 0


def test_changes_without_inotify(folder: Path) -> None:
    launcher = isolated("echo 0 > /proc/sys/user/max_inotify_instances", "--user", "--map-root-user")
    configure(folder, watch=True)
    with serving(folder, home=folder, launcher=launcher) as server:
        server.wait_for_err("changes of files are noticed late, since they cannot be watched (")
        configure(folder, watch=True, lang="de")
        server.wait_for_err(RELOADED, patience=POLL + PATIENCE)
        assert received(server.address) == page("de")
        assert server.stop() == 0


def test_a_port_that_another_server_has(folder: Path) -> None:
    with serving(folder, home=folder) as server:
        port = server.address[1]
        configure(folder, listen=f"127.0.0.1:{port}")
        done = command("serve", str(folder), home=folder)
        assert done.returncode == 1
        assert done.stderr == (
            f'pad19: server.listen: "127.0.0.1:{port}" cannot be listened on: another program has it; '
            "stop that one, or choose another, for example with --listen localhost:1966\n"
        )
        assert received(server.address) == page()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        configure(folder)
        with serving(folder, home=folder) as server:
            configure(folder, listen=f"127.0.0.1:{taken.getsockname()[1]}")
            [problem] = reload_in_vain(server)
            assert "another program has it" in problem
            assert received(server.address) == page()
            taken.close()
            reload(server)
            wait_for_workers(server, 1)
            with pytest.raises(ConnectionRefusedError):
                received(server.address)
