"""Uploads at the same time, and the lock that keeps them apart."""

import fcntl
import os
import stat

import pytest
import trio

from content.capsule import PAGE, UNTOUCHED, Capsule
from pad19.content import file_tree
from pad19.protocol.response import Redirect, Response
from support.uploads import files_below, upload, versions_of


@pytest.mark.parametrize("nameless", [True, False])
async def test_many_at_once_end_with_one_whole_version(
    capsule: Capsule, nameless: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not nameless:
        monkeypatch.setattr("pad19.content.inodes._O_TMPFILE", 0)
    bodies = [bytes([65 + number]) * 900 for number in range(20)]
    handlers = [capsule.uploads(folders=True, keep=30) for _ in range(4)]  # as several workers have them
    answers: list[Response] = []

    async def send(number: int) -> None:
        body = bodies[number]
        answers.append(await handlers[number % 4](upload("/a/n.gmi", body[:400], body[400:])))

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(send, number)
    assert answers == [Redirect("gemini://localhost/a/n.gmi")] * 20
    assert sorted([*versions_of(capsule.root / "a", "n.gmi"), capsule.files["a/n.gmi"]]) == bodies
    assert not [name for name in files_below(capsule.root, versions=True) if ".titan-" in name]


async def test_a_lock_that_nobody_lets_go_of(
    capsule: Capsule, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(file_tree, "LOCK_TIMEOUT", 0.01)
    folder = capsule.root.parent / "state"
    alias = capsule.root.parent / "alias"
    alias.symlink_to(capsule.root)
    with file_tree.FileTree(str(alias), folder).locked():
        assert await capsule.answer(upload("/new.gmi", b"new"), locks=folder) == "40 it cannot be stored now"
        gone = await capsule.answer(upload("/old.gmi"), locks=folder, delete=True)
        assert gone == "40 it cannot be stored now"
    assert capsule.files == UNTOUCHED
    assert caplog.messages[0] == "'/new.gmi': it cannot be uploaded: another process holds the lock"


async def test_who_may_read_the_content_cannot_stop_uploads(
    capsule: Capsule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_tree, "LOCK_TIMEOUT", 0.01)
    state = capsule.root.parent / "none/state"
    stranger = os.open(capsule.root, os.O_RDONLY)
    try:
        fcntl.flock(stranger, fcntl.LOCK_EX)
        assert await capsule.answer(upload("/new.gmi", b"new"), locks=state) == f"{PAGE}/new.gmi"
    finally:
        os.close(stranger)
    assert capsule.files == {**UNTOUCHED, "new.gmi": b"new"}
    [lock] = state.iterdir()
    assert [stat.S_IMODE(path.stat().st_mode) for path in (state, lock)] == [0o700, 0o600]


async def test_different_folders_do_not_wait_for_each_other(
    capsule: Capsule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_tree, "LOCK_TIMEOUT", 0.01)
    state = capsule.root.parent / "state"
    with file_tree.FileTree(str(capsule.root / "notes"), state).locked():
        assert await capsule.answer(upload("/new.gmi", b"new"), locks=state) == f"{PAGE}/new.gmi"


async def test_no_place_for_the_lock(capsule: Capsule, caplog: pytest.LogCaptureFixture) -> None:
    state = capsule.root.parent / "state"
    state.touch()
    assert await capsule.answer(upload("/new.gmi", b"new"), locks=state) == "40 it cannot be stored now"
    assert capsule.files == UNTOUCHED
    assert caplog.messages == ["'/new.gmi': it cannot be uploaded: File exists"]
