"""Who may connect: so many connections in total and so many per address.

A connection past a limit is still told so (41), as long as there is room to tell it; past that it is
closed at once. An address is a whole IPv6 /64, since that is what one customer gets.
"""

from functools import lru_cache
from ipaddress import ip_address

from pad19.protocol.failure import ServerUnavailable

DEFAULT_PER_ADDRESS = 64
# Connections that may be open past the limit at once only to hear 41: a handshake costs 0.3 ms.
REFUSALS = 64


class Admission:
    """Counts open connections.

    ``per_address`` None: 64, but not for loopback, where forwarders and onion services come from.
    """

    def __init__(self, connections: int, per_address: int | None) -> None:
        self._connections = connections
        self._per_address = DEFAULT_PER_ADDRESS if per_address is None else per_address
        self._spare_loopback = per_address is None
        self._total = 0
        self._by_group: dict[str, int] = {}

    @property
    def total(self) -> int:
        """Connections open now."""
        return self._total

    def has_room(self) -> bool:
        """May one more connection be taken, be it only to refuse it?"""
        return self._total < self._connections + REFUSALS

    def enter(self, address: str) -> ServerUnavailable | None:
        """Count a connection in; the failure to answer with if it is one too many."""
        group, is_loopback = group_of(address)
        self._total += 1
        count = self._by_group[group] = self._by_group.get(group, 0) + 1
        if self._total > self._connections:
            return ServerUnavailable("the server is full, try again in a minute")
        if count > self._per_address and not (is_loopback and self._spare_loopback):
            return ServerUnavailable("too many connections from your address at once")
        return None

    def leave(self, address: str) -> None:
        """Count it out again."""
        group, _ = group_of(address)
        self._total -= 1
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
