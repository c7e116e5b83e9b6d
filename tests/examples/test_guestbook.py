from collections.abc import AsyncIterator, Callable
from types import ModuleType

import pytest

from pad19.store.interface import Store
from pad19.testing import Client, identity

ADA, EVE = identity("Ada"), identity("Eve")


@pytest.fixture
async def client(example: Callable[[str], ModuleType], store: Store) -> AsyncIterator[Client]:
    async with Client(example("guestbook").routes, prefix="/guestbook", store=store) as client:
        yield client


async def text(client: Client, query: str | None = None) -> str:
    return (await client.get("/guestbook/", query)).text


async def test_it_begins_empty(client: Client) -> None:
    assert "Nobody has written here." in await text(client)


async def test_signing(client: Client) -> None:
    assert (await client.get("/guestbook/sign")).status == 60
    assert (await client.get("/guestbook/sign", certificate=ADA)).meta == "What do you want to write?"
    answer = await client.get("/guestbook/sign", "Hello, world?", certificate=ADA)
    assert (answer.status, answer.meta) == (30, "./")
    page = await text(client)
    assert "## Ada\n> Hello, world?\n" in page
    assert "remove/" not in page


PROMPTS = [  # what was typed, the next prompt
    ("", "What do you want to write?"),
    (" \n\0 ", "What do you want to write?"),
    ("x" * 301, "That was too long. What do you want to write, in 300 characters?"),
]


@pytest.mark.parametrize(("typed", "prompt"), PROMPTS)
async def test_it_asks_again(client: Client, typed: str, prompt: str) -> None:
    answer = await client.get("/guestbook/sign", typed, certificate=ADA)
    assert (answer.status, answer.meta) == (10, prompt)
    assert "Nobody has written here." in await text(client)


STRANGE = [  # name, text, lines of the page
    ("Eve", "Hi\r\n=> gemini://evil.test/ Click", "## Eve\n> Hi => gemini://evil.test/ Click\n"),
    ("Eve", "```", "## Eve\n> ```\n"),
    ("=> x\n# Eve", "# Hi", "## => x # Eve\n> # Hi\n"),
    ("Eve\x1b[2J", "a\x1b]0;b\x07c\x9b", "## Eve [2J\n> a ]0;b c\n"),
    ("N" * 64, "Hi", f"## {'N' * 40}\n> Hi\n"),
    ("\n", "Hi", "## Somebody\n> Hi\n"),
]


@pytest.mark.parametrize(("name", "typed", "lines"), STRANGE)
async def test_nothing_a_visitor_writes_leaves_its_line(
    client: Client, name: str, typed: str, lines: str
) -> None:
    assert (await client.get("/guestbook/sign", typed, certificate=identity(name))).status == 30
    assert lines in await text(client)


async def test_who_signs_too_often_waits(client: Client) -> None:
    statuses = [(await client.get("/guestbook/sign", "Hi", certificate=ADA)).status for _ in range(7)]
    assert statuses == [30] * 6 + [44]


async def test_pages(client: Client, store: Store) -> None:
    for number in range(1, 42):
        await store.list("guestbook").append({"name": "Ada", "text": f"no {number}.", "fingerprint": ""})
    newest, middle, oldest = [await text(client, query) for query in (None, "2", "3")]
    assert newest.index("no 41.") < newest.index("no 22.")
    assert "no 21." not in newest
    assert "=> ?2 Older entries\n" in newest
    assert "Newer" not in newest
    assert "=> ?3 Older entries\n=> ?1 Newer entries\n" in middle
    assert "no 1." in oldest
    assert "Older" not in oldest
    assert "Nobody has written here." in await text(client, "4")


@pytest.mark.parametrize("query", ["0", "-1", "x", "1.5", "1" * 7, "٣", "1\n"])
async def test_what_is_no_page(client: Client, query: str) -> None:
    assert (await client.get("/guestbook/", query)).status == 51


async def test_entries_are_removed_by_who_wrote_them(client: Client) -> None:
    await client.get("/guestbook/sign", "Hello", certificate=ADA)
    page = await client.get("/guestbook/", certificate=ADA)
    assert "=> remove/1 Remove this\n" in page.text
    assert "remove/1" not in (await client.get("/guestbook/", certificate=EVE)).text
    assert (await client.get("/guestbook/remove/1")).status == 60
    answer = await client.get("/guestbook/remove/1", certificate=EVE)
    assert (answer.status, answer.meta) == (61, "somebody else wrote that")
    answer = await client.get("/guestbook/remove/1", certificate=ADA)
    assert (answer.status, answer.meta) == (30, "../")
    assert "Hello" not in await text(client)


@pytest.mark.parametrize("number", ["1", "0", "9" * 30, "-1", "x"])
async def test_what_is_no_entry(client: Client, number: str) -> None:
    assert (await client.get(f"/guestbook/remove/{number}", certificate=ADA)).status == 51
