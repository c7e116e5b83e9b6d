"""A socket in the place of systemd."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from .process import PATIENCE


@contextmanager
def manager_at(address: str) -> Iterator[socket.socket]:
    """Reads what a service tells systemd that has this address in NOTIFY_SOCKET."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE)
        sock.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        yield sock
