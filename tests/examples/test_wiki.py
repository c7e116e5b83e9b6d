import os
import re
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from types import ModuleType

import pytest

from pad19.content.edits import Edits
from pad19.content.static import StaticFiles
from pad19.content.uploads import Terms, Uploads
from pad19.dispatch.zones.intake import ByScheme
from pad19.protocol.client import Client as Visitor
from pad19.protocol.gemtext import Link, parse
from pad19.protocol.request import parse_request
from pad19.routes.mounting import Mounted
from pad19.routes.table import Routes
from pad19.store.interface import Store
from pad19.testing import Answer, Client
from pad19.tls.identity import identify_pem
from pad19.tls.making import make_client
from support.process import command, fetch, gemini, serving
from support.uploads import body_of, edit, upload

from .conftest import CAPSULE


@pytest.fixture
def wiki(example: Callable[[str], ModuleType]) -> ModuleType:
    return example("wiki")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The pages of a wiki of a test's own."""
    folder = tmp_path / "content" / "wiki"
    folder.mkdir(parents=True)
    (folder / "Front.gmi").write_text("# Front\n\nWelcome\n", "utf-8")
    (folder / "C: a#b?.gmi").write_text("Odd\n", "utf-8")
    (folder / "secret.txt").write_text("Secret\n", "utf-8")
    (folder / ".hidden.gmi").write_text("Secret\n", "utf-8")
    (folder / "folder.gmi").mkdir()
    return folder


async def get(wiki: ModuleType, folder: Path, path: str) -> Answer:
    async with Client(wiki.routes, prefix="/wiki", files=folder.parent) as client:
        return await client.get(path)


def links(page: str) -> list[tuple[str, str | None]]:
    return [(line.uri, line.label) for line in parse(page) if isinstance(line, Link)]


# Reading

LINES = [  # what is in a page, and how it is shown
    ("Text", "Text\n"),
    ("# Title", "# Title\n"),
    ("=> gemini://elsewhere.test/ Elsewhere", "=> gemini://elsewhere.test/ Elsewhere\n"),
    ("To [[Front]].", "To Front.\n=> Front.gmi Front\n"),
    ("* To the [[Front|first page]]", "* To the first page\n=> Front.gmi first page\n"),
    ("[[Front]] and [[C: a#b?]]", "Front and C: a#b?\n=> Front.gmi Front\n=> C%3A%20a%23b%3F.gmi C: a#b?\n"),
    ("To [[New]]", "To New\n=> New.gmi New (not written yet)\n"),
    ("[[../secret]]", "../secret\n=> ..%2Fsecret.gmi ../secret (not written yet)\n"),
    ("[[Front", "[[Front\n"),
    ("```\n[[Front]]\n```\n[[Front]]", "```\n[[Front]]\n```\nFront\n=> Front.gmi Front\n"),
    ("```\n[[Front]]", "```\n[[Front]]\n```\n"),
    ("```a [[Front]]\n```[[Front]]", "```a [[Front]]\n```[[Front]]\n"),
    ("", "\n"),
]


@pytest.mark.parametrize(("written", "shown"), LINES)
async def test_a_page(wiki: ModuleType, folder: Path, written: str, shown: str) -> None:
    (folder / "Page.gmi").write_text(f"{written}\n", "utf-8")
    page = (await get(wiki, folder, "/wiki/Page.gmi")).text
    assert page == f"{shown}\n=> history/Page.gmi Earlier versions\n=> ./ All pages\n"


async def test_all_pages_are_listed_and_found(wiki: ModuleType, folder: Path) -> None:
    page = (await get(wiki, folder, "/wiki/?x")).text
    assert page.startswith("# Wiki\n=> C%3A%20a%23b%3F.gmi C: a#b?\n=> Front.gmi Front\n\n=> changes ")
    assert "\npad19 edit gemini://localhost/wiki/PAGE.gmi\n" in page
    assert "Odd" in (await get(wiki, folder, "/wiki/C%3A%20a%23b%3F.gmi")).text


async def test_a_page_that_is_not_utf8(wiki: ModuleType, folder: Path) -> None:
    (folder / "Page.gmi").write_bytes(b"caf\xe9\n")
    assert "caf\ufffd\n" in (await get(wiki, folder, "/wiki/Page.gmi")).text


async def test_a_file_that_no_address_can_name(wiki: ModuleType, folder: Path) -> None:
    name = "caf\udce9.gmi"
    (folder / name).touch()
    (folder / ".titan" / name).mkdir(parents=True)
    (folder / ".titan" / name / "20261123T093040.552718297Z").touch()
    for path in ("", "changes"):
        page = (await get(wiki, folder, f"/wiki/{path}")).text
        assert "Front" in page
        assert "caf" not in page


async def test_what_is_no_page_is_a_file(wiki: ModuleType, folder: Path) -> None:
    assert (await get(wiki, folder, "/wiki/secret.txt")).text == "Secret\n"


@pytest.mark.parametrize(
    "path",
    [
        "Nowhere.gmi",
        "Nowhere",
        "Front",
        ".gmi",
        ".hidden.gmi",
        "folder.gmi",
        "..%2Fwiki%2FFront.gmi",
        "a/b.gmi",
    ]
    + ["*.gmi", "%01.gmi", ".titan/Front.gmi/20261123T093040.552718297Z"]
    + [f"history/{name}" for name in ("Nowhere.gmi", "Front", "..%2F.titan%2FFront.gmi", "*.gmi", ".gmi")]
    + [f"history/Front.gmi/{time}" for time in ("20261123T093040.552718297Z", "..%2F..%2FFront.gmi", "part")],
)
async def test_what_is_not_there(wiki: ModuleType, folder: Path, path: str) -> None:
    (folder / ".titan/Front.gmi").mkdir(parents=True)
    (folder / ".titan/Front.gmi/part").touch()
    assert (await get(wiki, folder, f"/wiki/{path}")).status == 51


async def test_a_capsule_without_a_wiki(wiki: ModuleType, tmp_path: Path) -> None:
    for path in ("", "changes"):
        assert (await get(wiki, tmp_path / "none", f"/wiki/{path}")).status == 20
    assert (await get(wiki, tmp_path / "none", "/wiki/Front.gmi")).status == 51


async def test_links_of_the_pages_that_are_there(wiki: ModuleType) -> None:
    folder = CAPSULE / "content" / "wiki"
    async with Client(wiki.routes, prefix="/wiki", files=folder.parent) as client:
        listed = [uri for uri, _ in links((await client.get("/wiki/")).text) if not uri.startswith("../")]
        for uri in listed:
            answer = await client.get(f"/wiki/{uri}")
            assert answer.status == 20
            assert "[[" not in answer.text
            assert "not written yet" not in answer.text
            for target, _ in links(answer.text):
                assert (await client.get(f"/wiki/{target}")).status == 20
    assert len(listed) >= 5


# History


class Wiki:
    """A wiki with uploads as pad19.toml turns them on, for somebody who may do everything."""

    def __init__(self, routes: Routes, content: Path, store: Store) -> None:
        files = StaticFiles(content)
        terms = Terms(1000, ["text/gemini"])
        self.uploads = Uploads(
            content,
            lambda _: [terms],
            Edits(store),
            files,
            locks=content.parent / "locks",
            delete=True,
            keep=3,
        )
        inside = Routes()
        inside.include(routes, "/wiki")
        self.mounted = Mounted(inside, ByScheme(files, self.uploads), content=content)

    async def write(self, page: str, text: str) -> None:
        response = await self.mounted(upload(f"/wiki/{page}", text.encode()))
        assert response.status == (30 if text else 20)

    async def read(self, path: str) -> str:
        response = await self.mounted(parse_request(f"gemini://localhost/wiki/{path}".encode(), Visitor()))
        assert response.status == 20
        return (await body_of(response)).decode()


@pytest.fixture
def writable(wiki: ModuleType, folder: Path, store: Store) -> Wiki:
    return Wiki(wiki.routes, folder.parent, store)


async def test_earlier_versions(writable: Wiki) -> None:
    async with writable.mounted.living():
        assert "until" not in await writable.read("history/Front.gmi")
        for text in ("# One\n=> x\n", "# Two\n", "# Three\n", "# Four\n"):
            await writable.write("Front.gmi", text)
        assert (await writable.read("Front.gmi")).startswith("# Four\n")
        *versions, now, _ = links(await writable.read("history/Front.gmi"))
        assert len(versions) == 3  # as many as are kept
        texts = []
        for uri, label in versions:
            assert re.fullmatch(r"until \d{4}-\d\d-\d\d \d\d:\d\d UTC", label or "")
            page = await writable.read(f"history/{uri}")
            texts.append(page.partition(" UTC:\n\n")[2].partition("\n\n")[0])
            assert [uri for uri, _ in links(page)] == ["../../Front.gmi", "../Front.gmi"]
        assert texts == ["> # Three", "> # Two", "> # One\n> => x"]  # the newest first
        assert now == ("../Front.gmi", "The page as it is now")


async def test_a_deleted_page_has_a_history(writable: Wiki) -> None:
    async with writable.mounted.living():
        await writable.write("New.gmi", "Text\n")
        await writable.write("New.gmi", "")
        [(uri, _), *_] = links(await writable.read("history/New.gmi"))
        assert "\n> Text\n" in await writable.read(f"history/{uri}")
        assert "New" not in await writable.read("")


async def test_who_edits_gets_what_is_in_the_file(writable: Wiki) -> None:
    async with writable.mounted.living():
        await writable.write("Front.gmi", "To [[New]]\n")
        response = await writable.mounted(edit("/wiki/Front.gmi"))
        assert await body_of(response) == b"To [[New]]\n"


async def test_recent_changes_are_a_feed(writable: Wiki, folder: Path) -> None:
    os.utime(folder / "Front.gmi", (0, 0))
    os.utime(folder / "C: a#b?.gmi", (86_400, 86_400))
    async with writable.mounted.living():
        for text in ("One\n", "Two\n", "Three\n", ""):
            await writable.write("A%20b.gmi", text)
        await writable.write("New.gmi", "Text\n")
        page = await writable.read("changes")
        assert page.startswith("# Recent changes of the wiki\n=> ")
        *entries, _ = links(page)
        for uri, label in entries:
            date.fromisoformat((label or "")[:10])
            assert await writable.read(uri)
    what = [(label or "").partition(" ")[2] for _, label in entries]
    assert what == [
        "New is new",
        "A b was deleted",
        "A b was changed",
        "A b was changed",
        "C: a#b? is new",
        "Front is new",
    ]
    assert len(entries) == len({uri for uri, _ in entries})  # or clients would take two for one
    assert [label for _, label in entries[-2:]] == ["1970-01-02 C: a#b? is new", "1970-01-01 Front is new"]


async def test_there_are_only_so_many_changes(wiki: ModuleType, folder: Path) -> None:
    for number in range(wiki.CHANGES + 10):
        (folder / f"{number}.gmi").touch()
    page = (await get(wiki, folder, "/wiki/changes")).text
    assert page.count(" is new\n") == wiki.CHANGES


# With the server


def test_members_write_by_titan(tmp_path: Path) -> None:
    capsule = tmp_path / "capsule"
    ignored = shutil.ignore_patterns("state", "__pycache__", ".titan")
    shutil.copytree(CAPSULE, capsule, ignore=ignored)
    for name in ("ada", "eve"):
        make_client(name, tmp_path / f"{name}.crt", tmp_path / f"{name}.key")
    ada = identify_pem((tmp_path / "ada.crt").read_bytes())
    settings = capsule / "pad19.toml"
    text = settings.read_text("utf-8")
    assert "people = { members = [] }" in text  # as it ships, nobody may write
    (tmp_path / "tea.gmi").write_text("# Tea\n\nTo [[Titan II]]\n", "utf-8")
    (tmp_path / "tea2.gmi").write_text("# More tea\n", "utf-8")

    def put(file: str, url: str, who: str) -> tuple[int, str]:
        certificate = ("--cert", str(tmp_path / f"{who}.crt"))
        done = command("put", str(tmp_path / file), url, *certificate, home=tmp_path)
        return done.returncode, done.stderr.splitlines()[-1]

    with serving(capsule, "--listen", "127.0.0.1:0", home=tmp_path) as server:
        page = gemini(server.address, "/wiki/Tea.gmi")
        status, said = put("tea.gmi", page, "ada")
        assert (status, said[:39]) == (1, "61 your certificate is not on the list;")
    settings.write_text(text.replace("members = []", f'members = ["{ada.fingerprint}"]'), "utf-8")
    with serving(capsule, "--listen", "127.0.0.1:0", home=tmp_path) as server:
        page = gemini(server.address, "/wiki/Tea.gmi")
        status, said = put("tea.gmi", page, "eve")
        assert (status, said[:3]) == (1, "61 ")
        for file in ("tea.gmi", "tea2.gmi"):
            assert put(file, page, "ada") == (0, f"30 {page}")
        assert fetch(server.address, page).body.startswith(b"# More tea\n")
        changes = fetch(server.address, gemini(server.address, "/wiki/changes")).body.decode()
        [entry] = [uri for uri, label in links(changes) if (label or "").endswith("Tea was changed")]
        earlier = fetch(server.address, gemini(server.address, f"/wiki/{entry}")).body.decode()
        assert "\n> # Tea\n>\n> To [[Titan II]]\n" in earlier
        for elsewhere in ("/wiki/tea.txt", "/index.gmi", "/wiki/new/tea.gmi", "/wiki/history/Tea.gmi"):
            status, said = put("tea.gmi", gemini(server.address, elsewhere), "ada")
            assert (status, said[:2]) == (1, "50" if elsewhere == "/index.gmi" else "59")
