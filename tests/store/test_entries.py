"""Lists: the promises of `Entries`, in memory and in a file."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest

from pad19.store import entries as entries_module
from pad19.store.interface import Entries, Page, Store

from .conftest import Clock

HUGE = 10**30


def values(page: Page) -> list[object]:
    return [entry.value for entry in page.items]


async def test_an_empty_list(store: Store) -> None:
    entries = store.list("entries")
    assert await entries.count() == 0
    assert await entries.page() == Page((), number=1, pages=0, total=0)
    assert await entries.page(before=5) == Page((), number=1, pages=0, total=0)
    assert await entries.get(1) is None
    assert not await entries.replace(1, "x")
    assert not await entries.delete(1)
    await entries.clear()
    assert await entries.append("first") == 1


async def test_entries_know_when_they_came(store: Store, clock: Clock) -> None:
    clock.now = 1_800_000_000.5
    entries = store.list("entries")
    number = await entries.append({"name": "Ada"})
    clock.now += 60
    assert await entries.replace(number, {"name": "Grace"})
    entry = await entries.get(number)
    assert entry is not None
    assert (entry.id, entry.value) == (number, {"name": "Grace"})
    assert entry.created == datetime(2027, 1, 15, 8, 0, 0, 500_000, UTC)
    assert (await entries.page()).items == (entry,)


async def test_ids_are_never_given_out_twice(store: Store) -> None:
    entries = store.list("entries")
    assert [await entries.append(number) for number in range(3)] == [1, 2, 3]
    assert await entries.delete(3)
    assert not await entries.delete(3)
    assert await entries.append("x") == 4
    await entries.clear()
    assert await entries.count() == 0
    assert await entries.append("y") == 5
    assert await entries.count() == 1


async def test_lists_share_nothing(store: Store) -> None:
    one, other = store.list("one"), store.list("other")
    await one.append("a")
    await other.append("b")
    assert await one.delete(1)
    assert values(await other.page()) == ["b"]
    await store.set("other", "c")
    await one.clear()
    assert await store.list("other").count() == 1


PAGES = [  # number, newest_first, before, after; items, pages, total, previous, next
    (1, True, None, None, [7, 6, 5], 3, 7, None, 2),
    (2, True, None, None, [4, 3, 2], 3, 7, 1, 3),
    (3, True, None, None, [1], 3, 7, 2, None),
    (1, False, None, None, [1, 2, 3], 3, 7, None, 2),
    (3, False, None, None, [7], 3, 7, 2, None),
    (4, True, None, None, [], 3, 7, 3, None),
    (HUGE, True, None, None, [], 3, 7, 3, None),
    (0, True, None, None, [], 3, 7, None, 1),
    (-HUGE, True, None, None, [], 3, 7, None, 1),
    (1, True, 5, None, [4, 3, 2], 2, 4, None, 2),
    (2, True, 5, None, [1], 2, 4, 1, None),
    (1, True, 1, None, [], 0, 0, None, None),
    (1, True, HUGE, -HUGE, [7, 6, 5], 3, 7, None, 2),
    (1, True, -HUGE, HUGE, [], 0, 0, None, None),
    (1, False, None, 5, [6, 7], 1, 2, None, None),
    (1, True, None, 5, [7, 6], 1, 2, None, None),
    (1, True, 6, 3, [5, 4], 1, 2, None, None),
]


@pytest.mark.parametrize(
    ("number", "newest_first", "before", "after", "items", "pages", "total", "previous", "following"), PAGES
)
async def test_pages(
    store: Store,
    number: int,
    newest_first: bool,
    before: int | None,
    after: int | None,
    items: list[int],
    pages: int,
    total: int,
    previous: int | None,
    following: int | None,
) -> None:
    entries = store.list("entries")
    for value in range(1, 8):
        await entries.append(value)
    page = await entries.page(number, size=3, newest_first=newest_first, before=before, after=after)
    assert values(page) == items
    assert [entry.id for entry in page.items] == items
    assert (page.number, page.pages, page.total) == (number, pages, total)
    assert (page.previous, page.next) == (previous, following)


async def test_pages_have_no_holes(store: Store) -> None:
    entries = store.list("entries")
    for value in range(10):
        await entries.append(value)
    for number in (2, 3, 4, 9):
        await entries.delete(number)
    assert values(await entries.page(1, size=3)) == [9, 7, 6]
    assert values(await entries.page(2, size=3)) == [5, 4, 0]


async def test_reading_on_while_others_write(store: Store) -> None:
    entries = store.list("entries")
    for value in range(5):
        await entries.append(value)
    seen: list[object] = []
    page = await entries.page(size=2)
    while page.items:
        seen += values(page)
        await entries.append("later")
        page = await entries.page(size=2, before=page.items[-1].id)
    assert seen == [4, 3, 2, 1, 0]


@pytest.mark.parametrize("size", [0, -1, 1001])
async def test_size_of_a_page_is_bounded(store: Store, size: int) -> None:
    with pytest.raises(ValueError, match=f"^size is {size}; 1 to 1000 are possible$"):
        await store.list("entries").page(size=size)


@pytest.mark.parametrize("number", [0, -1, 2, HUGE, -HUGE])
async def test_ids_that_lead_nowhere(store: Store, number: int) -> None:
    entries = store.list("entries")
    await entries.append("x")
    assert await entries.get(number) is None
    assert not await entries.replace(number, "y")
    assert not await entries.delete(number)
    assert values(await entries.page()) == ["x"]


async def test_what_is_refused_changes_nothing(store: Store) -> None:
    entries = store.list("entries")
    with pytest.raises(TypeError, match=r"^value\[0\] is of type bytes"):
        await entries.append([b"x"])
    assert await entries.append("a") == 1
    with pytest.raises(ValueError, match="are possible"):
        await entries.replace(1, "x" * 2**20)
    assert values(await entries.page()) == ["a"]
    with pytest.raises(ValueError, match=r"^the list '' has 0 bytes"):
        store.list("")
    with pytest.raises(ValueError, match=r"^a list that keeps 0 entries is of no use"):
        store.list("entries", keep=0)


async def test_the_oldest_make_room(store: Store) -> None:
    entries = store.list("latest", keep=3)
    for value in range(5):
        await entries.append(value)
    await entries.delete(4)
    assert values(await entries.page()) == [4, 2]
    await entries.append(5)
    await entries.append(6)
    assert values(await entries.page()) == [6, 5, 4]
    assert await entries.count() == 3


async def test_a_long_list_is_cut_in_steps(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries_module, "TRIM", 4)
    for value in range(10):
        await store.list("latest").append(value)
    entries = store.list("latest", keep=2)
    counts = []
    for value in range(4):
        await entries.append(value)
        counts.append(await entries.count())
    assert counts == [7, 4, 2, 2]
    assert values(await entries.page()) == [3, 2]


NO_NUMBERS: list[tuple[Callable[[Entries], Awaitable[object]], str]] = [
    (lambda entries: entries.get("3"), "id is of type str"),  # type: ignore[arg-type] # a capture, say
    (lambda entries: entries.get(1.0), "id is of type float"),  # type: ignore[arg-type] # likewise
    (lambda entries: entries.get(True), "id is of type bool"),
    (lambda entries: entries.replace("3", 1), "id is of type str"),  # type: ignore[arg-type] # likewise
    (lambda entries: entries.delete(None), "id is of type NoneType"),  # type: ignore[arg-type] # likewise
    (lambda entries: entries.page("2"), "number is of type str"),  # type: ignore[arg-type] # likewise
    (lambda entries: entries.page(2.5), "number is of type float"),  # type: ignore[arg-type] # likewise
    (lambda entries: entries.page(size="5"), "size is of type str"),  # type: ignore[arg-type] # likewise
    (lambda entries: entries.page(before="5"), "before is of type str"),  # type: ignore[arg-type] # likewise
    (lambda entries: entries.page(after="5"), "after is of type str"),  # type: ignore[arg-type] # likewise
]


@pytest.mark.parametrize(("ask", "problem"), NO_NUMBERS)
async def test_what_is_no_number_is_told(
    ask: Callable[[Entries], Awaitable[object]], problem: str, store: Store
) -> None:
    with pytest.raises(TypeError, match=rf"^{problem}; an int is needed$"):
        await ask(store.list("entries"))


async def test_keep_is_a_number(store: Store) -> None:
    with pytest.raises(TypeError, match=r"^keep is of type str; an int is needed$"):
        store.list("entries", keep="5")  # type: ignore[arg-type] # on purpose
    with pytest.raises(TypeError, match=r"^limit is of type str; an int is needed$"):
        await store.keys(limit="5")  # type: ignore[arg-type] # on purpose
