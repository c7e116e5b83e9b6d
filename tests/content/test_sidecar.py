"""`.meta` files: which line applies to a path, what it says, and what is wrong with the others."""

import re
from fnmatch import fnmatchcase
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pad19.content.sidecar import (
    MAX_PATTERN,
    MAX_RULES,
    MAX_TEXT,
    Directive,
    Header,
    Mimetype,
    Parameters,
    parse,
)
from pad19.protocol.status import Status

GONE = Header(Status.GONE, "This file is no longer available.")


def matches(pattern: str, path: str) -> bool:
    rules, problems = parse(f"{pattern}: 52")
    assert problems == []
    return rules.find(path) is not None


AGATE = """\
# This line will be ignored.
test: text/html
**/*.nl.gmi: ;lang=nl
test.gmi: ;lang=en ;charset=us-ascii
gone.txt: 52 This file is no longer available.  # since 2021
example.com/index.gmi: ;lang=en-US # a comment
index.gmi: ;lang=en-GB
plain.gmi: # no parameters
"""
AGATE_FOUND: list[tuple[str, Directive | None]] = [
    ("test", Mimetype("text/html")),
    ("a.nl.gmi", Parameters("; lang=nl")),
    ("a/b/c.nl.gmi", Parameters("; lang=nl")),
    ("test.gmi", Parameters("; lang=en; charset=us-ascii")),
    ("gone.txt", GONE),
    ("example.com/index.gmi", Parameters("; lang=en-US")),
    ("index.gmi", Parameters("; lang=en-GB")),
    ("plain.gmi", Parameters("")),
    ("a/example.com/index.gmi", None),
    ("a/index.gmi", None),
    ("a/gone.txt", None),
    ("a/test", None),
    ("test/", None),
    ("", None),
]


@pytest.mark.parametrize(("path", "directive"), AGATE_FOUND)
def test_file_of_agate_is_understood(path: str, directive: Directive | None) -> None:
    rules, problems = parse(AGATE)
    assert problems == []
    assert rules.find(path) == directive


GMCAPSULE = """\
old/: 31 /new/
*.txt: text/plain; charset=iso-8859-1
private*: 51
atom.xml: application/atom+xml
irc.gmi: 52 Now in #gemini on IRC
moved.gmi: 31 /all.gmi#moved
*.gmi: ;lang=fi
"""
GMCAPSULE_FOUND: list[tuple[str, Directive | None]] = [
    ("old/", Header(Status.PERMANENT_REDIRECT, "/new/")),
    ("sub/old/", None),
    ("old", None),
    ("sub/a.txt", Mimetype("text/plain; charset=iso-8859-1")),
    ("private.txt", Mimetype("text/plain; charset=iso-8859-1")),
    ("private.gmi", Header(Status.NOT_FOUND, "")),
    ("private/a.gmi", Header(Status.NOT_FOUND, "")),
    ("sub/private.gmi", Parameters("; lang=fi")),
    ("atom.xml", Mimetype("application/atom+xml")),
    ("sub/atom.xml", None),
    ("irc.gmi", Header(Status.GONE, "Now in #gemini on IRC")),
    ("moved.gmi", Header(Status.PERMANENT_REDIRECT, "/all.gmi#moved")),
    ("index.gmi", Parameters("; lang=fi")),
    ("sub/index.gmi", Parameters("; lang=fi")),
    ("sub/", None),
]


@pytest.mark.parametrize(("path", "directive"), GMCAPSULE_FOUND)
def test_file_of_gmcapsule_is_understood(path: str, directive: Directive | None) -> None:
    rules, problems = parse(GMCAPSULE)
    assert problems == []
    assert rules.find(path) == directive


DIRECTIVES: list[tuple[str, Directive]] = [
    ("", Parameters("")),
    (";", Parameters("")),
    (";lang=de,nl", Parameters('; lang="de,nl"')),
    ("Text/HTML;charset=utf-8", Mimetype("text/html; charset=utf-8")),
    ("20 text/html", Mimetype("text/html")),
    ("20\ttext/gemini ;lang=en", Mimetype("text/gemini; lang=en")),
    ("52 This file is no longer available.", GONE),
    ("51", Header(Status.NOT_FOUND, "")),
    ("60  Certificate:  please ", Header(Status.CLIENT_CERTIFICATE_REQUIRED, "Certificate:  please")),
    ("10 Your name?", Header(Status.INPUT, "Your name?")),
    ("30 gemini://a.test:1965/b?c", Header(Status.TEMPORARY_REDIRECT, "gemini://a.test:1965/b?c")),
    ("31 /caf\xe9", Header(Status.PERMANENT_REDIRECT, "/caf\xe9")),
    ("3gpp/x", Mimetype("3gpp/x")),
    ("44 30", Header(Status.SLOW_DOWN, "30")),
    ("# a comment", Parameters("")),
    (";lang=de # a comment", Parameters("; lang=de")),
    ("text/html\t#\tof 1999 # or so", Mimetype("text/html")),
    ("52 Gone #", Header(Status.GONE, "Gone")),
    ("51 # it never was there", Header(Status.NOT_FOUND, "")),
    ("52 See #1, or a#b # and c", Header(Status.GONE, "See #1, or a#b")),
    ("30 /b#c", Header(Status.TEMPORARY_REDIRECT, "/b#c")),
]


@pytest.mark.parametrize(("text", "directive"), DIRECTIVES)
@pytest.mark.parametrize(
    "form", ["a:{}", " a : {} ", "\ta\t:\t{}\t\r", "[section]\n\n \n # x: y\na:{}", "\ufeffa:{}"]
)
def test_directive_is_read(text: str, directive: Directive, form: str) -> None:
    rules, problems = parse(form.format(text) + "\nb: text/html")
    assert problems == []
    assert rules.find("a") == directive
    assert rules.find("b") == Mimetype("text/html")


PROBLEMS = [
    ("a", "'a' is not 'pattern: directive'"),
    ("[a", "'[a' is not 'pattern: directive'"),
    (": text/plain", "there is no pattern before the colon"),
    ("a: plain", "'plain' is not a MIME type"),
    ("a: text/plain; charset", "'; charset' is not a list of parameters"),
    ("a: ;lang", "';lang' is not a list of parameters"),
    ("a: 20", "a type is missing after 20: write for example 20 text/plain"),
    ("a : 20 ", "a type is missing after 20"),
    ("a: 20 ;lang=en", "';lang=en' is not a MIME type"),
    ("a: 99 x", "99 is no status: write for example 52"),
    ("a: 5 x", "5 is no status"),
    ("a: 404 x", "404 is no status"),
    (f"a: {'9' * 5000}", "is not a MIME type"),
    ("a: 51x", "'51x' is not a MIME type"),
    ("a: 21 text/plain", "21 is no status"),
    ("a: 63 x", "63 is no status"),
    ("a: 10", "a prompt is missing after 10"),
    ("a: 11 ", "a prompt is missing after 11"),
    ("a: 30", "a target is missing after 30"),
    ("a: 30 # /b", "a target is missing after 30"),
    ("a: text/html #x", "'text/html #x' is not a MIME type"),
    ("a # b", "'a # b' is not 'pattern: directive'"),
    ("a: 31\t", "a target is missing after 31"),
    ("[zz: 52 x", "a bracket is not closed: write [[] for the character itself"),
    ("a[b]c[: 52 x", "a bracket is not closed"),
    ("[]: 52 x", "a bracket is not closed"),
    ("a: 31 /b c", "redirect target '/b c': ' ' is not allowed in a URI"),
    (f"a: 31 /{'b' * 1024}", "must have 1 to 1024 bytes"),
    ("a: 52 x\ry", "the control character U+000D is not allowed"),
    ("a: 52 \x1b[31m", "the control character U+001B is not allowed"),
    ("a: 52 x\x85", "the control character U+0085 is not allowed"),
    ("a: 52 \ud800", "the control character U+D800 is not allowed"),
    ("a\0: text/plain", "the control character U+0000 is not allowed"),
    (f"{'a' * (MAX_PATTERN + 1)}: text/plain", f"the pattern is longer than {MAX_PATTERN} characters"),
    (f"a: ;b={'c' * 500}", "longer than 500 bytes"),
]


@pytest.mark.parametrize(("line", "problem"), PROBLEMS)
def test_wrong_line_is_told_and_ignored(line: str, problem: str) -> None:
    rules, problems = parse(f"# a\n{line}\n*: text/html\n")
    assert len(problems) == 1
    assert problems[0].startswith("line 2: ")
    assert problem in problems[0]
    assert problems[0].isprintable()
    assert rules.find("a") == Mimetype("text/html")


def test_line_in_brackets_is_a_section_unless_it_is_a_rule() -> None:
    rules, problems = parse("[a.txt: x]\n[ab].txt: 52 [sic]\n")
    assert problems == []
    assert rules.find("a.txt") == Header(Status.GONE, "[sic]")


def test_first_matching_line_wins() -> None:
    rules, _ = parse("*.txt: text/x-one\na.txt: text/x-two\nb.gmi: text/x-three\n*: text/x-four")
    assert rules.find("a.txt") == Mimetype("text/x-one")
    assert rules.find("b.gmi") == Mimetype("text/x-three")
    assert rules.find("c") == Mimetype("text/x-four")


def test_number_of_rules_is_bounded() -> None:
    lines = ["wrong", *[f"a{number}: 51" for number in range(1, MAX_RULES)]]
    rules, problems = parse("\n".join([*lines, "", "# more", "a: 51", "wrong", "b: 51"]))
    assert len(problems) == 2
    assert problems[1] == f"line {MAX_RULES + 3}: there are more than 1000 rules; the rest is ignored"
    assert rules.find(f"a{MAX_RULES - 1}") is not None
    assert rules.find("a") is None
    assert rules.find("b") is None


def test_length_of_text_is_bounded() -> None:
    start = "a: 51\n#"
    fill = "\xe9" * ((MAX_TEXT - len(start) - len("\nb: 52")) // 2)
    whole = f"{start}{fill}\nb: 52"
    rules, problems = parse(whole)
    assert problems == []
    assert rules.find("b") is not None
    rules, problems = parse(f"{whole} gone!")
    assert problems == [f"line 2: there is more than {MAX_TEXT} bytes of text; the rest is ignored"]
    assert rules.find("a") is not None
    assert rules.find("b") is None  # rather than half a line of it
    _, problems = parse("a" * (MAX_TEXT + 1))
    assert problems == [f"line 1: there is more than {MAX_TEXT} bytes of text; the rest is ignored"]


MATCHED = [  # pattern, paths that match, paths that do not
    (
        "a.txt",
        ["a.txt"],
        ["sub/a.txt", "a/b/a.txt", "A.txt", "a.txt/", "ba.txt", "a.txt2", "a.txt/b", "axtxt"],
    ),
    ("*.txt", ["a.txt", ".txt", "sub/a.txt", "a\nb.txt"], ["a.txt.gz", "a.txt/", "a.txt/b"]),
    ("*", ["a", "sub/.a"], ["", "/", "a/"]),
    ("a*", ["a", "ab", "ab/c", "a/b/c"], ["sub/a", "ba", "ab/"]),
    ("a*b*c", ["abc", "a/b/c", "a/bxb/c"], ["a/b", "sub/abc"]),
    ("?", ["a", "\xe9"], ["sub/b", "ab", "a/", "", "/"]),
    ("a?b", ["axb"], ["a/b", "sub/axb"]),
    ("**", ["a", "sub/a"], ["a/"]),
    ("a**b", ["ab", "axxb", "a/b"], ["sub/ab"]),
    ("/a.txt", ["a.txt"], ["sub/a.txt"]),
    ("/*.txt", ["a.txt"], ["sub/a.txt"]),
    ("sub/*.txt", ["sub/a.txt"], ["a.txt", "sub/b/a.txt", "x/sub/a.txt"]),
    ("*/a", ["b/a"], ["a", "b/c/a"]),
    ("s?b/a", ["sub/a"], ["s/b/a", "sub/b/a"]),
    ("**/a", ["a", "b/a", "b/c/a"], ["ba", "b/ca", "a/b"]),
    ("**/**/a", ["a", "b/a", "b/c/a"], ["ba"]),
    ("sub/**", ["sub/a", "sub/b/c"], ["sub", "sub/", "sub/a/", "subs/a"]),
    ("sub/**/a", ["sub/a", "sub/b/a", "sub/b/c/a"], ["sub/ba", "a", "sub/a/b"]),
    ("sub/**.txt", ["sub/a.txt", "sub/b/a.txt"], ["a.txt"]),
    ("**a*b/c", ["ab/c", "xa/ab/c", "a/x/axb/c"], ["a/b/c", "ab/c/d"]),
    ("**/a*b/**/c", ["ab/c", "x/ab/y/c", "ax/ab/c", "ab/ab/c/c"], ["a/b/c", "c"]),
    ("old/", ["old/"], ["sub/old/", "old", "old/a", ""]),
    ("*/", ["a/", "sub/a/"], ["a", ""]),
    ("a*/", ["a/", "ab/", "ab/c/"], ["sub/a/", "a"]),
    ("/old/", ["old/"], ["sub/old/", "old"]),
    ("sub/*/", ["sub/a/"], ["a/", "sub/", "sub/a/b/", "sub/a"]),
    ("**/", ["a/", "a/b/"], ["a", ""]),
    ("/", ["", "/"], ["a", "a/"]),
    ("[abc].txt", ["a.txt", "c.txt"], ["d.txt", "ab.txt", "[abc].txt", "sub/c.txt"]),
    ("[*].txt", ["*.txt"], ["a.txt", "**.txt"]),
    ("[!a-c]", ["d", "!"], ["a", "b"]),
    ("[a-c_-]", ["b", "_", "-"], ["d", "a-c"]),
    ("[]]", ["]"], ["[", "[]]"]),
    ("[]a]", ["]", "a"], ["[a]"]),
    ("[!]]", ["a", "!"], ["]"]),
    ("a[[]b", ["a[b"], ["ab", "a[[]b"]),
    ("a]b", ["a]b"], ["ab"]),
    ("[z-a]", [], ["a", "z", "-", "m"]),
    ("[!z-a]", ["a", "m"], []),
    ("[\\d^]", ["\\", "d", "^"], ["1"]),
    ("[a--9]", ["9"], ["a", "-", "5"]),
    ("[a&&b||c~~d[]", ["a", "&", "|", "~", "["], ["e"]),
    ("x[+-9]y/z", ["x1y/z"], ["x/y/z"]),
    ("x[/]y", [], ["x/y"]),
    ("x[!a]y/z", ["xby/z"], ["x/y/z"]),
    ("a+(b|c)$", ["a+(b|c)$"], ["aab", "aac"]),
    ("a//b", [], ["a/b", "b"]),
    (" a  b ", ["a  b"], ["a b", " a  b "]),
]


@pytest.mark.parametrize(("pattern", "matched", "unmatched"), MATCHED)
def test_pattern_matches(pattern: str, matched: list[str], unmatched: list[str]) -> None:
    assert [path for path in [*matched, *unmatched] if matches(pattern, path)] == matched


@pytest.mark.parametrize(
    "pattern", ["*a" * 30, "**a" * 30, "**/*a" * 30, "*/**a*" * 30, "?*" * 30, "***" * 99]
)
def test_hostile_pattern_is_answered(pattern: str) -> None:
    # Tried in all ways, any of these would take longer than the universe has been there.
    assert not matches(f"{pattern}b", "a" * 1024)
    assert not matches(f"/{pattern}b", "a/" * 512 + "a")
    assert not matches(f"/{pattern}/b", "a/aa/" * 200 + "a")


def expected(pattern: str, path: str) -> bool:
    """Whether a path matches a pattern: the definition, spelled out without care for time."""
    has_slash = "/" in pattern
    pattern = pattern.removeprefix("/")

    @cache
    def match(p: int, s: int) -> bool:
        rest = pattern[p:]
        if folders := re.match(r"\*\*+/", rest) if p == 0 or pattern[p - 1] == "/" else None:
            ends = [s, *(end + 1 for end in range(s, len(path)) if path[end] == "/")]
            return any(match(p + folders.end(), end) for end in ends)
        if stars := re.match(r"\*+", rest):
            deep = stars.end() > 1 or not has_slash
            ends = [s]
            while ends[-1] < len(path) and (deep or path[ends[-1]] != "/"):
                ends.append(ends[-1] + 1)
            return any(match(p + stars.end(), end) for end in ends)
        if not rest or s == len(path):
            return not rest and s == len(path)
        return (rest[0] == path[s] or (rest[0] == "?" and path[s] != "/")) and match(p + 1, s + 1)

    return match(0, 0)


names = st.text("ab", min_size=1, max_size=4)


@given(
    pattern=st.lists(st.sampled_from(["a", "b", "*", "**", "?", "/", "/**/", "*a*"]), max_size=12).map(
        "".join
    ),
    path=st.lists(names, min_size=1, max_size=5).map("/".join),
)
def test_pattern_means_what_it_says(pattern: str, path: str) -> None:
    pattern = pattern.strip("/") or "x"
    assert matches(pattern, path) == expected(pattern, path)
    assert matches(f"/{pattern}", path) == expected(f"/{pattern}", path)


@given(
    pattern=st.text("ab*", min_size=1, max_size=8), path=st.lists(names, min_size=1, max_size=4).map("/".join)
)
def test_pattern_without_a_slash_means_what_it_does_in_gmcapsule(pattern: str, path: str) -> None:
    assert matches(pattern, path) == fnmatchcase(path, pattern)


@given(st.text() | st.lists(st.sampled_from([*":;/*?[]!-#\r\n ax", "52 ", "31 ", "\ud800"])).map("".join))
def test_any_text_is_read(text: str) -> None:
    rules, problems = parse(text)
    assert all(problem.startswith("line ") and problem.isprintable() for problem in problems)
    for path in ("", "a", "a/", "a/x"):
        rules.find(path)
