import errno
import fcntl
import logging
import os
import re
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import trio

from pad19.content import file_tree
from pad19.content.edits import Edits
from pad19.content.file_tree import Quota
from pad19.content.static import StaticFiles
from pad19.content.uploads import Terms, Uploads
from pad19.protocol.client import Client
from pad19.protocol.failure import BadRequest, Failure, TemporaryFailure
from pad19.protocol.request import Request, parse_request
from pad19.protocol.response import Redirect, Response, Success
from pad19.store.interface import Store, StoreError
from pad19.store.sqlite import open_store
from pad19.testing import identity
from support.disk import descriptors, small_disk
from support.uploads import body_of, edit, files_below, upload, versions_of

ADA, EVE = (Client("192.0.2.1", certificate=identity(name)) for name in ("Ada", "Eve"))
ELSEWHERE = Client("192.0.2.2")
TEXT = Terms(1000, ("text/*",))


@dataclass
class Capsule:
    root: Path
    store: Store

    def uploads(self, *terms: Terms, **options: Any) -> Uploads:
        options.setdefault("locks", self.root.parent / "locks")
        return Uploads(
            self.root, lambda _: terms or (TEXT,), Edits(self.store), StaticFiles(self.root), **options
        )

    async def answer(self, request: Request, *terms: Terms, **options: Any) -> str:
        """In a line."""
        try:
            response = await self.uploads(*terms, **options)(request)
        except Failure as failure:
            return f"{failure.status:d} {failure}"
        body = await body_of(response)
        return f"{response.status:d} {response.meta}{f'|{body.decode()}' if body else ''}"

    @property
    def files(self) -> dict[str, bytes]:
        return files_below(self.root)


@pytest.fixture
async def capsule(tmp_path: Path) -> AsyncIterator[Capsule]:
    root = tmp_path / "content"
    (root / "notes").mkdir(parents=True)
    (root / "old.gmi").write_text("old")
    async with open_store(None) as store:
        before = descriptors()
        yield Capsule(root, store)
        assert descriptors() == before


UNTOUCHED = {"notes/": b"", "old.gmi": b"old"}
PAGE = "30 gemini://localhost"


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
REFUSED = [  # path, status, errormsg
    ("/", 59, "this is the path of a folder: add the name of a file"),
    ("/notes/", 59, "this is the path of a folder: add the name of a file"),
    ("/new/", 59, "this is the path of a folder: add the name of a file"),
    ("/notes", 59, "the name makes it application/octet-stream, and only text/* may be uploaded here"),
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


# Clients that stop half way

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


# Previous versions


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


# Deleting


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


# Folders


async def test_folders_are_made(capsule: Capsule) -> None:
    assert await capsule.answer(upload("/a/b/c.gmi", b"x"), folders=True) == f"{PAGE}/a/b/c.gmi"
    assert capsule.files == {**UNTOUCHED, "a/": b"", "a/b/": b"", "a/b/c.gmi": b"x"}


async def test_folders_that_nothing_came_into_go_again(
    capsule: Capsule, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rename(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "rename", rename)
    assert await capsule.answer(upload("/a/b/c.gmi", b"x"), folders=True) == "40 it cannot be stored now"
    assert files_below(capsule.root, versions=True) == UNTOUCHED


# Many at once


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


# Editing


async def test_editing(capsule: Capsule) -> None:
    assert await capsule.answer(edit("/old.gmi", ADA)) == "20 text/gemini|old"
    assert (await capsule.answer(upload("/old.gmi", b"Ada's", client=ADA))).startswith("30 ")
    assert (await capsule.answer(upload("/old.gmi", b"Ada's again", client=ADA))).startswith("30 ")
    assert capsule.files["old.gmi"] == b"Ada's again"


CONFLICT = (
    "50 this has changed since you opened it, and stays as it is: keep your text, open the page for editing "
    "once more, and put the two together"
)


@pytest.mark.parametrize("by", [EVE, ELSEWHERE, None])
async def test_what_has_changed_since_is_not_overwritten(capsule: Capsule, by: Client | None) -> None:
    await capsule.answer(edit("/old.gmi", ADA))
    if by:
        assert (await capsule.answer(upload("/old.gmi", b"Eve's", client=by))).startswith("30 ")
    else:  # the owner, on the disk
        (capsule.root / "old.gmi").write_text("Eve's")
    request = upload("/old.gmi", b"Ada's", client=ADA)
    assert await capsule.answer(request) == CONFLICT
    assert request.upload
    assert await request.upload.read() == b"Ada's"  # it was refused before it was read
    assert await capsule.answer(upload("/old.gmi", client=ADA), delete=True) == CONFLICT
    assert capsule.files["old.gmi"] == b"Eve's"
    assert await capsule.answer(edit("/old.gmi", ADA)) == "20 text/gemini|Eve's"
    assert (await capsule.answer(upload("/old.gmi", b"both", client=ADA))).startswith("30 ")
    assert capsule.files["old.gmi"] == b"both"


async def test_what_changes_while_a_body_arrives(capsule: Capsule) -> None:
    class Meanwhile:
        def __aiter__(self) -> AsyncIterator[bytes]:
            return self._chunks()

        async def _chunks(self) -> AsyncIterator[bytes]:
            yield b"Ada"
            (capsule.root / "old.gmi").write_text("Eve's")
            yield b"'s"

    await capsule.answer(edit("/old.gmi", ADA))
    request = upload("/old.gmi", size=5, client=ADA)
    assert request.upload
    request = replace(request, upload=replace(request.upload, chunks=aiter(Meanwhile())))
    assert await capsule.answer(request, keep=2) == CONFLICT
    assert files_below(capsule.root, versions=True) == {**UNTOUCHED, "old.gmi": b"Eve's"}


SAVING = [  # who asks for the text or saves one, and what becomes of it
    # One author, who goes on saving.
    "Ada edits, Ada saves 30, Ada saves 30, Ada saves 30",
    "Ada edits, Ada edits, Ada saves 30, Ada edits, Ada saves 30, Ada edits, Ada saves 30",
    "Ada edits, Ada edits, Ada saves 30, Ada saves 30",
    "Ada edits, Ada saves 30, Ada edits, Ada saves 30, Ada saves 30",
    # Two devices with one certificate: what the first one saves is not lost.
    "Ada edits, Ada afar edits, Ada saves 30, Ada afar saves 50, Ada saves 50, Ada edits, Ada saves 30",
    "Ada edits, Ada afar edits, Ada saves 30, Ada edits, Ada saves 30, Ada afar saves 50",
    "Ada edits, Ada edits, Ada afar edits, Ada saves 30, Ada afar saves 50, Ada edits, Ada saves 30",
    "Ada edits, Ada afar saves 30, Ada saves 30",
    # From one address they look alike, but not what they hold.
    "Ada edits, the owner saves, Ada edits, Ada saves 30, Ada saves 50",
    # Likewise two people behind one address.
    "an address edits, an address edits, an address saves 30, an address saves 50",
    # Who forgot the certificate when they asked.
    "an address edits, Eve saves 30, Ada saves 50",
    "an address edits, the owner saves, Ada saves 50, Ada edits, Ada saves 30",
    # Several people.
    "Ada edits, Eve edits, Eve saves 30, Eve saves 30, Ada saves 50, Ada edits, Ada saves 30, Eve saves 50",
    "Ada edits, Ada afar edits, the owner saves, Ada saves 50, Ada edits, Ada saves 30",
    "Ada edits, Ada afar edits, Ada deletes 20, Ada saves 50, Ada edits, Ada saves 30",
]


@pytest.mark.parametrize("story", SAVING)
async def test_nothing_is_overwritten_unseen(capsule: Capsule, story: str) -> None:
    clients = {"Ada": ADA, "Eve": EVE, "an address": Client("192.0.2.1")}
    clients["Ada afar"] = replace(ADA, address="198.51.100.1")
    if story.startswith("an address edits, Eve"):
        clients["Eve"] = replace(EVE, address="192.0.2.9")
    for number, step in enumerate(story.split(", ")):
        match = re.fullmatch(r"(.*) (edits|saves|deletes) ?(\d*)", step)
        assert match
        who, does, status = match.groups()
        before = (capsule.root / "old.gmi").read_text() if (capsule.root / "old.gmi").exists() else None
        text = f"{number} by {who}"
        if who == "the owner":
            (capsule.root / "old.gmi").write_text(text)
            continue
        request = {
            "edits": edit("/old.gmi", clients[who]),
            "saves": upload("/old.gmi", text.encode(), client=clients[who]),
            "deletes": upload("/old.gmi", client=clients[who]),
        }[does]
        answer = await capsule.answer(request, delete=True)
        if does == "edits":
            assert answer == ("51 not found" if before is None else f"20 text/gemini|{before}"), step
        else:
            assert answer[:2] == status, (step, answer)
            now = capsule.files.get("old.gmi", b"").decode()
            assert now == {"30": text, "50": before or "", "20": ""}[status], step


async def test_two_at_once_of_one_certificate(capsule: Capsule) -> None:
    afar = replace(ADA, address="198.51.100.1")
    for client in (ADA, afar):
        await capsule.answer(edit("/old.gmi", client))
    uploads, answers = capsule.uploads(), []

    async def save(text: bytes, client: Client) -> None:
        try:
            answers.append(int((await uploads(upload("/old.gmi", text, client=client))).status))
        except Failure as failure:
            answers.append(int(failure.status))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(save, b"laptop", ADA)
        nursery.start_soon(save, b"telephone", afar)
    assert sorted(answers) == [30, 50]


async def test_what_is_gone_or_new_has_changed_too(capsule: Capsule) -> None:
    await capsule.answer(edit("/old.gmi", ADA))
    (capsule.root / "old.gmi").unlink()
    assert await capsule.answer(upload("/old.gmi", b"Ada's", client=ADA)) == CONFLICT
    assert await capsule.answer(edit("/new.gmi", ADA)) == "51 not found"
    (capsule.root / "new.gmi").write_text("Eve's")
    assert await capsule.answer(upload("/new.gmi", b"Ada's", client=ADA)) == CONFLICT
    assert capsule.files == {"notes/": b"", "new.gmi": b"Eve's"}


async def test_who_did_not_ask_to_edit_overwrites(capsule: Capsule) -> None:
    await capsule.answer(edit("/old.gmi", EVE))
    (capsule.root / "old.gmi").write_text("another")
    assert (await capsule.answer(upload("/old.gmi", b"Ada's", client=ADA))).startswith("30 ")
    await capsule.answer(edit("/old.gmi"))  # by the address
    (capsule.root / "old.gmi").write_text("another")
    assert (await capsule.answer(upload("/old.gmi", b"x", client=ELSEWHERE))).startswith("30 ")
    assert await capsule.answer(upload("/old.gmi", b"y")) == CONFLICT


async def test_who_has_deleted_may_write_again(capsule: Capsule) -> None:
    await capsule.answer(edit("/old.gmi", ADA))
    assert (await capsule.answer(upload("/old.gmi", client=ADA), delete=True)).startswith("20 ")
    assert (await capsule.answer(upload("/old.gmi", b"x", client=ADA))).startswith("30 ")


NOT_EDITED = [  # path, answer
    ("/none.gmi", "51 not found"),
    ("/none/none.gmi", "51 not found"),
    ("/notes/", "59 this is the path of a folder: add the name of a file"),
    ("/.meta", "50 names that begin with a dot are not for uploads"),
    ("/gone.gmi", "52 It was here"),
    ("/link.gmi", "50 what is there is no file, and stays as it is"),
    ("/outside.gmi", "51 not found"),
    ("/large.gmi", "50 it has more than 1000 bytes, too many to be edited here"),
    ("/huge.gmi", "50 it has more than 1000 bytes, too many to be edited here"),
    ("/index", "59 this is the path of a folder: add the name of a file"),
    # Where it has moved, absolute: clients ask for it as it stands.
    ("/moved.gmi", "30 titan://localhost/old.gmi;edit"),
    ("/moved.txt", "31 titan://localhost/notes/;edit?q"),
    ("/away.gmi", "30 gemini://elsewhere.test/"),
]


@pytest.mark.parametrize(("path", "answer"), NOT_EDITED)
async def test_what_cannot_be_edited(capsule: Capsule, path: str, answer: str) -> None:
    (capsule.root / ".meta").write_text(
        "gone.gmi: 52 It was here\nmoved.gmi: 30 old.gmi\nmoved.txt: 31 gemini://localhost/notes/?q\n"
        "away.gmi: 30 gemini://elsewhere.test/\n"
    )
    (capsule.root / "gone.gmi").write_text("secret")
    (capsule.root / "link.gmi").symlink_to("old.gmi")
    (capsule.root / "outside.gmi").symlink_to("/etc/hostname")
    (capsule.root / "large.gmi").write_bytes(bytes(1001))
    (capsule.root / "huge.gmi").write_bytes(bytes(1_000_000))
    (capsule.root / "index").mkdir()
    assert await capsule.answer(edit(path)) == answer


async def test_a_large_text_is_edited_as_it_is(capsule: Capsule) -> None:
    text = b"line\r\n" * 50_000
    (capsule.root / "large.txt").write_bytes(text)
    response = await capsule.uploads(Terms(10**6, ("text/*",)))(edit("/large.txt"))
    assert isinstance(response, Success)
    assert await body_of(response) == text


class BrokenStore:
    """Nothing can be kept in it."""

    async def get(self, key: str, default: object = None) -> object:
        raise StoreError("the store is full")

    async def update(self, *_: object, **__: object) -> object:
        raise StoreError("the store is full")


async def test_a_store_that_fails(capsule: Capsule, caplog: pytest.LogCaptureFixture) -> None:
    broken = Capsule(capsule.root, BrokenStore())  # type: ignore[arg-type]  # it has what is used
    answer = "40 edits cannot be remembered now"
    assert await broken.answer(edit("/old.gmi")) == answer
    assert await broken.answer(edit("/none.gmi", ADA)) == answer
    assert await broken.answer(upload("/old.gmi", b"x")) == answer
    assert caplog.messages == ["the store is full"] * 3
    assert capsule.files == UNTOUCHED


class HalfBrokenStore(BrokenStore):
    """What is in another one can be read."""

    def __init__(self, store: Store) -> None:
        self.get = store.get  # type: ignore[method-assign]  # that is the half


@pytest.mark.parametrize("body", [b"x", b""])
async def test_what_was_saved_stays_saved(capsule: Capsule, body: bytes) -> None:
    await capsule.answer(edit("/old.gmi"))
    broken = Capsule(capsule.root, HalfBrokenStore(capsule.store))  # type: ignore[arg-type]  # it has what is used
    answer = await broken.answer(upload("/old.gmi", body) if body else upload("/old.gmi"), delete=True)
    assert answer[:2] in {"30", "20"}
    assert capsule.files.get("old.gmi", b"") == body


# Quotas


def limited(size: int, *folders: str) -> Terms:
    return Terms(10_000, ("*/*",), (Quota(folders, size),))


async def test_a_quota(capsule: Capsule) -> None:
    terms = limited(100)  # of which old.gmi has 3
    full = "50 there is no room for it: 100 bytes may be here in all"
    request = upload("/a.gmi", b"x" * 98)
    assert await capsule.answer(request, terms) == full
    assert request.upload
    assert len(await request.upload.read()) == 98
    assert (await capsule.answer(upload("/notes/a.gmi", b"x" * 97), terms)).startswith("30 ")
    assert await capsule.answer(upload("/b.gmi", b"x"), terms) == full
    assert (await capsule.answer(upload("/notes/a.gmi", b"y" * 97), terms)).startswith("30 ")
    assert (await capsule.answer(upload("/notes/a.gmi", b"z"), terms)).startswith("30 ")
    assert (await capsule.answer(upload("/b.gmi", b"x" * 96), terms)).startswith("30 ")


async def test_a_quota_of_a_folder(capsule: Capsule) -> None:
    (capsule.root / "large").write_bytes(bytes(1000))
    terms = limited(10, "notes")
    assert (await capsule.answer(upload("/notes/a.gmi", b"x" * 10), terms)).startswith("30 ")
    assert (await capsule.answer(upload("/notes/b.gmi", b"x"), terms)).startswith("50 there is no room")
    both = Terms(10_000, ("*/*",), (Quota((), 2000), Quota(("notes",), 20)))
    assert (await capsule.answer(upload("/notes/b.gmi", b"x" * 11), both)).startswith("50 there is no room")
    assert (await capsule.answer(upload("/notes/b.gmi", b"x" * 10), both)).startswith("30 ")
    new = limited(10, "new")  # which is not there yet
    assert (await capsule.answer(upload("/new/b.gmi", b"x" * 10), new, folders=True)).startswith("30 ")


async def test_a_quota_of_a_file(capsule: Capsule) -> None:
    (capsule.root / "notes/other.gmi").write_bytes(bytes(1000))
    terms = limited(100, "notes", "one.gmi")
    for size, status in ((90, "30"), (101, "50"), (150, "50"), (40, "30"), (100, "30"), (101, "50")):
        answer = await capsule.answer(upload("/notes/one.gmi", b"x" * size), terms, keep=2)
        assert answer.startswith(status), size
        assert sum(map(len, versions_of(capsule.root / "notes", "one.gmi"))) <= 60
    assert capsule.files["notes/one.gmi"] == b"x" * 100
    (capsule.root / "notes/one.gmi").unlink()
    assert (await capsule.answer(upload("/notes/one.gmi", b"x" * 100), terms)).startswith("30 ")


async def test_a_quota_is_kept_by_whatever_name(capsule: Capsule) -> None:
    for path in ("/NOTES/a.gmi", "/notes./a.gmi", "/Notes/a.gmi"):
        answer = await capsule.answer(upload(path, b"x"), limited(100, "notes"), folders=True)
        assert answer == "59 write /notes in the path as it stands here, letter by letter"
    assert (await capsule.answer(upload("/%6Eotes/a.gmi", b"x"), limited(100, "notes"))).startswith("30 ")


async def test_previous_versions_give_way(capsule: Capsule) -> None:
    terms = limited(103)
    for letter in b"abcdef":
        answer = await capsule.answer(upload("/notes/n.gmi", bytes([letter]) * 40), terms, keep=5)
        assert answer.startswith("30 ")
    assert versions_of(capsule.root / "notes", "n.gmi") == [b"e" * 40]
    assert (await capsule.answer(upload("/m.gmi", b"m" * 60), terms, keep=5)).startswith("30 ")
    assert versions_of(capsule.root / "notes", "n.gmi") == []
    sizes = map(len, files_below(capsule.root, versions=True).values())
    assert sum(sizes) == 103


async def test_what_is_on_its_way_counts(capsule: Capsule) -> None:
    terms = limited(1003)
    uploads = capsule.uploads(terms)
    answers: list[str] = []

    async def send(number: int) -> None:
        try:
            response = await uploads(upload(f"/{number}.gmi", b"x" * 400))
            answers.append(f"{response.status:d}")
        except Failure as failure:
            answers.append(f"{failure.status:d}")

    async with trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(send, number)
    assert sorted(answers) == ["30"] * 2 + ["50"] * 8
    assert (await capsule.answer(upload("/n.gmi", b"x" * 200), terms)).startswith("30 ")


# The system in trouble


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
