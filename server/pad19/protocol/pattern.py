"""Paths with holes, ``/entry/{number:int}``, and texts that are filled with what was in the holes.

A hole is a whole segment of a path. ``{name}`` takes any segment that is not empty, ``{name:int}``
one of up to 18 digits, and ``{name:path}``, at the end only, all the rest with its slashes, which
may be nothing. Further kinds are functions: ``{day:date}`` takes the segments that its `Convert`
takes. Of several patterns that match, the most specific wins: segment by segment, what is written
out goes before a further kind, before int, before any segment, before the rest. So the order in
which patterns are added means nothing, and two that match the same paths cannot both be there.

Everything here works on decoded segments (`Request.segments`): an encoded slash is part of a
segment. The rest cannot hold one, since nobody could tell it from a separator then.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Generic, Literal, Self, TypeVar

from .uri import InvalidURI, parse, percent_decode, percent_encode

Kind = Literal["int", "str", "path", "further"]
Value = object  # an int for the kind int, a str for str and path, whatever a `Convert` makes
Convert = Callable[[str], Value]  # of a segment that is not empty; ValueError: it is none of this kind
T = TypeVar("T")

KINDS: Mapping[str, Kind] = MappingProxyType({"int": "int", "str": "str", "path": "path"})  # by name
_NONE: Mapping[str, Convert] = MappingProxyType({})

MAX_PATTERN = 1024  # characters; no path is longer
MAX_SEGMENTS = 64  # of a pattern: searching goes one call deeper for each
MAX_DIGITS = 18  # of an int: such a number fits into 64 bits, as databases have them

_CAPTURE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(?::([A-Za-z_][A-Za-z0-9_]*))?\}")
_HOLE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_PARTS_OF_URI = re.compile(r"(gemini://[^/?#{}]*)?(/[^?#]*)?(?:\?([^#]*))?", re.IGNORECASE)
_KEEP = "/%!$&'()*+,;=:@"  # what a path may hold besides letters and digits; a query also has "?"


@dataclass(frozen=True, slots=True)
class Capture:
    """A hole in a pattern."""

    name: str
    kind: Kind
    convert: Convert | None = None  # of a further kind


@dataclass(frozen=True, slots=True)
class Pattern:
    """The segments of a path, decoded, some of them holes."""

    text: str
    parts: tuple[str | Capture, ...]

    @classmethod
    def parse(cls, text: str, further: Mapping[str, Convert] = _NONE) -> Self:
        """Read ``/old/{rest:path}``. What is written out may be percent-encoded or not.

        ``further``: more kinds of captures, by name.

        Raises:
            ValueError: It is none; the message continues "it ...".
        """
        if not text.startswith("/"):
            raise ValueError("must begin with a slash")
        if len(text) > MAX_PATTERN:
            raise ValueError(f"must have at most {MAX_PATTERN} characters")
        if not text.isprintable():
            raise ValueError("must have no control characters")
        if "?" in text or "#" in text:
            raise ValueError("must be a path alone, without ? and #")
        if "*" in text:  # it would mean itself, and no author means that
            raise ValueError("must have {rest:path} at its end in place of *, or %2A for the character")
        parts = tuple(_parse_part(part, further) for part in text[1:].split("/"))
        if len(parts) > MAX_SEGMENTS:
            raise ValueError(f"must have at most {MAX_SEGMENTS} segments")
        if any(isinstance(part, Capture) and part.kind == "path" for part in parts[:-1]):
            raise ValueError("must have a capture of the kind path at its end only")
        names = [part.name for part in parts if isinstance(part, Capture)]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"must have {{{twice}}} only once")
        return cls(text, parts)

    @property
    def kinds(self) -> dict[str, Kind]:
        """The names of its captures, in order, and what they take."""
        return {part.name: part.kind for part in self.parts if isinstance(part, Capture)}


@dataclass(frozen=True, slots=True)
class Template:
    """A path or a ``gemini://`` URI with ``{name}`` where captured text goes.

    Captures are encoded again, and none can be in the authority: whatever a client sends, it cannot
    choose the host, nor leave the line.
    """

    text: str
    authority: str  # "gemini://example.org:1966", or ""
    path: tuple[str, ...]  # text and names in turn, text first; percent-encoded
    query: tuple[str, ...] | None  # likewise

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``/new/{rest}``, ``/search?{term}`` or ``gemini://example.org/{rest}``.

        Raises:
            ValueError: It is none; the message continues "it ...".
        """
        if len(text) > MAX_PATTERN:
            raise ValueError(f"must have at most {MAX_PATTERN} characters")
        if not text.isprintable():
            raise ValueError("must have no control characters")
        match = _PARTS_OF_URI.fullmatch(text)
        if match is None or text.startswith(("//", "?")) or not text:
            raise ValueError(
                "must be a path that begins with a slash, or a gemini:// URI, without a fragment"
            )
        authority, path, query = match.groups()
        template = cls(
            text,
            _authority(authority) if authority else "",
            _split(path or "/", _KEEP),
            None if query is None else _split(query, f"{_KEEP}?"),
        )
        if {".", ".."} & {*(path or "").split("/")}:
            raise ValueError("must have no segment . or ..")
        try:
            parse(template.fill(dict.fromkeys(template.names, "x"), dict.fromkeys(template.names, "str")))
        except InvalidURI as error:
            raise ValueError(f"must be a URI or a path, but {error}") from None
        return template

    @property
    def names(self) -> frozenset[str]:
        """The captures that it needs."""
        return frozenset(self.path[1::2] + (self.query or ())[1::2])

    def fill(self, captures: Mapping[str, Value], kinds: Mapping[str, Kind]) -> str:
        """The URI or path; ``kinds`` are the pattern's. It begins with one slash if it is a path."""

        def encode(name: str) -> str:
            value = str(captures[name])
            if kinds[name] == "path":
                return "/".join(map(percent_encode, value.split("/")))
            return percent_encode(value)

        path = "".join(encode(part) if odd % 2 else part for odd, part in enumerate(self.path))
        # "//host" would be another server, and a rest may begin with a slash.
        filled = f"{self.authority}/{path.lstrip('/')}"
        if self.query is None:
            return filled
        query = "".join(
            percent_encode(str(captures[part]), "") if odd % 2 else part
            for odd, part in enumerate(self.query)
        )
        return f"{filled}?{query}"


class PatternTable(Generic[T]):
    """Patterns and what each leads to."""

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()

    def add(self, pattern: Pattern, value: T) -> None:
        """Add a pattern.

        Raises:
            ValueError: There is one already that matches the same paths, or has another further kind
                in the same place, and nobody can tell which goes first; its text is the message.
        """
        node = self._root
        for part in pattern.parts:
            if not isinstance(part, Capture):
                node = node.literals.setdefault(part, _Node())
            elif part.convert is None:
                node = node.captures.setdefault(part.kind, _Node())
            else:
                node.further = node.further or (part.convert, _Node(), pattern.text)
                convert, node, text = node.further
                if convert != part.convert:
                    raise ValueError(text)
        if node.leaf is not None:
            raise ValueError(node.leaf[0].text)
        node.leaf = (pattern, value)

    def find(self, segments: Sequence[str]) -> tuple[T, dict[str, Value]] | None:
        """What the most specific pattern leads to, and its captures. Looks at each pattern once at most.

        Raises:
            Exception: A `Convert` raised it, and it is no ValueError.
        """
        # The last segment with an encoded slash; no rest may begin before it.
        slashed = max((at for at, segment in enumerate(segments) if "/" in segment), default=-1)
        values: list[Value] = []
        leaf = _find(self._root, segments, 0, slashed, values)
        if leaf is None:
            return None
        pattern, value = leaf
        return value, dict(zip(pattern.kinds, values, strict=True))


@dataclass(slots=True)
class _Node(Generic[T]):
    """What is known of the patterns that begin alike."""

    literals: "dict[str, _Node[T]]" = field(default_factory=dict)
    captures: "dict[str, _Node[T]]" = field(default_factory=dict)  # by kind
    further: "tuple[Convert, _Node[T], str] | None" = None  # and the pattern that brought it
    leaf: tuple[Pattern, T] | None = None  # the pattern that ends here


def _find(
    node: _Node[T], segments: Sequence[str], at: int, slashed: int, values: list[Value]
) -> tuple[Pattern, T] | None:
    if at == len(segments):
        return node.leaf
    segment = segments[at]
    # A node is reached in one way only, by way of its parents: none is looked at twice.
    inner = node.literals.get(segment)
    if inner is not None and (leaf := _find(inner, segments, at + 1, slashed, values)):
        return leaf
    if node.further is not None and segment:
        convert, inner, _ = node.further
        try:
            values.append(convert(segment))
        except ValueError:
            pass
        else:
            if leaf := _find(inner, segments, at + 1, slashed, values):
                return leaf
            values.pop()
    if not node.captures:
        return None
    is_number = segment.isascii() and segment.isdigit() and len(segment) <= MAX_DIGITS
    for kind, fits in (("int", is_number), ("str", bool(segment))):
        inner = node.captures.get(kind) if fits else None
        if inner is not None:
            values.append(int(segment) if kind == "int" else segment)
            if leaf := _find(inner, segments, at + 1, slashed, values):
                return leaf
            values.pop()
    inner = node.captures.get("path") if at > slashed else None
    if inner is None:
        return None
    values.append("/".join(segments[at:]))
    return inner.leaf


def _parse_part(text: str, further: Mapping[str, Convert]) -> str | Capture:
    if match := _CAPTURE.fullmatch(text):
        name, kind = match[1], match[2] or "str"
        if kind in KINDS:
            return Capture(name, KINDS[kind])
        if kind in further:
            return Capture(name, "further", further[kind])
    if "{" in text or "}" in text:
        forms = [f"{{name:{kind}}}" for kind in ("int", *further, "path")]
        raise ValueError(f"must have {', '.join(['{name}', *forms[:-1]])} or {forms[-1]} as whole segments")
    try:
        segment = percent_decode(text)
    except InvalidURI as error:
        raise ValueError(f"must be a path, but it has {error}") from None
    if segment in {".", ".."}:
        raise ValueError("must have no segment . or ..")
    return segment


def _authority(text: str) -> str:
    try:
        uri = parse(text)
    except InvalidURI as error:
        raise ValueError(f"must be a URI or a path, but {error}") from None
    if uri.userinfo is not None:
        raise ValueError("must have no userinfo")
    return str(uri)


def _split(text: str, keep: str) -> tuple[str, ...]:
    parts = _HOLE.split(text)
    if any("{" in part or "}" in part for part in parts[::2]):
        raise ValueError("must have captures in the form {name}, without a kind")
    return tuple(part if odd % 2 else percent_encode(part, keep) for odd, part in enumerate(parts))
