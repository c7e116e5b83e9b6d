"""Which script answers for a path, and which file never does."""

import errno
import logging
import os
from pathlib import Path

import pytest

from pad19.routes.cgi.scripts import Script, Scripts
from support.scripts import SH, write_script

EXECUTABLE = [
    "hello.cgi", "tool", "twice.py", "twice.sh", "sub/index.gmi", "sub/deep/a.py", "both.cgi",
    "both/index.cgi", "wiki/index.py", "index.gmi", ".secret.cgi", ".git/hook",
]  # fmt: skip
FOUND = [  # segments, which file, how many of the segments name it
    (("hello.cgi",), "hello.cgi", 1),
    (("hello.cgi", "a", "b"), "hello.cgi", 1),
    (("hello.cgi", ""), "hello.cgi", 1),
    (("hello.cgi", "", ".x", ""), "hello.cgi", 1),  # the rest is not ours to judge
    (("hello",), "hello.cgi", 1),
    (("hello", "a"), "hello.cgi", 1),
    (("tool",), "tool", 1),
    (("twice",), "twice.py", 1),
    (("sub", "deep", "a.py", "x"), "sub/deep/a.py", 3),
    (("sub", "deep", "a"), "sub/deep/a.py", 3),
]
INDEXES = [  # the same for folders
    ((), "index.gmi", 0),
    (("",), "index.gmi", 0),
    (("sub",), "sub/index.gmi", 1),
    (("sub", ""), "sub/index.gmi", 1),
    (("sub", "none"), "sub/index.gmi", 1),
    (("wiki", "Page", "edit"), "wiki/index.py", 1),
    (("both", "x"), "both/index.cgi", 1),  # what exists goes before what could be completed
]
MISSING = [
    ("none",),
    ("none", ""),
    ("hello.cg",),
    ("hello.cgi.cgi",),
    ("data.txt",),
    ("data.txt", "x"),
    ("sub", "notes.gmi"),  # there, so it is not the index's either
    (".secret.cgi",),
    (".secret",),
    (".git", "hook"),
    ("sub", ".x"),
    ("sub", "", "deep"),
    ("", "hello.cgi"),
    ("sub/deep", "a.py"),
    ("..", "outside.cgi"),
    ("pipe",),
    ("sub", "deep", ""),  # no index
    ("sub", "deep"),
    ("x" * 300,),
    ("x" * 254,),  # too long with a suffix only
    ("hello.cgi\n",),
    ("\ud800",),  # what the file system cannot spell, as é where names are ASCII
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "cgi-bin"
    for name in EXECUTABLE:
        write_script(root / name, SH)
    write_script(root / "data.txt", SH, 0o644)
    write_script(root / "sub/notes.gmi", SH, 0o644)
    write_script(tmp_path / "outside.cgi", SH)
    os.mkfifo(root / "pipe", 0o777)
    return root


@pytest.mark.parametrize(("segments", "name", "depth"), FOUND)
def test_script_is_found(root: Path, segments: tuple[str, ...], name: str, depth: int) -> None:
    assert Scripts(root).find(segments) == Script(str(root / name), depth)


@pytest.mark.parametrize(("segments", "name", "depth"), INDEXES)
def test_folder_has_an_index(root: Path, segments: tuple[str, ...], name: str, depth: int) -> None:
    assert Scripts(root).find(segments) == Script(str(root / name), depth, is_index=True)


@pytest.mark.parametrize("segments", MISSING)
def test_nothing_else_is_run(root: Path, segments: tuple[str, ...]) -> None:
    assert Scripts(root).find(segments) is None


def test_root_that_is_missing_has_no_scripts(tmp_path: Path) -> None:
    assert Scripts(tmp_path / "none").find(("hello.cgi",)) is None


def test_links_stay_inside(root: Path, tmp_path: Path) -> None:
    write_script(tmp_path / "elsewhere/a.cgi", SH)
    write_script(tmp_path / "cgi-bin-too/b.cgi", SH)  # a name that the root's is the beginning of
    (root / "inside").symlink_to("hello.cgi")
    (root / "out").symlink_to("../outside.cgi")
    (root / "folder").symlink_to(tmp_path / "elsewhere")
    (root / "neighbour").symlink_to(tmp_path / "cgi-bin-too/b.cgi")
    (root / "loop").symlink_to("loop")
    (root / "dangling").symlink_to("nowhere")
    scripts = Scripts(root)
    assert scripts.find(("inside",)) == Script(str(root / "inside"), 1)
    for segments in [("out",), ("folder", "a.cgi"), ("neighbour",), ("loop",), ("dangling",)]:
        assert scripts.find(segments) is None


def test_root_may_be_a_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("cgi-bin")
    assert Scripts(tmp_path / "link").find(("tool",)) == Script(str(tmp_path / "link/tool"), 1)


def test_operator_is_told_once(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    (root / "out").symlink_to("../outside.cgi")
    scripts = Scripts(root)
    for _ in range(2):
        scripts.find(("data.txt",))
        scripts.find(("out",))
        scripts.find(("none",))
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        f"{str(root / 'data.txt')!r} is not executable and is answered with 51",
        f"{str(root / 'out')!r} is a link that leads out of the folder and is answered with 51",
    ]


def test_trouble_is_not_absence(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: str) -> os.stat_result:
        raise OSError(errno.EIO, "Input/output error", path)

    monkeypatch.setattr("pad19.routes.cgi.scripts.os.stat", fail)
    with pytest.raises(OSError, match="Input/output error"):
        Scripts(root).find(("hello.cgi",))
