"""A capsule in a folder: its files, the reloads they lead to, and what visitors of its server see.

`configure` writes a whole configuration each time, so a test names only what it is about.
"""

from __future__ import annotations

import signal
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .files import write
from .process import Address, Serving, connect_socket, connect_tls, fetch, gemini, read_rest
from .tls import Pair

LARGE = 64 * 1024 * 1024  # bytes: more than the kernel's buffers take
BINARY = b"20 application/octet-stream\r\n"
UNREACHABLE = b"40 the pages cannot be read now\r\n"
NOT_FOUND = b"51 not found\r\n"
NOT_SERVED = b"53 this host is not served here\r\n"
RELOADED = "pad19: reloaded: Serving "
NOT_RELOADED = "pad19: not reloaded: what was served before is served still\n"


# The folder


def make_folder(folder: Path) -> Path:
    """A page, a file of `LARGE` zeros, and a configuration."""
    write_page(folder / "content")
    with (folder / "content/large.bin").open("wb") as file:
        file.truncate(LARGE)  # which takes no place on the disk
    return configure(folder)


def write_page(content: Path, text: str = "# Pad 19\n") -> None:
    content.mkdir(parents=True, exist_ok=True)
    (content / "index.gmi").write_text(text)


def configure(
    folder: Path,
    *,
    listen: str = "127.0.0.1:0",
    workers: int = 1,
    watch: bool = False,
    log: str = "format = 'json'",
    rest: str = "",
    lang: str = "",
    capsule: str = "",
) -> Path:
    """Write a configuration; returns the folder.

    ``log``, ``capsule``: what is in these tables; ``rest``: other tables, in front of the capsule's.
    ``lang``: of the capsule, which tells one configuration from another in the answers.
    """
    text = f"[server]\nlisten = ['{listen}']\nworkers = {workers}\nwatch = {str(watch).lower()}\n"
    text += f"[log]\n{log}\n{rest}\n"
    if lang:
        capsule = f"lang = '{lang}'\n{capsule}"
    return write(folder, {"pad19.toml": f"{text}[[capsule]]\n{capsule}\n" if capsule else text})


def write_pair(folder: Path, pair: Pair) -> None:
    """A certificate ``a.crt`` and its key ``a.key``."""
    write(folder, {"a.crt": pair.certificate_pem, "a.key": pair.key_pem})


# Reloads, which are done when no old worker takes connections any more


def reload(server: Serving) -> None:
    """By signal, and wait until it is done."""
    count = server.err.count(RELOADED)
    server.signal(signal.SIGHUP)
    server.wait_for_err(RELOADED, count + 1)


def reload_in_vain(server: Serving) -> list[str]:
    """By signal; what is said then."""
    before = len(server.err)
    server.signal(signal.SIGHUP)
    server.wait_for_err(NOT_RELOADED, server.err.count(NOT_RELOADED) + 1)
    return problems_since(server, before)


def problems_since(server: Serving, before: int) -> list[str]:
    """Why it was not reloaded. ``before``: how much had been said until then."""
    *problems, last = server.err[before:].splitlines(keepends=True)
    assert last == NOT_RELOADED
    return [problem.removeprefix("pad19: ").removesuffix("\n") for problem in problems]


# Visitors


def page(lang: str = "") -> bytes:
    """The answer to the path ``/`` in a folder of `make_folder`."""
    return f"20 text/gemini{f'; lang={lang}' if lang else ''}\r\n# Pad 19\n".encode()


def received(address: Address | Path, path: str = "/", host: str = "localhost") -> bytes:
    """The answer, which came whole."""
    port = 1965 if isinstance(address, Path) else address[1]
    answer = fetch(address, f"gemini://{host}:{port}{path}", server_name=host)
    assert answer.clean
    return answer.received


def request(address: Address, path: str, *, buffer: int | None = None) -> ssl.SSLSocket:
    """A connection on which something was asked for. ``buffer``: bytes that the kernel may hold unread."""
    stream = connect_tls(address, buffer=buffer)
    stream.sendall(f"{gemini(address, path)}\r\n".encode())
    return stream


def header_of(stream: ssl.SSLSocket) -> bytes:
    """The first line, and no byte more."""
    line = b""
    while not line.endswith(b"\r\n"):
        data = stream.recv(1)
        assert data, line
        line += data
    return line


@contextmanager
def slow_download(address: Address) -> Iterator[ssl.SSLSocket]:
    """A client that has the header of the large file, and no more for now."""
    with request(address, "/large.bin", buffer=4096) as stream:
        assert header_of(stream) == BINARY
        yield stream


def assert_whole(stream: ssl.SSLSocket) -> None:
    """The rest of a large file comes, to its end."""
    rest = read_rest(stream)
    assert (len(rest.received), rest.clean) == (LARGE, True)


def is_refused(address: Address) -> bool:
    try:
        connect_socket(address).close()
    except ConnectionError:  # reset, if it was closed just then
        return True
    return False
