"""Uploads of what was opened for editing: nothing is overwritten that nobody has seen."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import trio

from content.capsule import ADA, ELSEWHERE, EVE, UNTOUCHED, Capsule
from pad19.content.uploads import Terms
from pad19.protocol.client import Client
from pad19.protocol.failure import Failure
from pad19.protocol.response import Success
from pad19.store.interface import Store, StoreError
from support.uploads import body_of, edit, files_below, upload


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
