"""``.meta`` files: what a capsule's author says about single files, in the forms of agate and GmCapsule.

Lines ``pattern: directive``; the first one that matches counts. Blank lines, ``#`` comments and
``[section]`` lines are skipped, and so is what stands behind a ``#`` between spaces. A directive is one of

- parameters, which join the type that the name has: ``;lang=nl``. None at all (an empty directive)
  drops even those of the capsule;
- a full type: ``text/html``, or ``20 text/html``;
- a header that is sent instead of the file: ``52 This file is no longer available.``

A pattern is matched against the whole path from this folder on, so a name is the file in this folder.
``?`` stops at a slash. So does ``*`` in a pattern with a slash (``/*.txt`` too), and ``**`` does not;
``**/`` also stands for no folder at all. Without a slash, ``*`` is ``**``: ``*.txt`` is for this folder
and below. A slash at the end matches requests for folders and only those: ``old/``, and ``/`` is this
folder itself. Other patterns match files. ``[a-z]`` and ``[!a-z]`` are one character. Case counts.

Where the two servers agree, so does this. Where they do not, a pattern with a slash is read as agate
reads it, and one without as GmCapsule does (whose every ``*`` crosses slashes, as in ``fnmatch``). The
first line wins as in GmCapsule; in agate it is the last. In GmCapsule there are no comments, and in
agate they need no spaces, but texts have ``#gemini`` and URIs have fragments.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pad19.protocol.characters import CONTROLS, SEPARATORS, SURROGATES
from pad19.protocol.response import header
from pad19.protocol.status import Status

from . import mimetype as mimetypes

MAX_TEXT = 64 * 1024  # bytes of a file; far beyond what people write by hand
MAX_RULES = 1000  # each is asked for each path that is not in memory
MAX_PATTERN = 1024  # characters; no path is longer

_SECTION = re.compile(r"\[[^\]]*\]")
_HEADER = re.compile(r"([0-9]{1,9})(?:[ \t]+(.*))?")
_CONTROL = re.compile(rf"(?!\t)[{CONTROLS}{SEPARATORS}{SURROGATES}]")
_COMMENT = re.compile(r"(?<![^ \t])#(?:[ \t].*)?$")
_WILDCARD = re.compile(r"[*?\[]")
_SET = re.compile(r"\[!?+(?:\](?=\])|\]?[^\]]++)\]")


@dataclass(frozen=True, slots=True)
class Parameters:
    """``; lang=nl``: replace or join those of the guessed type. Empty: it has none at all."""

    text: str


@dataclass(frozen=True, slots=True)
class Mimetype:
    """A full type instead of the guessed one."""

    text: str


@dataclass(frozen=True, slots=True)
class Header:
    """An answer instead of the file: never a 2x, and always one that can be sent."""

    status: Status
    text: str


Directive = Parameters | Mimetype | Header


class Sidecar:
    """The rules of one file."""

    __slots__ = ("_files", "_folders")

    def __init__(self, rules: Iterable[tuple[str, Directive]]) -> None:
        self._files: list[_Rule] = []
        self._folders: list[_Rule] = []
        for pattern, directive in rules:
            body = pattern.removesuffix("/")
            kind = self._files if body == pattern else self._folders
            kind.append((_compile(body.removeprefix("/"), is_deep="/" not in body), directive))

    def find(self, path: str) -> Directive | None:
        """What applies to a path below the file's folder: ``a.txt``, ``sub/a.txt``, or ``sub/`` for a folder.

        The folder itself is ``""``.
        """
        whole = path.removesuffix("/")
        rules = self._folders if path[-1:] in {"", "/"} else self._files
        for matches, directive in rules:
            if matches(whole):
                return directive
        return None


_Matcher = Callable[[str], object]  # true or false
_Rule = tuple[_Matcher, Directive]


def parse(text: str) -> tuple[Sidecar, list[str]]:
    """The rules, and a sentence with a line number about each line that is none and is ignored."""
    rules: list[tuple[str, Directive]] = []
    problems: list[str] = []
    text, cut = _cut(text.removeprefix("\ufeff"))
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip(" \t\r")
        if not line or line.startswith("#") or _SECTION.fullmatch(line):
            continue
        if len(rules) + len(problems) == MAX_RULES:
            problems.append(f"line {number}: there are more than {MAX_RULES} rules; the rest is ignored")
            return Sidecar(rules), problems
        try:
            rules.append(_parse_line(line))
        except ValueError as error:
            problems.append(f"line {number}: {error}")
    if cut:
        problems.append(f"line {number}: there is more than {MAX_TEXT} bytes of text; the rest is ignored")
    return Sidecar(rules), problems


def _cut(text: str) -> tuple[str, bool]:
    """At most `MAX_TEXT` bytes of it in whole lines, and whether something is missing."""
    encoded = text.encode("utf-8", "surrogatepass")
    if len(encoded) <= MAX_TEXT:
        return text, False
    return encoded[:MAX_TEXT].rpartition(b"\n")[0].decode("utf-8", "surrogatepass"), True


def _parse_line(line: str) -> tuple[str, Directive]:
    if control := _CONTROL.search(line):
        raise ValueError(f"the control character U+{ord(control[0]):04X} is not allowed")
    pattern, colon, directive = line.partition(":")
    pattern = pattern.rstrip(" \t")
    if not colon:
        raise ValueError(f"{line[:100]!r} is not 'pattern: directive'")
    if not pattern:
        raise ValueError("there is no pattern before the colon")
    if len(pattern) > MAX_PATTERN:
        raise ValueError(f"the pattern is longer than {MAX_PATTERN} characters")
    if "[" in _SET.sub("", pattern):
        raise ValueError("a bracket is not closed: write [[] for the character itself")
    return pattern, _parse_directive(_COMMENT.sub("", directive).strip(" \t"))


def _parse_directive(text: str) -> Directive:
    if not text or text.startswith(";"):
        return Parameters(mimetypes.normalize_parameters(text))
    match = _HEADER.fullmatch(text)
    if match is None:
        return Mimetype(mimetypes.normalize(text))
    code, meta = match[1], match[2] or ""
    try:
        status = Status(int(code))
    except ValueError:
        raise ValueError(f"{code} is no status: write for example 52") from None
    if status is Status.SUCCESS and not meta:
        raise ValueError(f"a type is missing after {code}: write for example 20 text/plain")
    if status is Status.SUCCESS:
        return Mimetype(mimetypes.normalize(meta))
    if status < 40 and not meta:
        needs = "a prompt" if status < 20 else "a target"
        raise ValueError(f"{needs} is missing after {code}")
    header(status, meta)  # a redirect target that is no URI reference is told here
    return Header(status, meta)


# Patterns become regular expressions that never try the same thing twice. Every star but those of
# the last piece is matched for the shortest length that works and then kept, in an atomic group:
#
# - Within a piece (what stands between two ``**``), what follows a ``*`` is found as early as
#   possible in its folder, which leaves the most room for the rest.
# - The piece after a ``**`` is matched at the first place where it fits, which is also where it ends
#   first, since every match of it spans the same number of slashes.
# - The last piece must reach the end, so each start of it is tried, once.
#
# That is at most quadratic in the length of the path, whatever the pattern.


def _compile(pattern: str, *, is_deep: bool) -> _Matcher:
    """What tells whether a path matches. ``is_deep``: a ``*`` is a ``**``."""
    if not _WILDCARD.search(pattern):
        return pattern.__eq__
    *pieces, last = _cut_pieces(pattern, is_deep=is_deep)
    # The name of the folder itself is empty: only "/" means it.
    expression = r"(?!\Z)"
    for gap, chunks in pieces:
        inner = "".join(f"(?>[^/]*?{chunk})" for chunk in chunks[1:])
        expression += f"(?>{gap and gap + '?'}{chunks[0]}{inner})"
    gap, chunks = last
    inner = "".join(f"(?>[^/]*?{chunk})" for chunk in chunks[1:-1])
    end = f"[^/]*{chunks[-1]}" if len(chunks) > 1 else ""
    return re.compile(f"{expression}{gap}{chunks[0]}{inner}{end}", re.DOTALL).fullmatch


_TOKENS = re.compile(
    r"(?P<folders>(?:(?<![^/])\*\*+/)+)"  # whole names: no folder, or some
    r"|(?P<any>\*\*+)"
    r"|(?P<star>\*)"
    r"|(?P<one>\?)"
    r"|\[(?P<not>!?+)(?P<set>\](?=\])|\]?[^\]]+)\]"  # a "]" in front is a member
    r"|(?P<literal>.)",
    re.DOTALL,
)


def _cut_pieces(pattern: str, *, is_deep: bool) -> list[tuple[str, list[str]]]:
    """Cut at ``**``, then at ``*``: pairs of what bridges the gap before a piece, and its chunks."""
    pieces = [("", [""])]
    for token in _TOKENS.finditer(pattern):
        chunks = pieces[-1][1]
        match token.lastgroup:
            case "folders":
                pieces.append(("(?:[^/]*/)*", [""]))
            case "star" if not is_deep:
                chunks.append("")
            case "star" | "any":
                pieces.append((".*", [""]))
            case "one":
                chunks[-1] += "[^/]"
            case "set":
                chunks[-1] += _one_of(token["set"], inverted=bool(token["not"]))
            case _:
                chunks[-1] += re.escape(token[0])
    return pieces


def _one_of(content: str, *, inverted: bool) -> str:
    """``a-z_`` as a regular expression for one character, which is never a slash."""
    members = []
    for low, high in re.findall(r"(.)(?:-(.))?", content, re.DOTALL):
        if not high:
            members.append(re.escape(low))
        elif low <= high:  # a reversed range holds nothing
            members.append(f"{re.escape(low)}-{re.escape(high)}")
    if inverted:
        return f"[^/{''.join(members)}]"
    return f"(?!/)[{''.join(members)}]" if members else "(?!)"
