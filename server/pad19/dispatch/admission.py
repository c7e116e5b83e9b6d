"""Who may connect: so many connections in total and so many per address.

A connection past a limit is still told so (41), as long as there is room to tell it; past that it is
closed at once. Refusals have a room of their own: whoever is refused takes no place from others. An
address is a whole IPv6 /64, since that is what one customer gets.
"""

from functools import lru_cache
from ipaddress import ip_address
from typing import NamedTuple

from pad19.protocol.failure import ServerUnavailable

DEFAULT_PER_ADDRESS = 64
REFUSALS = 64  # connections that may be open at once only to hear 41: a handshake costs 0.3 ms
REFUSALS_PER_ADDRESS = 4


class NoRoom(Exception):
    """There is no room even to refuse the connection: close it."""


class Ticket(NamedTuple):
    """What was counted in, to be counted out again; ``refusal`` is what to answer with."""

    group: str
    refusal: ServerUnavailable | None


class Admission:
    """Counts open connections.

    ``per_address`` None: 64, but not for loopback, where forwarders and onion services come from.
    """

    def __init__(self, connections: int, per_address: int | None) -> None:
        self._connections = connections
        self._per_address = DEFAULT_PER_ADDRESS if per_address is None else per_address
        self._spare_loopback = per_address is None
        self._admitted = _Counter()
        self._refused = _Counter()

    @property
    def total(self) -> int:
        """Connections open now, those that are being refused included."""
        return self._admitted.total + self._refused.total

    def enter(self, address: str, *, trusted: bool = False) -> Ticket:
        """Count a connection in. ``trusted``: a forwarder, which brings the connections of many.

        Raises:
            NoRoom: It is one too many, and so are those that are being told so.
        """
        group, is_loopback = group_of(address)
        refusal = None
        if self._admitted.total >= self._connections:
            refusal = ServerUnavailable("the server is full, try again in a minute")
        elif (
            not trusted
            and self._admitted.of(group) >= self._per_address
            and not (is_loopback and self._spare_loopback)
        ):
            refusal = ServerUnavailable("too many connections from your address at once")
        if refusal is None:
            self._admitted.add(group)
        else:
            if self._refused.total >= REFUSALS or self._refused.of(group) >= REFUSALS_PER_ADDRESS:
                raise NoRoom
            self._refused.add(group)
        return Ticket(group, refusal)

    def leave(self, ticket: Ticket) -> None:
        """Count it out again."""
        (self._admitted if ticket.refusal is None else self._refused).remove(ticket.group)


class _Counter:
    """Connections by group; groups without any are forgotten."""

    __slots__ = ("_by_group", "total")

    def __init__(self) -> None:
        self.total = 0
        self._by_group: dict[str, int] = {}

    def of(self, group: str) -> int:
        return self._by_group.get(group, 0)

    def add(self, group: str) -> None:
        self.total += 1
        self._by_group[group] = self._by_group.get(group, 0) + 1

    def remove(self, group: str) -> None:
        self.total -= 1
        if self._by_group[group] == 1:
            del self._by_group[group]
        else:
            self._by_group[group] -= 1


@lru_cache(maxsize=4096)
def group_of(address: str) -> tuple[str, bool]:
    """The group that an address counts for, and whether it is this machine: "" is a UNIX socket."""
    if not address:
        return "", True
    ip = ip_address(address.partition("%")[0])
    if ip.version == 6:
        if ip.ipv4_mapped:
            ip = ip.ipv4_mapped
        elif not ip.is_loopback:
            return f"{ip.exploded[:19]}::/64", False
    return str(ip), ip.is_loopback
