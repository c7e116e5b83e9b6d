"""What `pad19 status` tells, and the part of a supervisor that tells it."""

import selectors
import socket
import threading
from collections.abc import Callable

from pad19.dispatch.record import Record
from pad19.service.telemetry.scoreboard import Scoreboard, Totals, size
from pad19.service.telemetry.status_socket import StatusSocket


def totals(*records: Record) -> Totals:
    """What has been counted when these connections have ended."""
    board = Scoreboard(bytearray(size(1)), 1)
    for record in records:
        board.slot(0).count(record)
    return board.totals()


class Loop:
    """A supervisor's loop, in a thread: it waits for the socket, and answers."""

    def __init__(self, server: StatusSocket, text: Callable[[], str]) -> None:
        self._server = server
        self._text = text
        self._stop, self._stopped = socket.socketpair()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._server, selectors.EVENT_READ)
            selector.register(self._stopped, selectors.EVENT_READ)
            while all(key.fileobj is self._server for key, _ in selector.select()):
                self._server.answer(self._text)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.close()
        self._thread.join()
        self._stopped.close()
