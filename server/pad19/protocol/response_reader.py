"""A response's bytes in, its `Header` out: the client's side (network specification, "Responses")."""

import re
from dataclasses import dataclass

from .characters import CONTROLS
from .response import MAX_META

MAX_HEADER = len("NN ") + MAX_META + len("\r\n")  # bytes
_CONTROL = re.compile(f"[{CONTROLS}]")
_OPTIONAL_META = range(40, 70)  # only errors may go without words


class BadHeader(ValueError):
    """Not a response header. The message says why and repeats no control characters."""


@dataclass(frozen=True, slots=True)
class Header:
    """The line before the body. Nothing in it can harm a terminal or break a line."""

    status: int  # 10 to 69; one that the specification does not list counts by its first digit
    meta: str  # empty only for 4x, 5x and 6x

    def __str__(self) -> str:
        return f"{self.status} {self.meta}" if self.meta else str(self.status)


class ResponseReader:
    """Takes bytes as they arrive until they hold a header line, which is short.

    ``rest`` is what came behind it: the first bytes of the body.
    """

    def __init__(self) -> None:
        self._received = b""
        self.rest = b""

    def receive(self, data: bytes) -> Header | None:
        """Take the next bytes; ``b""`` means the server closed. None: incomplete.

        Raises:
            BadHeader: The line is too long, cut short, or not a header.
        """
        self._received += data
        line, crlf, rest = self._received[:MAX_HEADER].partition(b"\r\n")
        if crlf:
            self.rest = rest + self._received[MAX_HEADER:]
            self._received = line
            return parse_header(line)
        if data and len(self._received) < MAX_HEADER:
            return None
        if b"\n" in line:
            raise BadHeader("its header ends in LF without CR")
        if data:  # a server that never sends CRLF must not make us wait or buffer without end
            raise BadHeader(f"its header is longer than {MAX_HEADER} bytes")
        raise BadHeader("it closed within the header" if line else "it closed without a header")


def parse_header(line: bytes) -> Header:
    """Turn a line without its CRLF into a Header.

    Raises:
        BadHeader: It is not ``NN meta``, or has a control character in it.
    """
    if not line[:2].isdigit() or len(line) < 2:
        raise BadHeader("its header does not begin with a two-digit status")
    status = int(line[:2])
    if not 10 <= status < 70:  # section "Status codes": these a client must refuse
        raise BadHeader(f"its status {status:02} is not one of 10 to 69")
    try:
        text = line[2:].decode()
    except UnicodeDecodeError:
        raise BadHeader("its header is not UTF-8") from None
    if "\n" in text:
        raise BadHeader("its header ends in LF without CR")
    if bad := _CONTROL.search(text):
        raise BadHeader(f"its header holds U+{ord(bad[0]):04X}")
    if text and text[0] != " ":
        raise BadHeader(f"its header has no space behind the status {status}")
    meta = text[1:]
    if not meta and status not in _OPTIONAL_META:
        raise BadHeader(f"its header has nothing behind the status {status}")
    return Header(status, meta)
