"""Which uploads of somebody who has asked for a text are theirs to make."""

from collections.abc import AsyncIterator

import pytest

from pad19.content import edits as editing
from pad19.content.edits import LIFETIME, PAGES, TICKETS, Edits
from pad19.protocol.client import Client
from pad19.protocol.request import Request
from pad19.store.interface import Store
from pad19.store.sqlite import open_store
from pad19.testing import identity
from support.clock import Clock
from support.uploads import upload

ADA = Client("192.0.2.1", certificate=identity("Ada"))
EVE = Client("192.0.2.1", certificate=identity("Eve"))
ANON = Client("192.0.2.1")


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    async with open_store(None) as store:
        yield store


def to(path: str = "/a.gmi", client: Client = ADA) -> Request:
    return upload(path, client=client)


async def known(edits: Edits, request: Request) -> tuple[str, ...]:
    return (await edits.recall(request)).digests


async def use(edits: Edits, request: Request, old: str, new: str) -> None:
    await edits.use(await edits.recall(request), old, new)


HOME, AWAY = ADA, Client("198.51.100.1", certificate=identity("Ada"))
USES = [  # tickets for, what an upload uses up and leaves, tickets that are left
    (["1"], [("1", "2")], ["2"]),  # a single one is renewed
    (["1"], [("1", "2"), ("2", "3")], ["3"]),
    (["1", "1"], [("1", "2")], ["2"]),  # who has asked again goes on with the same text
    (["1", "1"], [("1", "2"), ("2", "3")], ["3"]),
    (["1", "2", "1"], [("2", "3")], ["1"]),
    (["1", "2"], [("2", "3")], ["1"]),
    (["1", "2"], [("2", "3"), ("1", "4")], ["4"]),
    ([""], [("", "1")], ["1"]),
    (["1"], [("1", "")], [""]),
    (["1"], [("gone", "2")], ["1"]),  # others have displaced it
]


@pytest.mark.parametrize(("tickets", "uses", "left"), USES)
async def test_tickets(
    store: Store, tickets: list[str], uses: list[tuple[str, str]], left: list[str]
) -> None:
    edits = Edits(store)
    assert await known(edits, to()) == ()
    for digest in tickets:
        await edits.remember(to(), digest)
    assert {*await known(edits, to())} == {*tickets}
    for old, new in uses:
        await use(edits, to(), old, new)
    assert await known(edits, to()) == tuple(left)


async def test_who_asks_between_two_uploads_goes_on(store: Store) -> None:
    edits = Edits(store)
    for old, new in (("1", "2"), ("2", "3"), ("3", "4")):
        await edits.remember(to(), old)
        await use(edits, to(), old, new)
    assert await known(edits, to()) == ("4",)


async def test_two_addresses_are_two_devices(store: Store) -> None:
    edits = Edits(store)
    for _ in range(2):
        for client in (HOME, AWAY):
            await edits.remember(to(client=client), "1")
    assert await known(edits, to()) == ("1", "1")
    await use(edits, to(client=HOME), "1", "2")
    assert await known(edits, to(client=AWAY)) == ("1",)
    await edits.remember(to(client=HOME), "1")  # its own is used up, so that was the other one's
    assert await known(edits, to()) == ("1", "1")


async def test_who_has_moved_to_another_address_has_the_same_ticket(store: Store) -> None:
    edits = Edits(store)
    await edits.remember(to(client=AWAY), "1")
    await use(edits, to(client=HOME), "1", "2")
    await edits.remember(to(client=HOME), "2")
    assert await known(edits, to(client=AWAY)) == ("2",)


async def test_without_a_certificate_several_may_ask_from_one_address(store: Store) -> None:
    edits = Edits(store)
    for _ in range(2):
        await edits.remember(to(client=ANON), "1")
    await use(edits, to(client=ANON), "1", "2")
    assert await known(edits, to(client=ANON)) == ("1",)


async def test_everybody_has_their_own(store: Store) -> None:
    edits = Edits(store)
    await edits.remember(to(), "1")
    for request in (to("/b.gmi"), to(client=EVE), to(client=ANON)):
        assert await known(edits, request) == ()
    await edits.remember(to(client=EVE), "2")
    assert await known(edits, to()) == ("1",)


async def test_who_has_asked_without_a_certificate_may_come_with_one(store: Store) -> None:
    edits = Edits(store)
    await edits.remember(to(client=ANON), "1")
    assert await known(edits, to()) == ("1",)
    assert await known(edits, to(client=Client("192.0.2.2", certificate=identity("Ada")))) == ()
    await use(edits, to(), "1", "2")
    assert await known(edits, to(client=ANON)) == ("2",)
    await edits.remember(to(), "3")  # of her own
    assert await known(edits, to()) == ("3",)


async def test_they_are_forgotten_after_a_day(store: Store) -> None:
    clock = Clock()
    edits = Edits(store, clock=lambda: clock() / 1_000_000_000)
    await edits.remember(to("/a.gmi"), "1")
    clock.advance(LIFETIME / 2)
    await edits.remember(to("/b.gmi"), "1")
    clock.advance(LIFETIME / 2)
    assert await known(edits, to("/a.gmi")) == ()
    assert await known(edits, to("/b.gmi")) == ("1",)


# Bounds


async def test_of_one_page_the_last_ones_are_kept(store: Store) -> None:
    edits = Edits(store)
    for number in range(TICKETS + 2):
        await edits.remember(to(), str(number))
    assert await known(edits, to()) == tuple(map(str, range(2, TICKETS + 2)))


async def test_of_one_client_the_last_pages_are_kept(store: Store) -> None:
    edits = Edits(store)
    for number in range(PAGES + 2):
        await edits.remember(to(f"/{number}.gmi"), "1")
    kept = [number for number in range(PAGES + 2) if await known(edits, to(f"/{number}.gmi"))]
    assert kept == [*range(2, PAGES + 2)]


async def rows(store: Store) -> int:
    return len(await store.keys(limit=1000))


async def test_strangers_fill_only_so_much(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(editing, "SLOTS", 4)
    edits = Edits(store, lambda request: request.client == ADA)
    await edits.remember(to(), "1")
    for number in range(100):
        for client in (
            Client(f"192.0.2.{number}"),
            Client(f"2001:db8:{number}::1"),
            Client("192.0.2.9", certificate=identity(f"{number}")),
        ):
            await edits.remember(to(f"/{number}.gmi", client), "1")
    assert await rows(store) == 1 + 4
    assert await known(edits, to()) == ("1",)  # who may upload is not pushed aside


@pytest.mark.parametrize("name", ["address", "certificate"])
async def test_strangers_leave_others_in_peace(store: Store, name: str) -> None:
    edits = Edits(store, lambda _: False)
    await edits.remember(to(client=Client("203.0.113.5")), "1")
    for number in range(PAGES * 3):
        stranger = (
            Client(f"2001:db8::{number:x}")
            if name == "address"
            else Client("2001:db8::1", certificate=identity(f"{number}"))
        )
        await edits.remember(to(f"/{number}.gmi", stranger), "1")
    assert await rows(store) == 2
    assert await known(edits, to(client=Client("203.0.113.5"))) == ("1",)


async def test_clients_of_a_socket_for_both_families_leave_each_other_in_peace(store: Store) -> None:
    edits = Edits(store)
    mine = to(client=Client("::ffff:203.0.113.5"))
    await edits.remember(mine, "1")
    for number in range(PAGES):
        await edits.remember(to(f"/{number}.gmi", Client("::ffff:192.0.2.1")), "1")
    assert await known(edits, mine) == ("1",)


async def test_strangers_get_none_for_what_is_not_there(store: Store) -> None:
    edits = Edits(store, lambda request: request.client == ADA)
    for client in (ANON, EVE):
        await edits.remember(to(client=client), "")
    assert await rows(store) == 0
    await edits.remember(to(), "")
    assert await known(edits, to()) == ("",)


async def test_a_slot_is_small(store: Store) -> None:
    edits = Edits(store)
    for number in range(PAGES):
        for ticket in range(TICKETS):
            await edits.remember(to(f"/{number}.gmi"), f"{ticket:064}")
    [key] = await store.keys()
    assert len(str(await store.get(key))) < 12_000
