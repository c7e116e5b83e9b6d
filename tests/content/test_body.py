"""A file as a body: whole, in chunks, or clearly broken."""

import errno
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from trio.testing import assert_checkpoints

from pad19.content.body import CHUNK, FileBody, FileShrank
from pad19.protocol.request import Request
from pad19.protocol.response import BrokenBody, Stream, Success
from support.disk import descriptors
from support.server import Server, ask_in_memory

NOWAIT = getattr(os, "RWF_NOWAIT", 0)


def body_of(path: Path, size: int | None = None) -> FileBody:
    fd = os.open(path, os.O_RDONLY)
    return FileBody(fd, path.stat().st_size if size is None else size)


async def read(body: FileBody) -> list[bytes]:
    return [bytes(chunk) async for chunk in body]


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 7])
async def test_file_comes_in_chunks(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "a").write_bytes(content)
    body = body_of(tmp_path / "a")
    assert isinstance(body, Stream)
    chunks = await read(body)
    assert b"".join(chunks) == content
    assert [len(chunk) for chunk in chunks[:-1]] == [CHUNK] * (len(chunks) - 1)
    assert len(chunks) == -(-size // CHUNK)
    assert await read(body) == []  # and stays at its end
    await body.aclose()


async def test_memory_is_one_chunk(tmp_path: Path) -> None:
    with (tmp_path / "a").open("wb") as file:
        file.truncate(20 * CHUNK)
    body = body_of(tmp_path / "a")
    buffers = [chunk.obj async for chunk in body]
    assert len({id(buffer) for buffer in buffers}) == 1
    assert len(memoryview(buffers[0])) == CHUNK
    await body.aclose()
    (tmp_path / "b").write_bytes(b"small")
    body = body_of(tmp_path / "b")
    [buffer] = [chunk.obj async for chunk in body]
    assert len(memoryview(buffer)) == 5
    await body.aclose()


async def test_others_get_their_turn(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(3 * CHUNK))
    body = body_of(tmp_path / "a")
    for _ in range(3):
        with assert_checkpoints():
            await anext(body)
    await body.aclose()


@pytest.mark.parametrize("left", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 5])
async def test_file_that_shrinks_is_broken(tmp_path: Path, left: int) -> None:
    (tmp_path / "a").write_bytes(bytes(3 * CHUNK))
    body = body_of(tmp_path / "a")
    received = len(await anext(body))
    os.truncate(tmp_path / "a", left)
    while received < left:
        received += len(await anext(body))
    with pytest.raises(FileShrank, match=f"{3 * CHUNK - received} bytes are missing"):
        await anext(body)
    assert received == max(left, CHUNK)
    assert issubclass(FileShrank, BrokenBody)
    await body.aclose()


async def test_file_that_grows_has_the_announced_size(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a" * (CHUNK + 10))
    body = body_of(tmp_path / "a")
    chunks = [bytes(await anext(body))]
    with (tmp_path / "a").open("ab") as file:
        file.write(b"b" * CHUNK)
    assert b"".join(chunks + await read(body)) == b"a" * (CHUNK + 10)
    await body.aclose()
    body = body_of(tmp_path / "a", 0)
    assert await read(body) == []
    await body.aclose()


# What the system calls may say


class Disk:
    """os.preadv() of a file system that answers reads without waiting with an error."""

    def __init__(self, *codes: int) -> None:
        self.codes = list(codes)  # one for each read that must not wait; after the last one they work
        self.calls: list[str] = []
        self._preadv = os.preadv
        self._main = threading.get_ident()

    def __call__(self, fd: int, buffers: list[memoryview], offset: int, flags: int = 0) -> int:
        thread = "loop" if threading.get_ident() == self._main else "thread"
        self.calls.append(f"{'nowait' if flags & NOWAIT else 'wait'} in {thread}")
        if flags & NOWAIT and self.codes:
            code = self.codes.pop(0)
            raise OSError(code, os.strerror(code))
        return self._preadv(fd, buffers, offset)


NOW, LATER = "nowait in loop", "wait in thread"
DISKS: list[tuple[list[int], list[str]]] = [
    ([], [NOW, NOW, NOW]),
    ([errno.EAGAIN], [NOW, LATER, NOW, NOW]),
    ([errno.EAGAIN] * 3, [NOW, LATER] * 3),
    ([errno.EOPNOTSUPP], [NOW, LATER, LATER, LATER]),
    ([errno.ENOSYS], [NOW, LATER, LATER, LATER]),
    ([errno.EINVAL], [NOW, LATER, LATER, LATER]),
    ([errno.EAGAIN, errno.EOPNOTSUPP], [NOW, LATER, NOW, LATER, LATER]),
]


@pytest.mark.skipif(not NOWAIT, reason="this system has no reads that do not wait")
@pytest.mark.parametrize(("codes", "calls"), DISKS)
async def test_slow_disk_is_read_in_a_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codes: list[int], calls: list[str]
) -> None:
    content = os.urandom(3 * CHUNK)
    (tmp_path / "a").write_bytes(content)
    disk = Disk(*codes)
    monkeypatch.setattr(os, "preadv", disk)
    body = body_of(tmp_path / "a")
    assert b"".join(await read(body)) == content
    assert disk.calls == calls
    await body.aclose()


async def test_system_without_such_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(bytes(2 * CHUNK))
    disk = Disk(errno.EINVAL)
    monkeypatch.setattr(os, "preadv", disk)
    monkeypatch.setattr("pad19.content.body._NOWAIT", 0)
    body = body_of(tmp_path / "a")
    assert b"".join(await read(body)) == bytes(2 * CHUNK)
    assert disk.calls == [LATER, LATER]
    await body.aclose()


def failing_preadv(code: int, *, wait: bool) -> Callable[..., int]:
    def preadv(fd: int, buffers: list[memoryview], offset: int, flags: int = 0) -> int:
        number = errno.EAGAIN if wait and flags & NOWAIT else code
        raise OSError(number, os.strerror(number))

    return preadv


@pytest.mark.parametrize("wait", [False, True])
async def test_disk_error_breaks_the_body(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, wait: bool
) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    body = body_of(tmp_path / "a")
    monkeypatch.setattr(os, "preadv", failing_preadv(errno.EIO, wait=wait))
    with pytest.raises(BrokenBody, match="Input/output error, 5 bytes are missing") as caught:
        await anext(body)
    assert isinstance(caught.value.__cause__, OSError)
    await body.aclose()


async def test_disk_error_is_one_line_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a").write_bytes(bytes(CHUNK))

    async def handler(request: Request) -> Success:
        return Success(body_of(tmp_path / "a"), "text/plain")

    server = Server({"localhost": handler})
    before = descriptors()
    monkeypatch.setattr(os, "preadv", failing_preadv(errno.EIO, wait=False))
    with caplog.at_level(logging.WARNING):
        answer = await ask_in_memory(server, [b"gemini://localhost/\r\n"])
    assert answer.received == b"20 text/plain\r\n"
    assert not answer.clean
    [record] = caplog.records
    assert record.exc_info is None
    assert "Input/output error" in record.getMessage()
    assert descriptors() == before


# Closing


@pytest.mark.parametrize("chunks", [0, 1, 2])
async def test_closing_closes_the_file_once(tmp_path: Path, chunks: int) -> None:
    (tmp_path / "a").write_bytes(bytes(2 * CHUNK))
    before = descriptors()
    body = body_of(tmp_path / "a")
    for _ in range(chunks):
        await anext(body)
    await body.aclose()
    assert descriptors() == before
    with (tmp_path / "a").open("rb") as another:  # takes the same number
        await body.aclose()
        assert len(another.read()) == 2 * CHUNK


async def test_closed_body_is_broken(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    body = body_of(tmp_path / "a")
    await body.aclose()
    with pytest.raises(BrokenBody):
        await anext(body)


async def test_failed_close_is_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    body = body_of(tmp_path / "a")
    real_close = os.close

    def close(fd: int) -> None:
        real_close(fd)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "close", close)
        with pytest.raises(OSError, match="Input/output error"):
            await body.aclose()
    with (tmp_path / "a").open("rb") as another:
        await body.aclose()
        assert another.read() == b"12345"


async def test_cancelled_read_ends_before_the_file_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    reading = trio.Event()
    go_on = threading.Event()
    real_preadv = os.preadv

    def slow_preadv(fd: int, buffers: list[memoryview], offset: int, flags: int = 0) -> int:
        if flags & NOWAIT:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        trio.from_thread.run_sync(reading.set)
        go_on.wait()
        return real_preadv(fd, buffers, offset)  # of a closed file it would raise EBADF

    monkeypatch.setattr(os, "preadv", slow_preadv)
    before = descriptors()
    body = body_of(tmp_path / "a")
    chunks: list[bytes] = []

    async def consume() -> None:
        try:
            chunks.append(bytes(await anext(body)))
            await trio.lowlevel.checkpoint()
        finally:
            await body.aclose()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(consume)
        await reading.wait()
        nursery.cancel_scope.cancel()
        go_on.set()
    assert chunks == [b"12345"]
    assert descriptors() == before
