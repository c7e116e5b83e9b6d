from collections.abc import Callable
from types import ModuleType

import pytest

from pad19.protocol.gemtext import Preformatted, parse
from pad19.testing import Client

from .conftest import CAPSULE


@pytest.fixture
def client(example: Callable[[str], ModuleType]) -> Client:
    return Client(example("source").routes, prefix="/source")


def test_all_examples_are_shown(example: Callable[[str], ModuleType]) -> None:
    files = {*(CAPSULE / "routes").rglob("*.py")}
    assert {*example("source").SHOWN.values()} == files | {*(CAPSULE / "cgi-bin").iterdir()}


async def test_they_are_shown_as_they_are(client: Client, example: Callable[[str], ModuleType]) -> None:
    listed = (await client.get("/source/")).text
    for name, file in example("source").SHOWN.items():
        assert f"\n=> {name}\n" in listed
        page = parse((await client.get(f"/source/{name}")).text)
        [block] = [line for line in page if isinstance(line, Preformatted)]
        assert f"{block.text}\n" == file.read_text("utf-8")


@pytest.mark.parametrize(
    "name", ["guestbook", "pad19.toml", "..%2Fpad19.toml", "%2Fetc%2Fpasswd", "_x.py", "a/guestbook.py"]
)
async def test_nothing_else_is(client: Client, name: str) -> None:
    assert (await client.get(f"/source/{name}")).status == 51
