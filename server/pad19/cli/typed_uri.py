"""From what somebody typed to a URI that can be requested."""

import re
from dataclasses import replace
from urllib.parse import quote

from pad19.protocol.request import MAX_URI
from pad19.protocol.uri import URI, InvalidURI, parse

FETCHED = "only gemini URLs can be fetched"
# "localhost:1970/x" has no scheme, although it looks as if it had.
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:(?=//|[^0-9/?#])")
# "gemini//a.test" and "gemini:/a.test" would be a host of that name, which hardly anybody means.
_HALF_A_SCHEME = re.compile(r"gemini(?://|:/(?!/)|:(?![/0-9]))", re.IGNORECASE)
_AUTHORITY = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*://[^/?#]*)(.*)", re.DOTALL)
_BAD_PORT = re.compile(r"[/\]][^:\[@/]*:[^:\[@/]*[^:\[@/0-9][^:\[@/]*\Z")
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_KEEP = "!$&'()*+,;=:@/?%"  # what a URI may hold behind its authority, besides letters and digits


def complete(text: str, use: str = FETCHED) -> URI:
    """Make a URI that can be requested of what somebody typed. ``use``: see `requestable`.

    A missing scheme is gemini; the path may hold anything, and is encoded; the fragment is left out.

    Raises:
        InvalidURI: It cannot be requested: its host or scheme, or its length.
    """
    text = text.strip()
    if _HALF_A_SCHEME.match(text):
        raise InvalidURI("write gemini:// in front of the host, or nothing")
    if not _SCHEME.match(text):
        text = f"gemini://{text.removeprefix('//')}"
    if match := _AUTHORITY.match(text.partition("#")[0]):
        authority, rest = match.groups()
        if _BAD_PORT.search(authority):
            raise InvalidURI("the port, behind the colon, is not a number")
        # Bytes of the command line that are not UTF-8 arrive as surrogates.
        text = authority + quote(_STRAY_PERCENT.sub("%25", rest), _KEEP, errors="surrogateescape")
    return requestable(parse(text), use)


def requestable(uri: URI, use: str = FETCHED) -> URI:
    """Complete an absolute URI, and check that it can be requested here.

    ``use``: which schemes can be, and for what; the message about others goes on from there.

    Raises:
        InvalidURI: It cannot.
    """
    if uri.scheme != "gemini":
        hint = "" if uri.host else f"; if {uri.scheme} is a host, a port belongs behind its colon"
        raise InvalidURI(f"{use}, not {uri.scheme}{hint}")
    if uri.host is None:
        raise InvalidURI("the host is missing")
    if uri.userinfo is not None:
        raise InvalidURI("there is no user in a Gemini URL: leave out what is in front of the @")
    uri = replace(uri, path=uri.path or "/", fragment=None)
    if len(str(uri)) > MAX_URI:
        raise InvalidURI(f"the URL is longer than {MAX_URI} bytes")
    return uri
