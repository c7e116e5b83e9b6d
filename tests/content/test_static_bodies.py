"""Static files: small ones are kept, large ones streamed, whatever happens to them meanwhile."""

import os
from pathlib import Path

import pytest
import trio

from content.pages import get, page
from pad19.content import static as module
from pad19.content.body import FileBody
from pad19.content.files import Opened, open_beneath
from pad19.content.static import SMALL, StaticFiles
from pad19.protocol.response import Success
from support.disk import descriptors
from support.files import write


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("size", [0, 1, SMALL - 1, SMALL, SMALL + 1, 3 * SMALL])
async def test_large_files_are_streamed(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "a.png").write_bytes(content)
    files = StaticFiles(tmp_path)
    before = descriptors()
    for _ in range(2):
        response = await get(files, "/a.png")
        assert isinstance(response, Success)
        assert response.mimetype == "image/png"
        if size <= SMALL:
            assert response.body == content
            assert response is await get(files, "/a.png")
        else:
            assert isinstance(response.body, FileBody)
            chunks = [bytes(chunk) async for chunk in response.body]
            assert b"".join(chunks) == content
            await response.body.aclose()
    assert descriptors() == before


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("path", ["/", "/index.gmi", "/sub/a.txt", "/sub/a.txt?query", "/sub/%61.txt"])
async def test_second_request_opens_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    write(tmp_path, {"index.gmi": "index", "sub/a.txt": "a", "sub/.meta": "a.txt: text/html"})
    files = StaticFiles(tmp_path)
    first = await get(files, path)

    def forbidden(*_: object, **__: object) -> int:
        raise AssertionError

    monkeypatch.setattr(trio.to_thread, "run_sync", forbidden)
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", forbidden)
        second = await get(files, path)
    assert second is first


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize(("size", "during", "after"), [(2 * SMALL, b"1234", None), (2, b"12", b"12")])
async def test_file_that_changes_under_our_hands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, during: bytes, after: bytes | None
) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"1234")

    def open_then_change(root: str, relative: str) -> Opened:
        opened = open_beneath(root, relative)
        os.truncate(path, size)
        return opened

    files = StaticFiles(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(module, "open_beneath", open_then_change)
        assert await get(files, "/a.txt") == Success(during, "text/plain")
    response = await get(files, "/a.txt")
    assert isinstance(response, Success)
    if isinstance(response.body, FileBody):
        assert after is None
        await response.body.aclose()
    else:
        assert response.body == after


@pytest.mark.usefixtures("settled")
async def test_first_requests_at_the_same_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path, {"index.gmi": "index", "a.gmi": "a", ".meta": "wrong"})
    files = StaticFiles(tmp_path)
    before = descriptors()
    answers: list[str] = []

    async def ask(path: str) -> None:
        answers.append(await page(files, path))

    async with trio.open_nursery() as nursery:
        for _ in range(30):
            for path in ("/", "/index.gmi", "/a.gmi"):
                nursery.start_soon(ask, path)
    assert sorted(answers) == ["a"] * 30 + ["index"] * 60
    assert len(caplog.records) == 1
    assert descriptors() == before
    assert len(files._memory._entries) == 3
