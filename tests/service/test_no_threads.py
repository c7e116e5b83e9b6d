"""A system that has no thread left: who needs one is turned away, and nothing ends or is held for ever."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from pad19.content.body import FileBody
from pad19.content.edits import Edits
from pad19.content.file_tree import Quota
from pad19.content.static import StaticFiles
from pad19.content.uploads import Terms, Uploads
from pad19.dispatch.router import Handler
from pad19.protocol.request import Request
from pad19.protocol.response import BrokenBody, Redirect
from pad19.protocol.upload import Upload
from pad19.routes.mounting import Mounted
from pad19.routes.table import Routes
from pad19.service.logs import writer
from pad19.service.logs.writer import open_log
from pad19.store.sqlite import open_store
from support.disk import descriptors
from support.server import Server, ask_in_memory
from support.uploads import Pieces, upload

MEND = "no thread can be started: raise TasksMax= or ulimit -u, or end what has so many"


class Threads:
    """Those of the system."""

    def __init__(self, run_sync: Callable[..., Any]) -> None:
        self.are_there = True
        self.refused = 0
        self._run_sync = run_sync

    async def run_sync(self, *arguments: Any, **options: Any) -> Any:
        if not self.are_there:
            self.refused += 1
            raise RuntimeError("can't start new thread")  # as Python says it
        return await self._run_sync(*arguments, **options)


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Threads:
    threads = Threads(trio.to_thread.run_sync)
    monkeypatch.setattr(trio.to_thread, "run_sync", threads.run_sync)
    return threads


async def test_lines_of_the_log_wait(
    threads: Threads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(writer, "FLUSH_INTERVAL", 0)
    monkeypatch.setattr(writer, "CLOSE_TIMEOUT", 60)
    path = tmp_path / "access.log"
    threads.are_there = False
    async with open_log(str(path)) as log, trio.open_nursery() as nursery:
        nursery.start_soon(log.run)
        log.write("one")
        while threads.refused < 3:
            await trio.lowlevel.checkpoint()
        log.write("two")
        assert path.read_text() == ""
        threads.are_there = True
        nursery.cancel_scope.cancel()
    assert path.read_text() == "one\ntwo\n"
    assert caplog.messages == [f"access log: {MEND}; until then, lines wait"]


def files(root: Path) -> Handler:
    (root / "page.gmi").write_text("# Page\n")
    return StaticFiles(root)


def route(_: Path) -> Handler:
    routes = Routes()

    @routes.gemini("/page.gmi")
    def page(request: Request) -> str:
        return "# Page\n"

    return Mounted(routes)


@pytest.mark.parametrize("make", [files, route])
async def test_visitors_are_asked_to_come_again(
    make: Callable[[Path], Handler], threads: Threads, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    there = Server({"localhost": make(tmp_path)})
    threads.are_there = False
    answer = await ask_in_memory(there, [b"gemini://localhost/page.gmi\r\n"])
    assert answer.received == b"41 the system is busy, try again\r\n"
    [record] = caplog.records
    assert record.getMessage() == f"'gemini://localhost/page.gmi': {MEND}"
    assert not record.exc_info
    threads.are_there = True
    answer = await ask_in_memory(there, [b"gemini://localhost/page.gmi\r\n"])
    assert answer.received == b"20 text/gemini\r\n# Page\n"


async def test_other_errors_of_that_kind_are_mistakes(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(_: Request) -> Redirect:
        raise RuntimeError("an accident")

    answer = await ask_in_memory(Server({"localhost": fail}), [b"gemini://localhost/\r\n"])
    assert answer.received == b"40 internal error\r\n"
    assert caplog.records[0].exc_info


async def test_a_large_file_is_broken_off(
    threads: Threads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "large"
    path.write_bytes(bytes(1000))
    monkeypatch.setattr("pad19.content.body._NOWAIT", 0)  # as from a disk
    body = FileBody(os.open(path, os.O_RDONLY), 1000)
    threads.are_there = False
    with pytest.raises(BrokenBody, match=r"^can't start new thread, 1000 bytes are missing$"):
        await anext(body)
    await body.aclose()


async def test_an_upload_leaves_nothing(threads: Threads, tmp_path: Path) -> None:
    terms = Terms(1000, ("*/*",), (Quota((), 1000),))
    (root := tmp_path / "content").mkdir()

    class Starving(Pieces):
        async def __anext__(self) -> bytes:
            threads.are_there = len(self.left) == 2
            return await super().__anext__()

    half = b"x" * 500
    request = upload("/a.txt", half, half)
    request = replace(request, upload=Upload(1000, "text/plain", chunks=Starving(half, half)))
    async with open_store(None) as store:
        uploads = Uploads(root, lambda _: [terms], Edits(store), StaticFiles(root), locks=tmp_path / "locks")
        before = descriptors()
        with pytest.raises(RuntimeError, match="thread"):
            await uploads(request)
        assert descriptors() == before
        assert [*root.iterdir()] == []
        threads.are_there = True
        assert isinstance(await uploads(upload("/a.txt", half, half)), Redirect)  # there is room for it


async def test_a_store_is_left(threads: Threads, tmp_path: Path) -> None:
    async with open_store(tmp_path / "store.sqlite3") as store:
        await store.set("key", 19)
        threads.are_there = False
    threads.are_there = True
    async with open_store(tmp_path / "store.sqlite3") as store:
        assert await store.get("key") == 19
