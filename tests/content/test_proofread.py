import pytest

from pad19.content.proofread import Proof, proofread

TIDY = (
    "# Title\n\n=> a.gmi A page\n=>b.gmi\n=>\tc.gmi\tTab\n## Two\n### Three\n* item\n> quote\n"
    "```alt\n=>\n#### x\n```\n"
)


def test_a_tidy_page() -> None:
    assert proofread(TIDY) == Proof(links=[(3, "a.gmi"), (4, "b.gmi"), (5, "c.gmi")])
    assert proofread(TIDY.replace("\n", "\r\n")) == proofread(TIDY)


@pytest.mark.parametrize("text", ["", "\n", "text", "*", "=", "= > a", "#x", "#", "``", "caf\xe9"])
def test_what_is_fine(text: str) -> None:
    assert proofread(text) == Proof()


PROBLEMS = [
    ("a\n=>", 2, "the link has no URI"),
    ("=> \t ", 1, "the link has no URI"),
    ("=> a<b.gmi", 1, "the link is no URI: '<' is not allowed in a URI"),
    ("=> 100% x", 1, "the link is no URI: '%' is no percent-encoding"),
    ("=> gemini://[::1/", 1, "the link is no URI: not a URI"),
    ("=> a\x1b[31m", 1, "the link is no URI: U+001B is not allowed in a URI"),
    ("a\n```\n=> b", 2, "the preformatted block that begins here is not closed"),
    ("```\n```\n```", 3, "the preformatted block that begins here is not closed"),
]


@pytest.mark.parametrize(("text", "line", "problem"), PROBLEMS)
def test_problems(text: str, line: int, problem: str) -> None:
    proof = proofread(text)
    assert proof.problems == [(line, problem)]
    assert proof.links == []


def test_a_byte_order_mark_hides_nothing_else() -> None:
    proof = proofread("\ufeff=> a.gmi\n=>")
    assert proof.links == [(1, "a.gmi")]
    assert proof.problems == [
        (1, "a byte order mark, which no page should begin with: save it without"),
        (2, "the link has no URI"),
    ]


def test_problems_come_in_order() -> None:
    assert [line for line, _ in proofread("```\n```\n=>\n```\n=>").problems] == [3, 4]


NOTES = [
    ("a\n#### x", 2, "headings have three levels, so this one begins with #"),
    (" => a.gmi", 1, "this is text, since a space stands before the =>"),
    ("\t```", 1, "this is text, since a space stands before the ```"),
    (" ## x", 1, "this is text, since a space stands before the ##"),
    ("a\rb", 1, "a carriage return within a line, which does not end it"),
]


@pytest.mark.parametrize(("text", "line", "note"), NOTES)
def test_notes(text: str, line: int, note: str) -> None:
    assert proofread(text) == Proof(notes=[(line, note)])
