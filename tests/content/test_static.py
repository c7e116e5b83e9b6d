"""Static files: which file answers for a path, and under which rules."""

import os
from pathlib import Path

import pytest

from content.pages import attempt, get, page
from pad19.content import static as module
from pad19.content.files import Opened
from pad19.content.mimetype import MimeTypes
from pad19.content.static import SMALL, StaticFiles
from pad19.protocol.failure import BadRequest
from pad19.protocol.response import Redirect, Reply, Response, Success
from pad19.protocol.status import Status
from support.disk import descriptors
from support.files import write

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
    write(tmp_path, {folder + name: name for name in names})
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
    write(tmp_path, HIDDEN)
    assert await page(StaticFiles(tmp_path), path) == default
    assert await page(StaticFiles(tmp_path, hidden=True), path) == hidden


@pytest.mark.parametrize("size", [9, SMALL + 1])
async def test_what_is_withheld_has_no_other_name(tmp_path: Path, size: int) -> None:
    files = StaticFiles(tmp_path, withheld=("/secret.toml",))
    assert await page(files, "/secret.toml") == "51"
    write(tmp_path, {"page.gmi": "page", "secret.toml": "s" * size})
    # As a disk that ignores case has it: one file by two names.
    (tmp_path / "SECRET.TOML").hardlink_to(tmp_path / "secret.toml")
    (tmp_path / "index.gmi").symlink_to("secret.toml")
    before = descriptors()
    for name in ("/secret.toml", "/SECRET.TOML", "/", "/index.gmi"):
        assert await page(files, name) == "51"
    assert descriptors() == before
    assert await page(files, "/page.gmi") == "page"


async def test_rules_do_not_show_what_is_hidden(tmp_path: Path) -> None:
    write(tmp_path, {".meta": "*: text/plain\n.*: 20 text/plain\n.secret: 31 /x", ".secret": "secret"})
    for path in ("/.secret", "/.meta", "/.nope"):
        assert await page(StaticFiles(tmp_path), path) == "51"


async def test_names_are_not_normalized(tmp_path: Path) -> None:
    write(tmp_path, {"caf\xe9": "composed", "cafe\u0301": "decomposed", "caf\xe8": "another"})
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


async def test_link_that_leads_out_is_not_listed_or_served(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write(root, {"a.gmi": "a"})
    write(tmp_path, {"outside/index.gmi": "secret"})
    (root / "out").symlink_to("../outside")
    (root / "index.gmi").symlink_to("../outside/index.gmi")
    files = StaticFiles(root, listing=True)
    assert "out" not in (await page(files, "/"))
    for path in ("/out", "/out/", "/out/index.gmi", "/index.gmi"):
        assert await page(files, path) == "51"


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
    write(tmp_path, RULES)
    files = StaticFiles(tmp_path, MimeTypes(lang="en"))
    before = descriptors()
    for _ in range(3):
        assert await get(files, path) == response
    assert descriptors() == before


async def test_header_needs_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {".meta": "a: 52 It left", "a": "here"})

    def forbidden(root: str, relative: str) -> Opened:
        raise AssertionError(relative)

    monkeypatch.setattr(module, "open_beneath", forbidden)
    assert await page(StaticFiles(tmp_path), "/a") == "52 It left"


async def test_descriptors_do_not_leak(tmp_path: Path) -> None:
    write(tmp_path, RULES | {"large": "x" * 2 * SMALL, "list/.header.gmi": "Hello"})
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
