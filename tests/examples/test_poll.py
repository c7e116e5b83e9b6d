from collections.abc import AsyncIterator, Callable
from types import ModuleType

import pytest
import trio

from pad19.store.interface import Store
from pad19.testing import Client, identity


@pytest.fixture
async def client(example: Callable[[str], ModuleType], store: Store) -> AsyncIterator[Client]:
    async with Client(example("poll").routes, prefix="/poll", store=store) as client:
        yield client


async def test_nobody_has_voted_yet(client: Client) -> None:
    page = (await client.get("/poll/")).text
    assert page.startswith("# What do you read Geminispace with?\n=> vote/0 A graphical client: 0 votes\n")
    assert page.count("=> vote/") == 5


async def test_a_vote_counts_once(client: Client) -> None:
    ada = identity("Ada")
    assert (await client.get("/poll/vote/1")).status == 60
    for number in (1, 1, 2):
        answer = await client.get(f"/poll/vote/{number}", certificate=ada)
        assert (answer.status, answer.meta) == (30, "../")
    page = (await client.get("/poll/", certificate=ada)).text
    assert "* A terminal client: 1 vote, among them yours\n* A phone: 0 votes\n" in page
    assert "=> vote/" not in page
    assert (
        "=> vote/1 A terminal client: 1 vote\n"
        in (await client.get("/poll/", certificate=identity("Bob"))).text
    )


async def test_no_vote_is_lost(example: Callable[[str], ModuleType], store: Store) -> None:
    async def vote(number: int) -> None:
        client = Client(example("poll").routes, address=f"192.0.2.{number}", store=store)
        assert (await client.get("/vote/0", certificate=identity(f"visitor {number % 10}"))).status == 30

    async with trio.open_nursery() as nursery:
        for number in range(30):
            nursery.start_soon(vote, number)
    assert await store.namespace("poll").get("votes 0") == 10


@pytest.mark.parametrize("number", ["5", "9" * 30, "-1", "x"])
async def test_what_is_no_choice(client: Client, number: str) -> None:
    assert (await client.get(f"/poll/vote/{number}", certificate=identity("Ada"))).status == 51


async def test_an_address_does_not_vote_too_often(client: Client) -> None:
    visitors = [identity(f"visitor {number}") for number in range(6)]
    statuses = [(await client.get("/poll/vote/0", certificate=visitor)).status for visitor in visitors]
    assert statuses == [30] * 5 + [44]
