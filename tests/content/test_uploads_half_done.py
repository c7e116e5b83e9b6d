"""Uploads that do not come to their end: the client, the server or the system stops half way."""

import errno
import fcntl
import logging
import os
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import trio

from content.capsule import PAGE, UNTOUCHED, Capsule
from pad19.content.uploads import Terms
from pad19.protocol.failure import BadRequest, Failure, TemporaryFailure
from support.disk import small_disk
from support.uploads import files_below, upload

BROKEN = [BadRequest("the upload ended early"), TemporaryFailure("the upload was too slow")]


@pytest.mark.parametrize("nameless", [True, False])
@pytest.mark.parametrize("failure", BROKEN, ids=str)
@pytest.mark.parametrize("pieces", [(), (b"x",), (b"x" * 500, b"y" * 400)])
@pytest.mark.parametrize("path", ["/old.gmi", "/new.gmi", "/a/b/c.gmi"])
async def test_a_client_that_stops_half_way_leaves_nothing(
    capsule: Capsule,
    path: str,
    pieces: tuple[bytes, ...],
    failure: Failure,
    nameless: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not nameless:
        monkeypatch.setattr("pad19.content.inodes._O_TMPFILE", 0)
    answer = await capsule.answer(upload(path, *pieces, failure, size=1000), folders=True, keep=3)
    assert answer == f"{failure.status:d} {failure}"
    assert files_below(capsule.root, versions=True) == UNTOUCHED


@pytest.mark.parametrize("nameless", [True, False])
async def test_a_server_that_stops_half_way_leaves_nothing(
    capsule: Capsule, nameless: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not nameless:
        monkeypatch.setattr("pad19.content.inodes._O_TMPFILE", 0)

    class Waiting:
        def __init__(self) -> None:
            self.reached = trio.Event()

        def __aiter__(self) -> AsyncIterator[bytes]:
            return self

        async def __anext__(self) -> bytes:
            if self.reached.is_set():
                await trio.sleep_forever()
            self.reached.set()
            return b"x"

    chunks = Waiting()
    request = upload("/a/old.gmi", size=10)
    assert request.upload
    request = replace(request, upload=replace(request.upload, chunks=chunks))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(capsule.uploads(folders=True), request)
        await chunks.reached.wait()
        await trio.testing.wait_all_tasks_blocked(0.01)
        nursery.cancel_scope.cancel()
    assert files_below(capsule.root, versions=True) == UNTOUCHED


async def test_what_a_dead_process_left_is_removed(capsule: Capsule, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pad19.content.inodes._O_TMPFILE", 0)
    for name in (".titan-0123", ".titan-4567", ".titan-89ab", ".other"):
        (capsule.root / name).write_text("half")
        os.utime(capsule.root / name, (1, 1))
    (capsule.root / ".titan-4567").touch()  # somebody might be about to lock it
    with (capsule.root / ".titan-89ab").open() as file:  # somebody still writes it
        fcntl.flock(file, fcntl.LOCK_EX)
        await capsule.answer(upload("/new.gmi", b"new"))
    assert sorted(path.name for path in capsule.root.glob(".*")) == [".other", ".titan-4567", ".titan-89ab"]


async def test_a_name_that_was_left_by_one_that_was_killed_is_used_again(capsule: Capsule) -> None:
    (capsule.root / ".titan-new").write_text("whole, but not renamed")
    assert await capsule.answer(upload("/new.gmi", b"new")) == f"{PAGE}/new.gmi"
    assert capsule.files == {**UNTOUCHED, "new.gmi": b"new"}


async def test_folders_that_nothing_came_into_go_again(
    capsule: Capsule, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rename(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "rename", rename)
    assert await capsule.answer(upload("/a/b/c.gmi", b"x"), folders=True) == "40 it cannot be stored now"
    assert files_below(capsule.root, versions=True) == UNTOUCHED


@pytest.mark.parametrize(
    ("number", "answer"),
    [
        (errno.ENOSPC, "40 there is no room for it now"),
        (errno.EDQUOT, "40 there is no room for it now"),
        (errno.EIO, "40 it cannot be stored now"),
        (errno.EROFS, "40 it cannot be stored now"),
        (errno.EMFILE, "41 too many open files, try again"),
        (errno.ENAMETOOLONG, "59 the path is too long"),
    ],
)
@pytest.mark.parametrize("call", ["fsync", "rename", "write", "mkdir"])
async def test_errors(
    capsule: Capsule,
    call: str,
    number: int,
    answer: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, fail)
    assert await capsule.answer(upload("/a/n.gmi", b"x"), folders=True) == answer
    monkeypatch.undo()
    assert files_below(capsule.root, versions=True) == UNTOUCHED
    said = [] if answer[:2] in {"41", "59"} else [f"'/a/n.gmi': it cannot be uploaded: {os.strerror(number)}"]
    assert caplog.messages == said
    assert all(record.levelno == logging.ERROR for record in caplog.records)


async def test_a_full_disk(capsule: Capsule) -> None:
    with small_disk(capsule.root):
        (capsule.root / "old.gmi").write_text("old")
        large = Terms(10**6, ("*/*",))
        answer = await capsule.answer(upload("/old.gmi", *[b"x" * 1000] * 500), large)
        assert answer == "40 there is no room for it now"
        assert files_below(capsule.root, versions=True) == {"old.gmi": b"old"}
        assert (await capsule.answer(upload("/old.gmi", b"new"))).startswith("30 ")
        assert capsule.files["old.gmi"] == b"new"


async def test_a_folder_that_is_lost(capsule: Capsule, caplog: pytest.LogCaptureFixture) -> None:
    (capsule.root / "old.gmi").unlink()
    (capsule.root / "notes").rmdir()
    capsule.root.rmdir()
    assert await capsule.answer(upload("/a.gmi", b"x")) == "40 it cannot be stored now"
    assert caplog.messages == ["'/a.gmi': it cannot be uploaded: No such file or directory"]
