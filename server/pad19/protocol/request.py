"""A request line in, a `Request` out (network specification, section "Requests")."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Self, cast

from pad19.store.interface import Store

from . import uri as uris
from .client import Client
from .failure import BadRequest, NotFound
from .upload import Upload

MAX_URI = 1024  # bytes; CRLF comes on top (section "Requests")
DEFAULT_PORT = 1965
# Of a Titan request, a type whose parameters have a blank before them: Lagrange writes them so.
_TYPE = re.compile(rb"titan://[^? ]*;mime=[^;? ]*(?:; [^;? ]+)+(?=[;?]|\Z)", re.IGNORECASE)
_NO_SETTINGS: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Request:
    """What the client asked for, valid by construction.

    ``path`` has its dot segments resolved and is percent-decoded, so a ``%2F`` in it looks like a
    separator: whoever cuts it into segments uses `segments`, where it does not.

    The capsule adds ``settings`` and ``store`` where routes answer. They are no part of what was asked, and
    may hold secrets: neither is shown or compared.
    """

    uri: str  # as sent, but for the parameters of Titan
    scheme: str  # lower case
    host: str  # as normalize_host() has it
    port: int
    path: str
    raw_path: str  # still percent-encoded, dot segments and all
    query: str | None  # decoded; None: no "?" at all, so the client was not asked yet
    raw_query: str | None
    client: Client
    settings: Mapping[str, Any] = field(default_factory=lambda: _NO_SETTINGS, repr=False, compare=False)
    store: Store = field(default=cast("Store", None), repr=False, compare=False)  # the capsule's
    upload: Upload | None = None  # of a Titan request

    @property
    def segments(self) -> tuple[str, ...]:
        """``/a/b%2Fc/`` is ``("a", "b/c", "")``: decoded after cutting."""
        if "%" not in self.raw_path:
            return tuple(self.path[1:].split("/"))
        return tuple(map(uris.percent_decode, _resolve_dots(self.raw_path)[1:].split("/")))


@dataclass(frozen=True, slots=True)
class TitanRequest(Request):
    """A request that brings something, or asks for a text to edit: what functions get that take uploads."""

    upload: Upload = field(kw_only=True)

    @classmethod
    def of(cls, request: Request, upload: Upload) -> Self:
        """The same request with its upload, as other functions may get it."""
        known = {each.name: getattr(request, each.name) for each in fields(Request)}
        return cls(**{**known, "upload": upload})


class RequestReader:
    """Takes bytes as they arrive until they are one request line; keeps at most one line of them."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._line = b""
        self.rest = b""  # what came behind the line: of a Titan request, the first bytes of the body

    @property
    def received(self) -> bytes:
        """The line so far, without CRLF, for the log."""
        return self._line

    def receive(self, data: bytes) -> Request | None:
        """Take the next bytes; ``b""`` means the client closed. None: incomplete.

        Raises:
            BadRequest: The line is too long, cut short, or not a URI that may be requested.
            NotFound: The path can name nothing: above the root, or not UTF-8.
        """
        if not data:
            raise BadRequest("closed before CRLF")
        self._line += data
        line, crlf, self.rest = self._line.partition(b"\r\n")
        # A client that never sends CRLF must not make us buffer without end. Its CR may be here.
        if len(line) > MAX_URI + (not crlf):
            self._line = line[: MAX_URI + 1]
            raise BadRequest(f"the URI is longer than {MAX_URI} bytes")
        if not crlf:
            return None
        self._line = line
        return parse_request(line, self._client)


def parse_request(line: bytes, client: Client) -> Request:
    """Turn a line without its CRLF into a Request.

    Raises:
        BadRequest: It is not an absolute URI with a host, or holds userinfo or a fragment.
        NotFound: The path can name nothing: above the root, or not UTF-8.
    """
    # Neither an answer to a prompt nor a token is anybody's business later on, so they are not remembered.
    parts = _take_apart(line) if b"?" in line or b";" in line else _remembered(line)
    return Request(*parts, client, _NO_SETTINGS)  # a default that is made would cost more


_Parts = tuple[str, str, str, int, str, str, str | None, str | None]


def _take_apart(line: bytes) -> _Parts:
    """The fields of a `Request` before ``client``, in their order."""
    if b" " in line and (typed := _TYPE.match(line)):
        line = typed[0].replace(b"; ", b";%20") + line[typed.end() :]
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise BadRequest("the URI is not UTF-8") from None
    try:
        uri = uris.parse(text)
        query = uri.query and uris.percent_decode(uri.query)
    except uris.InvalidURI as error:
        raise BadRequest(str(error)) from None
    if uri.scheme is None:
        raise BadRequest("the scheme is missing")
    if uri.host is None:
        raise BadRequest("the host is missing")
    if uri.userinfo is not None:
        raise BadRequest("userinfo is not allowed in a request")
    if uri.fragment is not None:
        raise BadRequest("a fragment is not allowed in a request")
    raw_path = uri.path or "/"
    path = _decode_path(raw_path)
    return text, uri.scheme, uri.host, uri.port or DEFAULT_PORT, path, raw_path, query, uri.query


# Popular pages are asked for in the same words. At most 256 times some 5 KB.
_remembered = lru_cache(maxsize=256)(_take_apart)


def _decode_path(raw_path: str) -> str:
    if "%" in raw_path or "/." in raw_path:
        try:
            path = uris.percent_decode(_resolve_dots(raw_path))
        except uris.InvalidURI:
            # Well-formed, but no name: the server's names are UTF-8.
            raise NotFound from None
        if "\0" in path:
            raise BadRequest("NUL is not allowed in a path")
        return path
    return raw_path


def _resolve_dots(raw_path: str) -> str:
    # A dot may come encoded: "%2e%2e" is ".." (RFC 3986, section 6.2.2.2).
    raw_path = raw_path.replace("%2e", ".").replace("%2E", ".")
    if "/." not in raw_path:
        return raw_path
    depth = 0
    for segment in raw_path.split("/")[1:]:
        depth += {"..": -1, ".": 0}.get(segment, 1)
        if depth < 0:
            raise NotFound  # nothing is above the root, so nothing is found there
    return uris.remove_dot_segments(raw_path)
