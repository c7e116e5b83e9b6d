"""`.meta` files on the disk: which one is asked, and what an odd one does to answers and to the log."""

import errno
import logging
import os
import threading
from pathlib import Path

import pytest

from pad19.content import sidecars as module
from pad19.content.files import Opened, open_file, signature_of
from pad19.content.memory import TICK_NS
from pad19.content.sidecar import MAX_TEXT, Directive, Header, Mimetype, Parameters, Sidecar, parse
from pad19.content.sidecars import MAX_KNOWN, MAX_TOLD, Sidecars
from pad19.protocol.failure import TemporaryFailure
from pad19.protocol.status import Status
from support.disk import TomorrowsClock, descriptors, next_tick
from support.users import unprivileged


def find(sidecars: Sidecars, relative: str) -> Directive | None:
    return sidecars.survey(relative).find(relative)


def directive(text: str) -> Mimetype:
    return Mimetype(f"text/{text}")


def make(root: Path, files: dict[str, str]) -> None:
    for folder, text in files.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / ".meta").write_text(text)


TREE = {
    "": "*.txt: text/root\n*.root: text/root\nonly-root: text/root\na/b/whole: text/root\n"
    "a/: text/root\ngone/**: 52 Gone\n",
    "a": "*.txt: text/a\nb/whole: text/a\nb/: text/a\n/: text/self\n",
    "a/b": "*.txt: text/b\n",
    "empty": "",
}
FOUND: list[tuple[str, Directive | None]] = [
    ("x.txt", directive("root")),
    ("a/x.txt", directive("a")),
    ("a/b/x.txt", directive("b")),
    ("a/b/c/d/x.txt", directive("b")),  # folders that are not there
    ("empty/x.txt", directive("root")),
    ("none/x.txt", directive("root")),
    ("only-root", directive("root")),
    ("a/b/only-root", None),
    ("a/b/only.root", directive("root")),
    ("a/b/whole", directive("a")),
    ("a/", directive("self")),  # the folder's own file is nearer than its parent's
    ("a/b/", directive("a")),
    ("a", None),
    ("", None),
    ("x.gmi", None),
    ("gone/a/b", Header(Status.GONE, "Gone")),
    ("gone/", None),
]


@pytest.mark.parametrize("clock", ["today", "tomorrow"])
@pytest.mark.parametrize(("relative", "expected"), FOUND)
def test_nearest_folder_speaks_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, relative: str, expected: Directive | None, clock: str
) -> None:
    if clock == "tomorrow":
        monkeypatch.setattr(module, "time", TomorrowsClock)
    make(tmp_path, TREE)
    sidecars = Sidecars(str(tmp_path))
    for _ in range(2):
        assert find(sidecars, relative) == expected


def test_one_survey_answers_for_all_files_of_a_folder(tmp_path: Path) -> None:
    make(tmp_path, TREE)
    survey = Sidecars(str(tmp_path)).survey("a/b/")
    assert survey.find("a/b/index.txt") == directive("b")
    assert survey.find("a/b/whole") == directive("a")


def test_witnesses_are_the_folders_and_their_files(tmp_path: Path) -> None:
    make(tmp_path, {"a": "", "a/b": ""})
    (tmp_path / "a/b/c").mkdir()
    (tmp_path / "a/b/c/.meta").symlink_to("nowhere")
    witnesses = Sidecars(str(tmp_path)).survey("a/b/c/x").witnesses
    names = ["a/b/c/", "a/b/c/.meta", "a/b/", "a/b/.meta", "a/", "a/.meta", ""]
    assert [path for path, _ in witnesses] == [f"{tmp_path}/{name}" for name in names]
    for path, seen in witnesses:
        assert seen == signature_of(path)
    assert dict(witnesses)[f"{tmp_path}/a/b/c/.meta"] is None


def test_path_to_nowhere_costs_nothing(tmp_path: Path) -> None:
    make(tmp_path, {"": ""})
    survey = Sidecars(str(tmp_path)).survey("d/" * 500)
    assert [path for path, _ in survey.witnesses] == [f"{tmp_path}/d/", f"{tmp_path}/", f"{tmp_path}/.meta"]


def test_root_that_is_gone_has_no_rules(tmp_path: Path) -> None:
    assert find(Sidecars(str(tmp_path / "gone")), "a/x.txt") is None


# Reading again


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The sidecar files that were opened, in turn."""
    opened: list[str] = []

    def counting(root: str, relative: str) -> Opened:
        opened.append(relative)
        return open_file(root, relative)

    monkeypatch.setattr(module, "open_file", counting)
    return opened


@pytest.mark.usefixtures("settled")
def test_settled_file_is_read_once_until_it_changes(tmp_path: Path, reads: list[str]) -> None:
    make(tmp_path, {"": "*a: text/one", "sub": ""})
    (tmp_path / "link").symlink_to("sub")
    sidecars = Sidecars(str(tmp_path))
    for _ in range(3):
        assert find(sidecars, "sub/a") == directive("one")
        assert find(sidecars, "link/a") == directive("one")
    assert reads == [".meta", "sub/.meta"]
    next_tick(tmp_path / "scratch")
    (tmp_path / ".meta").write_text("*a: text/two")
    for _ in range(3):
        assert find(sidecars, "sub/a") == directive("two")
    assert reads == [".meta", "sub/.meta", ".meta"]
    (tmp_path / ".meta").unlink()
    assert find(sidecars, "sub/a") is None
    (tmp_path / ".meta").write_text("*a: text/three")
    assert find(sidecars, "sub/a") == directive("three")


def test_young_file_is_read_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads: list[str]
) -> None:
    make(tmp_path, {"": "a: text/one"})
    changed = (tmp_path / ".meta").stat().st_ctime_ns

    class Clock:
        @staticmethod
        def time_ns() -> int:
            return changed + TICK_NS

    monkeypatch.setattr(module, "time", Clock)
    sidecars = Sidecars(str(tmp_path))
    for count in range(1, 4):
        assert find(sidecars, "a") == directive("one")
        assert len(reads) == count


def test_edits_in_quick_succession_are_never_missed(tmp_path: Path) -> None:
    sidecars = Sidecars(str(tmp_path))
    for number in range(200):
        (tmp_path / ".meta").write_text(f"a: text/x-{number:03}")
        assert find(sidecars, "a") == directive(f"x-{number:03}")


@pytest.mark.usefixtures("settled")
def test_links_to_a_parent_do_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    make(tmp_path, {"": "wrong", "sub": "wrong"})
    (tmp_path / "sub" / "x").symlink_to(".")
    (tmp_path / "sub" / "y").symlink_to("..")
    parses: list[str] = []

    def counting(text: str) -> tuple[Sidecar, list[str]]:
        parses.append(text)
        return parse(text)

    monkeypatch.setattr(module, "parse", counting)
    sidecars = Sidecars(str(tmp_path))
    for path in ("sub/x/", "sub/y/", "sub/x/x/x/", "sub/y/sub/x/y/"):
        find(sidecars, path)
    assert len(parses) == 2
    assert len(caplog.records) == 2


@pytest.mark.usefixtures("settled")
def test_number_of_files_in_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_KNOWN", 3)
    make(tmp_path, {f"{number}": f"a: text/x-{number}" for number in range(6)})
    sidecars = Sidecars(str(tmp_path))
    for _ in range(2):
        for number in range(6):
            assert find(sidecars, f"{number}/a") == directive(f"x-{number}")
            assert len(sidecars._known) <= 3
    assert MAX_KNOWN >= 1000


# Odd files


def fifo(path: Path) -> None:
    os.mkfifo(path)


def written(content: bytes) -> object:
    return lambda path: path.write_bytes(content)


def linked(target: str) -> object:
    return lambda path: path.symlink_to(target)


A = directive("x-a")
TOO_LONG = f"there is more than {MAX_TEXT} bytes of text; the rest is ignored"
FILL = b"a: text/x-a\n" + b"#" * (MAX_TEXT - 12)
ODD: list[tuple[str, object, Directive | None, list[str]]] = [
    ("BOM", written(b"\xef\xbb\xbfa: text/x-a"), A, []),
    ("CRLF", written(b"a: text/x-a\r\n"), A, []),
    ("empty", written(b""), None, []),
    ("folder", Path.mkdir, None, ["it is ignored: a folder"]),
    ("FIFO", fifo, None, ["it is ignored: neither a file nor a folder"]),
    ("device", linked("/dev/zero"), None, ["it is ignored: outside the root"]),
    ("link out", linked("../outside.meta"), None, ["it is ignored: outside the root"]),
    ("link to nothing", linked("nowhere"), None, ["it is ignored: No such file or directory"]),
    ("link to itself", linked(".meta"), None, ["it is ignored: Too many levels of symbolic links"]),
    ("link in", linked("real.meta"), A, []),
    ("Latin-1", written(b"# x\na: text/x-a\nb: 52 Schlo\xdf"), A, ["line 3: it is not UTF-8"]),
    (
        "UTF-16",
        written("a: 51\n".encode("utf-16")),
        None,
        ["line 1: it is not UTF-8", "line 1: the control", "line 2: the control"],
    ),
    ("wrong line", written(b"a: text/x-a\nwrong\n"), A, ["line 2: 'wrong' is not 'pattern: directive'"]),
    ("large", written(FILL + b"\nb: 51"), A, [f"line 1: {TOO_LONG}"]),
    ("large, cut within a character", written(FILL + "é".encode()), A, [f"line 1: {TOO_LONG}"]),
    ("huge", written(b"a: text/x-a\n" + bytes(10 * MAX_TEXT)), A, [f"line 1: {TOO_LONG}"]),
]


@pytest.mark.parametrize("clock", ["today", "tomorrow"])
@pytest.mark.parametrize(
    ("make_it", "expected", "problems"), [row[1:] for row in ODD], ids=[row[0] for row in ODD]
)
def test_odd_file_is_told_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    make_it: object,
    expected: Directive | None,
    problems: list[str],
    clock: str,
) -> None:
    if clock == "tomorrow":
        monkeypatch.setattr(module, "time", TomorrowsClock)
    root = tmp_path / "root"
    root.mkdir()
    for path in (tmp_path / "outside.meta", root / "real.meta"):
        path.write_text("a: text/x-a")
    assert callable(make_it)
    make_it(root / ".meta")
    before = descriptors()
    sidecars = Sidecars(str(root))
    for _ in range(5):
        assert find(sidecars, "a") == expected
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == len(problems)
    for line, problem in zip(told, problems, strict=True):
        assert line.startswith(f"'{root}/.meta': {problem}")
    assert descriptors() == before


def test_unreadable_file_is_told_once_and_its_folder_not_served(caplog: pytest.LogCaptureFixture) -> None:
    with unprivileged() as root:
        make(root, {"": "a: 51"})
        (root / ".meta").chmod(0)
        sidecars = Sidecars(str(root))
        for _ in range(3):
            with pytest.raises(TemporaryFailure):
                find(sidecars, "a")
        [told] = [entry.getMessage() for entry in caplog.records]
        assert told.startswith(f"'{root}/.meta' cannot be read: Permission denied. ")
        (root / ".meta").chmod(0o600)
        assert find(sidecars, "a") == Header(Status.NOT_FOUND, "")


def test_edited_file_is_told_about_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sidecars = Sidecars(str(tmp_path))
    for text in ("wrong", "still wrong", "a: text/x-a", "wrong"):
        (tmp_path / ".meta").write_text(text)
        for _ in range(3):
            find(sidecars, "a")
    assert [record.getMessage().partition("line 1: ")[2] for record in caplog.records] == [
        "'wrong' is not 'pattern: directive'",
        "'still wrong' is not 'pattern: directive'",
        "'wrong' is not 'pattern: directive'",
    ]


def test_log_is_not_flooded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make(tmp_path, {"": "wrong\n" * 500})
    find(Sidecars(str(tmp_path)), "a")
    assert len(caplog.records) == MAX_TOLD + 1
    assert caplog.messages[-1] == f"'{tmp_path}/.meta': and so on, 500 problems in all"


def test_name_of_a_folder_cannot_forge_log_lines(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make(tmp_path, {"a\nERROR \u202eb": "wrong"})
    find(Sidecars(str(tmp_path)), "a\nERROR \u202eb/x")
    [line] = caplog.messages
    assert line.isprintable()


def test_first_requests_at_the_same_time_tell_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make(tmp_path, {"": "wrong\na: text/x-a"})
    sidecars = Sidecars(str(tmp_path))
    start = threading.Barrier(8)
    found: list[Directive | None] = []

    def run() -> None:
        start.wait()
        found.extend(find(sidecars, "a") for _ in range(20))

    threads = [threading.Thread(target=run) for _ in range(8)]
    with caplog.at_level(logging.WARNING):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [A] * 160
    assert len(caplog.records) == 1


@pytest.mark.parametrize("code", [errno.EMFILE, errno.EIO])
def test_disk_in_trouble_is_not_a_folder_without_rules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    make(tmp_path, {"": "private: 51"})

    def failing(root: str, relative: str) -> Opened:
        raise OSError(code, os.strerror(code), relative)

    with monkeypatch.context() as patch:
        patch.setattr(module, "open_file", failing)
        with pytest.raises(OSError, match=os.strerror(code)):
            find(Sidecars(str(tmp_path)), "private")


def test_parameters_join(tmp_path: Path) -> None:
    make(tmp_path, {"": "*: ;lang=en", "nl": "*: ;lang=nl"})
    assert find(Sidecars(str(tmp_path)), "nl/a.gmi") == Parameters("; lang=nl")
