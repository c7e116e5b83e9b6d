from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from pad19.protocol.gemtext import Link, parse
from pad19.testing import Answer, Client


@pytest.fixture
def wiki(example: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The reader, of a folder of a test's own."""
    module = example("wiki")
    monkeypatch.setattr(module, "PAGES", tmp_path)
    (tmp_path / "Front.wiki").write_text("Welcome\n", "utf-8")
    (tmp_path / "C: a#b?.wiki").write_text("Odd\n", "utf-8")
    (tmp_path / "secret.txt").write_text("Secret\n", "utf-8")
    return module


async def get(wiki: ModuleType, path: str) -> Answer:
    return await Client(wiki.routes, prefix="/wiki").get(path, follow=True)


LINES = [  # markup, gemtext
    ("Text", "Text\n"),
    ("== Part ==", "## Part\n"),
    ("=== Part of it ===", "### Part of it\n"),
    ("====== Deep ======", "### Deep\n"),
    ("== Part ===", "## Part =\n"),
    ("* item", "* item\n"),
    ("'''bold''' and ''italic''", "bold and italic\n"),
    ("To [[Front]].", "To Front.\n=> Front Front\n"),
    ("* To the [[Front|first page]]", "* To the first page\n=> Front first page\n"),
    ("To [[C: a#b?]]", "To C: a#b?\n=> C%3A%20a%23b%3F C: a#b?\n"),
    ("To [[Nowhere]] and [[../secret]]", "To Nowhere and ../secret\n"),
    ("[[Front", "[[Front\n"),
    ("=> gemini://evil.test/", " => gemini://evil.test/\n"),
    ("[[x|=>]] gemini://evil.test/", " => gemini://evil.test/\n"),
    ("```", " ```\n"),
    ("# Title", " # Title\n"),
    ("", "\n"),
]


@pytest.mark.parametrize(("markup", "gemtext"), LINES)
async def test_markup(wiki: ModuleType, tmp_path: Path, markup: str, gemtext: str) -> None:
    (tmp_path / "Page.wiki").write_text(f"{markup}\n", "utf-8")
    assert (await get(wiki, "/wiki/Page")).text == f"# Page\n\n{gemtext}\n=> ./ All pages\n"


async def test_all_pages_are_listed_and_found(wiki: ModuleType) -> None:
    page = (await get(wiki, "/wiki/")).text
    assert page == ("# Wiki\n=> C%3A%20a%23b%3F C: a#b?\n=> Front Front\n\n=> ../examples.gmi All examples\n")
    assert "Odd" in (await get(wiki, "/wiki/C%3A%20a%23b%3F")).text


async def test_a_page_that_is_not_utf8(wiki: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "Page.wiki").write_bytes(b"caf\xe9\n")
    assert "caf\ufffd\n" in (await get(wiki, "/wiki/Page")).text


@pytest.mark.parametrize(
    "path", ["Nowhere", "secret.txt", "..%2Fsecret", "%2Fetc%2Fpasswd", "Front.wiki", "a/b", "*", "%01"]
)
async def test_what_is_no_page(wiki: ModuleType, path: str) -> None:
    assert (await get(wiki, f"/wiki/{path}")).status == 51


async def test_links_of_the_pages_that_are_there(example: Callable[[str], ModuleType]) -> None:
    module = example("wiki")
    assert len(module.pages()) >= 4
    for name, file in module.pages().items():
        answer = await get(module, f"/wiki/{name.replace(' ', '%20')}")
        assert "[[" not in answer.text
        links = [line.uri for line in parse(answer.text) if isinstance(line, Link)]
        assert len(links) == file.read_text("utf-8").count("[[") + 1
        for uri in links:
            assert (await get(module, f"/wiki/{uri}")).status == 20
