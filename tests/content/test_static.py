"""Static files: which file answers for a path, how, and what happens when the disk is in trouble."""

import errno
import itertools
import logging
import os
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import memory_stream_pair

from pad19.content import static as module
from pad19.content.body import FileBody
from pad19.content.files import Opened, open_beneath
from pad19.content.mimetype import MimeTypes
from pad19.content.static import SEARCHED, SMALL, StaticFiles
from pad19.protocol.client import Client
from pad19.protocol.failure import BadRequest, Failure, ServerUnavailable, TemporaryFailure
from pad19.protocol.request import parse_request
from pad19.protocol.response import Redirect, Reply, Response, Success
from pad19.protocol.status import Status
from pad19.tls.context import client_context
from pad19.tls.stream import TLSStream
from support.disk import TomorrowsClock, descriptors
from support.server import static_server
from support.users import unprivileged


async def get(files: StaticFiles, path: str) -> Response:
    return await files(parse_request(f"gemini://localhost{path}".encode(), Client()))


async def page(files: StaticFiles, path: str) -> str:
    """The body as text, or the status and what stands behind it."""
    try:
        response = await get(files, path)
    except Failure as failure:
        return str(int(failure.status))
    if isinstance(response, Success):
        assert isinstance(response.body, bytes)
        return response.body.decode()
    return f"{int(response.status)} {response.meta}"


def make(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pad19.content.sidecars.time", TomorrowsClock)


# Which file

INDEXES = [  # what is in the folder (a slash: a folder), the names that are asked for, the answer
    (["index.gmi", "index.gemini"], ("index.gmi", "index.gemini"), "index.gmi"),
    (["index.gmi", "index.gemini"], ("index.gemini", "index.gmi"), "index.gemini"),
    (["index.gemini"], ("index.gmi", "index.gemini"), "index.gemini"),
    (["index.gmi/x", "index.gemini"], ("index.gmi", "index.gemini"), "index.gemini"),
    (["index.gmi/x"], ("index.gmi",), "51"),
    (["Index.gmi", "index.txt"], ("index.gmi",), "51"),
    (["index.gmi"], (), "51"),
    ([".home.gmi"], (".home.gmi",), ".home.gmi"),  # who names it wants it
]


@pytest.mark.parametrize("folder", ["", "sub/"])
@pytest.mark.parametrize(("names", "index", "expected"), INDEXES)
async def test_index(
    tmp_path: Path, names: list[str], index: tuple[str, ...], expected: str, folder: str
) -> None:
    make(tmp_path, {folder + name: name for name in names})
    assert await page(StaticFiles(tmp_path, index=index), f"/{folder}") == expected


HIDDEN = {
    ".meta": "",
    ".secret": "secret",
    ".git/config": "config",
    "sub/.meta": "",
    "sub/.secret": "secret",
    ".well-known/x": "known",
    ".well-known/.x": "secret",
    ".well-known/.meta": "",
    "sub/.well-known/x": "not well known",
    "sub/meta": "meta",
    "a.meta": "a",
    "...": "dots",
    ".titan/a.gmi/20261123T093040.552718297Z": "of yesterday",
    "sub/.titan/a.gmi/x": "of yesterday",
    ".titan-new": "half",
    ".titanic": "ship",
}
HIDDEN_ROWS = [  # path, by default, with ``hidden``
    ("/.meta", "51", "51"),
    ("/sub/.meta", "51", "51"),
    ("/.well-known/.meta", "51", "51"),
    ("/sub/%2Emeta", "51", "51"),
    ("/.meta/", "51", "51"),
    ("/.meta/x", "51", "51"),
    ("/.titan/a.gmi/20261123T093040.552718297Z", "51", "51"),
    ("/sub/%2Etitan/a.gmi/x", "51", "51"),
    ("/.titan", "51", "51"),
    ("/.titan-new", "51", "51"),
    ("/.titanic", "51", "ship"),
    ("/.secret", "51", "secret"),
    ("/.git/config", "51", "config"),
    ("/.git", "51", "31 /.git/"),
    ("/sub/.secret", "51", "secret"),
    ("/.well-known/x", "known", "known"),
    ("/.well-known/.x", "51", "secret"),
    ("/.well-known", "31 /.well-known/", "31 /.well-known/"),
    ("/.well-known/", "51", "51"),
    ("/sub/.well-known/x", "51", "not well known"),
    ("/sub/meta", "meta", "meta"),
    ("/a.meta", "a", "a"),
    ("/...", "51", "dots"),
]


@pytest.mark.parametrize(("path", "default", "hidden"), HIDDEN_ROWS)
async def test_names_with_a_dot_in_front(tmp_path: Path, path: str, default: str, hidden: str) -> None:
    make(tmp_path, HIDDEN)
    assert await page(StaticFiles(tmp_path), path) == default
    assert await page(StaticFiles(tmp_path, hidden=True), path) == hidden


@pytest.mark.parametrize("size", [9, SMALL + 1])
async def test_what_is_withheld_has_no_other_name(tmp_path: Path, size: int) -> None:
    files = StaticFiles(tmp_path, withheld=("/secret.toml",))
    assert await page(files, "/secret.toml") == "51"
    make(tmp_path, {"page.gmi": "page", "secret.toml": "s" * size})
    # As a disk that ignores case has it: one file by two names.
    (tmp_path / "SECRET.TOML").hardlink_to(tmp_path / "secret.toml")
    (tmp_path / "index.gmi").symlink_to("secret.toml")
    before = descriptors()
    for name in ("/secret.toml", "/SECRET.TOML", "/", "/index.gmi"):
        assert await page(files, name) == "51"
    assert descriptors() == before
    assert await page(files, "/page.gmi") == "page"


async def test_rules_do_not_show_what_is_hidden(tmp_path: Path) -> None:
    make(tmp_path, {".meta": "*: text/plain\n.*: 20 text/plain\n.secret: 31 /x", ".secret": "secret"})
    for path in ("/.secret", "/.meta", "/.nope"):
        assert await page(StaticFiles(tmp_path), path) == "51"


async def test_names_are_not_normalized(tmp_path: Path) -> None:
    make(tmp_path, {"caf\xe9": "composed", "cafe\u0301": "decomposed", "caf\xe8": "another"})
    with os.scandir(tmp_path) as found:
        names = len(list(found))
    if names != 3:
        pytest.skip("this file system normalizes names")
    files = StaticFiles(tmp_path)
    for _ in range(2):
        assert await page(files, "/caf%C3%A9") == await page(files, "/caf\xe9") == "composed"
        assert await page(files, "/cafe%CC%81") == await page(files, "/cafe\u0301") == "decomposed"
    (tmp_path / "caf\xe9").unlink()
    assert await page(files, "/caf%C3%A9") == "51"


REDIRECTS = [  # folder, path, target
    ("docs", "/docs", "/docs/"),
    ("docs", "/docs?", "/docs/?"),
    ("docs", "/docs?a=b&c/d?e%20f", "/docs/?a=b&c/d?e%20f"),
    ("docs", "/docs?%C3%A9\xe9", "/docs/?%C3%A9%C3%A9"),
    ("docs", "/x/../docs", "/docs/"),
    ("caf\xe9", "/caf%c3%a9", "/caf%C3%A9/"),
    ("caf\xe9", "/caf\xe9", "/caf%C3%A9/"),
    ("a b/c?d", "/a%20b/c%3Fd", "/a%20b/c%3Fd/"),
    ("a#b", "/a%23b", "/a%23b/"),
    ("100%", "/100%25", "/100%25/"),
    ("%41", "/%2541", "/%2541/"),
    ("a:b", "/a:b", "/a:b/"),
    ("a;b=c,d", "/a;b=c,d", "/a;b=c,d/"),
    ("back\\slash", "/back%5Cslash", "/back%5Cslash/"),
    ("line\r\nbreak", "/line%0D%0Abreak", "/line%0D%0Abreak/"),
    ("\u202e", "/%E2%80%AE", "/%E2%80%AE/"),
]


@pytest.mark.parametrize(("folder", "path", "target"), REDIRECTS)
async def test_folder_without_a_slash_is_redirected(
    tmp_path: Path, folder: str, path: str, target: str
) -> None:
    (tmp_path / folder).mkdir(parents=True)
    assert await get(StaticFiles(tmp_path), path) == Redirect(target, permanent=True)


async def test_redirect_that_is_too_long_is_refused(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    files = StaticFiles(tmp_path)
    target = f"/docs/?{'%C3%A9' * 169}abc"
    assert len(target) == 1024
    assert await get(files, f"/docs?{'é' * 169}abc") == Redirect(target, permanent=True)
    with pytest.raises(BadRequest, match="too long"):
        await get(files, f"/docs?{'é' * 169}abcd")


# Rules


RULES = {
    ".meta": "gone*: 52 It left\nform: 10 Your name?\n*.txt: text/x-rule\nold/**: 31 /new/\n"
    "html: 20 text/html",
    "gone.gmi": "gone",
    "a.txt": "a",
    "b.gmi": "b",
    "html": "html",
    "docs/.meta": "/: ;lang=nl\nindex.gmi: ;lang=fr\nb.gmi: ;lang=de",
    "docs/index.gmi": "index",
    "docs/b.gmi": "b",
    "page/.meta": "index.gmi: text/x-index",
    "page/index.gmi": "index",
    "sealed/.meta": "index.gmi: 60 Certificate, please",
    "sealed/index.gmi": "index",
    "closed/.meta": "/: 51",
    "closed/index.gmi": "index",
    "removed/.meta": "index.gmi: 52 It left",
    "removed/index.gemini": "index",
}
RULED: list[tuple[str, Response]] = [
    ("/gone.gmi", Reply(Status.GONE, "It left")),
    ("/gone", Reply(Status.GONE, "It left")),  # whether it is there or not
    ("/form", Reply(Status.INPUT, "Your name?")),
    ("/old/a/b", Reply(Status.PERMANENT_REDIRECT, "/new/")),
    ("/a.txt", Success(b"a", "text/x-rule")),
    ("/b.gmi", Success(b"b", "text/gemini; lang=en")),
    ("/html", Success(b"html", "text/html")),
    ("/docs/", Success(b"index", "text/gemini; lang=nl")),
    ("/docs/index.gmi", Success(b"index", "text/gemini; lang=fr")),
    ("/docs/b.gmi", Success(b"b", "text/gemini; lang=de")),
    ("/page/", Success(b"index", "text/x-index")),
    ("/sealed/", Reply(Status.CLIENT_CERTIFICATE_REQUIRED, "Certificate, please")),
    ("/closed/", Reply(Status.NOT_FOUND, "")),
    ("/closed/index.gmi", Success(b"index", "text/gemini; lang=en")),
    ("/removed/", Success(b"index", "text/gemini; lang=en")),
]


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize(("path", "response"), RULED)
async def test_rules_apply(tmp_path: Path, path: str, response: Response) -> None:
    make(tmp_path, RULES)
    files = StaticFiles(tmp_path, MimeTypes(lang="en"))
    before = descriptors()
    for _ in range(3):
        assert await get(files, path) == response
    assert descriptors() == before


async def test_header_needs_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, {".meta": "a: 52 It left", "a": "here"})

    def forbidden(root: str, relative: str) -> Opened:
        raise AssertionError(relative)

    monkeypatch.setattr(module, "open_beneath", forbidden)
    assert await page(StaticFiles(tmp_path), "/a") == "52 It left"


# Listings


async def test_listing_is_off_unless_asked_for(tmp_path: Path) -> None:
    make(tmp_path, {"sub/a.gmi": "a", "sub/.hidden": "", "sub/.meta": "", "with/index.gmi": "index"})
    for listing, expected in ((False, "51"), (True, "# /sub/\n\n=> ../ ..\n=> a.gmi a.gmi  1 B ")):
        files = StaticFiles(tmp_path, listing=listing)
        assert (await page(files, "/sub/")).startswith(expected)
        assert await page(files, "/with/") == "index"
        assert await page(files, "/sub") == "31 /sub/"
        assert await page(files, "/nope/") == "51"


async def test_listing_shows_hidden_names_if_asked_for(tmp_path: Path) -> None:
    make(tmp_path, {".hidden": "", ".meta": "", ".titan/a": "", ".titan-x": ""})
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
    make(tmp_path, {"outside/secret.gmi": "secret", "root/sub/a.gmi": "a"})
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
    make(tmp_path, {"nl/.meta": "/: ;lang=nl", "shut/.meta": "/: 51 No"})
    files = StaticFiles(tmp_path, MimeTypes(lang="en"), listing=True)
    for path, mimetype in (("/", "text/gemini; lang=en"), ("/nl/", "text/gemini; lang=nl")):
        response = await get(files, path)
        assert isinstance(response, Success)
        assert response.mimetype == mimetype
    assert await page(files, "/shut/") == "51 No"


async def test_what_cannot_be_read_is_not_found_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    with unprivileged() as root:
        make(root, {"secret/a.gmi": "a", "blind/a.gmi": "a"})
        (root / "secret").chmod(0)
        (root / "blind").chmod(0o100)
        files = StaticFiles(root, listing=True)
        (root / "b.gmi").write_text("b")
        (root / "b.gmi").chmod(0)
        for path in ("/secret/", "/secret/a.gmi", "/blind/", "/b.gmi") * 2:
            assert await page(files, path) == "51"
        assert await page(files, "/blind/a.gmi") == "a"
        told = [entry.getMessage() for entry in caplog.records]
        assert len(told) == 4
        assert f"'{root}/b.gmi' is answered with 51: Permission denied. Let this process read it" in told


async def test_no_listing_in_place_of_an_index_that_cannot_be_read() -> None:
    with unprivileged() as root:
        make(root, {"index.gmi": "members only", "other.gmi": ""})
        (root / "index.gmi").chmod(0)
        assert await page(StaticFiles(root, listing=True), "/") == "51"


KEY = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\n-----END PRIVATE KEY-----\n"


@pytest.mark.parametrize(
    ("name", "text", "served"),
    [
        ("localhost.key", KEY, False),
        ("old/localhost.pem", "Bag Attributes\n" + KEY.replace("PRIVATE", "EC PRIVATE"), False),
        ("windows.key", KEY.replace("\n", "\r\n"), False),
        ("key", KEY.replace("PRIVATE", "ENCRYPTED PRIVATE"), False),
        ("both.txt", "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n" + KEY, False),
        ("certificate.crt", "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n", True),
        ("lesson.gmi", "This is what a key looks like:\n```\n" + KEY + "```\n", True),
        ("talk.key", "a presentation", True),
        ("large.pem", KEY + "text\n" * SMALL, False),
        ("large.txt", "text\n" * 16000 + KEY.replace("PRIVATE", "EC PRIVATE"), False),
        ("large.bin", "\0\n" * SMALL + KEY, False),
        ("last.txt", "text!\n" * (SEARCHED // 6 - 10) + KEY, False),
        ("larger.txt", "text!\n" * (SEARCHED // 6) + KEY, True),  # this far, nobody looks
        ("large.gmi", "A long lesson.\n" * SMALL + KEY, True),
        ("large.key", "-----BEGIN CERTIFICATE-----\nMII\n" * SMALL, True),
        ("words.txt", "He wrote -----BEGIN PRIVATE KEY----- at the top.\n" * SMALL, True),
    ],
)
async def test_private_keys_are_not_served(
    name: str, text: str, served: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As they would be when the folder above the content is served by mistake."""
    make(tmp_path, {name: text})
    files = StaticFiles(tmp_path)
    before = descriptors()
    for _ in range(2):
        if not served:
            assert await page(files, f"/{name}") == "51"
            continue
        response = await get(files, f"/{name}")
        assert isinstance(response, Success)
        if not isinstance(response.body, bytes):
            assert b"".join([bytes(chunk) async for chunk in response.body]) == text.encode()
            await response.body.aclose()
    assert descriptors() == before
    assert [entry.getMessage() for entry in caplog.records] == (
        [] if served else [f"'{tmp_path}/{name}' holds a private key and is not served: move it away"]
    )


async def test_large_file_that_cannot_be_read_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    make(tmp_path, {"a.txt": "text\n" * SMALL})
    before = descriptors()
    monkeypatch.setattr(os, "pread", failing)
    assert isinstance(await attempt(StaticFiles(tmp_path), "/a.txt"), TemporaryFailure)
    assert descriptors() == before


# Large and small


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("size", [0, 1, SMALL - 1, SMALL, SMALL + 1, 3 * SMALL])
async def test_large_files_are_streamed(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "a.png").write_bytes(content)
    files = StaticFiles(tmp_path)
    before = descriptors()
    for _ in range(2):
        response = await get(files, "/a.png")
        assert isinstance(response, Success)
        assert response.mimetype == "image/png"
        if size <= SMALL:
            assert response.body == content
            assert response is await get(files, "/a.png")
        else:
            assert isinstance(response.body, FileBody)
            chunks = [bytes(chunk) async for chunk in response.body]
            assert b"".join(chunks) == content
            await response.body.aclose()
    assert descriptors() == before


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("path", ["/", "/index.gmi", "/sub/a.txt", "/sub/a.txt?query", "/sub/%61.txt"])
async def test_second_request_opens_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    make(tmp_path, {"index.gmi": "index", "sub/a.txt": "a", "sub/.meta": "a.txt: text/html"})
    files = StaticFiles(tmp_path)
    first = await get(files, path)

    def forbidden(*_: object, **__: object) -> int:
        raise AssertionError

    monkeypatch.setattr(trio.to_thread, "run_sync", forbidden)
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", forbidden)
        second = await get(files, path)
    assert second is first


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize(("size", "during", "after"), [(2 * SMALL, b"1234", None), (2, b"12", b"12")])
async def test_file_that_changes_under_our_hands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, during: bytes, after: bytes | None
) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"1234")

    def open_then_change(root: str, relative: str) -> Opened:
        opened = open_beneath(root, relative)
        os.truncate(path, size)
        return opened

    files = StaticFiles(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(module, "open_beneath", open_then_change)
        assert await get(files, "/a.txt") == Success(during, "text/plain")
    response = await get(files, "/a.txt")
    assert isinstance(response, Success)
    if isinstance(response.body, FileBody):
        assert after is None
        await response.body.aclose()
    else:
        assert response.body == after


@pytest.mark.usefixtures("settled")
async def test_first_requests_at_the_same_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make(tmp_path, {"index.gmi": "index", "a.gmi": "a", ".meta": "wrong"})
    files = StaticFiles(tmp_path)
    before = descriptors()
    answers: list[str] = []

    async def ask(path: str) -> None:
        answers.append(await page(files, path))

    async with trio.open_nursery() as nursery:
        for _ in range(30):
            for path in ("/", "/index.gmi", "/a.gmi"):
                nursery.start_soon(ask, path)
    assert sorted(answers) == ["a"] * 30 + ["index"] * 60
    assert len(caplog.records) == 1
    assert descriptors() == before
    assert len(files._memory._entries) == 3


# Trouble


@contextmanager
def descriptors_left(number: int) -> Iterator[None]:
    """Let the process open no more than that many files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = {int(line.split()[0]) for line in descriptors()}
    free = (fd for fd in itertools.count() if fd not in used)
    limit = next(itertools.islice(free, number, None))
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


TROUBLED = {"sub/index.gmi": "index", "sub/.meta": "*: text/html", ".meta": "", "list/x": ""}


async def attempt(files: StaticFiles, path: str) -> Failure | None:
    """What went wrong, if anything did; a body is let go."""
    try:
        response = await get(files, path)
    except Failure as failure:
        return failure
    if isinstance(response.body, FileBody):
        await response.body.aclose()
    return None


@pytest.mark.parametrize("path", ["/sub/", "/sub/index.gmi", "/list/", "/large"])
async def test_running_out_of_descriptors(
    tmp_path: Path, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    make(tmp_path, TROUBLED | {"large": "x" * 2 * SMALL})
    await trio.to_thread.run_sync(os.getpid)  # a thread to run in is there already
    before = descriptors()
    failures = []
    for number in range(30):
        with descriptors_left(number):
            failure = await attempt(StaticFiles(tmp_path, listing=True), path)
        assert descriptors() == before
        if failure is None:
            break
        failures.append(failure)
    assert 1 < len(failures) < 30
    for failure in failures:
        assert isinstance(failure, ServerUnavailable)
        assert str(failure) == "too many open files, try again"
    assert caplog.records == []  # they are in the access log, and too many for another one


class FailingOpen:
    """os.open() that fails at the nth call."""

    def __init__(self, nth: int) -> None:
        self.left = nth
        self._open = os.open

    def __call__(self, path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        self.left -= 1
        if not self.left:
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        return self._open(path, flags, mode, dir_fd=dir_fd)


@pytest.mark.parametrize("path", ["/sub/", "/sub/index.gmi", "/list/"])
async def test_disk_error_is_one_line_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    make(tmp_path, TROUBLED)
    before = descriptors()
    for nth in range(1, 50):
        opener = FailingOpen(nth)
        with monkeypatch.context() as patch:
            patch.setattr(os, "open", opener)
            failure = await attempt(StaticFiles(tmp_path, listing=True), path)
        assert descriptors() == before
        if opener.left > 0:
            break  # every call had its turn
        assert isinstance(failure, TemporaryFailure)
        assert failure.status is Status.TEMPORARY_FAILURE
        assert str(failure) == "the file cannot be read now"
        [record] = caplog.records
        assert record.levelno == logging.ERROR
        assert record.exc_info is None
        assert record.getMessage().startswith(f"'{tmp_path}/")
        assert record.getMessage().endswith("': Input/output error")
        caplog.clear()
    assert 5 < nth < 49
    assert failure is None
    assert caplog.records == []


async def test_reading_error_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    make(tmp_path, {"a.gmi": "a"})
    monkeypatch.setattr(module, "open_beneath", lambda *_: UnreadableFile())
    with pytest.raises(TemporaryFailure):
        await get(StaticFiles(tmp_path), "/a.gmi")
    assert caplog.messages == [f"'{tmp_path}/a.gmi': Input/output error"]


class UnreadableFile:
    """An open file on a disk with a bad sector."""

    is_folder = False
    status = os.stat_result((0,) * 10)

    def read(self, limit: int) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))


async def test_client_cannot_forge_log_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", FailingOpen(1))
        with pytest.raises(TemporaryFailure):
            await get(StaticFiles(tmp_path), "/a%0AERROR%E2%80%AE%1B%5B2J\u2028b")
    [line] = caplog.messages
    assert line.isprintable()


async def test_descriptors_do_not_leak(tmp_path: Path) -> None:
    make(tmp_path, RULES | {"large": "x" * 2 * SMALL, "list/.header.gmi": "Hello"})
    (tmp_path / "folder.gmi").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "out").symlink_to("/etc/passwd")
    files = StaticFiles(tmp_path, index=("b.gmi", "index.gmi"), listing=True)
    before = descriptors()
    paths = [
        *("/", "/a.txt", "/a.txt/", "/a.txt/x", "/large", "/large/", "/docs", "/docs/", "/list/"),
        *("/sealed/", "/closed/", "/removed/", "/gone", "/fifo", "/fifo/", "/out", "/nope", "/folder.gmi"),
    ]
    for number in range(500):
        await attempt(files, paths[number % len(paths)])
    assert descriptors() == before


# Cancellation


class SlowOpen:
    """open_beneath() that has opened the file and then takes its time."""

    def __init__(self) -> None:
        self.opened = trio.Event()
        self.go_on = threading.Event()

    def __call__(self, root: str, relative: str) -> Opened:
        opened = open_beneath(root, relative)
        trio.from_thread.run_sync(self.opened.set)
        self.go_on.wait()
        return opened


@pytest.mark.parametrize("size", [1, 2 * SMALL])
async def test_cancelled_request_leaves_no_descriptor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """The whole connection is cancelled, in the moment when only the thread knows of the open file."""
    (tmp_path / "a.txt").write_bytes(bytes(size))
    slow = SlowOpen()
    monkeypatch.setattr(module, "open_beneath", slow)
    server = static_server(tmp_path)
    ours, theirs = memory_stream_pair()
    client = TLSStream(ours, client_context(None), server_side=False, server_name="localhost")
    before = descriptors()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.connections.serve, theirs, "127.0.0.1", 50000, None)
        await client.do_handshake()
        await client.send_all(b"gemini://localhost/a.txt\r\n")
        await slow.opened.wait()
        assert descriptors() != before
        nursery.cancel_scope.cancel()
        slow.go_on.set()
    assert descriptors() == before
    [record] = server.records
    assert record.reason == "server stopped"


async def test_request_that_waits_for_a_thread_can_be_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, {"a.txt": "a"})
    limiter = trio.to_thread.current_default_thread_limiter()
    monkeypatch.setattr(limiter, "total_tokens", 1)
    slow = SlowOpen()
    monkeypatch.setattr(module, "open_beneath", slow)
    files = StaticFiles(tmp_path)
    before = descriptors()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(get, files, "/a.txt")
        await slow.opened.wait()
        with trio.CancelScope() as scope:
            scope.cancel()
            await get(files, "/a.txt")
        assert scope.cancelled_caught
        slow.go_on.set()
    assert descriptors() == before


# Not there


@pytest.mark.usefixtures("settled")
async def test_root_comes_and_goes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = tmp_path / "root"
    files = StaticFiles(root)
    reason = "No such file or directory"
    lost = f"'{root}' cannot be entered ({reason}): until it can, all its pages are answered with 40"
    for content in ("one", "two"):
        for path in ("/", "/a.gmi", "/sub/a.gmi"):
            with pytest.raises(TemporaryFailure):  # nobody knows what will be there
                await get(files, path)
        assert caplog.messages == [lost]  # once each time
        caplog.clear()
        make(root, {"a.gmi": content, "sub/a.gmi": content})
        for path in ("/a.gmi", "/sub/a.gmi"):
            assert await page(files, path) == content
            assert await page(files, path) == content
        root.rename(tmp_path / f"away {content}")


async def test_link_that_leads_out_is_not_listed_or_served(tmp_path: Path) -> None:
    root = tmp_path / "root"
    make(root, {"a.gmi": "a"})
    make(tmp_path, {"outside/index.gmi": "secret"})
    (root / "out").symlink_to("../outside")
    (root / "index.gmi").symlink_to("../outside/index.gmi")
    files = StaticFiles(root, listing=True)
    assert "out" not in (await page(files, "/"))
    for path in ("/out", "/out/", "/out/index.gmi", "/index.gmi"):
        assert await page(files, path) == "51"
