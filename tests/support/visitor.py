"""A visitor of a machine's own server, with nothing but Python: copied to the machine, and run there.

``visitor.py COMMAND ARGUMENT...`` calls the function of that name below.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import sys
import threading
import time
from collections import Counter
from pathlib import Path

PATIENCE = 10.0  # seconds until an answer counts as missing
URI = "gemini://localhost/"


def visit(sock: socket.socket, uri: str = URI, *, pause: float = 0.0) -> str:
    """Request a page over a connection, which is closed. ``pause``: seconds between handshake and request."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # they are self-signed
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF  # else Python 3.11.2 takes a part for the whole
    with context.wrap_socket(sock, server_hostname="localhost", suppress_ragged_eofs=False) as stream:
        time.sleep(pause)
        stream.sendall(f"{uri}\r\n".encode())
        return b"".join(iter(lambda: stream.recv(65536), b"")).decode()


def connection() -> socket.socket:
    return socket.create_connection(("127.0.0.1", 1965), PATIENCE)


def load(result: str) -> None:
    """Visit all the time until the file RESULT.stop is there; write into RESULT how often there was what.

    RESULT.begun is there after the first visit.
    """
    seen: Counter[str] = Counter()
    pauses = (0.0, 0.0, 1.5)  # the last one has a connection open whatever happens

    def go_on(pause: float) -> None:
        while not Path(f"{result}.stop").exists():
            try:
                answer = visit(connection(), pause=pause)
            except OSError as error:
                answer = repr(error)
            seen[answer] += 1
            Path(f"{result}.begun").touch()

    threads = [threading.Thread(target=go_on, args=(pause,)) for pause in pauses]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    Path(f"{result}.new").write_text(json.dumps(seen))
    Path(f"{result}.new").rename(result)


def wait_for(result: str) -> None:
    """End `load`, and print what it has seen."""
    Path(f"{result}.stop").touch()
    while not Path(result).exists():
        time.sleep(0.05)
    print(Path(result).read_text())  # noqa: T201 - this is a program


def crash(supervisor: str) -> None:
    """Kill its only worker, and print how many seconds later there is an answer."""
    [worker] = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    start = time.monotonic()
    os.kill(int(worker), signal.SIGKILL)
    visit(connection())
    print(time.monotonic() - start)  # noqa: T201 - this is a program


def slow(ready: str) -> None:
    """Connect, make the file READY, request a while later, and print the answer."""
    sock = connection()
    Path(ready).touch()
    print(visit(sock, pause=4.0))  # noqa: T201 - this is a program


def forwarded(path: str) -> None:
    """Come from 192.0.2.77 by a forwarder that connects to the UNIX socket at PATH, and print the answer."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(PATIENCE)
    sock.connect(path)
    sock.sendall(b"PROXY TCP4 192.0.2.77 127.0.0.1 40000 1965\r\n")
    print(visit(sock))  # noqa: T201 - this is a program


COMMANDS = {function.__name__: function for function in (load, wait_for, crash, slow, forwarded)}

if __name__ == "__main__":
    COMMANDS[sys.argv[1]](*sys.argv[2:])
