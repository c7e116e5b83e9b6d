"""Static files: what is shown of a folder without an index."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from content.pages import get, page
from pad19.content.mimetype import MimeTypes
from pad19.content.static import SMALL, StaticFiles
from pad19.protocol.response import Success
from support.disk import descriptors
from support.files import write
from support.users import unprivileged


async def test_listing_is_off_unless_asked_for(tmp_path: Path) -> None:
    write(tmp_path, {"sub/a.gmi": "a", "sub/.hidden": "", "sub/.meta": "", "with/index.gmi": "index"})
    for listing, expected in ((False, "51"), (True, "# /sub/\n\n=> ../ ..\n=> a.gmi a.gmi  1 B ")):
        files = StaticFiles(tmp_path, listing=listing)
        assert (await page(files, "/sub/")).startswith(expected)
        assert await page(files, "/with/") == "index"
        assert await page(files, "/sub") == "31 /sub/"
        assert await page(files, "/nope/") == "51"


async def test_listing_shows_hidden_names_if_asked_for(tmp_path: Path) -> None:
    write(tmp_path, {".hidden": "", ".meta": "", ".titan/a": "", ".titan-x": ""})
    assert await page(StaticFiles(tmp_path, listing=True), "/") == "# /\n\n"
    shown = await page(StaticFiles(tmp_path, listing=True, hidden=True), "/")
    assert "=> .hidden " in shown
    assert ".meta" not in shown
    assert ".titan" not in shown


async def test_listing_has_no_memory(tmp_path: Path) -> None:
    files = StaticFiles(tmp_path, listing=True)
    assert await page(files, "/") == "# /\n\n"
    (tmp_path / "sub").mkdir()
    assert await page(files, "/") == "# /\n\n=> sub/ sub/\n"
    (tmp_path / "sub").rmdir()
    assert await page(files, "/") == "# /\n\n"


async def test_listing_shows_what_was_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the folder becomes a link out of the root a moment before it is read."""
    root = tmp_path / "root"
    write(tmp_path, {"outside/secret.gmi": "secret", "root/sub/a.gmi": "a"})
    real_scandir = os.scandir

    def swap_then_scan(place: str | int) -> object:
        (root / "sub").rename(root / "away")
        (root / "sub").symlink_to(tmp_path / "outside")
        return real_scandir(place)

    monkeypatch.setattr(os, "scandir", swap_then_scan)
    shown = await page(StaticFiles(root, listing=True), "/sub/")
    assert [line.split(" ")[1] for line in shown.splitlines()[2:]] == ["../", "a.gmi"]


PREAMBLES: list[tuple[Callable[[Path], object], str]] = [
    (lambda path: path.write_bytes(b"Hello\r\n"), "Hello\n"),
    (lambda path: path.write_bytes(b"\xef\xbb\xbfHello"), "Hello\n"),
    (lambda path: path.write_bytes(b"Schlo\xdf"), "Schlo\ufffd\n"),
    (lambda path: path.write_bytes(b""), ""),
    (lambda path: path.mkdir(), "# /\n\n"),
    (os.mkfifo, "# /\n\n"),
    (lambda path: path.symlink_to("/etc/hostname"), "# /\n\n"),
    (lambda path: path.symlink_to("nowhere"), "# /\n\n"),
    (lambda path: path.write_bytes(b"x" * (SMALL + 1)), "x" * SMALL + "\n"),
]


@pytest.mark.parametrize(("make_it", "shown"), PREAMBLES)
async def test_preamble_stands_first(tmp_path: Path, make_it: Callable[[Path], object], shown: str) -> None:
    (tmp_path / "sub").mkdir()
    make_it(tmp_path / ".header.gmi")
    before = descriptors()
    files = StaticFiles(tmp_path, listing=True)
    assert await page(files, "/") == f"{shown}=> sub/ sub/\n"
    assert await page(files, "/.header.gmi") == "51"
    assert descriptors() == before


async def test_rule_for_a_folder_holds_for_its_listing(tmp_path: Path) -> None:
    write(tmp_path, {"nl/.meta": "/: ;lang=nl", "shut/.meta": "/: 51 No"})
    files = StaticFiles(tmp_path, MimeTypes(lang="en"), listing=True)
    for path, mimetype in (("/", "text/gemini; lang=en"), ("/nl/", "text/gemini; lang=nl")):
        response = await get(files, path)
        assert isinstance(response, Success)
        assert response.mimetype == mimetype
    assert await page(files, "/shut/") == "51 No"


async def test_no_listing_in_place_of_an_index_that_cannot_be_read() -> None:
    with unprivileged() as root:
        write(root, {"index.gmi": "members only", "other.gmi": ""})
        (root / "index.gmi").chmod(0)
        assert await page(StaticFiles(root, listing=True), "/") == "51"
