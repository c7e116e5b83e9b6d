"""IP addresses, as sockets, PROXY headers and the hosts of URIs give them."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

IPAddress = IPv4Address | IPv6Address


def parse_address(text: str) -> IPAddress:
    """Read an address without its zone (``%eth0``), which means nothing to others; see `unmapped`.

    Raises:
        ValueError: It is none.
    """
    return unmapped(ip_address(text.partition("%")[0]))


def unmapped(ip: IPAddress) -> IPAddress:
    """A socket for both families says ``::ffff:192.0.2.1``, but one client has one address: ``192.0.2.1``."""
    return (isinstance(ip, IPv6Address) and ip.ipv4_mapped) or ip


def is_address(host: str) -> bool:
    """Whether a host is an IP address, with or without brackets, and no name."""
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


@lru_cache(maxsize=4096)
def group_of(address: str) -> str:
    """What counts as one client: an IPv4 address, or an IPv6 /64, since that is what one customer gets.

    ``""``, which is a UNIX socket, and ``::1`` stand for themselves.

    Raises:
        ValueError: It is no address.
    """
    if not address:
        return ""
    ip = parse_address(address)
    return f"{ip.exploded[:19]}::/64" if ip.version == 6 and not ip.is_loopback else str(ip)
