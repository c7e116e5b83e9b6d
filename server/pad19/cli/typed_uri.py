"""From what somebody typed to a URI that can be requested."""

import re
from dataclasses import replace
from urllib.parse import quote

from pad19.protocol.request import MAX_URI
from pad19.protocol.uri import URI, InvalidURI, parse

# "localhost:1970/x" has no scheme, although it looks as if it had.
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:(?=//|[^0-9/?#])")
_AUTHORITY = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*://[^/?#]*)(.*)", re.DOTALL)
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_KEEP = "!$&'()*+,;=:@/?%"  # what a URI may hold behind its authority, besides letters and digits


def complete(text: str) -> URI:
    """Make a URI that can be requested of what somebody typed.

    A missing scheme is gemini; the path may hold anything, and is encoded; the fragment is left out.

    Raises:
        InvalidURI: It cannot be requested: its host or scheme, or its length.
    """
    text = text.strip()
    if not _SCHEME.match(text):
        text = f"gemini://{text.removeprefix('//')}"
    if match := _AUTHORITY.match(text.partition("#")[0]):
        authority, rest = match.groups()
        # Bytes of the command line that are not UTF-8 arrive as surrogates.
        text = authority + quote(_STRAY_PERCENT.sub("%25", rest), _KEEP, errors="surrogateescape")
    return requestable(parse(text))


def requestable(uri: URI) -> URI:
    """Complete an absolute URI, and check that it can be requested here.

    Raises:
        InvalidURI: It cannot.
    """
    if uri.scheme != "gemini":
        raise InvalidURI(f"only gemini URLs can be fetched, not {uri.scheme}")
    if uri.host is None:
        raise InvalidURI("the host is missing")
    if uri.userinfo is not None:
        raise InvalidURI("userinfo is not allowed in a request")
    uri = replace(uri, path=uri.path or "/", fragment=None)
    if len(str(uri)) > MAX_URI:
        raise InvalidURI(f"the URL is longer than {MAX_URI} bytes")
    return uri
