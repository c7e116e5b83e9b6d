"""How much may be uploaded in all."""

import trio

from content.capsule import Capsule
from pad19.content.file_tree import Quota
from pad19.content.uploads import Terms
from pad19.protocol.failure import Failure
from support.uploads import files_below, upload, versions_of


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
