"""Keys and values: the promises of `Store`, in memory and in a file."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from pad19.store import sqlite
from pad19.store.interface import Json, Store

from .conftest import Clock


async def test_what_was_set_is_there(store: Store) -> None:
    assert await store.get("name") is None
    assert await store.get("name", "nobody") == "nobody"
    await store.set("name", {"first": "Ada"})
    assert await store.get("name", "nobody") == {"first": "Ada"}
    await store.set("name", None)
    assert await store.get("name", "nobody") is None
    assert await store.delete("name")
    assert not await store.delete("name")
    assert await store.get("name", "nobody") == "nobody"


async def test_values_are_not_shared_with_the_caller(store: Store) -> None:
    value = ["a"]
    await store.set("list", value)
    value.append("b")
    assert await store.get("list") == ["a"]


async def test_add_happens_once(store: Store) -> None:
    won = []

    async def vote(name: str) -> None:
        if await store.add("first", name):
            won.append(name)

    async with trio.open_nursery() as nursery:
        for name in "abcdef":
            nursery.start_soon(vote, name)
    assert won == [await store.get("first")]


async def test_counters(store: Store) -> None:
    assert await store.increment("visits") == 1
    assert await store.increment("visits", 41) == 42
    assert await store.increment("visits", -50) == -8
    assert await store.get("visits") == -8
    await store.set("visits", 2**70)
    assert await store.increment("visits") == 2**70 + 1


@pytest.mark.parametrize("value", ["1", 1.0, True, None, [1]])
async def test_only_integers_are_counted(store: Store, value: Json) -> None:
    await store.set("visits", value)
    with pytest.raises(TypeError, match=r"^the value of 'visits' is .+, which cannot be counted$"):
        await store.increment("visits")
    assert await store.get("visits") == value


async def test_tasks_count_at_once(store: Store) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(store.increment, "visits")
            nursery.start_soon(store.update, "list", lambda found: [*found, len(found)], [])
    assert await store.get("visits") == 50
    assert await store.get("list") == list(range(50))


async def test_update_may_change_what_it_gets(store: Store) -> None:
    default: dict[str, int] = {}

    def vote(votes: dict[str, int]) -> dict[str, int]:
        votes["yes"] = votes.get("yes", 0) + 1
        return votes

    assert await store.update("poll", vote, default) == {"yes": 1}
    assert await store.update("poll", vote, default) == {"yes": 2}
    assert await store.get("poll") == {"yes": 2}
    assert default == {}


async def test_update_that_fails_changes_nothing(store: Store) -> None:
    await store.set("poll", {"yes": 1})

    def divide(poll: dict[str, int]) -> Json:
        poll["yes"] = 7
        return poll["yes"] // 0

    def read(poll: dict[str, int]) -> Json:
        raise FileNotFoundError("its own")

    with pytest.raises(ZeroDivisionError):
        await store.update("poll", divide)
    with pytest.raises(FileNotFoundError, match="its own"):
        await store.update("poll", read)
    with pytest.raises(TypeError, match=r"^the update of 'poll' returned None: return the new value"):
        await store.update("poll", lambda poll: poll.update(yes=7))
    for value in (5, {"yes": 2}, None):
        with pytest.raises(TypeError, match=r"^the update of 'poll' needs a function of the value, not "):
            await store.update("poll", value)  # type: ignore[arg-type]  # on purpose
    with pytest.raises(TypeError, match=r"^value\['yes'\] is of type set,"):
        await store.update("poll", lambda poll: {"yes": {7}})  # set: found out when it is called
    with pytest.raises(ValueError, match="are possible"):
        await store.update("poll", lambda poll: "x" * 2_000_000)
    assert await store.get("poll") == {"yes": 1}
    assert await store.increment("other") == 1  # nobody holds the lock


REFUSED: list[tuple[Callable[[Store], Awaitable[object]], type[Exception]]] = [
    (lambda store: store.get(""), ValueError),
    (lambda store: store.get("x" * 257), ValueError),
    (lambda store: store.set("", 1), ValueError),
    (lambda store: store.add("", 1), ValueError),
    (lambda store: store.delete(""), ValueError),
    (lambda store: store.increment(""), ValueError),
    (lambda store: store.increment("key", 0.5), TypeError),  # type: ignore[arg-type]  # on purpose
    (lambda store: store.increment("key", True), TypeError),
    (lambda store: store.increment("key", "1"), TypeError),  # type: ignore[arg-type]  # on purpose
    (lambda store: store.update("", lambda found: 1), ValueError),
    (lambda store: store.keys("x" * 257), ValueError),
    (lambda store: store.keys(after="x" * 257), ValueError),
    (lambda store: store.keys(limit=0), ValueError),
    (lambda store: store.keys(limit=1001), ValueError),
    (lambda store: store.set("key", {"a": {1}}), TypeError),
    (lambda store: store.add("key", {"a": {1}}), TypeError),
    (lambda store: store.update("key", lambda found: 1, {"a": {1}}), TypeError),
    (lambda store: store.set("key", "x" * 2**20), ValueError),
    (lambda store: store.set("key", 1, expires_in=0), ValueError),
    (lambda store: store.set("key", 1, expires_in=-1), ValueError),
    (lambda store: store.set("key", 1, expires_in=float("nan")), ValueError),
    (lambda store: store.set("key", 1, expires_in=float("inf")), ValueError),
    (lambda store: store.add("key", 1, expires_in=0), ValueError),
    (lambda store: store.increment("key", expires_in=0), ValueError),
    (lambda store: store.update("key", lambda found: 1, expires_in=0), ValueError),
]


@pytest.mark.parametrize(("call", "error"), REFUSED)
async def test_what_is_refused_changes_nothing(
    store: Store, call: Callable[[Store], Awaitable[object]], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await call(store)
    assert await store.keys() == ()


async def test_what_expired_is_gone(store: Store, clock: Clock) -> None:
    await store.set("session", "Ada", expires_in=60)
    clock.now += 59.5
    assert await store.get("session") == "Ada"
    assert await store.keys() == ("session",)
    clock.now += 0.5
    assert await store.get("session", "gone") == "gone"
    assert await store.keys() == ()
    assert not await store.delete("session")


async def test_what_expired_makes_room(store: Store, clock: Clock) -> None:
    for key in ("add", "count", "update", "set"):
        await store.set(key, 7, expires_in=60)
    clock.now += 60
    assert await store.add("add", 1)
    assert await store.increment("count") == 1
    assert await store.update("update", lambda found: found + 1, 0) == 1
    await store.set("set", 1)
    clock.now += 1_000_000  # and has left nothing of its expiry
    assert [await store.get(key) for key in ("add", "count", "update", "set")] == [1, 1, 1, 1]


async def test_setting_again_replaces_the_expiry(store: Store, clock: Clock) -> None:
    await store.set("a", 1, expires_in=60)
    await store.set("a", 2)
    await store.set("b", 1)
    await store.set("b", 2, expires_in=60)
    clock.now += 60
    assert await store.get("a") == 2
    assert await store.get("b") is None


async def test_a_counter_expires_as_it_began(store: Store, clock: Clock) -> None:
    assert await store.increment("tries", expires_in=60) == 1
    clock.now += 59
    assert await store.increment("tries", expires_in=60) == 2
    clock.now += 1
    assert await store.increment("tries", expires_in=60) == 1


async def test_an_update_puts_off_the_expiry_when_told(store: Store, clock: Clock) -> None:
    await store.set("a", 1, expires_in=60)
    await store.set("b", 1, expires_in=60)
    clock.now += 30
    await store.update("a", lambda found: found + 1)
    await store.update("b", lambda found: found + 1, expires_in=60)
    clock.now += 30
    assert await store.get("a") is None
    assert await store.get("b") == 2


async def test_what_expired_is_removed_in_steps(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "SWEEP", 3)
    for number in range(8):
        await store.set(f"old {number}", number, expires_in=60)
    clock.now += 60
    left = []
    for _ in range(4):
        await store.increment("visits")
        clock.now -= 60  # whatever is still there would be seen now
        left.append(len(await store.keys("old")))
        clock.now += 60
    assert left == [5, 2, 0, 0]


async def test_keys(store: Store) -> None:
    names = ["b", "a", "ab", "é", "a\0", "a%", "🚀", "\uffff", "A"]
    for name in names:
        await store.set(name, name)
    assert await store.keys() == tuple(sorted(names))
    assert await store.keys("a") == ("a", "a\0", "a%", "ab")
    assert await store.keys("a", after="a\0") == ("a%", "ab")
    assert await store.keys("a", after="A") == ("a", "a\0", "a%", "ab")
    assert await store.keys("a", after="b") == ()
    assert await store.keys("a", limit=2) == ("a", "a\0")
    assert await store.keys(limit=2) == ("A", "a")
    assert await store.keys("_") == ()


async def test_namespaces_share_nothing(store: Store) -> None:
    places = [
        store,
        store.namespace("a"),
        store.namespace("b"),
        store.namespace("a").namespace("b"),
        store.namespace("b").namespace("a"),
        store.namespace("a b"),
    ]
    for number, place in enumerate(places):
        await place.set("key", number)
        await place.set("a/key", -number)
        for _ in range(number):
            await place.list("key").append(number)
    for number, place in enumerate(places):
        assert await place.get("key") == number
        assert await place.get("a/key") == -number
        assert await place.keys() == ("a/key", "key")
        assert await place.list("key").count() == number
    assert await store.namespace("a").delete("key")
    assert await store.get("key") == 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "^the namespace '' has 0 bytes"),
        ("a/b", "^the namespace 'a/b' holds a slash"),
        ("x" * 252, "^the path of namespaces .* has 257 bytes"),  # "deep" and a slash
    ],
)
async def test_namespaces_that_are_refused(store: Store, name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        store.namespace("deep").namespace(name)


async def test_a_namespace_is_a_value(store: Store) -> None:
    def choices(found: Any) -> list[str]:
        return [*found, "tea"]

    await store.namespace("poll").update("choices", choices, [])
    assert await store.namespace("poll").get("choices") == ["tea"]
