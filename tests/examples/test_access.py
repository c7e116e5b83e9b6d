import shlex
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner

from pad19.cli import main
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


@pytest.mark.parametrize("path", ["/access/waiting", f"/access/done/{ADA.fingerprint}"])
async def test_what_is_for_owners(
    client: Client, example: Callable[[str], ModuleType], store: Store, path: str
) -> None:
    await client.get("/access/ask", "Ada", certificate=ADA)
    assert (await client.get(path)).status == 60
    answer = await client.get(path, certificate=ADA)
    assert (answer.status, answer.meta) == (61, "this page is for the owner of the capsule")
    nobody = Client(example("access").routes, prefix="/access", store=store)  # no owner is named
    assert (await nobody.get(path, certificate=OWNER)).status == 61


async def test_letting_in(client: Client, tmp_path: Path) -> None:
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
