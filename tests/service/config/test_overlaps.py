"""Content folders that two capsules share, and zones that hold in one of them alone."""

from pathlib import Path

import pytest

from pad19.service.config.load import load
from pad19.service.config.model import ConfigError
from support.configuration import problems, write

ADA = f"'sha256:{'a' * 64}'"
MEMBERS = f"[[capsule.zone]]\npath = '/members/'\nallow = {ADA}\n"
WHOLE = "[[capsule.zone]]\npath = '/'\nallow = 'any'\n"
OPEN = "[[capsule.zone]]\npath = '/members/'\nallow = 'everybody'\n"
BOARD = "[[capsule.zone]]\npath = '/members/board'\nallow = 'everybody'\n"
WRITERS = f"[[capsule.zone]]\npath = '/'\nwrite = {ADA}\n"
UNWANTED = f"[[capsule.zone]]\npath = '/members'\ndeny = {ADA}\n"
NOT_YET = f"[[capsule.zone]]\npath = '/drafts/'\nallow = {ADA}\n"
SECRET = f"[[capsule.zone]]\npath = '/.secret/'\nallow = {ADA}\n"


@pytest.fixture
def folder(folder: Path) -> Path:
    for name in ("content/members/board", "content/.secret", "content/.well-known", "other"):
        (folder / name).mkdir(parents=True)
    (folder / "linked").symlink_to("content")
    (folder / "content/link").symlink_to("../other")
    (folder / "content/members/a b%").touch()
    return folder


def two(first: str, second: str, *, contents: tuple[str, str] = ("content", "content")) -> str:
    return (
        f"[[capsule]]\nhosts = ['a.test']\ncontent = '{contents[0]}'\n{first}"
        f"[[capsule]]\nhosts = ['b.test']\ncontent = '{contents[1]}'\n{second}"
    )


REFUSED = [  # the configuration; whose content would show what, and what lacks a zone there
    (two(MEMBERS, ""), "2 content 1", "/members"),
    (two("", MEMBERS), "1 content 2", "/members"),
    (two(MEMBERS, WRITERS), "2 content 1", "/members"),  # which says nothing about readers
    (two(UNWANTED, ""), "2 content 1", "/members"),
    (two(WHOLE, ""), "2 content 1", "/"),
    (two(WHOLE, MEMBERS), "2 content 1", "/"),
    (two(MEMBERS, "", contents=("content", "linked")), "2 linked 1", "/members"),
    (two(WHOLE, "", contents=("content/members", "content")), "2 content 1", "/members"),
    (two(WHOLE, WHOLE + WRITERS.replace("/", "/members/"), contents=("content/members", "content")),
        "2 content 1", "/members"),
    (two(MEMBERS, "", contents=("content", "content/members")), "2 content/members 1", "/"),
    (two(MEMBERS, "", contents=("content", "content/members/board")), "2 content/members/board 1", "/"),
    (two(MEMBERS + BOARD, BOARD), "2 content 1", "/members"),
    (two(MEMBERS.replace("/members/", "/members/a%20b%25"), ""), "2 content 1", "/members/a%20b%25"),
    (two(MEMBERS.replace("/members/", "/.well-known/"), ""), "2 content 1", "/.well-known"),
    (two(SECRET, "hidden = true\n"), "2 content 1", "/.secret"),
    (two(f"{NOT_YET}[capsule.titan]\n", ""), "2 content 1", "/drafts"),  # an upload makes it
]  # fmt: skip


@pytest.mark.parametrize(("text", "which", "path"), REFUSED)
def test_what_a_zone_keeps_is_not_shown_by_another_capsule(
    folder: Path, text: str, which: str, path: str
) -> None:
    shows, content, has = which.split()
    assert problems(folder, text) == [
        f"capsule[{shows}].content is {folder / content}, which would show everybody what "
        f'zone[1] of capsule[{has}] keeps for some: give it a zone with path = "{path}" and allow, or name '
        "another folder"
    ]


TAKEN = [
    two("", ""),
    two(MEMBERS, "", contents=("content", "other")),
    two(MEMBERS, MEMBERS),
    two(MEMBERS + WHOLE, WHOLE),
    two(MEMBERS, OPEN),  # that is said on purpose
    two(MEMBERS, UNWANTED),
    two(MEMBERS, MEMBERS.replace("/members/", "/MEMBERS")),  # which is the same zone
    two(OPEN, ""),
    two(WRITERS, ""),
    two(NOT_YET, ""),  # a route, perhaps
    two(SECRET, ""),
    two(WHOLE, "", contents=("content/.secret", "content")),
    two(MEMBERS + BOARD, "", contents=("content", "content/members/board")),
    two(MEMBERS, "", contents=("content", "content/link")),  # where it leads is no part of that one
    two(WHOLE, WHOLE, contents=("content", "content/members")),
]


@pytest.mark.parametrize("text", TAKEN)
def test_where_nothing_is_shown_that_a_zone_keeps_folders_are_shared(folder: Path, text: str) -> None:
    load(write(folder, text))


def test_each_zone_is_told_of_once_for_each_capsule(folder: Path) -> None:
    text = two(MEMBERS + SECRET, "hidden = true\n") + "[[capsule]]\nhosts = ['c.test']\n"
    assert [problem.partition(" keeps")[0] for problem in problems(folder, text)] == [
        f"capsule[{shows}].content is {folder}/content, which would show everybody what "
        f"zone[{zone}] of capsule[1]"
        for shows, zone in ((2, 1), (2, 2), (3, 1))
    ]


def test_a_capsule_of_another_file_is_called_by_its_name(folder: Path) -> None:
    (folder / "b.toml").write_text("[[capsule]]\nhosts = ['b.test']\n")
    with pytest.raises(ConfigError) as refusal:
        load(write(folder, f"include = 'b.toml'\n[[capsule]]\nhosts = ['a.test']\n{MEMBERS}"))
    assert refusal.value.problems == (
        f"{folder}/b.toml: capsule[1].content is {folder}/content, which would show everybody what zone[1] "
        f'of capsule[1] of {folder}/pad19.toml keeps for some: give it a zone with path = "/members" and '
        "allow, or name another folder",
    )
