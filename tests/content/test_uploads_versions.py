"""Previous versions of what is uploaded."""

import errno
import os
from typing import Any

import pytest

from content.capsule import ADA, UNTOUCHED, Capsule
from pad19.content.static import StaticFiles
from pad19.content.uploads import Terms
from pad19.protocol.failure import Failure
from pad19.protocol.request import parse_request
from support.uploads import files_below, upload, versions_of


async def test_previous_versions(capsule: Capsule) -> None:
    for number in range(5):
        assert (await capsule.answer(upload("/old.gmi", b"%d" % number), keep=3)).startswith("30 ")
    assert capsule.files["old.gmi"] == b"4"
    assert versions_of(capsule.root, "old.gmi") == [b"1", b"2", b"3"]
    [*_, newest] = sorted((capsule.root / ".titan/old.gmi").iterdir())
    assert newest.name[8] == "T"
    assert newest.name.endswith("Z")
    assert (await capsule.answer(upload("/old.gmi", b"5"), keep=1)).startswith("30 ")
    assert versions_of(capsule.root, "old.gmi") == [b"4"]
    assert (await capsule.answer(upload("/old.gmi", b"6"), keep=0)).startswith("30 ")
    assert versions_of(capsule.root, "old.gmi") == [b"4"]  # it was not asked to remove any


async def test_without_a_wish_there_are_none(capsule: Capsule) -> None:
    await capsule.answer(upload("/old.gmi", b"new"))
    assert files_below(capsule.root, versions=True) == {**UNTOUCHED, "old.gmi": b"new"}


async def test_nobody_gets_previous_versions(capsule: Capsule) -> None:
    await capsule.answer(upload("/old.gmi", b"new"), keep=1)
    [version] = (capsule.root / ".titan/old.gmi").iterdir()
    for path in (f"/.titan/old.gmi/{version.name}", "/.titan/old.gmi/", "/.titan/"):
        with pytest.raises(Failure):
            await StaticFiles(capsule.root, listing=True)(parse_request(f"gemini://h{path}".encode(), ADA))


async def test_where_there_are_no_hard_links(capsule: Capsule, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.link

    def link(source: str, *arguments: Any, **options: Any) -> None:
        if not source.startswith("/proc"):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        real(source, *arguments, **options)

    monkeypatch.setattr(os, "link", link)
    (capsule.root / ".titan/old.gmi").mkdir(parents=True)
    (capsule.root / ".titan/old.gmi/.titan-part").write_text("left by one that was killed")
    for text in (b"1" * 3_000_000, b"2", b"3"):
        assert (await capsule.answer(upload("/old.gmi", text), Terms(10**7, ("*/*",)), keep=2))[:2] == "30"
    assert versions_of(capsule.root, "old.gmi") == [b"1" * 3_000_000, b"2"]
