"""What a route author sees of the store. Whatever keeps these promises can take SQLite's place.

A write that was awaited is on the disk: a power cut loses at most what was not awaited. A write that
raised did not happen. One that was cancelled happened as a whole or not at all, and nobody can tell which.
"""

from __future__ import annotations  # the protocols name each other

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

# What can be stored. Tuples come back as lists; the keys of mappings, which are dicts, are text.
Json = bool | int | float | str | list[Any] | tuple[Any, ...] | Mapping[str, Any] | None


class StoreError(Exception):
    """The store cannot be used now. The message is one sentence for the operator, not for visitors."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing in a list."""

    id: int  # 1 for the first one that was ever appended; never given to another one
    value: Any
    created: datetime  # aware, UTC


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list: numbers begin with 1, and a page that does not exist is empty."""

    items: tuple[Entry, ...]
    number: int  # as asked for
    pages: int  # 0 if there are no entries
    total: int  # entries on all pages

    @property
    def next(self) -> int | None:
        """The number of the page behind this one."""
        number = max(self.number + 1, 1)
        return number if number <= self.pages else None

    @property
    def previous(self) -> int | None:
        """The number of the page in front of this one."""
        number = min(self.number - 1, self.pages)
        return number if number >= 1 else None


class Entries(Protocol):
    """A list: what is appended stays in order and keeps its id.

    All methods raise `StoreError`, and TypeError for ids that are no int; `append` and `replace` refuse
    values as `Store.set` does.
    """

    async def append(self, value: Json) -> int:
        """Add a value at the end and return its id."""
        ...

    async def get(self, id: int) -> Entry | None:  # noqa: A002 - its name in `Entry` and in the manual
        """Return the entry with that id, or None."""
        ...

    async def replace(self, id: int, value: Json) -> bool:  # noqa: A002 - as above
        """Give an entry another value. False: there is no such entry."""
        ...

    async def delete(self, id: int) -> bool:  # noqa: A002 - as above
        """Remove an entry. False: there is no such entry."""
        ...

    async def clear(self) -> None:
        """Remove all entries. Their ids are not used again."""
        ...

    async def count(self) -> int:
        """Return how many entries there are."""
        ...

    async def page(
        self,
        number: int = 1,
        *,
        size: int = 20,
        newest_first: bool = True,
        before: int | None = None,
        after: int | None = None,
    ) -> Page:
        """Return ``size`` entries (1 to 1000; the last page may have fewer).

        ``before`` and ``after`` are ids: the list then seems to end, or to begin, next to that entry.
        So ``page(before=page.items[-1].id)`` goes on reading where a page ended, whatever has been
        appended meanwhile.

        Raises:
            ValueError: ``size`` is out of range.
        """
        ...


class Store(Protocol):
    """Keys (text, 1 to 256 bytes) and their values (JSON, up to 1 MiB), shared by all workers.

    All methods that are awaited raise `StoreError`, and ValueError for keys that are empty or too long.
    ``expires_in`` is in seconds, above 0; None: never. What has expired is gone.
    """

    async def get(self, key: str, default: Any = None) -> Any:
        """Return the value, or ``default`` if there is none."""
        ...

    async def set(self, key: str, value: Json, *, expires_in: float | None = None) -> None:
        """Store a value, in the place of an older one and of its expiry.

        Raises:
            TypeError: Something in it is not JSON. The message says where.
            ValueError: It is longer than 1 MiB.
        """
        ...

    async def add(self, key: str, value: Json, *, expires_in: float | None = None) -> bool:
        """Store a value if the key has none. True for one caller only, however many try at once."""
        ...

    async def delete(self, key: str) -> bool:
        """Remove a value. False: there was none."""
        ...

    async def increment(self, key: str, by: int = 1, *, expires_in: float | None = None) -> int:
        """Add to a number, which begins with 0, and return the sum. No count is lost.

        ``expires_in`` counts from the first call: later ones do not put it off.

        Raises:
            TypeError: The value, or ``by``, is not an integer.
        """
        ...

    async def update(
        self,
        key: str,
        function: Callable[[Any], Json],
        default: Json = None,
        *,
        expires_in: float | None = None,
    ) -> Any:
        """Replace a value by ``function(value)``, with nobody writing in between, and return the new one.

        ``function`` gets ``default`` if there is no value, and may change what it gets. It may be called
        in another thread and more than once, while other writers wait: it computes and does nothing else.
        What it raises is raised here, and the value stays. Without ``expires_in`` the expiry stays too.

        Raises:
            TypeError: It is no function, or it returned None, which is a forgotten ``return``, or something
                that is not JSON.
        """
        ...

    async def keys(self, prefix: str = "", *, after: str = "", limit: int = 100) -> tuple[str, ...]:
        """Return the keys that begin with ``prefix``, sorted by code points; at most ``limit``.

        ``after``: only those behind this one, which is how to read on.
        """
        ...

    def namespace(self, name: str) -> Store:
        """A store of its own within this one: same keys, other values. Namespaces can be nested.

        Raises:
            ValueError: The name is empty or holds a slash, or all the names are too long together.
        """
        ...

    def list(self, name: str, *, keep: int | None = None) -> Entries:
        """A list, which is empty at first. Lists and keys of the same name have nothing in common.

        ``keep``: entries that `Entries.append` leaves there; it removes the oldest ones beyond that.
        """
        ...
