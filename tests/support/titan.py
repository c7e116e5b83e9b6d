"""Clients that upload by Titan, and a server that takes uploads."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .process import Address, Serving, connect_tls, gemini, read_rest, serving
from .server import Answer

TOKEN = "open sesame"
K = ";token=open%20sesame"  # the same as a parameter
OLD = b"the old version\n"  # of the one page
MIB = 1024 * 1024


def configuration(titan: str = "", more: str = "", limits: str = "") -> str:
    """``titan``, ``more``, ``limits``: what is in their table, in the capsule's, in that of limits."""
    return (
        "[server]\nlisten = ['127.0.0.1:0']\n[log]\nformat = 'json'\n[limits]\nper_address = 1000\n"
        f"{limits}\n[[capsule]]\n{more}\n[capsule.titan]\ntoken = '{TOKEN}'\n{titan}\n"
    )


@contextmanager
def served(folder: Path, text: str) -> Iterator[Serving]:
    """A server with this configuration and one page, ``/n.gmi``."""
    (folder / "content").mkdir()
    (folder / "content/n.gmi").write_bytes(OLD)
    (folder / "pad19.toml").write_text(text)
    with serving(folder, home=folder) as server:
        yield server


def line(address: Address, path: str, parameters: str) -> bytes:
    """What a request begins with."""
    return gemini(address, path).replace("gemini:", "titan:", 1).encode() + f"{parameters}\r\n".encode()


def send(
    address: Address,
    path: str,
    parameters: str,
    body: bytes = b"",
    context: ssl.SSLContext | None = None,
    *,
    source: str | None = None,
) -> Answer:
    """One request, and all of its answer. ``source``: the address that it comes from."""
    with connect_tls(address, context, source=source) as stream:
        stream.sendall(line(address, path, parameters) + body)
        return read_rest(stream)


def put(address: Address, path: str, body: bytes) -> Answer:
    """An upload as it should be."""
    return send(address, path, f";size={len(body)}{K}", body)
