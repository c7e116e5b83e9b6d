"""URIs by the grammar of RFC 3986, appendix A, and IRIs (RFC 3987) mapped onto them.

Not urlsplit(): it drops tabs and newlines instead of refusing them, and cannot tell ``x?`` from
``x``. Parsing here either gives the parts exactly as they stand, or raises `InvalidURI`.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address
from urllib.parse import quote, unquote_to_bytes

import idna

_UNRESERVED = r"A-Za-z0-9\-._~"
_SUB_DELIMS = r"!$&'()*+,;="
_PCHAR = rf"{_UNRESERVED}{_SUB_DELIMS}:@%"  # percent signs are checked apart: one pass is faster

_REFERENCE = re.compile(
    rf"(?:([A-Za-z][A-Za-z0-9+.\-]*):)?"
    rf"(?://(?:([{_UNRESERVED}{_SUB_DELIMS}:%]*)@)?"
    rf"(\[[{_UNRESERVED}{_SUB_DELIMS}:%]*\]|[{_UNRESERVED}{_SUB_DELIMS}%]*)"
    rf"(?::([0-9]*))?(?=[/?#]|\Z))?"
    rf"([{_PCHAR}/]*)"
    rf"(?:\?([{_PCHAR}/?]*))?"
    rf"(?:\#([{_PCHAR}/?]*))?"
)
_BROKEN_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_FORBIDDEN = re.compile(rf"[^{_PCHAR}/?#\[\]]")
# Not RFC 3987's "ucschar": C1 controls, surrogates, private use, noncharacters and specials.
_NOT_UCSCHAR = re.compile(r"[\x80-\x9f\ud800-\uf8ff\ufdd0-\ufdef\ufff0-\uffff]")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")
_PLAIN_HOST = re.compile(r"[a-z0-9_\-]{1,63}(?:\.[a-z0-9_\-]{1,63})*\.?")
_IPVFUTURE = re.compile(rf"v[0-9a-f]+\.[{_UNRESERVED}{_SUB_DELIMS}:]+", re.IGNORECASE)

MAX_HOST = 253  # bytes of a name in DNS text form (RFC 1035)
MAX_LABEL = 63  # bytes between two of its dots
MAX_PORT = 65535


class InvalidURI(ValueError):
    """Not a URI. The message says what is wrong with it and repeats no control characters."""


@dataclass(frozen=True, slots=True)
class URI:
    """The parts of a URI or relative reference; None means absent, which differs from empty."""

    scheme: str | None  # lower case
    userinfo: str | None
    host: str | None  # lower case, IDN as A-labels, an IPv6 address in brackets and compressed
    port: int | None  # None also for an empty port
    path: str  # percent-encoded as sent
    query: str | None
    fragment: str | None

    def __str__(self) -> str:
        text = f"{self.scheme}:" if self.scheme is not None else ""
        if self.host is not None:
            text += f"//{self.userinfo}@" if self.userinfo is not None else "//"
            text += self.host if self.port is None else f"{self.host}:{self.port}"
        elif self.path.startswith("//"):
            text += "/."  # resolve() can leave such a path, which must not turn into a host
        text += self.path
        if self.query is not None:
            text += f"?{self.query}"
        if self.fragment is not None:
            text += f"#{self.fragment}"
        return text


def parse(text: str) -> URI:
    """Take a URI or relative reference apart; raw non-ASCII characters are percent-encoded first.

    Raises:
        InvalidURI: It breaks the grammar, the host is no name or address, the port no port.
    """
    if not text.isascii():
        text = _from_iri(text)
    match = _REFERENCE.fullmatch(text)
    if match is None:
        raise InvalidURI(_explain(text))
    scheme, userinfo, host, port, path, query, fragment = match.groups()
    if "%" in text and (broken := _BROKEN_PERCENT.search(text)):
        raise InvalidURI(f"{text[broken.start() : broken.start() + 3]!r} is no percent-encoding")
    if host is None:
        if path.startswith("//"):
            raise InvalidURI("the authority is malformed")
        if scheme is None and ":" in path.partition("/")[0]:
            raise InvalidURI("the scheme is malformed")
    else:
        host = normalize_host(host)
    number = None
    if port:
        # Bounded before int(), which refuses thousands of digits with an error of its own.
        digits = port.lstrip("0")
        number = int(digits) if 0 < len(digits) <= 5 else 0
        if not 0 < number <= MAX_PORT:
            raise InvalidURI("the port is out of range")
    return URI(scheme.lower() if scheme else None, userinfo, host, number, path, query, fragment)


def _from_iri(text: str) -> str:
    """Percent-encode what an IRI may hold raw (RFC 3987, section 3.1)."""
    if bad := _NOT_UCSCHAR.search(text):
        raise InvalidURI(f"U+{ord(bad[0]):04X} is not allowed in a URI")
    return _NOT_ASCII.sub(lambda run: quote(run[0]), text)


def _explain(text: str) -> str:
    """Say why the grammar did not match, without repeating anything unprintable."""
    if bad := _FORBIDDEN.search(text):
        char = bad[0]
        return (
            f"{char!r} is not allowed in a URI"
            if char.isprintable()
            else f"U+{ord(char):04X} is not allowed in a URI"
        )
    return "not a URI"


@lru_cache(maxsize=512)
def normalize_host(host: str) -> str:
    """The form in which hosts are compared: lower case, A-labels, IPv6 compressed in brackets.

    Takes names, percent-encoded names, U-labels and addresses. A trailing dot stays, and so do
    A-labels, whatever they decode to: names are only compared here.

    Raises:
        InvalidURI: It is empty, no name, or no IPv6 address.
    """
    if host.startswith("["):
        return _ip_literal(host)
    name = host.lower()
    if "%" in name:
        name = percent_decode(name).lower()
    if not name.isascii():
        name = _to_ascii(name)
    if not name:
        raise InvalidURI("the host is missing")
    if not _PLAIN_HOST.fullmatch(name) or len(name.removesuffix(".")) > MAX_HOST:
        raise InvalidURI("the host is not a host name")
    return name


def _to_ascii(name: str) -> str:
    """Map a name as browsers do (UTS #46, non-transitional) and turn U-labels into A-labels.

    Not idna.encode(): IDNA 2008 refuses the emoji hosts that people have registered.
    """
    try:
        labels = idna.uts46_remap(name, std3_rules=False).split(".")
    except idna.IDNAError as error:
        raise InvalidURI("the host is no internationalized domain name") from error
    # Before encoding, which takes quadratic time and only ever makes a label longer.
    if max(map(len, labels)) > MAX_LABEL:
        raise InvalidURI("the host is not a host name")
    return ".".join(
        label if label.isascii() else f"xn--{label.encode('punycode').decode('ascii')}" for label in labels
    )


def _ip_literal(host: str) -> str:
    inner = host[1:-1]
    # A zone ("%25eth0") names an interface of the client's machine: nothing to us (RFC 6874).
    if not host.endswith("]") or "%" in inner:
        raise InvalidURI("the host is not an IPv6 address without a zone")
    if _IPVFUTURE.fullmatch(inner):
        return host.lower()
    try:
        return f"[{IPv6Address(inner)}]"
    except AddressValueError as error:
        raise InvalidURI("the host is not an IPv6 address") from error


def display_host(host: str) -> str:
    """A host as people write it: A-labels as Unicode where they are valid, else unchanged."""
    if "xn--" not in host:
        return host
    if host.startswith("*."):
        return f"*.{display_host(host[2:])}"
    try:
        return idna.decode(host)
    except (idna.IDNAError, UnicodeError):
        return host


def wildcard_of(host: str) -> str:
    """The wildcard that a host falls under: ``www.example.org`` is one label more than ``*.example.org``."""
    return f"*.{host.partition('.')[2]}"


def percent_decode(text: str) -> str:
    """Decode once, strictly: the octets must be UTF-8.

    Raises:
        InvalidURI: A percent sign without two hex digits, or octets that are not UTF-8.
    """
    if "%" not in text:
        return text
    if _BROKEN_PERCENT.search(text):
        raise InvalidURI("a percent sign without two hex digits")
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeError as error:
        raise InvalidURI("percent-encoded octets that are not UTF-8") from error


def percent_encode(text: str, safe: str = f"{_SUB_DELIMS}:@") -> str:
    """Encode all but unreserved characters and ``safe``; by default as one segment of a path.

    Raises:
        UnicodeEncodeError: A lone surrogate, which is how os.fsdecode() spells a byte that is not UTF-8.
    """
    return quote(text, safe)


def remove_dot_segments(path: str) -> str:
    """RFC 3986, section 5.2.4: ``..`` above the root stays at the root, and ``a/..`` is the root."""
    kept: list[str] = []
    segments = path.split("/")
    for segment in segments:
        if segment == "..":
            if len(kept) > 1:
                kept.pop()
            elif kept:
                kept = [""]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in {".", ".."}:
        kept.append("")
    return "/".join(kept)


def resolve(base: URI, reference: URI) -> URI:
    """Resolve a relative reference (RFC 3986, section 5.2.2). Unlike urljoin, for any scheme."""
    inherits = reference.scheme is None and reference.host is None
    authority = base if inherits else reference
    path, query = reference.path, reference.query
    if inherits and not path:
        path = base.path
        query = base.query if query is None else query
    else:
        if inherits and not path.startswith("/"):
            folder, slash, _ = base.path.rpartition("/")
            path = f"{folder}{slash if base.host is None else '/'}{path}"
        path = remove_dot_segments(path)
    scheme = base.scheme if reference.scheme is None else reference.scheme
    return URI(scheme, authority.userinfo, authority.host, authority.port, path, query, reference.fragment)
