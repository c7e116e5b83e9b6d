"""Who may connect: so many connections in total and per address, and so many in some time per address.

A connection past a limit is still told so (41 or 44), as long as there is room to tell it; past that
it is closed at once. Refusals have a room of their own: whoever is refused takes no place from others.
An address is a whole IPv6 /64 (see `group_of`).

Limits are those of all workers together. The room for refusals is each worker's own: it is there to
spare the processor, and each worker has one.
"""

import time
from functools import lru_cache
from typing import NamedTuple

from pad19.protocol.address import group_of, parse_address
from pad19.protocol.failure import ServerUnavailable, SlowDown
from pad19.protocol.rate import Rate

from .rate_limit import Clock, RateLimit
from .shared_counts import SharedCounts

DEFAULT_PER_ADDRESS = 64
REFUSALS = 64  # connections that may be open at once only to hear 41 or 44: a handshake costs 0.3 ms
REFUSALS_PER_ADDRESS = 4
# How often an address is told 44, or as often as it may come, if that is more: being told costs as much
# as a page, but a rate may be very low.
TOLD = Rate(60, 10)


class NoRoom(Exception):
    """There is no room even to refuse the connection: close it."""


class Ticket(NamedTuple):
    """What was counted in, to be counted out again; ``refusal`` is what to answer with."""

    group: str
    refusal: ServerUnavailable | SlowDown | None


class Admission:
    """Counts open connections, and how often they come.

    ``per_address`` None: 64, but not for loopback, where forwarders and onion services come from.
    ``rate`` None: no limit. ``shared``: what the other workers have; None: there are no others.
    ``clock``: see `RateLimit`.
    """

    def __init__(
        self,
        connections: int,
        per_address: int | None,
        *,
        rate: Rate | None = None,
        shared: SharedCounts | None = None,
        clock: Clock = time.monotonic_ns,
    ) -> None:
        self._connections = connections
        self._per_address = DEFAULT_PER_ADDRESS if per_address is None else per_address
        self._spare_loopback = per_address is None
        self._shared = shared
        self._admitted = _Counter() if shared is None else _SharedCounter(shared)
        self._refused = _Counter()
        self._rates: tuple[RateLimit, RateLimit] | None = None  # for coming, and for being told 44
        if rate is not None:
            told = max(rate, TOLD, key=lambda rate: rate.count / rate.seconds)
            self._rates = RateLimit(rate, shared, clock), RateLimit(told, clock=clock)

    @property
    def total(self) -> int:
        """Connections that this worker has open now, those that are being refused included."""
        return self._admitted.total + self._refused.total

    def enter(self, address: str, *, trusted: bool = False) -> Ticket:
        """Count a connection in. ``trusted``: a forwarder, which brings the connections of many.

        Raises:
            NoRoom: It is one too many, and so are those that are being told so.
        """
        ticket, is_loopback = _pass(address)
        group = ticket.group
        shared, admitted = self._shared, self._admitted
        total = admitted.total if shared is None else admitted.total + shared.total_elsewhere()
        refusal: ServerUnavailable | SlowDown | None = None
        if total >= self._connections:
            refusal = ServerUnavailable("the server is full, try again in a minute")
        elif not trusted:
            # Of one address there are no more than of all: mostly they need not be counted.
            if (
                total >= self._per_address
                and not (is_loopback and self._spare_loopback)
                and admitted.of(group) >= self._per_address
            ):
                refusal = ServerUnavailable("too many connections from your address at once")
            elif self._rates is not None:
                refusal = _slow_down(group, *self._rates)
        if refusal is None:
            admitted.add(group)
            return ticket
        if self._refused.total >= REFUSALS or self._refused.of(group) >= REFUSALS_PER_ADDRESS:
            raise NoRoom
        self._refused.add(group)
        return Ticket(group, refusal)

    def leave(self, ticket: Ticket) -> None:
        """Count it out again."""
        group, refusal = ticket
        (self._admitted if refusal is None else self._refused).remove(group)


def _slow_down(group: str, rate: RateLimit, told: RateLimit) -> SlowDown | None:
    wait = rate.take(group)
    if not wait:
        return None
    if told.take(group):
        raise NoRoom
    return SlowDown(wait)


class _Counter:
    """Connections by group; groups without any are forgotten."""

    __slots__ = ("_by_group", "total")

    def __init__(self) -> None:
        self.total = 0
        self._by_group: dict[str, int] = {}

    def of(self, group: str) -> int:
        return self._by_group.get(group, 0)

    def add(self, group: str) -> int:
        """How many the group has now."""
        self.total += 1
        count = self._by_group[group] = self._by_group.get(group, 0) + 1
        return count

    def remove(self, group: str) -> int:
        """How many the group has left."""
        self.total -= 1
        count = self._by_group.pop(group) - 1
        if count:
            self._by_group[group] = count
        return count


class _SharedCounter(_Counter):
    """One that tells the other workers of its connections. ``of`` has theirs too, ``total`` only its own."""

    __slots__ = ("_shared",)

    def __init__(self, shared: SharedCounts) -> None:
        super().__init__()
        self._shared = shared

    def of(self, group: str) -> int:
        return super().of(group) + self._shared.elsewhere(group)

    def add(self, group: str) -> int:
        count = super().add(group)
        self._shared.tell(group, count, self.total)
        return count

    def remove(self, group: str) -> int:
        count = super().remove(group)
        self._shared.tell(group, count, self.total)
        return count


@lru_cache(maxsize=4096)
def _pass(address: str) -> tuple[Ticket, bool]:
    """The ticket of an address that is let in, and whether it is this machine: made once for many visits."""
    is_loopback = not address or parse_address(address).is_loopback  # "" is a UNIX socket
    return Ticket(group_of(address), None), is_loopback
