"""Listings: what is found in a folder, and that no name can break the page."""

import errno
import os
import socket
import stat
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pad19.content.files import Absent
from pad19.content.listing import Entry, scan, write
from pad19.protocol.gemtext import Heading, Link, Preformatted, Text, parse
from pad19.protocol.uri import parse as parse_uri
from pad19.protocol.uri import percent_decode
from support.disk import descriptors

LAUNCH = datetime(1966, 7, 18, tzinfo=UTC)


def file(name: str, size: int = 0, modified: datetime = LAUNCH) -> Entry:
    return Entry(name, is_folder=False, size=size, modified=modified)


def folder(name: str) -> Entry:
    return Entry(name, is_folder=True, size=4096, modified=LAUNCH)


def names(directory: Path, *, root: Path | None = None, hidden: bool = False) -> list[str]:
    root = root or directory
    relative = "" if directory == root else f"{directory.relative_to(root)}/"
    before = descriptors()
    found = sorted(entry.name for entry in scan(str(root), relative, hidden=hidden))
    assert descriptors() == before
    return found


def test_files_and_folders_are_found(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"12345")
    os.utime(tmp_path / "a.txt", (0, 1_000_000_000.75))
    (tmp_path / "sub").mkdir()
    found = {entry.name: entry for entry in scan(str(tmp_path), "", hidden=False)}
    assert found["a.txt"] == file("a.txt", 5, datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC))
    assert found["sub"].is_folder
    assert len(found) == 2


def test_hidden_names_are_found_only_if_asked_for(tmp_path: Path) -> None:
    for name in (".meta", ".secret", "a"):
        (tmp_path / name).touch()
    (tmp_path / ".git").mkdir()
    assert names(tmp_path) == ["a"]
    assert names(tmp_path, hidden=True) == [".git", ".secret", "a"]


def test_only_files_and_folders_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "fifo")
    monkeypatch.chdir(tmp_path)  # the name of a socket must be short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        assert names(tmp_path) == []


def test_name_that_is_not_utf_8_is_left_out(tmp_path: Path) -> None:
    try:
        Path(os.fsdecode(bytes(tmp_path) + b"/\xff")).touch()
    except OSError:
        pytest.skip("this file system has UTF-8 names only")
    (tmp_path / "caf\xe9").touch()
    assert names(tmp_path) == ["caf\xe9"]


def test_links_are_followed_inside_the_root_only(tmp_path: Path) -> None:
    outside = tmp_path / "root-beside"
    outside.mkdir()
    (outside / "secret").touch()
    root = tmp_path / "root"
    directory = root / "sub"
    directory.mkdir(parents=True)
    (root / "a.txt").write_text("123")
    (directory / "file").symlink_to("../a.txt")
    (directory / "folder").symlink_to(root)
    (directory / "broken").symlink_to("nothing")
    (directory / "loop").symlink_to("loop")
    (directory / "out").symlink_to(outside)
    (directory / "out.txt").symlink_to(outside / "secret")
    (directory / "through").symlink_to("out/secret")
    (directory / "device").symlink_to("/dev/null")
    assert names(directory, root=root) == ["file", "folder"]
    alias = tmp_path / "alias"
    alias.symlink_to(root)
    assert names(alias / "sub", root=alias) == ["file", "folder"]
    found = {entry.name: entry for entry in scan(str(root), "sub/", hidden=False)}
    assert found["folder"].is_folder
    assert found["file"].size == 3


class OddlyDatedFile:
    """A directory entry from a disk whose times go further than datetime."""

    name = "a"

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def stat(self, *, follow_symlinks: bool) -> os.stat_result:
        return os.stat_result((stat.S_IFREG, 0, 0, 0, 0, 0, 0, 0, self._seconds, 0))


@pytest.mark.parametrize(("seconds", "year"), [(-1e10, 1970), (-0.5, 1970), (4e9, 2096), (1e18, 9999)])
def test_strange_times_are_survived(monkeypatch: pytest.MonkeyPatch, seconds: float, year: int) -> None:
    monkeypatch.setattr(os, "scandir", lambda _: nullcontext([OddlyDatedFile(seconds)]))
    (entry,) = scan("/", "", hidden=False)
    assert entry.modified.year == year
    assert entry.modified.tzinfo is UTC


@pytest.mark.parametrize("relative", ["nothing/", "file/", "out/"])
def test_what_is_no_folder_is_absent(tmp_path: Path, relative: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "out").symlink_to("/")
    before = descriptors()
    with pytest.raises(Absent):
        scan(str(tmp_path), relative, hidden=False)
    assert descriptors() == before


def test_a_folder_that_fails_while_it_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    (tmp_path / "sub").mkdir()
    before = descriptors()
    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", fail)
        with pytest.raises(OSError, match="Input/output error") as caught:
            scan(str(tmp_path), "sub/", hidden=False)
    assert caught.value.filename == str(tmp_path / "sub/") + "/"
    assert descriptors() == before


def test_page() -> None:
    when = datetime(2026, 11, 23, 23, 59, tzinfo=UTC)
    entries = [file("sp ace.gmi", 1234, when), folder("docs"), file("caf\xe9.txt", 5, when)]
    assert write("/a b/", entries, preamble=None, parent=True) == (
        "# /a b/\n"
        "\n"
        "=> ../ ..\n"
        "=> docs/ docs/\n"
        "=> caf%C3%A9.txt caf\xe9.txt  5 B  2026-11-23\n"
        "=> sp%20ace.gmi sp ace.gmi  1.2 KiB  2026-11-23\n"
    )


def test_empty_root() -> None:
    assert write("/", [], preamble=None, parent=False) == "# /\n\n"


PREAMBLES = [  # before, after
    ("", ""),
    ("Hello", "Hello\n"),
    ("# Hello\n\n", "# Hello\n\n"),
    ("# Hello\r\nthere\r\n", "# Hello\nthere\n"),
    ("*x\n#y\n  z\n", "*x\n#y\n  z\n"),
    ("```art\n.\n```\n", "```art\n.\n```\n"),
    ("```art\n.", "```art\n.\n```\n"),
    ("```\n```\n```\n", "```\n```\n```\n```\n"),
    ("```\n ```\n", "```\n ```\n```\n"),
    ("```\n.\r```\n", "```\n.\r```\n```\n"),
]


@pytest.mark.parametrize(("before", "after"), PREAMBLES)
def test_preamble_replaces_the_heading(before: str, after: str) -> None:
    text = write("/", [folder("a")], preamble=before, parent=False)
    assert text == f"{after}=> a/ a/\n"
    assert parse(text)[-1] == Link("a/", "a/")


ORDERS: list[Sequence[Entry]] = [
    [folder("z"), file("a")],
    [file("file1"), file("file2"), file("file10"), file("file10a"), file("file11")],
    [file("A"), file("b"), file("C")],
    [file("A"), file("a"), file("B"), file("b")],
    [file("1a"), file("2"), file("10"), file("a"), file("a1")],
    [file("v1.2"), file("v1.10"), file("v2.0")],
    [file("a01"), file("a1"), file("a02")],
    [file("STRASSE1"), file("stra\xdfe2")],
    [file("a1"), file("a\xb2"), file("a\u0663")],
    [file("9" * 255), file("a")],
]


@pytest.mark.parametrize("entries", ORDERS)
def test_order_is_the_one_people_expect(entries: Sequence[Entry]) -> None:
    text = write("/", entries, preamble="", parent=False)
    assert write("/", entries[::-1], preamble="", parent=False) == text
    links = [percent_decode(line.uri) for line in parse(text) if isinstance(line, Link)]
    assert links == [f"{entry.name}/" if entry.is_folder else entry.name for entry in entries]


SIZES = [
    (0, "0 B"),
    (1023, "1023 B"),
    (1024, "1.0 KiB"),
    (1234, "1.2 KiB"),
    (353_894, "345.6 KiB"),
    (1024**2 - 1, "1.0 MiB"),
    (1024**2, "1.0 MiB"),
    (1024**3 - 1, "1.0 GiB"),
    (1536 * 1024**2, "1.5 GiB"),
    (5000 * 1024**3, "5000.0 GiB"),
]


@pytest.mark.parametrize(("size", "shown"), SIZES)
def test_size_is_shown(size: int, shown: str) -> None:
    assert write("/", [file("a", size)], preamble="", parent=False) == f"=> a a  {shown}  1966-07-18\n"


NAMES = [  # name, link line
    (
        "a\n=> gemini://evil.test/ x",
        "=> ./a%0A=%3E%20gemini:%2F%2Fevil.test%2F%20x a\ufffd=> gemini://evil.test/ x/",
    ),
    ("a\r\x1b[2J\x85\u2028", "=> a%0D%1B%5B2J%C2%85%E2%80%A8 a\ufffd\ufffd[2J\ufffd\ufffd/"),
    ("\u202egpj.exe", "=> %E2%80%AEgpj.exe \ufffdgpj.exe/"),
    ("gemini:x", "=> ./gemini:x gemini:x/"),
    ("a?b#c%41", "=> a%3Fb%23c%2541 a?b#c%41/"),
    ("# x", "=> %23%20x # x/"),
    ("```", "=> %60%60%60 ```/"),
    (" ", "=> %20 /"),
    ("...", "=> ... .../"),
    ("a;b=c", "=> a;b=c a;b=c/"),
]


@pytest.mark.parametrize(("name", "line"), NAMES)
def test_name_is_linked_and_shown_on_one_line(name: str, line: str) -> None:
    uri, _, label = line.removeprefix("=> ").partition(" ")
    expected = f"=> {uri}/ {label}\n"
    assert write("/", [folder(name)], preamble="", parent=False) == expected


@given(
    st.lists(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1)),
    st.text(),
)
def test_no_name_breaks_a_page(found: list[str], title: str) -> None:
    text = write(title, [file(name) for name in found], preamble=None, parent=False)
    heading, blank, *links = parse(text)
    assert isinstance(heading, Heading)
    assert blank == Text("")
    seen = []
    for link in links:
        assert isinstance(link, Link)
        uri = parse_uri(link.uri)
        assert (uri.scheme, uri.host, uri.query, uri.fragment) == (None, None, None, None)
        seen.append(percent_decode(uri.path.removeprefix("./")))
    assert sorted(seen) == sorted(found)


@given(st.text())
def test_no_preamble_swallows_the_links(preamble: str) -> None:
    lines = parse(write("/", [folder("a")], preamble=preamble, parent=True))
    assert lines[-2:] == [Link("../", ".."), Link("a/", "a/")]
    assert not any(isinstance(line, Preformatted) and "=> ../" in line.text for line in lines)
