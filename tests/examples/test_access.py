import re
import shlex
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner

from pad19.cli import main
from pad19.dispatch.zones.lists import FingerprintFile
from pad19.protocol.client import Identity
from pad19.store.interface import Store
from pad19.testing import Client, identity

OWNER, ADA = identity("Owner"), identity("Ada")


@pytest.fixture
async def client(example: Callable[[str], ModuleType], store: Store) -> AsyncIterator[Client]:
    settings = {"owners": [OWNER.fingerprint]}
    async with Client(example("access").routes, prefix="/access", settings=settings, store=store) as client:
        yield client


async def test_the_door(client: Client) -> None:
    assert "You come without a certificate." in (await client.get("/access/")).text
    page = (await client.get("/access/", certificate=ADA)).text
    assert f"```fingerprint\n{ADA.fingerprint}\n```\n=> ask Ask to be let in\n" in page
    assert "waiting" not in page
    assert "=> waiting Who waits\n" in (await client.get("/access/", certificate=OWNER)).text


async def test_asking(client: Client) -> None:
    assert (await client.get("/access/ask")).status == 60
    assert (await client.get("/access/ask", certificate=ADA)).meta == "By which name does the owner know you?"
    for name in ("Ada", "Ada L. 2"):
        answer = await client.get("/access/ask", name, certificate=ADA)
        assert (answer.status, answer.meta) == (30, "./")
    assert "asked to be let in as Ada L. 2." in (await client.get("/access/", certificate=ADA)).text


NAMES = ["", " ", "-x", "a;b", "$(x)", 'a"b', "a\nb", "a\\", "a#b", "sha256:x", "a" * 41]


@pytest.mark.parametrize("name", NAMES)
async def test_names_that_are_refused(client: Client, name: str) -> None:
    assert (await client.get("/access/ask", name, certificate=ADA)).status == 10
    assert "asked" not in (await client.get("/access/", certificate=ADA)).text


async def test_who_asks_too_often_waits(client: Client) -> None:
    statuses = [(await client.get("/access/ask", "Ada", certificate=ADA)).status for _ in range(6)]
    assert statuses == [30] * 5 + [44]


OWNERS = [
    OWNER.fingerprint.upper(),
    OWNER.fingerprint.removeprefix("sha256:"),
    OWNER.key_fingerprint,
    ":".join(re.findall("..", OWNER.key_fingerprint.removeprefix("sha256:").upper())),
]


@pytest.mark.parametrize("written", OWNERS)
async def test_owners_are_known_however_they_are_written(
    example: Callable[[str], ModuleType], store: Store, written: str
) -> None:
    settings = {"owners": [written]}
    async with Client(example("access").routes, prefix="/access", settings=settings, store=store) as client:
        assert (await client.get("/access/waiting", certificate=OWNER)).status == 20
        assert "=> waiting" in (await client.get("/access/", certificate=OWNER)).text
        assert (await client.get("/access/waiting", certificate=ADA)).status == 61
        assert "=> waiting" not in (await client.get("/access/")).text


@pytest.mark.parametrize(
    "path", ["/access/waiting", f"/access/in/{ADA.fingerprint}?Ada", f"/access/done/{ADA.fingerprint}"]
)
async def test_what_is_for_owners(
    client: Client, example: Callable[[str], ModuleType], store: Store, path: str
) -> None:
    await client.get("/access/ask", "Ada", certificate=ADA)
    assert (await client.get(path)).status == 60
    answer = await client.get(path, certificate=ADA)
    assert (answer.status, answer.meta) == (61, "this page is for the owner of the capsule")
    nobody = Client(example("access").routes, prefix="/access", store=store)  # no owner is named
    assert (await nobody.get(path, certificate=OWNER)).status == 61


async def test_letting_in_by_the_command_line(client: Client, tmp_path: Path) -> None:
    await client.get("/access/ask", "Ada L.", certificate=ADA)
    page = (await client.get("/access/waiting", certificate=OWNER)).text
    command = f'pad19 identity add "Ada L." {ADA.fingerprint}'
    assert f"## Ada L.\n```command that lets them in\n{command}\n```\n" in page
    members = f"{tmp_path}/members.txt"
    result = CliRunner().invoke(main, [*shlex.split(command)[1:], "--file", members])
    assert result.exit_code == 0
    assert f"{ADA.fingerprint} Ada L." in result.output

    assert f"=> done/{ADA.fingerprint} " in page
    answer = await client.get(f"/access/done/{ADA.fingerprint}", certificate=OWNER)
    assert (answer.status, answer.meta) == (30, "../waiting")
    assert "Ada" not in (await client.get("/access/waiting", certificate=OWNER)).text
    assert (await client.get(f"/access/done/{ADA.fingerprint}", certificate=OWNER)).status == 51


@pytest.mark.parametrize("who", ["x", "sha256:", "sha256:" + "A" * 64, "9" * 500])
async def test_what_is_no_fingerprint(client: Client, who: str) -> None:
    assert (await client.get(f"/access/done/{who}", certificate=OWNER)).status == 51


# Over Gemini


@pytest.fixture
async def door(
    example: Callable[[str], ModuleType], store: Store, tmp_path: Path
) -> AsyncIterator[Callable[..., Awaitable[tuple[int, str]]]]:
    """Asks a capsule whose list is in the file members.txt."""
    (tmp_path / "content").mkdir()
    settings = {"owners": [OWNER.fingerprint], "access_list": "members.txt"}
    async with Client(
        example("access").routes, prefix="/access", settings=settings, store=store, files=tmp_path / "content"
    ) as client:

        async def ask(path: str, query: str | None = None, who: Identity = OWNER) -> tuple[int, str]:
            answer = await client.get(f"/access/{path}", query, certificate=who)
            return answer.status, answer.text if answer.status == 20 else answer.meta

        yield ask


def members(tmp_path: Path) -> list[str]:
    file = tmp_path / "members.txt"
    lines = file.read_text("utf-8").splitlines() if file.exists() else []
    return [line for line in lines if not line.startswith("#")]


async def test_letting_in(door: Callable[..., Awaitable[tuple[int, str]]], tmp_path: Path) -> None:
    come_in = f"in/{ADA.fingerprint}"
    await door("ask", "Ada L.", ADA)
    assert f"\n=> {come_in} Let Ada L. in\n" in (await door("waiting"))[1]
    question = (10, f"Let Ada L. in, with {ADA.fingerprint}? Write the name to do so.")
    for answer in (None, "", "yes", "Ada", "ada l."):
        assert await door(come_in, answer) == question
    assert members(tmp_path) == []
    assert await door(come_in, " Ada L. ") == (30, "../waiting")
    assert members(tmp_path) == [f"{ADA.fingerprint} Ada L."]
    assert FingerprintFile(tmp_path / "members.txt").has(ADA)
    assert "Ada" not in (await door("waiting"))[1]
    assert await door(come_in, "Ada L.") == (51, "nobody waits with that certificate")
    # Who asks again is in it already, and who comes by another name is not let in under two.
    await door("ask", "Ada L.", ADA)
    assert await door(come_in, "Ada L.") == (30, "../waiting")
    await door("ask", "Bob", ADA)
    assert await door(come_in, "Bob") == (50, "that fingerprint is there already, as Ada L.")
    assert members(tmp_path) == [f"{ADA.fingerprint} Ada L."]
    # And the command line knows them.
    result = CliRunner().invoke(main, ["identity", "remove", "Ada L.", "--file", f"{tmp_path}/members.txt"])
    assert result.exit_code == 0
    assert members(tmp_path) == []


async def test_who_changes_the_name_meanwhile_is_asked_about_again(
    door: Callable[..., Awaitable[tuple[int, str]]], tmp_path: Path
) -> None:
    await door("ask", "Ada", ADA)
    await door(f"in/{ADA.fingerprint}")
    await door("ask", "Bob", ADA)
    assert (await door(f"in/{ADA.fingerprint}", "Ada"))[1].startswith("Let Bob in, with ")
    assert members(tmp_path) == []


async def test_others_let_nobody_in(door: Callable[..., Awaitable[tuple[int, str]]], tmp_path: Path) -> None:
    await door("ask", "Ada", ADA)
    refused = (61, "this page is for the owner of the capsule")
    for query in (None, "Ada"):
        assert await door(f"in/{ADA.fingerprint}", query, ADA) == refused
    assert members(tmp_path) == []


async def test_a_list_that_cannot_be_written(
    door: Callable[..., Awaitable[tuple[int, str]]], tmp_path: Path
) -> None:
    (tmp_path / "members.txt").mkdir()
    await door("ask", "Ada", ADA)
    answer = await door(f"in/{ADA.fingerprint}", "Ada")
    assert answer == (40, "the list cannot be written (Is a directory)")
    assert "## Ada\n" in (await door("waiting"))[1]  # still


async def test_without_a_list_there_is_the_command_alone(client: Client) -> None:
    await client.get("/access/ask", "Ada", certificate=ADA)
    page = (await client.get("/access/waiting", certificate=OWNER)).text
    assert "pad19 identity add" in page
    assert "=> in/" not in page
    answer = await client.get(f"/access/in/{ADA.fingerprint}", "Ada", certificate=OWNER)
    assert (answer.status, answer.meta) == (50, "capsule.settings.access_list names no list")
