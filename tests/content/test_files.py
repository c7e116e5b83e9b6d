"""Opening beneath a root: whatever links, devices, modes and other processes do, nothing else gets out."""

import errno
import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from pad19.content import files
from pad19.content.files import Absent, open_beneath, open_file, signature, signature_of
from support.disk import FailingOpen, descriptors
from support.users import unprivileged

INSIDE = b"inside"
SECRET = b"secret"

WAYS = ["O_PATH", "no /proc", "no O_PATH"]


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every way to open: the one of Linux, and what is left elsewhere or in a closed container."""
    if request.param == "no /proc":
        monkeypatch.setattr(files, "_PROC_FDS", "/nowhere")
    if request.param == "no O_PATH":
        monkeypatch.setattr(files, "_O_PATH", 0)
    return str(request.param)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "docs" / "deep").mkdir(parents=True)
    for name in ("a.gmi", "docs/a.gmi", "docs/deep/a.gmi", "x (deleted)", "line\nbreak", "caf\xe9"):
        (root / name).write_bytes(INSIDE)
    outside = tmp_path / "root-beside"  # shares its first letters with the root
    outside.mkdir()
    (outside / "secret.gmi").write_bytes(SECRET)
    (outside / "back").symlink_to(root / "a.gmi")
    links: dict[str, str | Path] = {
        "relative": "docs/a.gmi",
        "absolute": root / "docs" / "a.gmi",
        "around": "../root/docs/a.gmi",
        "through": "folder/deep/a.gmi",
        "chain": "chain2",
        "chain2": "docs/chain3",
        "docs/chain3": "../a.gmi",
        "folder": "docs",
        "self": ".",
        "out": outside / "secret.gmi",
        "out relative": "../root-beside/secret.gmi",
        "out folder": "../root-beside",
        "out through": "out folder/secret.gmi",
        "out chain": "docs/out chain",
        "docs/out chain": "../out",
        "out and back": "../root-beside/back",
        "parent": "..",
        "host": "/",
        "magic": "/proc/self/root/etc/passwd",
        "dangling": "nowhere",
        "loop": "loop",
        "loop2": "loop3/x",
        "loop3": "loop2",
        "null": "/dev/null",
        "zero": "/dev/zero",
        "to fifo": "fifo",
        "to socket": "socket",
    }
    for name, target in links.items():
        (root / name).symlink_to(target)
    os.link(root / "a.gmi", root / "hard")
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(root)  # the name of a socket must be short
        listener.bind("socket")
        os.chdir(here)
    return root


SERVED = [
    *("a.gmi", "docs/a.gmi", "docs/deep/a.gmi", "x (deleted)", "line\nbreak", "caf\xe9", "hard"),
    *("relative", "absolute", "around", "through", "chain", "folder/a.gmi", "folder/deep/a.gmi"),
    *("self/self/a.gmi", "out and back", "docs/../a.gmi"),
]
FOLDERS = ["", "docs", "docs/deep", "folder", "self", "self/folder"]
ABSENT = [
    *("nope", "nope/nope", "a.gmi/x", "A.gmi", "cafe\u0301"),
    *("out", "out relative", "out folder", "out folder/secret.gmi", "out through", "out chain"),
    *("parent", "parent/root-beside/secret.gmi", "host", "host/etc/passwd", "magic", "../root-beside"),
    *("../root-beside/secret.gmi", "docs/../../root-beside/secret.gmi", "/etc/passwd"),
    *("dangling", "loop", "loop/x", "loop2", "loop2/x"),
    *("fifo", "socket", "null", "zero", "to fifo", "to socket", "fifo/x"),
    *("n" * 255, "n" * 256, "n/" * 3000, "self/" * 50 + "a.gmi"),
    "\ud800",  # as in a locale that has no such letter
]


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("name", SERVED, ids=ascii)
def test_file_is_opened(root: Path, name: str) -> None:
    before = descriptors()
    opened = open_beneath(str(root), name)
    assert not opened.is_folder
    assert signature(opened.status) == signature_of(str(root / name))
    assert not os.get_inheritable(opened.fd)
    assert opened.read(100) == INSIDE
    assert descriptors() == before


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("name", FOLDERS)
def test_folder_is_told(root: Path, name: str) -> None:
    before = descriptors()
    opened = open_beneath(str(root), name)
    assert opened.is_folder
    assert stat.S_ISDIR(opened.status.st_mode)
    with pytest.raises(Absent):
        open_file(str(root), name)
    assert descriptors() == before


def names_in(fd: int) -> set[str]:
    with os.scandir(fd) as found:
        return {entry.name for entry in found}


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("name", FOLDERS)
def test_folder_is_opened_if_it_is_wanted(root: Path, name: str) -> None:
    before = descriptors()
    opened = open_beneath(str(root), name, stat.S_ISDIR)
    assert opened.is_folder
    assert not os.get_inheritable(opened.fd)
    assert names_in(opened.fd) == {path.name for path in (root / name).iterdir()}
    os.close(opened.fd)
    assert open_beneath(str(root), "a.gmi", stat.S_ISDIR).fd == -1
    assert descriptors() == before


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("name", ABSENT, ids=lambda name: ascii(name)[:40])
def test_everything_else_is_absent(root: Path, name: str) -> None:
    before = descriptors()
    if name.startswith("self/"):  # the kernel gives up after 40 links, resolving by hand never does
        with suppress(Absent):
            assert open_beneath(str(root), name).read(100) == INSIDE
    else:
        with pytest.raises(Absent):
            open_beneath(str(root), name)
    assert descriptors() == before


@pytest.mark.usefixtures("way")
def test_device_nodes_are_absent(root: Path) -> None:
    try:
        os.mknod(root / "device", stat.S_IFCHR | 0o666, os.makedev(1, 5))
        os.mknod(root / "disk", stat.S_IFBLK | 0o666, os.makedev(7, 0))
    except PermissionError:
        pytest.skip("only root makes devices")
    for name in ("device", "disk"):
        with pytest.raises(Absent):
            open_beneath(str(root), name)


@pytest.mark.usefixtures("way")
def test_fifo_with_a_reader_and_a_writer_is_left_alone(root: Path) -> None:
    both = os.open(root / "fifo", os.O_RDWR)
    os.write(both, SECRET)
    with pytest.raises(Absent):
        open_beneath(str(root), "fifo")
    assert os.read(both, 100) == SECRET
    os.close(both)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("name", ["nope", "root/a.gmi", "root/fifo", "root/loop", "n" * 256])
def test_root_that_is_no_folder_holds_nothing(root: Path, name: str) -> None:
    for relative in ("", "a.gmi"):
        with pytest.raises(Absent):
            open_beneath(str(root.parent / name), relative)


@pytest.mark.usefixtures("way")
def test_whole_file_system_can_be_the_root(root: Path) -> None:
    assert open_beneath("/", str(root / "a.gmi")[1:]).read(100) == INSIDE
    assert open_beneath("/", "").is_folder


@pytest.mark.usefixtures("way")
def test_root_is_a_link_that_moves(root: Path, tmp_path: Path) -> None:
    (tmp_path / "live").symlink_to("root")
    live = str(tmp_path / "live")
    assert open_beneath(live, "docs/a.gmi").read(100) == INSIDE
    for number in range(50):
        release = tmp_path / f"release{number}"
        release.mkdir()
        (release / "a.gmi").write_bytes(b"%d" % number)
        (tmp_path / "new").symlink_to(release.name)
        (tmp_path / "new").replace(tmp_path / "live")
        assert open_beneath(live, "a.gmi").read(100) == b"%d" % number
        with pytest.raises(Absent):
            open_beneath(live, "docs/a.gmi")


@pytest.mark.usefixtures("way")
def test_root_goes_and_comes_back(root: Path) -> None:
    for _ in range(2):
        assert open_beneath(str(root), "a.gmi").read(100) == INSIDE
        root.rename(root.with_name("away"))
        for name in ("", "a.gmi"):
            with pytest.raises(Absent):
                open_beneath(str(root), name)
        root.with_name("away").rename(root)


def test_modes_count(way: str) -> None:
    with unprivileged() as folder:
        for name in ("file", "closed/file", "search/file"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(INSIDE)
        (folder / "file").chmod(0)
        (folder / "closed").chmod(0)
        (folder / "search").chmod(0o100)
        for name in ("file", "closed/file", "closed/nope"):
            with pytest.raises(Absent):
                open_beneath(str(folder), name)
        if way == "no O_PATH":
            with pytest.raises(Absent):
                open_beneath(str(folder), "search/file")
        else:
            assert open_beneath(str(folder), "search/file").read(100) == INSIDE
        folder.chmod(0)
        with pytest.raises(Absent):
            open_beneath(str(folder), "search/file")
        folder.chmod(0o700)
        (folder / "file").chmod(0o400)
        assert open_beneath(str(folder), "file").read(100) == INSIDE


# Races


def swap_file(root: Path) -> None:
    """The file becomes a link out, a folder, and a file again, each in one step or nearly."""
    (root / "new").symlink_to("../root-beside/secret.gmi")
    (root / "new").replace(root / "docs" / "a.gmi")
    (root / "docs" / "a.gmi").unlink()
    (root / "docs" / "a.gmi").mkdir()
    (root / "docs" / "a.gmi").rmdir()
    (root / "new").write_bytes(INSIDE)
    (root / "new").replace(root / "docs" / "a.gmi")


def swap_folder(root: Path) -> None:
    """The folder becomes a link to one outside that has a file of the same name, and a folder again."""
    (root / "new").symlink_to("../root-beside")
    (root / "docs").rename(root / "old")
    (root / "new").rename(root / "docs")
    (root / "docs").rename(root / "new")
    (root / "old").rename(root / "docs")
    (root / "new").unlink()


@contextmanager
def in_a_loop(swap: Callable[[Path], None], root: Path) -> Iterator[list[int]]:
    stop = threading.Event()
    rounds = [0]

    def run() -> None:
        while not stop.is_set():
            swap(root)
            rounds[0] += 1

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield rounds
    finally:
        stop.set()
        thread.join()


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("swap", [swap_file, swap_folder])
def test_nothing_gets_out_while_links_are_swapped(root: Path, swap: Callable[[Path], None]) -> None:
    (root.parent / "root-beside" / "a.gmi").write_bytes(SECRET)
    before = descriptors()
    seen = set()
    tries = 0
    with in_a_loop(swap, root) as rounds:
        while tries < 2000 or rounds[0] < 20:  # however the two threads share the machine
            tries += 1
            with suppress(Absent):
                opened = open_beneath(str(root), "docs/a.gmi")
                if not opened.is_folder:
                    seen.add(opened.read(100))
    assert seen <= {INSIDE}
    assert descriptors() == before


def test_swap_after_opening_does_not_matter(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_open = os.open

    def open_then_swap(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        fd = real_open(path, flags, mode, dir_fd=dir_fd)
        if path == "docs/a.gmi":
            (root / "new").symlink_to(root.parent / "root-beside" / "secret.gmi")
            (root / "new").replace(root / "docs" / "a.gmi")
        return fd

    monkeypatch.setattr(os, "open", open_then_swap)
    assert open_beneath(str(root), "docs/a.gmi").read(100) == INSIDE
    with pytest.raises(Absent):
        open_beneath(str(root), "docs/a.gmi")


@pytest.mark.usefixtures("way")
def test_no_folder_outside_is_opened_while_links_are_swapped(root: Path) -> None:
    before = descriptors()
    seen = set()
    tries = 0
    with in_a_loop(swap_folder, root) as rounds:
        while tries < 1000 or rounds[0] < 20:
            tries += 1
            with suppress(Absent):
                opened = open_beneath(str(root), "docs", stat.S_ISDIR)
                seen |= names_in(opened.fd)
                os.close(opened.fd)
    assert seen == {"a.gmi", "deep", "chain3", "out chain"}
    assert descriptors() == before


@pytest.mark.parametrize("name", ["docs", "docs/a.gmi"])
def test_swap_after_resolving_is_noticed(root: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without O_PATH: the path is resolved, and then what it leads through becomes a link out."""
    outside = root.parent / "root-beside"
    (outside / "a.gmi").write_bytes(SECRET)
    real_path = os.path.realpath

    def resolve_then_swap(path: str) -> str:
        resolved = real_path(path)
        if resolved.endswith("docs/a.gmi"):
            (root / name).rename(root / "old")
            (root / name).symlink_to(outside if name == "docs" else outside / "a.gmi")
        return resolved

    monkeypatch.setattr(files, "_O_PATH", 0)
    monkeypatch.setattr(os.path, "realpath", resolve_then_swap)
    before = descriptors()
    with pytest.raises(Absent):
        open_beneath(str(root), "docs/a.gmi")
    assert descriptors() == before


def test_swap_before_the_last_step_is_noticed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_stat = os.stat

    def stat_then_swap(path: str, **options: object) -> os.stat_result:
        status = real_stat(path, **options)  # type: ignore[arg-type]  # passed on as they came
        if path == "a.gmi":
            (root / "new").write_bytes(b"another file")
            (root / "new").replace(root / "a.gmi")
        return status

    monkeypatch.setattr(files, "_O_PATH", 0)
    monkeypatch.setattr(os, "stat", stat_then_swap)
    before = descriptors()
    with pytest.raises(Absent, match="swapped"):
        open_beneath(str(root), "a.gmi")
    monkeypatch.undo()
    assert descriptors() == before


# Trouble


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.EIO, errno.ENOMEM, errno.ESTALE])
@pytest.mark.usefixtures("way")
def test_system_in_trouble_is_told_with_the_whole_path(
    root: Path, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for nth in range(1, 4):
        before = descriptors()
        with monkeypatch.context() as patch:
            patch.setattr(os, "open", FailingOpen(nth, code))
            with pytest.raises(OSError, match=os.strerror(code)) as caught:
                open_beneath(str(root), "docs/a.gmi")
        assert caught.value.errno == code
        assert caught.value.filename == str(root / "docs" / "a.gmi")
        assert descriptors() == before


@pytest.mark.usefixtures("way")
def test_descriptors_do_not_leak(root: Path) -> None:
    before = descriptors()
    names = [*SERVED, *FOLDERS, *ABSENT]
    for number in range(1000):
        with suppress(Absent):
            opened = open_beneath(str(root), names[number % len(names)])
            if not opened.is_folder:
                opened.read(number % 3)
    assert descriptors() == before


# Signatures


def test_signature_of_nothing(root: Path) -> None:
    for name in ("nope", "dangling", "loop", "a.gmi/x", "n" * 256, "nul\0"):
        assert signature_of(f"{root}/{name}") is None


def test_signature_follows_links(root: Path) -> None:
    assert signature_of(str(root / "chain")) == signature_of(str(root / "a.gmi"))
