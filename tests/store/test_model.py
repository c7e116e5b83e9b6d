"""A store does what dicts and lists do, whatever happens in whatever order."""

from collections.abc import Awaitable, Callable
from typing import Any

import trio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from pad19.store.database import Database
from pad19.store.interface import Entries
from pad19.store.sqlite import SQLiteStore

from .conftest import Clock

PLACES = st.sampled_from([(), ("a",), ("a", "b"), ("b",)])
KEYS = st.sampled_from(["a", "b", "a/b", "ab"])
VALUES = st.none() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2)
SECONDS = st.none() | st.integers(1, 50)
IDS = st.integers(-1, 12)

Place = tuple[str, ...]


class Model(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.database = Database(None, self.clock)
        self.values: dict[tuple[Place, str], tuple[Any, float | None]] = {}
        self.lists: dict[tuple[Place, str], dict[int, Any]] = {}
        self.last: dict[tuple[Place, str], int] = {}

    def teardown(self) -> None:
        trio.run(self.database.aclose)

    def store(self, place: Place) -> SQLiteStore:
        store = SQLiteStore(self.database)
        for name in place:
            store = store.namespace(name)
        return store

    def ask(self, place: Place, call: Callable[[SQLiteStore], Awaitable[Any]]) -> Any:
        async def main() -> Any:
            return await call(self.store(place))

        return trio.run(main)

    def ask_list(self, place: Place, name: str, call: Callable[[Entries], Awaitable[Any]]) -> Any:
        return self.ask(place, lambda store: call(store.list(name)))

    def fresh(self, place: Place, key: str) -> tuple[Any, float | None] | None:
        found = self.values.get((place, key))
        if found and (found[1] is None or found[1] > self.clock.now):
            return found
        return None

    def expiry(self, seconds: int | None) -> float | None:
        return None if seconds is None else self.clock.now + seconds

    @rule(seconds=st.integers(0, 40))
    def wait(self, seconds: int) -> None:
        self.clock.now += seconds

    @rule(place=PLACES, key=KEYS)
    def get(self, place: Place, key: str) -> None:
        found = self.fresh(place, key)
        assert self.ask(place, lambda store: store.get(key, "none")) == (found[0] if found else "none")

    @rule(place=PLACES, key=KEYS, value=VALUES, seconds=SECONDS)
    def set(self, place: Place, key: str, value: Any, seconds: int | None) -> None:
        self.ask(place, lambda store: store.set(key, value, expires_in=seconds))
        self.values[place, key] = (value, self.expiry(seconds))

    @rule(place=PLACES, key=KEYS, value=VALUES, seconds=SECONDS)
    def add(self, place: Place, key: str, value: Any, seconds: int | None) -> None:
        added = self.ask(place, lambda store: store.add(key, value, expires_in=seconds))
        assert added == (self.fresh(place, key) is None)
        if added:
            self.values[place, key] = (value, self.expiry(seconds))

    @rule(place=PLACES, key=KEYS)
    def delete(self, place: Place, key: str) -> None:
        assert self.ask(place, lambda store: store.delete(key)) == (self.fresh(place, key) is not None)
        self.values.pop((place, key), None)

    @rule(place=PLACES, key=KEYS, by=st.integers(), seconds=SECONDS)
    def increment(self, place: Place, key: str, by: int, seconds: int | None) -> None:
        found = self.fresh(place, key) or (0, self.expiry(seconds))
        try:
            count = self.ask(place, lambda store: store.increment(key, by, expires_in=seconds))
        except TypeError:
            assert not isinstance(found[0], int)
        else:
            assert count == found[0] + by
            self.values[place, key] = (count, found[1])

    @rule(place=PLACES, key=KEYS, value=VALUES, seconds=SECONDS)
    def update(self, place: Place, key: str, value: Any, seconds: int | None) -> None:
        found = self.fresh(place, key) or ("default", None)
        after = [found[0], value]
        updated = self.ask(
            place, lambda store: store.update(key, lambda old: [old, value], "default", expires_in=seconds)
        )
        assert updated == after
        self.values[place, key] = (after, found[1] if seconds is None else self.expiry(seconds))

    @rule(place=PLACES, prefix=st.sampled_from(["", "a", "a/", "z"]))
    def keys(self, place: Place, prefix: str) -> None:
        expected = {key for at, key in self.values if at == place and self.fresh(place, key)}
        assert self.ask(place, lambda store: store.keys(prefix)) == tuple(
            sorted(key for key in expected if key.startswith(prefix))
        )

    @rule(place=PLACES, name=KEYS, value=VALUES, keep=st.none() | st.integers(1, 5))
    def append(self, place: Place, name: str, value: Any, keep: int | None) -> None:
        entries = self.lists.setdefault((place, name), {})
        number = self.last[place, name] = self.last.get((place, name), 0) + 1
        assert self.ask(place, lambda store: store.list(name, keep=keep).append(value)) == number
        entries[number] = value
        while keep and len(entries) > keep:
            del entries[min(entries)]

    @rule(place=PLACES, name=KEYS, number=IDS, value=VALUES)
    def replace(self, place: Place, name: str, number: int, value: Any) -> None:
        entries = self.lists.get((place, name), {})
        assert self.ask_list(place, name, lambda found: found.replace(number, value)) == (number in entries)
        if number in entries:
            entries[number] = value

    @rule(place=PLACES, name=KEYS, number=IDS)
    def remove(self, place: Place, name: str, number: int) -> None:
        entries = self.lists.get((place, name), {})
        assert self.ask_list(place, name, lambda found: found.delete(number)) == (number in entries)
        entries.pop(number, None)

    @rule(place=PLACES, name=KEYS)
    def clear(self, place: Place, name: str) -> None:
        self.ask_list(place, name, lambda found: found.clear())
        self.lists.get((place, name), {}).clear()

    @rule(
        place=PLACES,
        name=KEYS,
        number=st.integers(-1, 4),
        size=st.integers(1, 4),
        newest_first=st.booleans(),
        before=st.none() | IDS,
        after=st.none() | IDS,
    )
    def page(
        self,
        place: Place,
        name: str,
        number: int,
        size: int,
        newest_first: bool,
        before: int | None,
        after: int | None,
    ) -> None:
        entries = self.lists.get((place, name), {})
        page = self.ask_list(
            place,
            name,
            lambda found: found.page(
                number, size=size, newest_first=newest_first, before=before, after=after
            ),
        )
        expected = [
            item
            for item in entries.items()
            if (before is None or item[0] < before) and (after is None or item[0] > after)
        ]
        assert page.total == len(expected)
        if newest_first:
            expected.reverse()
        chunks = [expected[start : start + size] for start in range(0, len(expected), size)]
        assert page.pages == len(chunks)
        chunk = chunks[number - 1] if 1 <= number <= len(chunks) else []
        assert [(entry.id, entry.value) for entry in page.items] == chunk
        assert self.ask_list(place, name, lambda found: found.count()) == len(entries)


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
