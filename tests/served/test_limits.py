"""The limits on connections over the wire, with one worker and with several: theirs are the same."""

from __future__ import annotations

import os
import re
import signal
import socket
import ssl
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Barrier, Event

import pytest

from support.capsule_folder import configure, page, reload
from support.load import Load
from support.process import PATIENCE, Address, Serving, gemini, read_rest, serving
from support.server import Answer, stdlib_context
from support.waiting import wait_until

pytestmark = pytest.mark.machine

SERVER_FULL = b"41 the server is full, try again in a minute\r\n"
ADDRESS_FULL = b"41 too many connections from your address at once\r\n"
HONEST = "127.0.0.2"
OTHERS = "127.0.0.3"
WORKERS = pytest.mark.parametrize("workers", [1, 2])


@contextmanager
def limited(folder: Path, workers: int, limits: str) -> Iterator[Serving]:
    """A server with these workers and limits."""
    log = "format = 'json'\naddresses = 'full'"
    configure(folder, workers=workers, log=log, rest=f"[limits]\n{limits}")
    with serving(folder, home=folder) as server:
        yield server
        assert server.stop() == 0


def connect(address: Address, source: str = HONEST) -> ssl.SSLSocket:
    """A connection from an address of this machine, with hands shaken: it counts from now on."""
    sock = socket.create_connection(address, PATIENCE, source_address=(source, 0))
    try:
        return shake_hands(sock)
    except BaseException:
        sock.close()
        raise


def shake_hands(sock: socket.socket) -> ssl.SSLSocket:
    return stdlib_context().wrap_socket(sock, server_hostname="localhost", suppress_ragged_eofs=False)


def ask(stream: ssl.SSLSocket, address: Address) -> Answer:
    with suppress(OSError):  # who is refused need not be heard
        stream.sendall(f"{gemini(address)}\r\n".encode())
    return read_rest(stream)


def visit(address: Address, source: str = HONEST) -> bytes:
    with connect(address, source) as stream:
        return ask(stream, address).received


def visit_until_served(address: Address) -> None:
    """What was closed a moment ago may count still."""
    wait_until(lambda: visit(address), page())


@WORKERS
def test_connections_in_total(folder: Path, workers: int) -> None:
    with limited(folder, workers, "connections = 6") as server, ExitStack() as stack:
        held = [stack.enter_context(connect(server.address)) for _ in range(6)]
        for source in (HONEST, OTHERS):
            for _ in range(3):
                assert visit(server.address, source) == SERVER_FULL
        for stream in held[:2]:
            assert ask(stream, server.address).received == page()
            stream.close()
        visit_until_served(server.address)
        held[:2] = [stack.enter_context(connect(server.address)) for _ in range(2)]
        assert visit(server.address) == SERVER_FULL
        for stream in held:
            assert ask(stream, server.address).received == page()


@WORKERS
def test_connections_of_one_address(folder: Path, workers: int) -> None:
    with limited(folder, workers, "per_address = 3") as server, ExitStack() as stack:
        held = [stack.enter_context(connect(server.address)) for _ in range(3)]
        for _ in range(3):
            assert visit(server.address) == ADDRESS_FULL
            assert visit(server.address, OTHERS) == page()
        assert ask(held[0], server.address).received == page()
        visit_until_served(server.address)


def test_many_at_the_same_time(folder: Path) -> None:
    limit, workers = 10, 2
    clients = 3 * limit
    with limited(folder, workers, f"connections = {limit}") as server:
        waiting, judged = Barrier(clients + 1, timeout=PATIENCE), Barrier(clients, timeout=PATIENCE)

        def hold(_: int) -> bytes:
            with socket.create_connection(server.address, PATIENCE) as sock:
                waiting.wait()
                with suppress(OSError), shake_hands(sock) as stream:
                    judged.wait()
                    return ask(stream, server.address).received
                judged.wait()  # it was closed at once
                return b""

        for pid in server.workers:
            os.kill(pid, signal.SIGSTOP)
        with ThreadPoolExecutor(clients) as threads:
            answers = threads.map(hold, range(clients))
            waiting.wait()
            for pid in server.workers:  # all at once, as far as there are processors
                os.kill(pid, signal.SIGCONT)
            heard = Counter(answers)
        assert heard.keys() <= {page(), SERVER_FULL, b""}
        assert limit <= heard[page()] <= limit + workers  # see dispatch/limits/shared_counts.py
        visit_until_served(server.address)


RATE = re.compile(rb"44 ([1-9]\d*)\r\n")


@WORKERS
def test_a_rate(folder: Path, workers: int) -> None:
    window = 3  # seconds
    with limited(folder, workers, f"rate = '5/{window}s'") as server:
        begin = time.monotonic()
        assert [visit(server.address) for _ in range(5)] == [page()] * 5
        told = RATE.fullmatch(visit(server.address))
        assert told
        assert 1 <= int(told[1]) <= window
        due = time.monotonic() + int(told[1])
        assert visit(server.address, OTHERS) == page()
        time.sleep(max(0.0, due - time.monotonic()))  # as told, and not a moment longer
        assert visit(server.address) == page()
        assert time.monotonic() - begin >= window


@WORKERS
def test_a_rate_outlives_workers_and_reloads(folder: Path, workers: int) -> None:
    with limited(folder, workers, "rate = '5/1h'") as server:
        assert [visit(server.address) for _ in range(5)] == [page()] * 5
        for count in (1, 2):
            old = server.workers
            reload(server)
            assert RATE.fullmatch(visit(server.address))
            for pid in {*server.workers} - {*old}:
                os.kill(pid, signal.SIGKILL)
            server.wait_for_err("was ended by SIGKILL", count * workers)
            assert RATE.fullmatch(visit(server.address))
        assert visit(server.address, OTHERS) == page()


@WORKERS
def test_connections_count_across_a_reload(folder: Path, workers: int) -> None:
    with limited(folder, workers, "connections = 6\nper_address = 4") as server, ExitStack() as stack:
        held = [stack.enter_context(connect(server.address)) for _ in range(4)]
        reload(server)
        assert visit(server.address) == ADDRESS_FULL
        held += [stack.enter_context(connect(server.address, OTHERS)) for _ in range(2)]
        assert visit(server.address, OTHERS) == SERVER_FULL
        for stream in held:
            assert ask(stream, server.address).received == page()
            stream.close()
        visit_until_served(server.address)


def is_open(stream: ssl.SSLSocket) -> bool:
    stream.settimeout(0.0)
    try:
        stream.recv(1)
    except ssl.SSLWantReadError:
        return True
    except OSError:
        return False
    else:
        return False
    finally:
        stream.settimeout(PATIENCE)


def test_a_worker_that_is_killed_gives_its_connections_back(folder: Path) -> None:
    limit = 8
    with limited(folder, 2, f"connections = {limit}") as server, ExitStack() as stack:
        held = [stack.enter_context(connect(server.address)) for _ in range(limit)]
        assert visit(server.address) == SERVER_FULL
        for count, pid in enumerate(server.workers, 1):  # one of them has at least half of all
            os.kill(pid, signal.SIGKILL)
            server.wait_for_err("was ended by SIGKILL", count)
            left = [stream for stream in held if is_open(stream)]
            free = limit - len(left)
            visit_until_served(server.address)
            held = left + [stack.enter_context(connect(server.address)) for _ in range(free)]
            if free:
                assert visit(server.address) == SERVER_FULL
            for stream in held[len(left) :]:
                assert ask(stream, server.address).received == page()
                stream.close()
            held = left


FLOODS = [  # limits, what the flood is told
    ("connections = 64\nper_address = 4", ADDRESS_FULL),
    ("rate = '10/1h'", rb"44 \d+\r\n"),
]


@WORKERS
@pytest.mark.parametrize(("limits", "told"), FLOODS)
def test_a_flood(folder: Path, workers: int, limits: str, told: bytes) -> None:
    with limited(folder, workers, f"request_s = 1\n{limits}") as server:
        address = server.address
        heard: Counter[bytes] = Counter()
        is_held_off = Event()

        def insist() -> None:
            try:
                with connect(address, "127.0.0.1") as stream:
                    heard[read_rest(stream).received] += 1  # without a request
            except OSError:  # closed at once
                heard[b"closed"] += 1
            if heard[b"closed"] and any(re.fullmatch(told, answer) for answer in [*heard]):
                is_held_off.set()

        with Load(12, insist) as flood:
            assert is_held_off.wait(PATIENCE), heard
            for _ in range(8):
                start = time.monotonic()
                assert visit(address) == page()
                assert time.monotonic() - start < PATIENCE / 2
            flood.stop()
        start = time.monotonic()
        assert visit(address) == page()
        assert time.monotonic() - start < 1.0
        assert all(not answer or answer == b"closed" or re.fullmatch(told, answer) for answer in heard), heard
        assert "pad19: " not in server.err  # nothing that an operator could mend
