"""Where a server listens: an address and a port, or the path of a UNIX socket."""

from ipaddress import AddressValueError, IPv4Address, IPv6Address
from pathlib import Path
from typing import Self

from msgspec import Struct

MAX_PORT = 65535
MAX_UNIX_PATH = 107  # bytes; sun_path in struct sockaddr_un is 108 with its NUL (unix(7))
_PREFIX = "unix:"
_ALL = {"::", "0.0.0.0"}  # noqa: S104 - not to listen, but to compare


class Listen(Struct, frozen=True, kw_only=True):
    """One address to listen on; ``str()`` gives the form that `parse` reads."""

    host: str = ""  # an IP address without brackets, "localhost", or "" for all addresses
    port: int = 0  # 0: the kernel picks one
    path: Path | None = None  # of a UNIX socket; host and port mean nothing then

    @classmethod
    def parse(cls, text: str, folder: Path | None = None) -> Self:
        """Read ``[::]:1965``, ``0.0.0.0:1965``, ``localhost:1965``, ``:1965`` or ``unix:/path``.

        No other names: what a name stands for can change, and asking for it needs the network. A
        relative path starts at ``folder`` (absolute; without one, at the working directory).

        Raises:
            ValueError: It is none of these; the message continues "it ...".
        """
        if text.startswith(_PREFIX):
            name = text.removeprefix(_PREFIX)
            path = (folder or Path.cwd()) / name
            if not name or "\0" in name:
                raise ValueError('must name a path after "unix:"')
            if len(bytes(path)) > MAX_UNIX_PATH:
                raise ValueError(f"must have a path of at most {MAX_UNIX_PATH} bytes")
            return cls(path=path)
        host, colon, port = text.rpartition(":")
        if not colon or not port.isascii() or not port.isdigit():
            raise ValueError("must end in a colon and a port")
        if len(port) > len(str(MAX_PORT)) or int(port) > MAX_PORT:
            raise ValueError(f"must have a port from 0 to {MAX_PORT}")
        return cls(host=_host(host), port=int(port))

    @property
    def addresses(self) -> tuple[str, ...]:
        """The IP addresses to bind, IPv6 first: two for ``localhost`` and for all addresses."""
        if self.path:
            return ()
        if not self.host:
            return ("::", "0.0.0.0")  # noqa: S104 - that is what the operator asked for
        return ("::1", "127.0.0.1") if self.host == "localhost" else (self.host,)

    def has(self, place: "Listen") -> bool:
        """Whether one address, as a socket has it, is among these."""
        if self.path or place.path:
            return self.path == place.path
        return self.port == place.port and place.host in self.addresses

    def clashes(self, other: "Listen") -> bool:
        """Whether only one of the two can be listened on. Our sockets for ``::`` are for IPv6 alone."""
        if self.path or other.path:
            return self.path == other.path
        if self.port != other.port or not self.port:  # 0 is another port each time
            return False
        return any(_overlap(one, another) for one in self.addresses for another in other.addresses)

    def __str__(self) -> str:
        if self.path:
            return f"{_PREFIX}{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _overlap(one: str, another: str) -> bool:
    is_same_family = (":" in one) == (":" in another)
    return one == another or (is_same_family and not _ALL.isdisjoint((one, another)))


def _host(text: str) -> str:
    if not text or text.lower() == "localhost":
        return text.lower()
    try:
        if text.startswith("[") and text.endswith("]") and "%" not in text:
            return str(IPv6Address(text[1:-1]))
        return str(IPv4Address(text))
    except AddressValueError:
        raise ValueError('must have an IP address (IPv6 in brackets), "localhost" or nothing') from None
