"""text/gemini as a list of lines: parsed from text, written to text, built by route authors.

A page is trusted to the first characters of its lines, so somebody's text must never reach them.
Hence a line normalises itself when it is made: whatever can be constructed is written as one line
of its own type (a `Preformatted` as one block) and parsed back as an equal value. ``write`` needs
no escaping then, and cannot forget it.

Only LF and CRLF end a line. Not str.splitlines(): it also cuts at form feeds, U+0085 and U+2028.
A byte order mark is the decoder's business (``utf-8-sig``).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote

from . import uri as uris

_WS = " \t"  # the grammar's whitespace; no other character separates
_LINK = re.compile(r"=>[ \t]*([^ \t]+)(.*)", re.DOTALL)
_HEADING = re.compile(r"(#{1,3})(.*)", re.DOTALL)
_TOGGLE = "```"
_URI_CHARACTERS = ":/?#[]@!$&'()*+,;=%"  # beside the unreserved ones


@dataclass(frozen=True, slots=True)
class Text:
    """A line of text. One that would be read as another type gets a space in front."""

    text: str

    def __post_init__(self) -> None:
        text = _one_line(self.text)
        # " => x" is text: no whitespace is tolerated before a marker.
        _set(self, "text", f" {text}" if _is_marked(text) else text)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Link:
    """A link line. ``uri`` may be relative; what no URI may hold is percent-encoded.

    Raises:
        ValueError: The URI is empty.
    """

    uri: str
    label: str | None = None

    def __post_init__(self) -> None:
        uri = self.uri.strip(" \t\r\n")
        if not uri:
            raise ValueError("a link needs a URI")
        _set(self, "uri", _encode(uri))
        _set(self, "label", _stripped(self.label or "") or None)

    def __str__(self) -> str:
        return f"=> {self.uri} {self.label}" if self.label else f"=> {self.uri}"


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading of level 1, 2 or 3.

    Raises:
        ValueError: Another level.
    """

    level: int
    text: str

    def __post_init__(self) -> None:
        if self.level not in {1, 2, 3}:
            raise ValueError(f"a heading has level 1, 2 or 3, not {self.level}")
        _set(self, "text", _stripped(self.text))

    def __str__(self) -> str:
        return f"{'#' * self.level} {self.text}".rstrip(_WS)


@dataclass(frozen=True, slots=True)
class ListItem:
    """An item of a list; lists have one level."""

    text: str

    def __post_init__(self) -> None:
        _set(self, "text", _stripped(self.text))

    def __str__(self) -> str:
        return f"* {self.text}"  # the space belongs to the marker, even before nothing


@dataclass(frozen=True, slots=True)
class Quote:
    """A quoted line, maybe an empty one."""

    text: str

    def __post_init__(self) -> None:
        _set(self, "text", _stripped(self.text))

    def __str__(self) -> str:
        return f"> {self.text}".rstrip(_WS)


@dataclass(frozen=True, slots=True)
class Preformatted:
    r"""A preformatted block: its lines joined by ``\n``, and what stands for them in words.

    A line that would close the block gets a space in front. A block of one empty line and a block
    of none are the same value.
    """

    text: str
    alt: str = ""

    def __post_init__(self) -> None:
        text = _unify(self.text)
        if _TOGGLE in text:
            text = "\n".join(f" {line}" if line.startswith(_TOGGLE) else line for line in text.split("\n"))
        _set(self, "text", text)
        _set(self, "alt", _stripped(self.alt))

    def __str__(self) -> str:
        text = f"{self.text}\n" if self.text else ""
        return f"{_TOGGLE}{self.alt}\n{text}{_TOGGLE}"


Line = Text | Link | Heading | ListItem | Quote | Preformatted


def parse(text: str) -> list[Line]:
    """The lines of any text; nothing in it is an error. An unclosed block runs to the end."""
    lines: list[Line] = []
    block: list[str] | None = None  # the one bit of state: inside a preformatted block or not
    alt = ""
    for line in _split(text) if text else ():
        toggle = line.startswith(_TOGGLE)
        if block is None:
            if toggle:
                block, alt = [], line[len(_TOGGLE) :]
            else:
                lines.append(_parse_line(line))
        elif toggle:  # text after a closing one is ignored
            lines.append(Preformatted("\n".join(block), alt))
            block = None
        else:
            block.append(line)
    if block is not None:
        lines.append(Preformatted("\n".join(block), alt))
    return lines


def write(lines: Iterable[Line]) -> str:
    """The lines as text, each ended by LF. No lines are no text."""
    return "".join(f"{line}\n" for line in lines)


class Gemtext:
    """A page, built line by line; every method returns the page, so that calls can be chained.

    Whatever the texts hold, each ends up in lines of the type that was asked for::

        page = Gemtext().heading("Guestbook").link("/sign", "Sign it").quote(entry)
    """

    __slots__ = ("_lines",)

    def __init__(self, lines: Iterable[Line] = ()) -> None:
        """Begin with these.

        Raises:
            TypeError: Something else is among them: text would be written as it is, or letter by letter.
        """
        self._lines = list(lines)
        if not all(isinstance(line, Line) for line in self._lines):
            raise TypeError('Gemtext() is given lines, and no text: write Gemtext().text("...")')

    @property
    def lines(self) -> tuple[Line, ...]:
        """The lines so far."""
        return tuple(self._lines)

    def text(self, text: str = "") -> Self:
        """Add text, one line for each of its lines; without any, a blank line."""
        self._lines.extend(map(Text, _split(text)))
        return self

    def link(self, uri: str, label: str | None = None) -> Self:
        """Add a link. Characters that no URI may hold are percent-encoded.

        Raises:
            ValueError: The URI is empty.
        """
        self._lines.append(Link(uri, label))
        return self

    def heading(self, text: str, level: int = 1) -> Self:
        """Add a heading.

        Raises:
            ValueError: The level is not 1, 2 or 3.
        """
        self._lines.append(Heading(level, text))
        return self

    def item(self, text: str) -> Self:
        """Add an item of a list."""
        self._lines.append(ListItem(text))
        return self

    def quote(self, text: str) -> Self:
        """Add a quotation, one line for each of its lines."""
        self._lines.extend(map(Quote, _split(text)))
        return self

    def preformatted(self, text: str, alt: str = "") -> Self:
        """Add a block that is shown as it stands; ``alt`` says in words what it shows."""
        self._lines.append(Preformatted("\n".join(_split(text)), alt))
        return self

    def __str__(self) -> str:
        return write(self._lines)

    def __repr__(self) -> str:
        return f"Gemtext({self._lines!r})"

    def __eq__(self, other: object) -> bool:
        return self._lines == other._lines if isinstance(other, Gemtext) else NotImplemented


def _parse_line(line: str) -> Line:
    if match := _LINK.fullmatch(line):
        return Link(match[1], match[2])
    if match := _HEADING.fullmatch(line):
        return Heading(len(match[1]), match[2])
    if line.startswith("* "):
        return ListItem(line[2:])
    if line.startswith(">"):
        return Quote(line[1:])
    return Text(line)


def _is_marked(text: str) -> bool:
    """Whether a line of this text is of another type than `Text`."""
    return text.startswith(("#", "* ", ">", _TOGGLE)) or bool(_LINK.match(text))


def _unify(text: str) -> str:
    # A lone CR ends no line, but some clients take it for an end: it becomes a space.
    try:
        return text.replace("\r\n", "\n").replace("\r", " ") if "\r" in text else text
    except TypeError:  # mostly a number, or None
        raise TypeError(f"a line is made of text, not of {text!r}: write str() around it") from None


def _split(text: str) -> list[str]:
    """The lines of a text, at least one; an LF at its end ends the last and begins no other."""
    return _unify(text).removesuffix("\n").split("\n")


def _one_line(text: str) -> str:
    return _unify(text).replace("\n", " ")


def _stripped(text: str) -> str:
    return _one_line(text).strip(_WS)


def _encode(uri: str) -> str:
    if not uri.isascii():
        try:
            return str(uris.parse(uri))  # also gives an internationalized host its A-labels
        except uris.InvalidURI:
            pass
    return quote(uri, _URI_CHARACTERS, errors="surrogatepass")


def _set(line: Line, field: str, value: str | None) -> None:
    """Set a field of a frozen line while it is being made."""
    object.__setattr__(line, field, value)
