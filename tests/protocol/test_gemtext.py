"""text/gemini: the line types of protocol section "Gemtext", and what untrusted text can do: nothing."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pad19.protocol.gemtext import (
    Gemtext,
    Heading,
    Line,
    Link,
    ListItem,
    Preformatted,
    Quote,
    Text,
    parse,
    write,
)

PARSED: list[tuple[str, list[Line]]] = [
    ("", []),
    ("\n", [Text("")]),
    ("a", [Text("a")]),
    ("a\n", [Text("a")]),
    ("a\r\nb\n\n", [Text("a"), Text("b"), Text("")]),
    (" => x", [Text(" => x")]),
    (" # x", [Text(" # x")]),
    # Only LF and CRLF end a line.
    ("a\x0bb\x0cc\x1cd\x85e\u2028f\u2029g", [Text("a\x0bb\x0cc\x1cd\x85e\u2028f\u2029g")]),
    ("a\r# b", [Text("a # b")]),
    ("=> /x", [Link("/x")]),
    ("=>/x", [Link("/x")]),
    ("=>x label", [Link("x", "label")]),
    ("=>\t x\t two  words \t", [Link("x", "two  words")]),
    ("=> x\u2028y z", [Link("x\u2028y", "z")]),
    ("=>", [Text("=>")]),
    ("=> \t", [Text("=> \t")]),
    ("=>=> x", [Link("=>", "x")]),
    ("# a", [Heading(1, "a")]),
    ("##a ", [Heading(2, "a")]),
    ("###\ta", [Heading(3, "a")]),
    ("####x", [Heading(3, "#x")]),
    ("#", [Heading(1, "")]),
    ("# # a", [Heading(1, "# a")]),
    ("* a", [ListItem("a")]),
    ("* ", [ListItem("")]),
    ("*x", [Text("*x")]),
    ("*\tx", [Text("*\tx")]),
    ("*", [Text("*")]),
    (">a", [Quote("a")]),
    ("> a", [Quote("a")]),
    (">", [Quote("")]),
    ("=: x", [Text("=: x")]),
    ("```\n# a\n  b\n```\nc", [Preformatted("# a\n  b"), Text("c")]),
    ("``` art \na\n``` ignored\n", [Preformatted("a", "art")]),
    ("````x\na\n````", [Preformatted("a", "`x")]),
    ("```\r\na\r\n\r\n```\r\n", [Preformatted("a\n")]),
    ("```\n```", [Preformatted("")]),
    ("```\n\n```", [Preformatted("")]),
    ("```\n\n\n```", [Preformatted("\n")]),
    ("```\na\n ```", [Preformatted("a\n ```")]),
    ("```x", [Preformatted("", "x")]),
    ("a\n```\nb\n", [Text("a"), Preformatted("b")]),
    ("``\n", [Text("``")]),
]


@pytest.mark.parametrize(("text", "lines"), PARSED)
def test_text_is_parsed(text: str, lines: list[Line]) -> None:
    assert parse(text) == lines


WRITTEN: list[tuple[Line, str]] = [
    (Text("a"), "a\n"),
    (Text(""), "\n"),
    (Text("a\nb\r\nc\rd"), "a b c d\n"),
    (Text("=> x"), " => x\n"),
    (Text("=>x"), " =>x\n"),
    (Text("=>"), "=>\n"),
    (Text("=>\nx"), " => x\n"),
    (Text("#"), " #\n"),
    (Text("* x"), " * x\n"),
    (Text("*\nx"), " * x\n"),
    (Text("*x"), "*x\n"),
    (Text(">"), " >\n"),
    (Text("```"), " ```\n"),
    (Text("\n# x"), " # x\n"),
    (Link("/x"), "=> /x\n"),
    (Link("/x", " \n"), "=> /x\n"),
    (Link("/x", " a\n=> /y"), "=> /x a => /y\n"),
    (Link("/a b\n=> /c d"), "=> /a%20b%0A=%3E%20/c%20d\n"),
    (Link(" x\n"), "=> x\n"),
    (Link("/\x00\x1b\x7f\t"), "=> /%00%1B%7F\n"),
    (Link('/"<>\\^`{|}'), "=> /%22%3C%3E%5C%5E%60%7B%7C%7D\n"),
    (Link("gemini://a.test:1965/%41;x=1?q#[1]"), "=> gemini://a.test:1965/%41;x=1?q#[1]\n"),
    (Link("/caf\xe9"), "=> /caf%C3%A9\n"),
    (Link("/caf\xe9 \x85"), "=> /caf%C3%A9%20%C2%85\n"),
    (Link("gemini://caf\xe9.example/\xe9"), "=> gemini://xn--caf-dma.example/%C3%A9\n"),
    (Link("/\ud800"), "=> /%ED%A0%80\n"),
    (Heading(1, "a"), "# a\n"),
    (Heading(2, " #a\nb "), "## #a b\n"),
    (Heading(3, ""), "###\n"),
    (ListItem("a\n* b"), "* a * b\n"),
    (ListItem(" "), "* \n"),
    (Quote("a\nb"), "> a b\n"),
    (Quote(""), ">\n"),
    (Preformatted("a\r\n b\rc"), "```\na\n b c\n```\n"),
    (Preformatted("```\n=> x\n````y"), "```\n ```\n=> x\n ````y\n```\n"),
    (Preformatted("\r```"), "```\n ```\n```\n"),
    (Preformatted("a", " b\n```\n# c"), "```b ``` # c\na\n```\n"),
    (Preformatted(""), "```\n```\n"),
    (Preformatted("\n"), "```\n\n\n```\n"),
]


@pytest.mark.parametrize(("line", "text"), WRITTEN)
def test_line_is_written(line: Line, text: str) -> None:
    assert write([line]) == text
    assert parse(text) == [line]


@pytest.mark.parametrize("uri", ["", " ", "\r\n\t"])
def test_link_needs_a_uri(uri: str) -> None:
    with pytest.raises(ValueError, match="needs a URI"):
        Link(uri, "label")


@pytest.mark.parametrize("level", [-1, 0, 4])
def test_heading_needs_a_level(level: int) -> None:
    with pytest.raises(ValueError, match="level 1, 2 or 3"):
        Heading(level, "x")


def test_nothing_is_written_as_nothing() -> None:
    assert write([]) == ""


# Any text, with what could matter in it made frequent.
texts = st.lists(
    st.sampled_from(["\n", "\r", "\r\n", " ", "\t", "#", "*", ">", "=>", "```", "`", "a", "\x85", "\u2028"])
    | st.characters()
).map("".join)
surrogates = st.text(st.characters(categories=["Cs", "Cc", "Ll"]))
uris = (texts | surrogates).filter(lambda uri: uri.strip(" \t\r\n"))
lines = st.lists(
    st.builds(Text, texts)
    | st.builds(Link, uris, st.none() | texts)
    | st.builds(Heading, st.integers(1, 3), texts)
    | st.builds(ListItem, texts)
    | st.builds(Quote, texts)
    | st.builds(Preformatted, texts, texts)
)


@given(lines)
def test_every_page_survives_writing(page: list[Line]) -> None:
    assert parse(write(page)) == page


@given(texts | surrogates)
def test_every_text_has_lines(text: str) -> None:
    page = parse(text)
    assert parse(write(page)) == page


@given(uris)
def test_link_uri_is_plain(uri: str) -> None:
    written = Link(uri).uri
    assert written.isascii()
    assert written.isprintable()
    assert " " not in written
    assert Link(written).uri == written


@given(texts)
def test_no_text_makes_a_line_of_another_type(text: str) -> None:
    def types(page: Gemtext) -> list[type[Line]]:
        return [type(line) for line in parse(str(page))]

    assert set(types(Gemtext().text(text))) == {Text}
    assert set(types(Gemtext().quote(text))) == {Quote}
    assert types(Gemtext().link("x", text)) == [Link]
    assert types(Gemtext().link(f"x{text}")) == [Link]
    assert types(Gemtext().heading(text)) == [Heading]
    assert types(Gemtext().item(text)) == [ListItem]
    assert types(Gemtext().preformatted(text, text)) == [Preformatted]


@pytest.mark.parametrize("lines", ["# a", ["# a"], [Text("a"), "=> /b"], [5]])
def test_a_page_is_not_made_of_text(lines: Any) -> None:
    with pytest.raises(TypeError, match=r"write Gemtext\(\)\.text"):
        Gemtext(lines)


MADE: list[Callable[[Any], object]] = [
    Gemtext().text,
    Gemtext().heading,
    Gemtext().item,
    Gemtext().quote,
    Gemtext().preformatted,
    lambda value: Gemtext().link("/", value),
    Text,
    ListItem,
]


@pytest.mark.parametrize("make", MADE)
def test_numbers_are_no_text(make: Callable[[Any], object]) -> None:
    with pytest.raises(TypeError, match=r"^a line is made of text, not of 5: write str\(\) around it$"):
        make(5)


def test_page_is_built_by_chaining() -> None:
    page = (
        Gemtext()
        .heading("Guestbook")
        .text("One.\r\nTwo.\n")
        .text()
        .heading("Entries", 2)
        .item("a\nb")
        .quote("c\n\nd")
        .link("/sign")
        .link("/sign now", "Sign")
        .preformatted("x\n  y\n", "art")
    )
    assert str(page) == (
        "# Guestbook\nOne.\nTwo.\n\n## Entries\n* a b\n> c\n>\n> d\n"
        "=> /sign\n=> /sign%20now Sign\n```art\nx\n  y\n```\n"
    )
    assert page.lines == tuple(parse(str(page)))


def test_pages_are_equal_by_their_lines() -> None:
    assert Gemtext([Text("a")]) == Gemtext().text("a")
    assert Gemtext().text("a") != Gemtext().quote("a")
    assert Gemtext() != []
    assert repr(Gemtext().text("a")) == "Gemtext([Text(text='a')])"
    with pytest.raises(TypeError, match="unhashable"):
        hash(Gemtext())
