"""Uploads: what may be uploaded or deleted, and where it comes to lie."""

import os
import re
import stat
from dataclasses import replace
from urllib.parse import quote

import pytest

from content.capsule import PAGE, TEXT, UNTOUCHED, Capsule
from pad19.content.uploads import Terms
from pad19.protocol.failure import BadRequest
from pad19.protocol.response import Redirect
from support.uploads import upload, versions_of


async def test_a_new_file(capsule: Capsule) -> None:
    assert await capsule.answer(upload("/new.gmi", b"he", b"", b"llo")) == f"{PAGE}/new.gmi"
    assert capsule.files == {**UNTOUCHED, "new.gmi": b"hello"}
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((capsule.root / "new.gmi").stat().st_mode) == 0o666 & ~umask


async def test_a_file_that_is_replaced(capsule: Capsule) -> None:
    (capsule.root / "old.gmi").chmod(0o750)
    assert await capsule.answer(upload("/old.gmi", b"new")) == f"{PAGE}/old.gmi"
    assert capsule.files == {**UNTOUCHED, "old.gmi": b"new"}
    # Its mode stays, but for the right to be run: that is nothing for strangers to give.
    assert stat.S_IMODE((capsule.root / "old.gmi").stat().st_mode) == 0o640


@pytest.mark.parametrize(
    ("path", "page"),
    [
        ("/notes/tea.gmi?q", "gemini://localhost/notes/tea.gmi?q"),
        ("/notes/caf%C3%A9.gmi", "gemini://localhost/notes/caf%C3%A9.gmi"),
        ("/two%20words.gmi", "gemini://localhost/two%20words.gmi"),
    ],
)
async def test_the_answer_leads_to_the_page(capsule: Capsule, path: str, page: str) -> None:
    assert await capsule.uploads()(upload(path, b"x")) == Redirect(page)


async def test_another_port_is_kept(capsule: Capsule) -> None:
    response = await capsule.uploads()(replace(upload("/a.gmi", b"x"), port=1966))
    assert response == Redirect("gemini://localhost:1966/a.gmi")


async def test_a_page_that_no_redirect_could_lead_to_is_not_stored(capsule: Capsule) -> None:
    request = upload(f"/{'/'.join(['é' * 120] * 3)}.gmi", b"x")  # which fits into a request as it is sent
    answer = await capsule.answer(request, folders=True)
    assert answer == "59 the URI is too long once it is percent-encoded"
    assert capsule.files == UNTOUCHED


# What may not be uploaded

LONG = "n" * 252 + ".gmi"
ENDLESS = "the name has no ending that tells the type, as .gmi does"
REFUSED = [  # path, status, errormsg
    ("/", 59, "this is the path of a folder: add the name of a file"),
    ("/notes/", 59, "this is the path of a folder: add the name of a file"),
    ("/new/", 59, "this is the path of a folder: add the name of a file"),
    ("/notes", 59, f"{ENDLESS}, and only text/* may be uploaded here"),
    ("/notes.gmi/", 59, "this is the path of a folder: add the name of a file"),
    ("//a.gmi", 59, "the path has an empty segment"),
    ("/notes//a.gmi", 59, "the path has an empty segment"),
    ("/notes%2Fa.gmi", 59, "an encoded slash cannot be part of a name"),
    ("/..%2fa.gmi", 59, "an encoded slash cannot be part of a name"),
    ("/.meta", 50, "names that begin with a dot are not for uploads"),
    ("/notes/.meta", 50, "names that begin with a dot are not for uploads"),
    ("/%2Emeta", 50, "names that begin with a dot are not for uploads"),
    ("/.titan/old.gmi/x.gmi", 50, "names that begin with a dot are not for uploads"),
    ("/.well-known/x.txt", 50, "names that begin with a dot are not for uploads"),
    ("/...gmi", 50, "names that begin with a dot are not for uploads"),
    ("/a%0Ab.gmi", 59, "the path has a name with characters that nobody can see"),
    ("/a%1B%5B2J.gmi", 59, "the path has a name with characters that nobody can see"),
    ("/a%E2%80%AEimg.gmi", 59, "the path has a name with characters that nobody can see"),
    ("/%20.gmi", 59, "the path has a name with characters that nobody can see"),
    ("/a.gmi%20", 59, "the path has a name with characters that nobody can see"),
    *(
        (f"/{quote(name)}.gmi", 59, "the path has a name with characters that nobody can see")
        for name in (*map("a{}".format, "\x7f\x85\u2028\u200b\u200f\u2066\ufeff\xad"), "\u200ca")
    ),
    ("/a.gmi%E2%80%8D", 59, "the path has a name with characters that nobody can see"),
    (f"/{LONG}", 59, "the path has a name of more than 255 bytes"),
    (f"/{'%C3%A9' * 126}.gmi", 59, "the path has a name of more than 255 bytes"),
    (f"/{LONG}/a.gmi", 59, "the path has a name of more than 255 bytes"),
    ("/old.gmi/a.gmi", 59, "a part of the path is no folder"),
    ("/missing/a.gmi", 59, "there is no such folder, and none is made by an upload"),
    ("/a.png", 59, "the name makes it image/png, and only text/* may be uploaded here"),
    ("/link.gmi", 50, "what is there is no file, and stays as it is"),
    ("/dangling.gmi", 50, "what is there is no file, and stays as it is"),
    ("/device.gmi", 50, "what is there is no file, and stays as it is"),
    ("/fifo.gmi", 50, "what is there is no file, and stays as it is"),
    ("/folder.gmi", 59, "this is the path of a folder: add the name of a file"),
    ("/inside/a.gmi", 59, "a part of the path is no folder"),
    ("/outside/a.gmi", 59, "a part of the path is no folder"),
    ("/outside/new/a.gmi", 59, "a part of the path is no folder"),
]


NAMES = [
    "نمی\u200cشود",
    "👩\u200d🚀",
    "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "東\u3000京",
]


@pytest.mark.parametrize("name", NAMES)
async def test_names_of_all_writings(capsule: Capsule, name: str) -> None:
    assert (await capsule.answer(upload(f"/{quote(name)}.gmi", b"x"))).startswith("30 ")
    assert capsule.files == {**UNTOUCHED, f"{name}.gmi": b"x"}


@pytest.mark.parametrize("folders", [False, True])
@pytest.mark.parametrize(("path", "status", "message"), REFUSED)
async def test_what_is_refused(capsule: Capsule, path: str, status: int, message: str, folders: bool) -> None:
    root, outside = capsule.root, capsule.root.parent / "outside"
    outside.mkdir()
    (outside / "secret.gmi").write_text("secret")
    (root / "folder.gmi").mkdir()
    (root / "link.gmi").symlink_to(outside / "secret.gmi")
    (root / "dangling.gmi").symlink_to(outside / "new.gmi")
    (root / "device.gmi").symlink_to("/dev/null")
    (root / "inside").symlink_to("notes")
    (root / "outside").symlink_to("../outside")
    os.mkfifo(root / "fifo.gmi")
    before = sorted(root.parent.rglob("*"))
    answer = await capsule.answer(upload(path, b"x"), folders=folders, keep=2)
    if folders and "no such folder" in message:
        assert answer == f"{PAGE}{path}"
        return
    assert answer == f"{status} {message}"
    assert sorted(root.parent.rglob("*")) == before
    assert (root / "old.gmi").read_text() == "old"
    assert (outside / "secret.gmi").read_text() == "secret"


async def test_the_longest_name(capsule: Capsule) -> None:
    name = LONG[1:]
    for text in (b"1", b"2", b"3"):
        assert await capsule.answer(upload(f"/{name}", text), keep=1) == f"{PAGE}/{name}"
    assert capsule.files[name] == b"3"
    assert versions_of(capsule.root, name) == [b"2"]


TERMS = [  # terms, path, type, size, errormsg ("": it may)
    ((TEXT,), "/a.gmi", "text/gemini", 1000, ""),
    ((TEXT,), "/a.gmi", "text/plain", 1, ""),
    ((TEXT,), "/a.gmi", "text/gemini", 1001, "at most 1000 bytes may be uploaded here"),
    ((TEXT,), "/a.gmi", "image/png", 1, "image/png may not be uploaded here, only text/[*]"),
    ((TEXT,), "/a.txt", "TEXT/Plain; charset=utf-8", 1, ""),
    ((Terms(10, ("text/gemini",)),), "/a.gmi", "text/plain", 1, ""),  # as Lagrange has it
    ((Terms(10, ("text/gemini",)),), "/a.txt", "text/gemini", 1, "the name makes it text/plain, .*"),
    ((Terms(10, ("text/gemini",)),), "/a.gmi", "text/html", 1, "text/html may not be .* only text/gemini"),
    ((Terms(10, ("image/png", "image/jpeg")),), "/a.png", "image/png", 1, ""),
    ((Terms(10, ("image/png",)),), "/a.png", "text/plain", 1, "text/plain may not be .* only image/png"),
    ((Terms(10, ("*/*",)),), "/a", "application/x-sh", 1, ""),
    ((TEXT, Terms(5, ("*/*",))), "/a.gmi", "text/gemini", 6, "at most 5 bytes may be uploaded here"),
    ((Terms(5, ("*/*",)), TEXT), "/a.png", "image/png", 1, "image/png may not be uploaded .*"),
]


@pytest.mark.parametrize(("terms", "path", "mime", "size", "message"), TERMS)
async def test_terms(
    capsule: Capsule, terms: tuple[Terms, ...], path: str, mime: str, size: int, message: str
) -> None:
    request = upload(path, b"x" * size, mime=mime)
    answer = await capsule.answer(request, *terms)
    if not message:
        assert answer == f"{PAGE}{path}"
        assert len(capsule.files[path[1:]]) == size
        return
    assert re.fullmatch(f"59 {message}", answer)
    assert capsule.files == UNTOUCHED
    assert request.upload
    assert await request.upload.read()  # nobody has read it


async def test_deleting(capsule: Capsule) -> None:
    assert await capsule.answer(upload("/old.gmi")) == "50 nothing can be deleted here"
    assert await capsule.answer(upload("/none.gmi"), delete=True) == "51 not found"
    assert await capsule.answer(upload("/none/none.gmi"), delete=True) == "51 not found"
    assert (await capsule.answer(upload("/notes"), delete=True)).startswith("59 this is the path of a folder")
    assert (await capsule.answer(upload("/notes/"), delete=True)).startswith(
        "59 this is the path of a folder"
    )
    failure = BadRequest("more than 0 bytes were sent")
    assert await capsule.answer(upload("/old.gmi", failure), delete=True) == f"59 {failure}"
    assert capsule.files == UNTOUCHED
    answer = await capsule.answer(upload("/old.gmi", mime="image/png"), delete=True, keep=2)
    assert answer == "20 text/gemini|# Deleted\n\n/old.gmi is no more.\n"
    assert capsule.files == {"notes/": b""}
    assert versions_of(capsule.root, "old.gmi") == [b"old"]


@pytest.mark.parametrize("name", ["link.gmi", "fifo.gmi"])
async def test_only_files_are_deleted(capsule: Capsule, name: str) -> None:
    (capsule.root / "link.gmi").symlink_to("old.gmi")
    os.mkfifo(capsule.root / "fifo.gmi")
    assert (await capsule.answer(upload(f"/{name}"), delete=True)).startswith("50 what is there is no file")
    assert {path.name for path in capsule.root.iterdir()} == {"notes", "old.gmi", "link.gmi", "fifo.gmi"}


async def test_folders_are_made(capsule: Capsule) -> None:
    assert await capsule.answer(upload("/a/b/c.gmi", b"x"), folders=True) == f"{PAGE}/a/b/c.gmi"
    assert capsule.files == {**UNTOUCHED, "a/": b"", "a/b/": b"", "a/b/c.gmi": b"x"}
