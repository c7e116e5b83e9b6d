"""Sockets that tell the status, and who asks them."""

import socket
from pathlib import Path

TEXT = "all is well\n"


def sockets(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.sock"))


def connect(folder: Path) -> socket.socket:
    [name] = sockets(folder)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(5)
    sock.connect(str(folder / name))
    return sock


def read_all(sock: socket.socket) -> bytes:
    parts = []
    while data := sock.recv(65536):
        parts.append(data)
    return b"".join(parts)
