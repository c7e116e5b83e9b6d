"""Who has asked for which text to edit it, and what it was then.

So an upload can be refused if the text has changed since it was asked for. It is a notice, not a lock: nobody
is kept from anything by someone who edits, and forgets it.

General theory of operation. Who is given a text to edit gets a ticket for it, as it is then; an upload needs
one for what is there, and uses it up. A telephone and a laptop with the same certificate are told apart by
their addresses at most. So if both have asked, one of them can save, and the next upload of either is refused
until it has asked again. A single ticket is renewed by the upload that uses it: its owner may be still at it.

Who asks again for the same text, from the same address and with the same certificate, is one person at one
device who had closed the page: there is no second ticket, which nobody would ever use up, and by which their
own next change would look like somebody else's. Without a certificate, several people may share the address,
so each question counts.

What is remembered has a fixed size, however much strangers ask for: clients share a number of slots, and in
each the oldest pages go. Those whose certificate lets them upload have slots of their own.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from pad19.protocol.address import group_of
from pad19.protocol.failure import TemporaryFailure
from pad19.protocol.request import Request
from pad19.store.interface import Store, StoreError

LOGGER = logging.getLogger("pad19.content")

LIFETIME = 86_400.0  # seconds that an edit may take
SLOTS = 1024  # for each of the two kinds of clients: at most 10 MB
PAGES = 32  # in one slot
TICKETS = 4  # of one client, for one page


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the tickets of one client for one page are."""

    slot: str
    name: str


@dataclass(frozen=True, slots=True)
class Tickets:
    """What somebody knows of a page: digests, the oldest first. ``""``: that nothing is there."""

    digests: tuple[str, ...]
    place: _Place
    mark: str  # of the tickets that whoever sent the request is given


class Edits:
    """Remembers tickets in a store, which all workers share."""

    def __init__(
        self,
        store: Store,
        is_known: Callable[[Request], bool] = lambda request: request.client.certificate is not None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``is_known``: whether the client's certificate lets it upload there. ``clock``: in seconds."""
        self._store = store
        self._is_known = is_known
        self._clock = clock

    async def remember(self, request: Request, digest: str) -> None:
        """Give whoever sends this request a ticket for the path. ``""``: for nothing, which is there.

        Strangers get none for nothing: they can make up any number of paths.

        Raises:
            TemporaryFailure: The store cannot be used.
        """
        if digest or self._is_known(request):
            place = self._places(request)[0]
            ticket = digest + _mark(request)
            is_shared = request.client.certificate is None

            def add(tickets: list[str]) -> list[str]:
                left = [each for each in tickets if is_shared or each != ticket]
                return [*left, ticket][-TICKETS:]

            await self._change(place, add)

    async def recall(self, request: Request) -> Tickets:
        """Their tickets for it. Who has asked without a certificate may come with one now.

        Raises:
            TemporaryFailure: The store cannot be used.
        """
        own, *others = self._places(request)
        mark = _mark(request)
        for place in (own, *others):
            if found := await self._find(place):
                return Tickets(tuple(map(_digest_of, found)), place, mark)
        return Tickets((), own, mark)

    async def use(self, tickets: Tickets, old: str, new: str) -> None:
        """An upload has used up a ticket for ``old``, and ``new`` is there now.

        Raises:
            TemporaryFailure: The store cannot be used.
        """

        def change(found: list[str]) -> list[str]:
            left = [*found]
            fitting = [each for each in left if _digest_of(each) == old]
            if fitting:
                own = old + tickets.mark
                left.remove(own if own in fitting else fitting[0])
            return left or [new + tickets.mark]

        await self._change(tickets.place, change)

    async def _find(self, place: _Place) -> list[str]:
        try:
            rows: Any = await self._store.get(place.slot, [])
        except StoreError as error:
            raise _unusable(error) from error
        return next((tickets for name, _, tickets in self._fresh(rows) if name == place.name), [])

    async def _change(self, place: _Place, change: Callable[[list[str]], list[str]]) -> None:
        def update(rows: Any) -> Any:
            tickets: list[str] = []
            others = []
            for row in self._fresh(rows):
                if row[0] == place.name:
                    tickets = row[2]
                else:
                    others.append(row)
            return [*others, [place.name, self._clock(), change(tickets)]][-PAGES:]

        try:
            await self._store.update(place.slot, update, [], expires_in=LIFETIME)
        except StoreError as error:
            raise _unusable(error) from error

    def _fresh(self, rows: list[list[Any]]) -> list[list[Any]]:
        oldest = self._clock() - LIFETIME
        return [row for row in rows if row[1] > oldest]

    def _places(self, request: Request) -> list[_Place]:
        """By the certificate's key, and by the address, which some people share."""
        client = request.client
        address = _Place(
            _slot("address", group_of(client.address)), _digest(f"{client.address}\0{request.path}")
        )
        if client.certificate is None:
            return [address]
        key = client.certificate.key_fingerprint
        # Strangers can make any number of certificates.
        slot = _slot("key", key) if self._is_known(request) else address.slot
        return [_Place(slot, _digest(f"{key}\0{request.path}")), address]


def _mark(request: Request) -> str:
    """What a ticket has behind its digest: which address it was given to."""
    return f" {_digest(request.client.address or '')[:4]}"


def _digest_of(ticket: str) -> str:
    return ticket.partition(" ")[0]


def _slot(kind: str, who: str) -> str:
    return f"{kind} {int(_digest(who), 16) % SLOTS}"


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:32]


def _unusable(error: StoreError) -> TemporaryFailure:
    LOGGER.error("%s", error)
    return TemporaryFailure("edits cannot be remembered now")
