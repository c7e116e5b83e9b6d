"""The examples as visitors have them: by TLS, from `pad19 serve capsule`."""

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pad19.routes.loading.loader import load
from support.process import Address, Serving, command, fetch, gemini, serving
from support.server import stdlib_context
from support.tls import self_signed

from .conftest import CAPSULE

PATIENCE = 10.0  # seconds until something that must happen counts as missing


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a copy of the capsule, so that what is made on the way is not in the original."""
    home = tmp_path_factory.mktemp("home")
    shutil.copytree(CAPSULE, home / "capsule", ignore=shutil.ignore_patterns("state", "__pycache__"))
    pair = self_signed("Ada")
    (home / "ada.pem").write_bytes(pair.certificate_pem + pair.key_pem)
    return home


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[Serving]:
    with serving(home / "capsule", "--listen", "127.0.0.1:0", home=home) as server:
        yield server


@pytest.fixture
def address(server: Serving) -> Address:
    return server.address


def get(address: Address, path: str, certificate: Path | None = None) -> str:
    """A whole answer."""
    context = stdlib_context(certificate=certificate)
    answer = fetch(address, gemini(address, path), context=context)
    assert answer.clean
    return answer.received.decode()


def links(page: str) -> list[str]:
    return [line.split()[1] for line in page.splitlines() if line.startswith("=> ")]


def test_every_example_has_its_link() -> None:
    page = (CAPSULE / "content" / "examples.gmi").read_text("utf-8")
    names = {link.partition("/")[0] for link in links(page)}
    loaded = load(CAPSULE / "routes", {}, package="examples_listed")
    modules = {
        file.parent.name if file.name == "__init__.py" else file.stem
        for file in loaded.files
        if file.name == "__init__.py" or (not file.name.startswith("_") and file.parent.name == "routes")
    }
    assert modules == {"access", "clock", "guestbook", "poll", "search", "source", "wiki"}
    assert modules <= names
    assert {f"cgi-bin/{file.name}" for file in (CAPSULE / "cgi-bin").iterdir()} <= {*links(page)}


EXAMPLES = [  # path, the beginning of the answer
    ("/guestbook/", "20 text/gemini; lang=en\r\n# Guestbook\n"),
    ("/search/", "10 Which words do you look for?\r\n"),
    ("/clock/2", "20 text/gemini; lang=en\r\n# The time, in UTC\n"),
    ("/poll/", "20 text/gemini; lang=en\r\n# What do you read Geminispace with?\n"),
    ("/wiki/", "20 text/gemini; lang=en\r\n# Wiki\n"),
    ("/wiki/Gemini%203.gmi", "20 text/gemini; lang=en\r\n# Gemini 3\n"),
    ("/access/", "20 text/gemini; lang=en\r\n# Request access\n"),
    ("/source/guestbook.py", "20 text/gemini; lang=en\r\n# routes/guestbook.py\n"),
    ("/cgi-bin/whoami", "60 Come with a certificate, and this page tells what it says\r\n"),
    ("/examples.gmi", "20 text/gemini; lang=en\r\n# Examples\n"),
]


@pytest.mark.parametrize(("path", "beginning"), EXAMPLES)
def test_examples_answer(address: Address, path: str, beginning: str) -> None:
    assert get(address, path).startswith(beginning)


def test_a_certificate_signs(address: Address, home: Path) -> None:
    assert get(address, "/guestbook/sign").startswith("60 ")
    assert get(address, "/guestbook/sign?Hi%20%E2%98%BA", home / "ada.pem") == "30 ./\r\n"
    assert "## Ada\n> Hi ☺\n" in get(address, "/guestbook/")
    assert "=> remove/1 Remove this\n" in get(address, "/guestbook/", home / "ada.pem")


def test_search_finds_pages_and_keeps_its_index_in_the_state(address: Address, home: Path) -> None:
    (home / "capsule" / "content" / "new.gmi").write_text("# Zymurgy\n", "utf-8")
    deadline = time.monotonic() + PATIENCE
    while "=> /new.gmi Zymurgy\n" not in (page := get(address, "/search/?zymurgy")):
        assert time.monotonic() < deadline, page
        time.sleep(0.5)  # 30 requests a minute are allowed
    assert "=> /examples.gmi Examples\n> " in get(address, "/search/?guestbook%20search")
    indexes = {file.relative_to(home).parts[:2] for file in home.rglob("search.sqlite3*")}
    assert indexes == {("capsule", "state")}


def test_whoami_by_tls(address: Address, home: Path) -> None:
    page = get(address, "/cgi-bin/whoami", home / "ada.pem")
    assert re.search(r"\n> Ada\n\n\* fingerprint: [0-9a-f]{64}\n", page)


def test_check_finds_no_fault(home: Path) -> None:
    result = command("check", str(home / "capsule"), "--listen", "127.0.0.1:0", home=home)
    assert "problem" in result.stdout
    assert not re.search(r"examples\.gmi|routes/|cgi-bin", result.stdout + result.stderr), result.stdout
