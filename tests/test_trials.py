"""A server whose machine fails it: full and missing disks, wrong clocks, no descriptors, no listeners.

Each time there is a sentence that says so, and whoever can be served still is. When the machine is
well again, so is the server, without a restart.
"""

from __future__ import annotations

import json
import os
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

import pytest

from pad19.service.changes import POLL
from support.disk import fill_up, read_only, small_disk, unmount
from support.process import (
    CHUNK,
    COMMAND,
    PATIENCE,
    Address,
    Serving,
    command,
    connect_socket,
    connect_tls,
    fetch,
    fingerprint,
    gemini,
    read_rest,
    serving,
)

pytestmark = pytest.mark.machine

PAGE = b"20 text/gemini\r\n# Pad 19\n"
UNREACHABLE = b"40 the pages cannot be read now\r\n"
NOT_FOUND = b"51 not found\r\n"
RELOADED = "pad19: reloaded: Serving "
NOT_RELOADED = "pad19: not reloaded: what was served before is served still\n"
GONE = "content' cannot be entered (No such file or directory)"
FULL = "cannot be written (No space left on device), lines wait"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_pages(tmp_path / "content")
    configure(tmp_path)
    return tmp_path


def write_pages(content: Path, text: str = "# Pad 19\n") -> None:
    content.mkdir(exist_ok=True)
    (content / "index.gmi").write_text(text)


def configure(folder: Path, *, listen: str = "127.0.0.1:0", watch: bool = False, rest: str = "") -> None:
    new = folder / "new"
    new.write_text(f"[server]\nlisten = ['{listen}']\nwatch = {str(watch).lower()}\n{rest}\n")
    new.replace(folder / "pad19.toml")


def received(server: Serving, path: str = "/", host: str = "localhost") -> bytes:
    answer = fetch(server.address, gemini(server.address, path, host), server_name=host)
    assert answer.clean
    return answer.received


def reload(server: Serving) -> None:
    count = server.err.count(RELOADED)
    server.signal(signal.SIGHUP)
    server.wait_for_err(RELOADED, count + 1)


def reload_in_vain(server: Serving) -> str:
    """What is said about it."""
    before = len(server.err)
    server.signal(signal.SIGHUP)
    server.wait_for_err(NOT_RELOADED, server.err.count(NOT_RELOADED) + 1)
    return server.err[before:]


def wait_until(holds: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
    deadline = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < deadline, what
        select.select([], [], [], 0.02)


def kill_worker(server: Serving) -> None:
    """The one that is left after a reload."""
    wait_until(lambda: len(server.workers) == 1, "the end of the old worker")
    os.kill(server.worker, signal.SIGKILL)


# The disk of the log


def test_a_log_on_a_full_disk(folder: Path) -> None:
    disk = folder / "log"
    disk.mkdir()
    with small_disk(disk):
        configure(folder, rest=f"[log]\naccess = '{disk}/access.log'\nformat = 'json'")
        with serving(folder, home=folder) as server:
            fill_up(disk / "ballast")
            lines = 5
            assert [received(server) for _ in range(lines)] == [PAGE] * lines
            server.wait_for_err(FULL)
            assert received(server) == PAGE
            (disk / "ballast").unlink()
            wait_until(
                lambda: (disk / "access.log").read_text().count("\n") == lines + 1, "lines that have waited"
            )
            for line in (disk / "access.log").read_text().splitlines():
                assert json.loads(line)["status"] == 20
            assert server.stop() == 0
            assert server.err.count(FULL) == 1
            assert "lost" not in server.err


def test_reloads_and_a_stop_with_a_full_disk(folder: Path) -> None:
    disk = folder / "log"
    disk.mkdir()
    with small_disk(disk):
        configure(folder, rest=f"[log]\naccess = '{disk}/access.log'")
        with serving(folder, home=folder) as server:
            fill_up(disk / "ballast")
            assert received(server) == PAGE
            server.wait_for_err(FULL)
            reload(server)
            server.wait_for_err("access log: 1 line lost, the disk")  # with the old worker
            assert received(server) == PAGE
            server.wait_for_err(FULL, 2)
            assert server.stop() == 0
            assert server.err.count("access log: 1 line lost, the disk") == 2


def test_a_log_on_a_disk_that_goes_away(folder: Path) -> None:
    disk = folder / "log"
    disk.mkdir()
    with small_disk(disk):
        configure(folder, rest=f"[log]\naccess = '{disk}/access.log'")
        with serving(folder, home=folder) as server:
            assert received(server) == PAGE
            with read_only(disk):
                (problem, _) = reload_in_vain(server).splitlines()
                assert 'access.log", but it cannot be opened (Read-only file system)' in problem
                assert received(server) == PAGE
            unmount(disk)
            log = disk / "access.log"  # in the folder below
            wait_until(lambda: received(server) == PAGE and log.exists(), "another log")
            reload(server)
            assert received(server) == PAGE
            assert server.stop() == 0
        assert log.read_text().count("\n") >= 2


# The folder of certificates


def test_certificates_that_cannot_be_written(folder: Path) -> None:
    certs = folder / "certs"
    certs.mkdir()
    with read_only(certs):
        done = command("serve", str(folder), home=folder)
        assert done.returncode == 2
        assert re.fullmatch(
            r"pad19: /\S+/certs/localhost\.key cannot be written \(Read-only file system\); "
            r"make the folder writable for the user that runs pad19, or name another one\n",
            done.stderr,
        )
    with serving(folder, home=folder) as server:
        shown = fingerprint(server.address)
    with read_only(certs), serving(folder, home=folder) as server:
        assert fingerprint(server.address) == shown
        configure(folder, rest="[[capsule]]\nhosts = ['localhost', 'a.example']")
        assert "certs/a.example.key cannot be written (Read-only file system)" in reload_in_vain(server)
        assert received(server) == PAGE
        kill_worker(server)
        assert received(server) == PAGE
        unmount(certs)
        reload(server)
        assert received(server, host="a.example") == PAGE
        assert fingerprint(server.address) == shown
        assert server.stop() == 0


# The content

# Root as others are: what has mode 000 is closed to it, too.
ORDINARY = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]


def test_content_that_goes_away_and_comes_back(folder: Path) -> None:
    content, away = folder / "content", folder / "away"
    with serving(folder, home=folder) as server:
        assert received(server) == PAGE
        for _ in range(2):
            before = server.err.count(GONE)
            content.rename(away)
            for path in ("/", "/missing", "/sub/page.gmi"):
                assert received(server, path) == UNREACHABLE  # not 51: nobody knows whether it is gone
            assert server.err.count(GONE) == before + 1
            assert "there is no such folder" in reload_in_vain(server)
            kill_worker(server)
            assert received(server) == UNREACHABLE
            away.rename(content)
            assert received(server) == PAGE
            assert received(server, "/missing") == NOT_FOUND
            reload(server)
        write_pages(away, "# Another one\n")
        content.rename(folder / "old")
        away.rename(content)
        assert received(server).endswith(b"# Another one\n")
        assert server.stop() == 0


def test_content_that_is_removed_while_it_is_sent(folder: Path) -> None:
    size = 32 * 1024 * 1024  # bytes: more than the kernel's buffers take
    with (folder / "content/large.bin").open("wb") as file:
        file.truncate(size)
    with serving(folder, home=folder) as server, connect_tls(server.address, buffer=4096) as stream:
        stream.sendall(f"{gemini(server.address, '/large.bin')}\r\n".encode())
        header = b"20 application/octet-stream\r\n"
        assert stream.recv(len(header)) == header
        shutil.rmtree(folder / "content")
        assert received(server) == UNREACHABLE
        left = size
        while data := stream.recv(CHUNK):
            left -= len(data)
        assert left == 0


def test_content_that_may_not_be_read(folder: Path) -> None:
    if os.geteuid() == 0 and not shutil.which(ORDINARY[0]):
        pytest.skip("without setpriv(1), root may read everything")
    content = folder / "content"
    launcher = ORDINARY if os.geteuid() == 0 else []
    with serving(folder, home=folder, launcher=launcher) as server:
        try:
            content.chmod(0)
            for _ in range(3):
                assert received(server) == UNREACHABLE
            server.wait_for_err("content' cannot be entered (Permission denied)")
            content.chmod(0o700)
            assert received(server) == PAGE
            (content / "index.gmi").chmod(0)
            assert received(server) == NOT_FOUND
            server.wait_for_err("content/' is answered with 51: Permission denied. Let this process read it")
        finally:
            content.chmod(0o700)
        assert server.stop() == 0
        assert server.err.count("cannot be entered") == 1


def test_a_disk_with_content(folder: Path) -> None:
    content = folder / "content"
    (content / "index.gmi").unlink()
    with small_disk(content):
        write_pages(content)
        with serving(folder, home=folder) as server:
            assert received(server) == PAGE
            unmount(content)
            assert received(server) == NOT_FOUND  # an empty folder like any other
            with small_disk(content):
                write_pages(content, "# Another disk\n")
                assert received(server).endswith(b"# Another disk\n")
                fill_up(content / "ballast")
                assert received(server).endswith(b"# Another disk\n")
            assert server.stop() == 0


# Nowhere to write, nothing to watch


def isolated(script: str, *options: str) -> list[str]:
    """What starts a program in namespaces of its own, after a script there. Skips where that cannot be."""
    found = ["unshare", *options, "sh", "-ec", f'{script}\nexec "$@"', "sh"]
    try:
        done = subprocess.run([*found, "true"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("unshare(1) is not installed")
    if done.returncode:
        pytest.skip(f"not possible here: {done.stderr.strip()}")
    return found


def test_a_machine_with_no_place_to_write(folder: Path) -> None:
    points = {line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()}
    places = ["/", *sorted(points & {"/tmp", "/var/tmp", "/run", "/dev/shm"})]  # noqa: S108 - that is where others write
    launcher = isolated("\n".join(f"mount -o remount,bind,ro {place}" for place in places), "--mount")
    environment = {"TMPDIR": str(folder), "RUNTIME_DIRECTORY": "", "XDG_RUNTIME_DIR": ""}
    with serving(folder, home=folder):
        pass  # it makes a certificate
    with serving(folder, home=folder, launcher=launcher, environment=environment) as server:
        with pytest.raises(OSError, match="Read-only"):
            Path(f"/proc/{server.pid}/root{folder}/file").touch()
        server.wait_for_err("`pad19 status` will not work: there is no folder that sockets can be made in")
        assert received(server) == PAGE
        reload(server)
        kill_worker(server)
        assert received(server) == PAGE
        assert server.stop() == 0


def test_changes_without_inotify(folder: Path) -> None:
    launcher = isolated("echo 0 > /proc/sys/user/max_inotify_instances", "--user", "--map-root-user")
    configure(folder, watch=True)
    with serving(folder, home=folder, launcher=launcher) as server:
        server.wait_for_err("changes of files are noticed late, since they cannot be watched (")
        configure(folder, watch=True, rest="[[capsule]]\nlang = 'de'")
        server.wait_for_err(RELOADED, patience=POLL + PATIENCE)
        assert received(server) == b"20 text/gemini; lang=de\r\n# Pad 19\n"
        assert server.stop() == 0


# Too little of something


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


def cpu_time(pid: int) -> float:
    """Seconds (proc(5): stat, utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("spare", [0, 1, 2, 5])
def test_a_supervisor_without_descriptors(folder: Path, spare: int) -> None:
    with serving(folder, home=folder) as server:
        wait_until(lambda: command("status", str(folder), home=folder).returncode == 0, "pad19 status")
        with no_descriptors(server.pid, spare):
            server.signal(signal.SIGUSR2)
            server.wait_for_err("generation 1\n")
            assert "Too many open files" in reload_in_vain(server)
            assert received(server) == PAGE
            asked = command("status", str(folder), home=folder)
            assert asked.returncode == (0 if spare else 1), asked.stderr
            kill_worker(server)
            # What that one's pipes took is free now, and may or may not be enough for another one.
            wait_until(
                lambda: (
                    bool(server.workers) or "a worker cannot be started (Too many open files)" in server.err
                ),
                "what has become of the worker",
            )
        assert received(server) == PAGE
        reload(server)
        assert received(server) == PAGE
        assert server.stop() == 0


def test_who_asks_for_the_status_in_vain_keeps_nobody_busy(folder: Path) -> None:
    with serving(folder, home=folder, environment={"RUNTIME_DIRECTORY": str(folder)}) as server:
        wait_until(lambda: [*folder.glob("*.sock")] != [], "the socket")
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


def test_a_worker_without_memory(folder: Path) -> None:
    with (folder / "content/large.bin").open("wb") as file:
        file.truncate(1024 * 1024)
    with serving(folder, home=folder, suffers=True) as server:
        worker = server.worker
        resource.prlimit(
            worker, resource.RLIMIT_AS, (server.memory, resource.RLIM_INFINITY)
        )  # it has more already
        for _ in range(50):
            with suppress(OSError):  # it may even be that there is enough
                fetch(server.address, gemini(server.address, "/large.bin"))
        with suppress(ProcessLookupError):  # it is dead, and replaced
            resource.prlimit(worker, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        for _ in range(5):
            assert received(server) == PAGE
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
        assert received(server) == PAGE
    with socket.create_server(("127.0.0.1", 0)) as taken:
        configure(folder)
        with serving(folder, home=folder) as server:
            configure(folder, listen=f"127.0.0.1:{taken.getsockname()[1]}")
            assert "another program has it" in reload_in_vain(server)
            assert received(server) == PAGE
            taken.close()
            reload(server)
            wait_until(lambda: len(server.workers) == 1, "the end of the old worker")
            with pytest.raises(ConnectionRefusedError):
                received(server)


# The clock on the wall

# The C library's clock on the wall, moved by the seconds that a file holds. All other clocks are left alone.
CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static long offset(void) {
    long seconds = 0;
    FILE *file = fopen(getenv("PAD19_TEST_CLOCK"), "re");
    if (file && fscanf(file, "%ld", &seconds) != 1) seconds = 0;
    if (file) fclose(file);
    return seconds;
}

int clock_gettime(clockid_t which, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int status = real(which, now);
    if (!status && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)) now->tv_sec += offset();
    return status;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec exact;
    int status = clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return status;
}

time_t time(time_t *result) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (result) *result = now.tv_sec;
    return now.tv_sec;
}
"""
DAY = 86_400  # seconds


class WallClock:
    """What a server takes for the time."""

    def __init__(self, folder: Path) -> None:
        library = folder / "clock.so"
        (folder / "clock.c").write_text(CLOCK)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, folder / "clock.c", "-ldl"], check=True)
        self._file = folder / "clock"
        self.environment = {"LD_PRELOAD": str(library), "PAD19_TEST_CLOCK": str(self._file)}
        self.move(0)

    def move(self, seconds: int) -> None:
        """By so many seconds from the real time."""
        new = self._file.with_name("clock.new")
        new.write_text(str(seconds))
        new.replace(self._file)
        self._now = time.time() + seconds

    def is_near(self, moment: str) -> bool:
        """Whether it was about then that it was moved the last time (ISO 8601)."""
        return abs(datetime.fromisoformat(moment).timestamp() - self._now) < 2 * PATIENCE


@pytest.fixture
def clock(folder: Path) -> WallClock:
    if not shutil.which("cc"):
        pytest.skip("a clock that can be moved takes a C compiler")
    return WallClock(folder)


def test_a_clock_that_begins_in_1970(folder: Path, clock: WallClock) -> None:
    configure(folder, rest="[log]\nformat = 'json'\n[limits]\nrate = '4/1h'")
    clock.move(-int(time.time()))
    with serving(folder, home=folder, environment=clock.environment) as server:
        assert "made just now, valid until 2069-12-31" in server.err
        shown = fingerprint(server.address)
        assert received(server) == PAGE
        clock.move(0)  # the network is there, and somebody knows the time
        assert received(server) == PAGE
        (folder / "content/index.gmi").write_text("# Pad 20\n")
        assert received(server) == PAGE.replace(b"19", b"20")
        assert re.fullmatch(rb"44 \d+\r\n", received(server))
        reload(server)
        assert fingerprint(server.address) == shown
        records = server.records(5)
        assert records[1]["time"].startswith("1970-01-01T00:00:")
        assert clock.is_near(records[2]["time"])
        assert server.stop() == 0


@pytest.mark.parametrize("jump", [-400 * DAY, -3600, 3600, 400 * DAY])
def test_a_clock_that_jumps(folder: Path, clock: WallClock, jump: int) -> None:
    limit = 1.0  # seconds
    configure(folder, rest=f"[log]\nformat = 'json'\n[limits]\nrequest_s = {limit}\nrate = '5/1h'")
    with serving(folder, home=folder, environment=clock.environment) as server:
        assert received(server) == PAGE
        worker = server.worker
        with connect_tls(server.address) as slow, connect_tls(server.address) as silent:
            begin = time.monotonic()
            clock.move(jump)
            slow.sendall(f"{gemini(server.address)}\r\n".encode())
            assert slow.recv(CHUNK) == PAGE
            assert read_rest(silent).received == b""
            assert limit * 0.9 < time.monotonic() - begin < limit + PATIENCE / 2
        assert received(server) == PAGE
        (folder / "content/index.gmi").write_text("# Pad 20\n")
        assert received(server) == PAGE.replace(b"19", b"20")
        assert re.fullmatch(rb"44 \d+\r\n", received(server))  # it is an hour since nobody's first visit
        records = server.records(6)
        assert all(0 <= record["duration_ms"] < 1000 * PATIENCE for record in records)
        assert records[2]["reason"] == "request timeout"
        assert clock.is_near(records[3]["time"])
        assert server.workers == [worker]
        status = command("status", str(folder), home=folder).stdout
        assert re.match(r"pad19 \S+, up \d+\.\d s,", status)
        assert server.stop() == 0


# Standard output and error


class Unheard:
    """A server whose announcement nobody hears."""

    def __init__(self, process: subprocess.Popen[bytes], address: Address) -> None:
        self.pid = process.pid
        self.process = process
        self.address = address

    @property
    def workers(self) -> list[int]:
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    def answers(self) -> bool:
        with suppress(ConnectionError):
            return fetch(self.address, gemini(self.address)).received == PAGE
        return False


@contextmanager
def unheard(folder: Path, redirection: str, stderr: int = subprocess.DEVNULL) -> Iterator[Unheard]:
    """`pad19 serve` with a redirection as the shell knows them, until it has been stopped."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        address = sock.getsockname()
    configure(folder, listen=f"127.0.0.1:{address[1]}", rest="[log]\naccess = 'access.log'")
    process = subprocess.Popen(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", *COMMAND, "serve", str(folder)],
        env=os.environ | {"HOME": str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
    )
    with process:
        server = Unheard(process, address)
        try:
            wait_until(server.answers, "an answer")
            yield server
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()


CLOSED = ["2>&-", "2>&- >&- <&-", ">&- <&-", "2>/dev/full", "2>/dev/null"]


@pytest.mark.parametrize("redirection", CLOSED)
def test_a_server_that_nobody_can_hear(folder: Path, redirection: str) -> None:
    with unheard(folder, redirection) as server:
        for fd in (0, 1, 2):  # nothing of its own has got there
            assert Path(f"/proc/{server.workers[0]}/fd/{fd}").readlink() in {
                Path("/dev/null"), Path("/dev/full"),
            }  # fmt: skip
        [old] = server.workers
        os.kill(old, signal.SIGKILL)
        wait_until(lambda: server.workers not in ([], [old]), "another worker")
        assert server.answers()
        [old] = server.workers
        os.kill(server.pid, signal.SIGHUP)
        wait_until(lambda: old not in server.workers, "a reload")
        assert server.answers()
    log = (folder / "access.log").read_text()
    assert log.count(" 20 9\n") == log.count("\n") >= 2  # the killed one may have kept its lines


@pytest.mark.parametrize("redirection", [">&-", ">&- <&-", "2>&1 >&-", "</dev/null 1</dev/null"])
def test_an_access_log_to_nowhere(folder: Path, redirection: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", *COMMAND, "serve", str(folder)],
        env=os.environ | {"HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 2
    problem = 'log.access is "-", but standard output is closed: open it, name a file, or write "off"'
    assert f"pad19: {problem}\n" in {done.stderr, done.stdout}


def test_a_reader_of_messages_that_ends(folder: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        with unheard(folder, "", stderr=writer) as server:
            [old] = server.workers
            os.kill(server.pid, signal.SIGHUP)
            wait_until(lambda: old not in server.workers, "a reload")
            assert server.answers()
    finally:
        os.close(writer)


def fill_pipe(reader: int) -> None:
    """Leave no room in a pipe."""
    fd = os.open(f"/proc/self/fd/{reader}", os.O_WRONLY | os.O_NONBLOCK)
    try:
        for size in (4096, 1):
            with suppress(BlockingIOError):
                while True:
                    os.write(fd, b"x" * size)
    finally:
        os.close(fd)


def empty_pipe(reader: int) -> str:
    os.set_blocking(reader, False)
    parts = []
    with suppress(BlockingIOError):
        while data := os.read(reader, CHUNK):
            parts.append(data)
    return b"".join(parts).decode()


def test_messages_that_nobody_reads_hold_up_nobody(folder: Path) -> None:
    reader, writer = os.pipe()
    try:
        with unheard(folder, "", stderr=writer) as server:
            fill_pipe(reader)
            for _ in range(2):
                [old] = server.workers
                os.kill(old, signal.SIGKILL)
                wait_until(lambda old=old: server.workers not in ([], [old]), "another worker")  # type: ignore[misc]  # it cannot infer a default
                assert server.answers()
                [old] = server.workers
                os.kill(server.pid, signal.SIGHUP)
                wait_until(lambda old=old: old not in server.workers, "a reload")  # type: ignore[misc]  # likewise
                assert server.answers()
                os.kill(server.pid, signal.SIGUSR2)
            # The worker has something to say, too.
            (folder / "content").rename(folder / "away")
            assert fetch(server.address, gemini(server.address)).received == UNREACHABLE
            (folder / "away").rename(folder / "content")
            assert set(empty_pipe(reader).rpartition("\n")[2]) == {"x"}
            [old] = server.workers
            os.kill(server.pid, signal.SIGHUP)
            wait_until(lambda: old not in server.workers, "a reload")
            assert re.search(
                r"pad19: \d+ messages lost, since nobody read standard error\n", said := empty_pipe(reader)
            )
            assert said.endswith(f"{RELOADED}localhost on 127.0.0.1:{server.address[1]}\n")
            fill_pipe(reader)  # nor does a stop wait
    finally:
        os.close(reader)
        os.close(writer)
