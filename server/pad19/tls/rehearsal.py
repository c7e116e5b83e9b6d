"""A handshake with ourselves: parts that are right one by one may still be of no use to any client."""

from contextlib import suppress
from typing import TYPE_CHECKING

from OpenSSL import SSL, crypto

from .context import client_context, server_context

if TYPE_CHECKING:
    from .certificate import Credentials

FLIGHT = 1024 * 1024  # bytes that one side says in a row, at most: all of a chain
FLIGHTS = 10  # TLS 1.3 takes three


def objection(credentials: "Credentials") -> str | None:
    """Why no client could shake hands with a server that has these, or None. Takes 2 ms."""
    try:
        client = SSL.Connection(client_context(), None)
        server = SSL.Connection(server_context(credentials), None)
        client.set_connect_state()
        server.set_accept_state()
        for _ in range(FLIGHTS):
            done = [_speak(client, server), _speak(server, client)]
            if all(done):
                return None
    except (SSL.Error, crypto.Error) as error:
        from .errors import reason  # imports trio, which only this needs

        return reason(error)
    return "it does not come to an end"


def _speak(speaker: SSL.Connection, listener: SSL.Connection) -> bool:
    """Let one side say what it can. Whether it has done with the handshake."""
    is_done = True
    try:
        speaker.do_handshake()
    except SSL.WantReadError:
        is_done = False
    with suppress(SSL.WantReadError):  # nothing (more) to say
        listener.bio_write(speaker.bio_read(FLIGHT))
    return is_done
