"""What is known about a connection when it ends: one line of the access log."""

from dataclasses import dataclass


@dataclass(slots=True)
class Record:
    """Filled in while the connection lives, handed over once at its end, also without a request."""

    address: str  # the client's IP, "" for a UNIX socket
    started: float  # Unix time; that of the accept, or when a forwarder had said who the client is
    duration: float = 0.0  # seconds, from then to close
    request: str = ""  # the line as received, without CRLF: a stranger's text, see RequestReader.received
    status: int | None = None  # None: no header was sent
    bytes_sent: int = 0  # of the body, as far as the client was given them
    reason: str = ""  # why it ended otherwise than well: "handshake timeout", "client left"
    tls_version: str = ""  # "TLSv1.3"; "" before the end of the handshake
    fingerprint: str | None = None  # "sha256:..." of the client certificate
