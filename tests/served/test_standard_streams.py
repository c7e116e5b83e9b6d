"""Standard output and standard error that are closed, full, or read by nobody."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from support import proc
from support.capsule_folder import RELOADED, UNREACHABLE, configure, page, received
from support.process import CHUNK, COMMAND, PATIENCE
from support.waiting import wait_until

pytestmark = pytest.mark.machine


class Unheard:
    """A server whose announcement nobody hears."""

    def __init__(self, process: subprocess.Popen[bytes], address: Path) -> None:
        self.pid = process.pid
        self.process = process
        self.address = address

    @property
    def workers(self) -> list[int]:
        return proc.children(self.pid)

    def replace_worker(self) -> None:
        """Kill the only one, and wait for another one."""
        [old] = self.workers
        os.kill(old, signal.SIGKILL)
        wait_until(lambda: self.workers not in ([], [old]))

    def reload(self) -> None:
        """Until the old worker has ended, since nobody hears when it is done."""
        [old] = self.workers
        os.kill(self.pid, signal.SIGHUP)
        wait_until(lambda: old not in self.workers)

    def answers(self) -> bool:
        with suppress(FileNotFoundError, ConnectionError):
            return received(self.address) == page()
        return False


@contextmanager
def unheard(folder: Path, redirection: str, stderr: int = subprocess.DEVNULL) -> Iterator[Unheard]:
    """`pad19 serve` with a redirection as the shell knows them, until it has been stopped."""
    address = folder / "pad19.sock"
    configure(folder, listen=f"unix:{address}", log="access = 'access.log'")
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
            wait_until(server.answers)
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
        server.replace_worker()
        assert server.answers()
        server.reload()
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
            server.reload()
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


def read_until(reader: int, text: str, times: int) -> str:
    """What comes out of a pipe until a text has been there so many times."""
    said = ""
    while said.count(text) < times:
        said += os.read(reader, CHUNK).decode()
    return said


def test_messages_that_nobody_reads_hold_up_nobody(folder: Path) -> None:
    reader, writer = os.pipe()
    try:
        with unheard(folder, "", stderr=writer) as server:
            fill_pipe(reader)
            for _ in range(2):
                server.replace_worker()
                assert server.answers()
                server.reload()
                assert server.answers()
                os.kill(server.pid, signal.SIGUSR2)
            # The worker has something to say, too.
            (folder / "content").rename(folder / "away")
            assert received(server.address) == UNREACHABLE
            (folder / "away").rename(folder / "content")
            said = read_until(reader, "cannot be entered", 1)
            server.reload()
            reloaded = f"{RELOADED}localhost on unix:{server.address}\n"
            said += read_until(reader, reloaded, 3 - said.count(reloaded))
            assert said.count("was ended by SIGKILL\n") == 2
            assert "lost" not in said
            fill_pipe(reader)  # nor does a stop wait
    finally:
        os.close(reader)
        os.close(writer)
