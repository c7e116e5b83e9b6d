"""Which URI another server is asked for in place of the visitor's, and back again for its redirects.

What lies below the prefix is passed on as it is spelled, percent-encoding and query included. Only dot
segments are resolved, here and not there: otherwise ``/astro/../members/`` would be a way out.
"""

import re
from dataclasses import replace
from urllib.parse import unquote_to_bytes

from pad19.protocol.failure import BadRequest, NotFound
from pad19.protocol.request import DEFAULT_PORT, MAX_URI, Request
from pad19.protocol.response import MAX_META, Redirect
from pad19.protocol.uri import (
    URI,
    InvalidURI,
    parse,
    percent_decode,
    percent_encode,
    remove_dot_segments,
    resolve,
)

_DOTS = {"%2e": ".", ".%2e": "..", "%2e.": "..", "%2e%2e": ".."}  # RFC 3986, section 6.2.2.2
_SEPARATOR = re.compile(rb"[/\\]")


def parse_upstream(text: str) -> URI:
    """Read the ``to`` of a proxy: ``gemini://127.0.0.1:1966/`` or a folder there. An absent path is ``/``.

    Raises:
        ValueError: It is something else. The message completes "must ...".
    """
    try:
        uri = parse(text)
        percent_decode(uri.path)
    except InvalidURI as error:
        raise ValueError(f"be a URI, and {error}") from None
    if uri.scheme != "gemini" or uri.host is None:
        raise ValueError("begin with gemini:// and a host")
    if uri.userinfo is not None or uri.query is not None or uri.fragment is not None:
        raise ValueError("have no userinfo, query or fragment")
    path = uri.path or "/"
    if not path.endswith("/"):
        raise ValueError("end with a slash")
    if _without_dots(path) != path:
        raise ValueError("have no dot segments")
    return replace(uri, path=path)


class ProxyPaths:
    """The paths below ``prefix`` (decoded, as ``/astro/``) and those below a `parse_upstream` URI.

    ``keep_host``: ask for the visitor's host and port, not for those of ``to``.
    """

    def __init__(self, prefix: str, to: URI, *, keep_host: bool = False) -> None:
        """Raise ValueError if the prefix does not begin and end with a slash."""
        if not prefix.startswith("/") or not prefix.endswith("/"):
            raise ValueError(f"{prefix!r} must begin and end with a slash")
        self._here = _Folder("/".join(map(percent_encode, prefix.split("/"))))
        self._there = _Folder(to.path)
        self._to = to
        self._keep_host = keep_host

    def forward(self, request: Request) -> URI | Redirect:
        """What to ask for. A redirect: the visitor left out the prefix's last slash.

        Raises:
            NotFound: The path is not below the prefix, or could be read as one that leaves it.
            BadRequest: The URI is too long once it is rewritten.
        """
        rest = self._here.below(request.raw_path)
        if rest is None and self._here.below(f"{request.raw_path}/") == "":
            # Relative links would lead astray without the slash.
            target = str(URI(None, None, None, None, self._here.path, request.raw_query, None))
            _check_length(target, MAX_META)
            return Redirect(target, permanent=True)
        if rest is None or _climbs(rest):
            raise NotFound
        uri = replace(self._to, path=self._there.path + rest, query=request.raw_query)
        if self._keep_host:
            port = None if request.port == DEFAULT_PORT else request.port
            uri = replace(uri, host=request.host, port=port)
        _check_length(str(uri), MAX_URI)
        return uri

    def back(self, asked: URI, target: str) -> str:
        """Where a redirect leads the visitor. Below ``to``: below the prefix. Elsewhere: there.

        ``asked``: what `forward` gave.

        Raises:
            InvalidURI: The target is no URI reference.
        """
        uri = resolve(asked, parse(target))
        if _authority(uri) != _authority(asked):
            return target
        rest = self._there.below(uri.path or "/")
        if rest is None:
            return str(uri)
        return str(URI(None, None, None, None, self._here.path + rest, uri.query, uri.fragment))


class _Folder:
    """A percent-encoded path that begins and ends with a slash."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._names = _names(path.split("/")[1:-1])

    def below(self, path: str) -> str | None:
        """What follows the folder in a path: ``""`` if it is the folder itself. None: it lies elsewhere."""
        segments = _without_dots(path).split("/")[1:]
        count = len(self._names)
        if len(segments) <= count or _names(segments[:count]) != self._names:
            return None
        return "/".join(segments[count:])


def _names(segments: list[str]) -> list[bytes]:
    """Decoded, so that one name in two spellings is one name."""
    return list(map(unquote_to_bytes, segments))


def _without_dots(path: str) -> str:
    if "/." not in path and "/%2" not in path:
        return path
    return remove_dot_segments("/".join(_DOTS.get(segment.lower(), segment) for segment in path.split("/")))


def _climbs(rest: str) -> bool:
    """Whether a server that decodes a path before it cuts it finds ``..`` there, as in ``..%2F``."""
    return "%" in rest and b".." in _SEPARATOR.split(unquote_to_bytes(rest))


def _authority(uri: URI) -> tuple[str | None, str | None, str | None, int]:
    return uri.scheme, uri.userinfo, uri.host, uri.port or DEFAULT_PORT


def _check_length(uri: str, most: int) -> None:
    if len(uri) > most:
        raise BadRequest("the URI is too long once it is passed on")
