"""Static files: when the disk is in trouble, descriptors run out, or nobody waits any more."""

import errno
import itertools
import logging
import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import memory_stream_pair

from content.pages import attempt, get, page
from pad19.content import static as module
from pad19.content.files import Opened, open_beneath
from pad19.content.static import SMALL, StaticFiles
from pad19.protocol.failure import ServerUnavailable, TemporaryFailure
from pad19.protocol.status import Status
from pad19.tls.context import client_context
from pad19.tls.stream import TLSStream
from support.disk import FailingOpen, descriptors
from support.files import write
from support.server import static_server
from support.users import unprivileged


async def test_what_cannot_be_read_is_not_found_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    with unprivileged() as root:
        write(root, {"secret/a.gmi": "a", "blind/a.gmi": "a"})
        (root / "secret").chmod(0)
        (root / "blind").chmod(0o100)
        files = StaticFiles(root, listing=True)
        (root / "b.gmi").write_text("b")
        (root / "b.gmi").chmod(0)
        for path in ("/secret/", "/secret/a.gmi", "/blind/", "/b.gmi") * 2:
            assert await page(files, path) == "51"
        assert await page(files, "/blind/a.gmi") == "a"
        told = [entry.getMessage() for entry in caplog.records]
        assert len(told) == 4
        assert f"'{root}/b.gmi' is answered with 51: Permission denied. Let this process read it" in told


async def test_large_file_that_cannot_be_read_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    write(tmp_path, {"a.txt": "text\n" * SMALL})
    before = descriptors()
    monkeypatch.setattr(os, "pread", failing)
    assert isinstance(await attempt(StaticFiles(tmp_path), "/a.txt"), TemporaryFailure)
    assert descriptors() == before


@contextmanager
def descriptors_left(number: int) -> Iterator[None]:
    """Let the process open no more than that many files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = {int(line.split()[0]) for line in descriptors()}
    free = (fd for fd in itertools.count() if fd not in used)
    limit = next(itertools.islice(free, number, None))
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


TROUBLED = {"sub/index.gmi": "index", "sub/.meta": "*: text/html", ".meta": "", "list/x": ""}


@pytest.mark.parametrize("path", ["/sub/", "/sub/index.gmi", "/list/", "/large"])
async def test_running_out_of_descriptors(
    tmp_path: Path, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, TROUBLED | {"large": "x" * 2 * SMALL})
    await trio.to_thread.run_sync(os.getpid)  # a thread to run in is there already
    before = descriptors()
    failures = []
    for number in range(30):
        with descriptors_left(number):
            failure = await attempt(StaticFiles(tmp_path, listing=True), path)
        assert descriptors() == before
        if failure is None:
            break
        failures.append(failure)
    assert 1 < len(failures) < 30
    for failure in failures:
        assert isinstance(failure, ServerUnavailable)
        assert str(failure) == "too many open files, try again"
    assert caplog.records == []  # they are in the access log, and too many for another one


@pytest.mark.parametrize("path", ["/sub/", "/sub/index.gmi", "/list/"])
async def test_disk_error_is_one_line_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, TROUBLED)
    before = descriptors()
    for nth in range(1, 50):
        opener = FailingOpen(nth)
        with monkeypatch.context() as patch:
            patch.setattr(os, "open", opener)
            failure = await attempt(StaticFiles(tmp_path, listing=True), path)
        assert descriptors() == before
        if opener.left > 0:
            break  # every call had its turn
        assert isinstance(failure, TemporaryFailure)
        assert failure.status is Status.TEMPORARY_FAILURE
        assert str(failure) == "the file cannot be read now"
        [record] = caplog.records
        assert record.levelno == logging.ERROR
        assert record.exc_info is None
        assert record.getMessage().startswith(f"'{tmp_path}/")
        assert record.getMessage().endswith("': Input/output error")
        caplog.clear()
    assert 5 < nth < 49
    assert failure is None
    assert caplog.records == []


async def test_reading_error_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, {"a.gmi": "a"})
    monkeypatch.setattr(module, "open_beneath", lambda *_: UnreadableFile())
    with pytest.raises(TemporaryFailure):
        await get(StaticFiles(tmp_path), "/a.gmi")
    assert caplog.messages == [f"'{tmp_path}/a.gmi': Input/output error"]


class UnreadableFile:
    """An open file on a disk with a bad sector."""

    is_folder = False
    status = os.stat_result((0,) * 10)

    def read(self, limit: int) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))


async def test_client_cannot_forge_log_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", FailingOpen(1))
        with pytest.raises(TemporaryFailure):
            await get(StaticFiles(tmp_path), "/a%0AERROR%E2%80%AE%1B%5B2J\u2028b")
    [line] = caplog.messages
    assert line.isprintable()


# Cancellation


class SlowOpen:
    """open_beneath() that has opened the file and then takes its time."""

    def __init__(self) -> None:
        self.opened = trio.Event()
        self.go_on = threading.Event()

    def __call__(self, root: str, relative: str) -> Opened:
        opened = open_beneath(root, relative)
        trio.from_thread.run_sync(self.opened.set)
        self.go_on.wait()
        return opened


@pytest.mark.parametrize("size", [1, 2 * SMALL])
async def test_cancelled_request_leaves_no_descriptor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """The whole connection is cancelled, in the moment when only the thread knows of the open file."""
    (tmp_path / "a.txt").write_bytes(bytes(size))
    slow = SlowOpen()
    monkeypatch.setattr(module, "open_beneath", slow)
    server = static_server(tmp_path)
    ours, theirs = memory_stream_pair()
    client = TLSStream(ours, client_context(None), server_side=False, server_name="localhost")
    before = descriptors()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.connections.serve, theirs, "127.0.0.1", 50000, None)
        await client.do_handshake()
        await client.send_all(b"gemini://localhost/a.txt\r\n")
        await slow.opened.wait()
        assert descriptors() != before
        nursery.cancel_scope.cancel()
        slow.go_on.set()
    assert descriptors() == before
    [record] = server.records
    assert record.reason == "server stopped"


async def test_request_that_waits_for_a_thread_can_be_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {"a.txt": "a"})
    limiter = trio.to_thread.current_default_thread_limiter()
    monkeypatch.setattr(limiter, "total_tokens", 1)
    slow = SlowOpen()
    monkeypatch.setattr(module, "open_beneath", slow)
    files = StaticFiles(tmp_path)
    before = descriptors()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(get, files, "/a.txt")
        await slow.opened.wait()
        with trio.CancelScope() as scope:
            scope.cancel()
            await get(files, "/a.txt")
        assert scope.cancelled_caught
        slow.go_on.set()
    assert descriptors() == before


# Not there


@pytest.mark.usefixtures("settled")
async def test_root_comes_and_goes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = tmp_path / "root"
    files = StaticFiles(root)
    reason = "No such file or directory"
    lost = f"'{root}' cannot be entered ({reason}): until it can, all its pages are answered with 40"
    for content in ("one", "two"):
        for path in ("/", "/a.gmi", "/sub/a.gmi"):
            with pytest.raises(TemporaryFailure):  # nobody knows what will be there
                await get(files, path)
        assert caplog.messages == [lost]  # once each time
        caplog.clear()
        write(root, {"a.gmi": content, "sub/a.gmi": content})
        for path in ("/a.gmi", "/sub/a.gmi"):
            assert await page(files, path) == content
            assert await page(files, path) == content
        root.rename(tmp_path / f"away {content}")
