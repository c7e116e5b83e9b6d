"""Host names and addresses as a capsule's owner writes them."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address

from pad19.protocol.address import is_address
from pad19.protocol.uri import normalize_host

WILDCARD = "*."


def read_host(text: str) -> str:
    """The form in which requests are compared: `normalize_host`, without a trailing dot.

    Takes names (Unicode too), names below a first label ``*``, IPv4 addresses, and IPv6 addresses
    with or without brackets.

    Raises:
        ValueError: It is none of these.
    """
    name = text.removeprefix(WILDCARD)
    prefix = text[: len(text) - len(name)]
    if ":" in name or "[" in name:
        if prefix:
            raise ValueError("an address has no subdomains")
        # IPv6Address() first: the grammar of URIs knows more in brackets (IPvFuture).
        bracketed = name.startswith("[") and name.endswith("]")
        try:
            return normalize_host(f"[{IPv6Address(name[1:-1] if bracketed else name)}]")
        except ValueError:
            raise ValueError("write it without scheme, port and path") from None
    host = normalize_host(name).removesuffix(".")
    if host.rpartition(".")[2].isdigit():
        # No top-level domain is a number, so this is an address or a typing mistake.
        if prefix:
            raise ValueError("an address has no subdomains")
        return str(IPv4Address(host))
    if any(label.startswith("-") or label.endswith("-") for label in host.split(".")):
        raise ValueError("no registry has such a name")  # RFC 952; in requests, names are only compared
    return prefix + host


def default_host(hosts: Sequence[str]) -> str:
    """Whose certificate a client sees that names no host in the handshake: the first name's.

    Clients name none where the host is an address (RFC 6066, section 3), so an address comes first
    only where there is no name.
    """
    return next((host for host in hosts if not is_address(host)), hosts[0])
