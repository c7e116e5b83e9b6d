"""A supervisor and its workers as real processes: crashes, reloads, draining, stopping."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from pad19.service.fleet import SILENCE
from support.load import Load
from support.process import (
    PATIENCE,
    Address,
    Serving,
    connect_socket,
    connect_tls,
    fetch,
    fingerprint,
    gemini,
    read_rest,
    serving,
)
from support.server import stdlib_context
from support.tls import Pair, self_signed

pytestmark = pytest.mark.machine

LARGE = 64 * 1024 * 1024  # bytes: more than the kernel's buffers take
GONE = b"53 this host is not served here\r\n"
BINARY = b"20 application/octet-stream\r\n"
RELOADED = "pad19: reloaded: Serving "
NOT_RELOADED = "pad19: not reloaded: what was served before is served still\n"
OBSERVED = 1.0  # seconds in which what must not happen would have happened

# A page that keeps the worker busy for ever, and one that takes the worker down.
BUSY = """
from pad19.content import static

call = static.StaticFiles.__call__

async def busy(self, request):
    while request.path == "/busy":
        pass
    return await call(self, request)

static.StaticFiles.__call__ = busy
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    content = tmp_path / "content"
    content.mkdir()
    (content / "index.gmi").write_text("# Pad 19\n")
    with (content / "large.bin").open("wb") as file:
        file.truncate(LARGE)
    return tmp_path


def configure(
    folder: Path,
    *,
    lang: str = "en",
    listen: str = "127.0.0.1:0",
    workers: int = 1,
    watch: bool = False,
    server: str = "",
    capsule: str = "",
    rest: str = "",
) -> None:
    """Write a configuration. ``lang`` is what tells one from another in the answers."""
    new = folder / "new"
    new.write_text(
        f"[server]\nlisten = ['{listen}']\nworkers = {workers}\nwatch = {str(watch).lower()}\n{server}\n"
        f"[log]\nformat = 'json'\n{rest}\n[[capsule]]\nlang = '{lang}'\n{capsule}\n"
    )
    new.replace(folder / "pad19.toml")


def page(lang: str = "en") -> bytes:
    return f"20 text/gemini; lang={lang}\r\n# Pad 19\n".encode()


def received(address: Address | Path, path: str = "/", host: str = "localhost") -> bytes:
    """The answer, which came whole."""
    port = 1965 if isinstance(address, Path) else address[1]
    answer = fetch(address, f"gemini://{host}:{port}{path}", server_name=host)
    assert answer.clean
    return answer.received


def wait_for(address: Address | Path, expected: bytes, host: str = "localhost") -> None:
    """Ask until that is the answer: those who drain may have taken some connections before."""
    wait_until(lambda: received(address, host=host), expected)


def is_refused(address: Address) -> bool:
    try:
        connect_socket(address).close()
    except ConnectionError:  # reset, if it was closed just then
        return True
    return False


def wait_until(ask: Callable[[], object], expected: object) -> None:
    deadline = time.monotonic() + PATIENCE
    while (answer := ask()) != expected:
        assert time.monotonic() < deadline, answer


def reload(server: Serving) -> None:
    """By signal, and wait until it is done."""
    count = server.err.count(RELOADED)
    server.signal(signal.SIGHUP)
    server.wait_for_err(RELOADED, count + 1)


def reload_in_vain(server: Serving) -> list[str]:
    """By signal; what is said then."""
    before = len(server.err)
    server.signal(signal.SIGHUP)
    server.wait_for_err(NOT_RELOADED, server.err.count(NOT_RELOADED) + 1)
    return said_since(server, before)


def said_since(server: Serving, before: int) -> list[str]:
    *problems, last = server.err[before:].splitlines(keepends=True)
    assert last == NOT_RELOADED
    return [problem.removeprefix("pad19: ").removesuffix("\n") for problem in problems]


def wait_for_end(pids: list[int]) -> None:
    """Of processes that need not be our children, and may have ended already."""
    for pid in pids:
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            ready, _, _ = select.select([fd], [], [], PATIENCE)
            if not ready:
                signal.pidfd_send_signal(fd, signal.SIGKILL)
        finally:
            os.close(fd)
        assert ready, f"process {pid} lives on"


def wait_for_workers(server: Serving, count: int) -> list[int]:
    deadline = time.monotonic() + PATIENCE
    while len(workers := server.workers) != count:
        assert time.monotonic() < deadline, f"{count} workers were expected: {workers}"
        select.select([], [], [], 0.01)
    return workers


@contextmanager
def slow_download(address: Address) -> Iterator[ssl.SSLSocket]:
    """A client that has the header, and no more for now."""
    with connect_tls(address, buffer=4096) as stream:
        stream.sendall(f"{gemini(address, '/large.bin')}\r\n".encode())
        assert stream.recv(len(BINARY)) == BINARY
        yield stream


def assert_whole(stream: ssl.SSLSocket) -> None:
    rest = read_rest(stream)
    assert (len(rest.received), rest.clean) == (LARGE, True)


@pytest.fixture
def manager(folder: Path) -> Iterator[socket.socket]:
    """Reads what a service tells systemd."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE)
        sock.bind(str(folder / "notify"))
        yield sock


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


@pytest.fixture
def busy(folder: Path) -> dict[str, str]:
    """An environment in which ``/busy`` never ends."""
    (folder / "site").mkdir()
    (folder / "site/sitecustomize.py").write_text(BUSY)
    return {"PYTHONPATH": str(folder / "site")}


def make_busy(address: Address) -> ssl.SSLSocket:
    """A connection whose worker does nothing any more but serve it."""
    stream = connect_tls(address)
    stream.sendall(f"{gemini(address, '/busy')}\r\n".encode())
    return stream


def cpu_time(pid: int) -> int:
    """In ticks (proc(5): stat, utime)."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11])


def wait_until_busy(pids: list[int]) -> int:
    """The one that is."""
    before = {pid: cpu_time(pid) for pid in pids}
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for pid in pids:
            if cpu_time(pid) - before[pid] > 0.2 * os.sysconf("SC_CLK_TCK"):
                return pid
        select.select([], [], [], 0.05)
    pytest.fail("nobody is busy")


def test_also_a_worker_that_is_busy(folder: Path, busy: dict[str, str]) -> None:
    configure(folder)
    with serving(folder, home=folder, environment=busy) as server, make_busy(server.address):
        worker = wait_until_busy(server.workers)
        server.signal(signal.SIGKILL)
        wait_for_end([worker])


def test_workers_that_hang_are_replaced(folder: Path, busy: dict[str, str]) -> None:
    configure(folder, workers=2)
    environment = busy | {"PYTHONFAULTHANDLER": "1"}
    with serving(folder, home=folder, environment=environment) as server, make_busy(server.address):
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
    configure(folder)
    with serving(folder, home=folder, environment={"NOTIFY_SOCKET": str(folder / "notify")}) as server:
        assert manager.recv(8192).startswith(b"READY=1")
        os.kill(server.worker, signal.SIGSTOP)
        server.signal(signal.SIGINT)
        assert manager.recv(8192).startswith(b"STOPPING=1")
        server.signal(signal.SIGINT)
        assert server.wait() == 0


# Reloading by SIGHUP


@pytest.mark.parametrize("workers", [1, 2])
def test_a_new_configuration_is_served(folder: Path, workers: int) -> None:
    configure(folder, workers=workers)
    with serving(folder, home=folder) as server:
        first = server.workers
        for lang in ("de", "fr"):
            configure(folder, lang=lang, workers=workers)
            reload(server)
            wait_for_end(first)
            first = wait_for_workers(server, workers)
            assert {received(server.address) for _ in range(2 * workers)} == {page(lang)}
        assert server.err.count("Listening on") == 1
        assert server.stop() == 0
        wait_for_end(first)


def test_reloading_nothing_new(folder: Path) -> None:
    configure(folder)
    with serving(folder, home=folder) as server:
        port = server.address[1]
        reload(server)
        assert f"{RELOADED}localhost on 127.0.0.1:{port}\n" in server.err
        wait_for(server.address, page())


def test_impatience(folder: Path) -> None:
    configure(folder)
    with serving(folder, home=folder) as server:
        configure(folder, lang="de")
        for _ in range(20):
            server.signal(signal.SIGHUP)
        server.wait_for_err(RELOADED)
        wait_for(server.address, page("de"))
        assert server.stop() == 0
        assert server.err.count(RELOADED) <= 3  # not one for each


def broken_toml(folder: Path, _stack: ExitStack) -> list[str]:
    (folder / "pad19.toml").write_text("a = ")
    return ["line 1, column 5 is not TOML"]


def two_mistakes(folder: Path, _stack: ExitStack) -> list[str]:
    (folder / "pad19.toml").write_text("[server]\nworkers = 65\nlissten = []")
    return ["server.lissten is no key", "server.workers is 65"]


def no_file(folder: Path, _stack: ExitStack) -> list[str]:
    (folder / "pad19.toml").unlink()
    (folder / "pad19.toml").mkdir()
    return ["pad19.toml cannot be read (Is a directory)"]


def missing_content(folder: Path, _stack: ExitStack) -> list[str]:
    configure(folder, capsule="content = 'missing'")
    return ["there is no such folder"]


def unreadable_key(folder: Path, _stack: ExitStack) -> list[str]:
    write_pair(folder, self_signed())
    (folder / "a.key").unlink()
    (folder / "a.key").mkdir()
    configure(folder, capsule="certificate = 'a.crt'\nkey = 'a.key'")
    return ["a.key cannot be read (Is a directory)"]


def wrong_key(folder: Path, _stack: ExitStack) -> list[str]:
    write_pair(folder, self_signed())
    (folder / "a.key").write_bytes(self_signed("other").key_pem)
    configure(folder, capsule="certificate = 'a.crt'\nkey = 'a.key'", workers=2)
    return ["a.key is not the key of a.crt"]


def no_log(folder: Path, _stack: ExitStack) -> list[str]:
    configure(folder, rest="access = 'missing/access.log'")
    return ["log.access is", "No such file or directory"][:1]


def taken_port(folder: Path, stack: ExitStack) -> list[str]:
    sock = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    configure(folder, listen=f"127.0.0.1:{sock.getsockname()[1]}")
    return ["another program has it"]


MISTAKES: list[Callable[[Path, ExitStack], list[str]]] = [
    broken_toml, two_mistakes, no_file, missing_content, unreadable_key, wrong_key, no_log, taken_port,
]  # fmt: skip


def write_pair(folder: Path, pair: Pair) -> None:
    (folder / "a.crt").write_bytes(pair.certificate_pem)
    (folder / "a.key").write_bytes(pair.key_pem)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_with_a_mistake_the_old_one_is_served_still(
    folder: Path, mistake: Callable[[Path, ExitStack], list[str]]
) -> None:
    configure(folder)
    with serving(folder, home=folder) as server, ExitStack() as stack:
        shown = fingerprint(server.address)
        worker = server.worker
        expected = mistake(folder, stack)
        for _ in range(2):
            problems = reload_in_vain(server)
            assert len(problems) == len(expected)
            for problem, text in zip(problems, expected, strict=True):
                assert text in problem
            wait_for(server.address, page())
            assert fingerprint(server.address) == shown
        assert wait_for_workers(server, 1) == [worker]
        if (folder / "pad19.toml").is_dir():
            (folder / "pad19.toml").rmdir()
        configure(folder, lang="de")
        reload(server)
        wait_for(server.address, page("de"))
        assert server.stop() == 0


def sha256(pair: Pair) -> str:
    return f"sha256:{pair.certificate.fingerprint(SHA256()).hex()}"


def test_certificates_are_read_again(folder: Path) -> None:
    configure(folder, capsule="certificate = 'a.crt'\nkey = 'a.key'")
    old, new = self_signed(), self_signed(padding=1)
    write_pair(folder, old)
    with serving(folder, home=folder) as server, slow_download(server.address) as stream:
        assert fingerprint(server.address) == sha256(old)
        write_pair(folder, new)
        assert fingerprint(server.address) == sha256(old)
        reload(server)
        wait_until(lambda: fingerprint(server.address), sha256(new))
        assert_whole(stream)


def test_hosts_come_and_go(folder: Path) -> None:
    hosts = "hosts = ['localhost', '{}']".format
    configure(folder, capsule=hosts("a.example"))
    with serving(folder, home=folder) as server:
        first = fingerprint(server.address, "a.example")
        configure(folder, capsule=hosts("b.example"), workers=2)
        reload(server)
        wait_for(server.address, page(), host="b.example")
        wait_for(server.address, GONE, host="a.example")
        certificate = x509.load_pem_x509_certificate((folder / "certs/b.example.crt").read_bytes())
        shown = fingerprint(server.address, "b.example")
        assert shown == f"sha256:{certificate.fingerprint(SHA256()).hex()}"
        assert f"{RELOADED}localhost, b.example on" in server.err
        configure(folder, capsule=hosts("a.example"))
        reload(server)
        wait_until(lambda: fingerprint(server.address, "a.example"), first)  # its certificate has stayed


def places(server: Serving) -> list[Address]:
    """Where it listens since the last reload."""
    *_, last = server.err.splitlines()
    assert last.startswith(RELOADED), last
    return [(host, int(port)) for host, port in re.findall(r"(127[\d.]+):(\d+)", last)]


def test_addresses_come_and_go(folder: Path) -> None:
    path = folder / "pad19.sock"
    configure(folder)
    with serving(folder, home=folder) as server:
        first = server.address
        with slow_download(first) as stream:
            configure(folder, listen=f"unix:{path}")
            reload(server)
            wait_for(path, page())
            wait_until(lambda: is_refused(first), True)
            assert_whole(stream)
        configure(folder, listen="127.0.0.2:0")
        reload(server)
        [second] = places(server)
        assert second[0] == "127.0.0.2"
        wait_for(second, page())
        assert not path.exists()
        configure(folder, listen=f"0.0.0.0:{second[1]}")  # of which that one is a part
        reload(server)
        for host in ("127.0.0.1", "127.0.0.2"):
            wait_for((host, second[1]), page())
        configure(folder, listen=f"127.0.0.1:{second[1]}")
        reload(server)
        wait_for(("127.0.0.1", second[1]), page())
        wait_until(lambda: is_refused(second), True)
        assert server.stop() == 0


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
            wait_for(server.address, page())


def test_the_flag_counts_after_a_reload_too(folder: Path) -> None:
    configure(folder, workers=1)
    with serving(folder, "--workers", "2", home=folder) as server:
        assert len(server.workers) == 2
        old = server.workers
        reload(server)
        wait_for_end(old)
        wait_for_workers(server, 2)


def test_a_name_that_is_not_utf_8(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    (folder / "content").mkdir(parents=True)
    (folder / "content/index.gmi").write_text("# Pad 19\n")
    configure(folder, watch=True)
    with serving(folder, home=tmp_path) as server:
        wait_for(server.address, page())
        configure(folder, lang="de", watch=True)
        reload(server)
        wait_for(server.address, page("de"))
        (folder / "certs/localhost.key").write_text("")
        [problem] = reload_in_vain(server)
        assert "localhost.key is empty" in problem
        assert server.stop() == 0


def test_systemd_is_told(folder: Path, manager: socket.socket) -> None:
    configure(folder)
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


# Reloading by watching


def test_a_changed_file_is_read(folder: Path) -> None:
    configure(folder, watch=True)
    with serving(folder, home=folder) as server:
        first = server.workers
        configure(folder, lang="de", watch=True)
        server.wait_for_err(RELOADED)
        wait_for(server.address, page("de"))
        (folder / "content/index.gmi").write_text("# Pad 19, again\n")
        (folder / "pad19.toml~").touch()
        assert received(server.address).endswith(b"again\n")  # without a reload
        before = len(server.err)
        (folder / "pad19.toml").write_text("a = ")
        server.wait_for_err(NOT_RELOADED)
        assert len(said_since(server, before)) == 1
        configure(folder, lang="fr", watch=True)
        server.wait_for_err(RELOADED, 2)
        wait_for(server.address, b"20 text/gemini; lang=fr\r\n# Pad 19, again\n")
        wait_for_end(first)
        assert server.stop() == 0
        assert server.err.count(RELOADED) == 2
        assert server.err.count(NOT_RELOADED) == 1


def test_included_files_are_watched(folder: Path) -> None:
    sites = folder / "sites"
    sites.mkdir()
    capsule = "[[capsule]]\nhosts = ['{}']\ncontent = '../content'\nlang = '{}'".format
    (sites / "a.toml").write_text(capsule("a.example", "de"))
    configure(folder, watch=True)
    path = folder / "pad19.toml"
    path.write_text(f"include = 'sites/*.toml'\n{path.read_text()}")
    with serving(folder, home=folder) as server:
        (sites / "a.toml").write_text(capsule("a.example", "fr"))
        server.wait_for_err(RELOADED)
        wait_for(server.address, page("fr"), host="a.example")
        (sites / "b.toml").write_text(capsule("b.example", "it"))
        server.wait_for_err(RELOADED, 2)
        wait_for(server.address, page("it"), host="b.example")
        (sites / "c.toml").write_text("a = ")
        server.wait_for_err(NOT_RELOADED)
        (sites / "c.toml").write_text(capsule("c.example", "es"))
        server.wait_for_err(RELOADED, 3)
        wait_for(server.address, page("es"), host="c.example")
        (sites / "a.toml").unlink()
        server.wait_for_err(RELOADED, 4)
        wait_for(server.address, GONE, host="a.example")
        assert server.stop() == 0
        assert (server.err.count(RELOADED), server.err.count(NOT_RELOADED)) == (4, 1)


class Certbot:
    """Keeps certificates as certbot does: numbered ones in archive/, and links to the last ones in live/."""

    def __init__(self, folder: Path) -> None:
        self._live, self._archive = folder / "live", folder / "archive"
        for path in (self._live, self._archive):
            path.mkdir()
        self._number = 0
        self.pair = self_signed()
        self.renew("fullchain", "privkey")

    def renew(self, *names: str) -> None:
        self._number += 1
        self.pair = self_signed(padding=self._number)
        texts = {"fullchain": self.pair.certificate_pem, "privkey": self.pair.key_pem}
        for name, text in texts.items():
            (self._archive / f"{name}{self._number}.pem").write_bytes(text)
        for name in names:
            self.link(name)

    def link(self, name: str) -> None:
        link = self._live / f"{name}.pem"
        link.unlink(missing_ok=True)
        link.symlink_to(f"../archive/{name}{self._number}.pem")


CERTBOT = "certificate = 'live/fullchain.pem'\nkey = 'live/privkey.pem'"


def test_renewed_certificates_are_shown(folder: Path) -> None:
    certbot = Certbot(folder)
    configure(folder, watch=True, capsule=CERTBOT)
    with serving(folder, home=folder) as server:
        for number in (1, 2, 3):
            wait_until(lambda: fingerprint(server.address), sha256(certbot.pair))
            certbot.renew("privkey", "fullchain")
            server.wait_for_err(RELOADED, number)
        wait_until(lambda: fingerprint(server.address), sha256(certbot.pair))
        assert server.stop() == 0


@pytest.mark.parametrize("names", [("privkey", "fullchain"), ("fullchain", "privkey")])
def test_certificates_that_are_renewed_slowly(folder: Path, names: tuple[str, str]) -> None:
    certbot = Certbot(folder)
    configure(folder, watch=True, capsule=CERTBOT)
    with serving(folder, home=folder) as server:
        old = certbot.pair
        certbot.renew(names[0])
        server.wait_for_err(NOT_RELOADED)
        assert "is not the key of" in server.err
        assert fingerprint(server.address) == sha256(old)
        certbot.link(names[1])
        server.wait_for_err(RELOADED)
        wait_until(lambda: fingerprint(server.address), sha256(certbot.pair))
        assert server.err.count(NOT_RELOADED) == 1


def test_a_key_that_is_mended_is_tried_again(folder: Path) -> None:
    (folder / "elsewhere").mkdir()
    configure(folder, watch=True)
    with serving(folder, home=folder) as server:
        write_pair(folder / "elsewhere", self_signed())
        (folder / "elsewhere/a.key").write_text("")
        configure(folder, watch=True, capsule="certificate = 'elsewhere/a.crt'\nkey = 'elsewhere/a.key'")
        server.wait_for_err(NOT_RELOADED)
        write_pair(folder / "elsewhere", self_signed())
        server.wait_for_err(RELOADED)
        wait_until(lambda: fingerprint(server.address), sha256(self_signed()))


def test_a_missing_file_is_not_another_configuration(folder: Path) -> None:
    """Without it, all of the folder would be content: code, keys, whatever lies there."""
    configure(folder, watch=True)
    with serving(folder, home=folder) as server:
        (folder / "pad19.toml").rename(folder / "elsewhere")
        server.wait_for_err(NOT_RELOADED)
        assert f"pad19: {folder}/pad19.toml is missing: put it back\n" in server.err
        assert received(server.address) == page()
        assert received(server.address, "/content/index.gmi").startswith(b"51 ")
        configure(folder, lang="de", watch=True)
        server.wait_for_err(RELOADED)
        assert received(server.address) == page("de")
        assert server.err.count(NOT_RELOADED) == 1


def test_what_was_missing_and_comes_is_noticed(folder: Path) -> None:
    configure(folder, watch=True)
    with serving(folder, home=folder) as server:
        configure(folder, watch=True, capsule="[[capsule.zone]]\npath = '/'\nallow = 'file:members.txt'")
        server.wait_for_err(NOT_RELOADED)
        assert received(server.address) == page()
        (folder / "members.txt").touch()  # nobody watches a file that no configuration has named so far
        server.wait_for_err(RELOADED)
        assert received(server.address).startswith(b"60 ")
        assert server.err.count(NOT_RELOADED) == 1


def test_who_does_not_want_it_is_not_reloaded(folder: Path) -> None:
    configure(folder, watch=False)
    with serving(folder, home=folder) as server:
        configure(folder, lang="de", watch=True)
        with pytest.raises(AssertionError, match="is missing in"):
            server.wait_for_err("reloaded", patience=OBSERVED)
        wait_for(server.address, page())
        reload(server)
        configure(folder, lang="fr", watch=False)
        server.wait_for_err(RELOADED, 2)
        configure(folder, lang="it", watch=False)
        with pytest.raises(AssertionError, match="is missing in"):
            server.wait_for_err(RELOADED, 3, patience=OBSERVED)
        wait_for(server.address, page("fr"))


# Draining


@pytest.mark.parametrize("workers", [1, 2])
def test_downloads_outlive_reloads_and_the_stop(folder: Path, workers: int) -> None:
    configure(folder, workers=workers)
    with serving(folder, home=folder) as server, ExitStack() as stack:
        address = server.address
        streams = []
        for lang in ("de", "fr", "it"):
            streams.append(stack.enter_context(slow_download(address)))
            configure(folder, lang=lang, workers=workers)
            reload(server)
            wait_for(address, page(lang))
        streams.append(stack.enter_context(slow_download(address)))
        server.signal(signal.SIGTERM)
        wait_until(lambda: is_refused(address), True)
        for stream in streams:
            assert_whole(stream)
        assert server.wait() == 0


def test_the_grace_period_ends_after_a_reload_too(folder: Path) -> None:
    configure(folder, rest="[limits]\ngrace_s = 0.2")
    with serving(folder, home=folder) as server, slow_download(server.address) as stream:
        worker = server.worker
        configure(folder, lang="de")
        reload(server)
        wait_for_end([worker])
        wait_for(server.address, page("de"))
        rest = read_rest(stream)
        assert not rest.clean
        assert len(rest.received) < LARGE
        record = server.records(1)[0]
        assert (record["reason"], record["status"]) == ("server stopped", 20)


def test_clients_that_wait_in_the_queue_are_served_at_the_stop(folder: Path) -> None:
    configure(folder)
    with serving(folder, home=folder) as server, ExitStack() as stack:
        os.kill(server.worker, signal.SIGSTOP)
        streams = [stack.enter_context(connect_socket(server.address)) for _ in range(5)]
        for stream in streams:
            stream.sendall(b"\x16")  # so that the kernel has it wait for the worker
        worker = server.worker
        server.signal(signal.SIGTERM)
        os.kill(worker, signal.SIGCONT)
        server.wait_for_err("stopping: open connections (5)")
        for stream in streams:
            stream.close()
        assert server.wait() == 0
        assert len(server.records(5)) == 5


def test_a_stop_while_a_reload_is_under_way_leaves_nothing_behind(folder: Path) -> None:
    path = folder / "new.sock"
    configure(folder, rest="[limits]\ngrace_s = 0.1")
    with serving(folder, home=folder) as server:
        [old] = server.workers
        configure(folder, listen=f"unix:{path}", rest="[limits]\ngrace_s = 0.1")
        server.signal(signal.SIGHUP)
        [pilot] = {*wait_for_workers(server, 2)} - {old}
        os.kill(pilot, signal.SIGSTOP)  # so that it does not become ready
        assert path.exists()
        server.signal(signal.SIGTERM)
        wait_for_end([old])
        with suppress(ProcessLookupError):
            os.kill(pilot, signal.SIGCONT)
        assert server.wait() == 0
        assert not path.exists()
        assert "reloaded" not in server.err


# The terminal


# Makes a terminal the controlling one. With "nohup" its end is ignored, as nohup(1) has it.
ATTACH = """
import fcntl, os, signal, sys, termios
os.setsid()
fcntl.ioctl(int(sys.argv[1]), termios.TIOCSCTTY, 0)
if sys.argv[2] == "nohup":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
os.execv(sys.argv[3], sys.argv[3:])
"""


@contextmanager
def on_terminal(folder: Path, how: str = "") -> Iterator[tuple[Serving, Callable[[], None]]]:
    """A server on a terminal of its own, and what closes that terminal."""
    ours, theirs = os.openpty()
    os.set_inheritable(theirs, True)
    left = [ours]

    def close() -> None:
        os.close(left.pop())

    launcher = [sys.executable, "-c", ATTACH, str(theirs), how]
    try:
        with serving(folder, home=folder, launcher=launcher, descriptors=[theirs]) as server:
            os.close(theirs)
            theirs = -1
            yield server, close
    finally:
        if theirs >= 0:
            os.close(theirs)
        while left:
            close()


def test_a_terminal_that_closes_stops_the_server(folder: Path) -> None:
    configure(folder)
    with on_terminal(folder) as (server, close), slow_download(server.address) as stream:
        close()
        server.wait_for_err("stopping: open connections (1)")
        assert_whole(stream)  # as at any other stop
        assert server.wait() == 0
        assert "reloaded" not in server.err


def test_with_a_terminal_the_signal_reloads(folder: Path) -> None:
    configure(folder)
    with on_terminal(folder) as (server, _):
        configure(folder, lang="de")
        reload(server)
        wait_for(server.address, page("de"))


def test_who_outlives_the_terminal_is_reloaded(folder: Path) -> None:
    configure(folder)
    with on_terminal(folder, "nohup") as (server, close):
        configure(folder, lang="de")
        close()
        server.wait_for_err(RELOADED)
        wait_for(server.address, page("de"))
        configure(folder, lang="fr")
        reload(server)
        wait_for(server.address, page("fr"))
        assert server.stop() == 0


def test_ctrl_c_reaches_the_supervisor_alone(folder: Path) -> None:
    configure(folder)
    with on_terminal(folder) as (server, _), slow_download(server.address) as stream:
        group = os.getpgid(server.pid)
        assert [os.getpgid(pid) for pid in server.workers] != [group]
        os.killpg(group, signal.SIGINT)
        server.wait_for_err("stopping: open connections (1)")
        assert_whole(stream)
        assert server.wait() == 0
