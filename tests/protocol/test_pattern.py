import itertools
import time
from datetime import date

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pad19.protocol.client import Client
from pad19.protocol.pattern import MAX_PATTERN, MAX_SEGMENTS, Pattern, PatternTable, Template
from pad19.protocol.request import parse_request
from pad19.protocol.uri import parse, percent_encode


def table(*patterns: str) -> PatternTable[str]:
    made: PatternTable[str] = PatternTable()
    for pattern in patterns:
        made.add(Pattern.parse(pattern), pattern)
    return made


def segments(path: str) -> tuple[str, ...]:
    return parse_request(f"gemini://a.test{path}".encode(), Client()).segments


MATCHES = [  # pattern, path as sent, captures or None
    ("/", "/", {}),
    ("/", "", {}),
    ("/", "/a", None),
    ("/a", "/a", {}),
    ("/a", "/a/", None),
    ("/a/", "/a/", {}),
    ("/a/", "/a", None),
    ("/a", "/A", None),
    ("/a", "/b/../a", {}),
    ("/caf%C3%A9", "/caf%c3%a9", {}),
    ("/café", "/caf%C3%A9", {}),
    ("/a%20b", "/a%20b", {}),
    ("/a b", "/a%20b", {}),
    ("/a%2Fb", "/a%2fb", {}),
    ("/a%2Fb", "/a/b", None),
    ("/%7Bx%7D", "/%7Bx%7D", {}),
    ("/{x}", "/a", {"x": "a"}),
    ("/{x:str}", "/a", {"x": "a"}),
    ("/{x}", "/", None),  # nothing is no segment
    ("/{x}/", "//", None),
    ("/{x}", "/a/", None),
    ("/{x}", "/a%2Fb", {"x": "a/b"}),
    ("/{x}", "/%2525", {"x": "%25"}),
    ("/{_x1}/{y}", "/a/b", {"_x1": "a", "y": "b"}),
    ("/{x:int}", "/07", {"x": 7}),
    ("/{x:int}", "/" + "9" * 18, {"x": 10**18 - 1}),
    ("/{x:int}", "/" + "9" * 19, None),
    ("/{x:int}", "/-1", None),
    ("/{x:int}", "/1_0", None),
    ("/{x:int}", "/%D9%A1", None),  # an Arabic digit
    ("/{x:int}", "/%C2%B2", None),  # a superscript
    ("/a/{x:path}", "/a/", {"x": ""}),
    ("/a/{x:path}", "/a", None),
    ("/a/{x:path}", "/a/b", {"x": "b"}),
    ("/a/{x:path}", "/a/b/c/", {"x": "b/c/"}),
    ("/a/{x:path}", "/a//b", {"x": "/b"}),
    ("/a/{x:path}", "/a/b%2Fc", None),
    ("/a/{x:path}", "/a/b/c%2Fd/e", None),
    ("/{x}/{y:path}", "/a%2Fb/c", {"x": "a/b", "y": "c"}),
    ("/{x:path}", "/", {"x": ""}),
]


@pytest.mark.parametrize(("pattern", "path", "captures"), MATCHES)
def test_a_pattern(pattern: str, path: str, captures: dict[str, str | int] | None) -> None:
    found = table(pattern).find(segments(path))
    assert found == (None if captures is None else (pattern, captures))


SPECIFIC = ["/a", "/{x:int}", "/{x}", "/{x:path}", "/a/b", "/a/{x:int}", "/a/{x}", "/{x}/b", "/a/{x:path}"]
CHOICES = [  # path, the pattern of SPECIFIC that wins
    ("/a", "/a"),
    ("/1", "/{x:int}"),
    ("/b", "/{x}"),
    ("/", "/{x:path}"),
    ("/b/c", "/{x:path}"),
    ("/a/b", "/a/b"),
    ("/a/1", "/a/{x:int}"),
    ("/a/c", "/a/{x}"),
    ("/c/b", "/{x}/b"),
    ("/1/b", "/{x}/b"),  # no way on from {x:int}, so the next one is tried
    ("/a/", "/a/{x:path}"),
    ("/a/b/c", "/a/{x:path}"),
    ("/1/c", "/{x:path}"),
]


@pytest.mark.parametrize(("path", "winner"), CHOICES)
@pytest.mark.parametrize("patterns", [SPECIFIC, SPECIFIC[::-1]])
def test_the_most_specific_wins_in_any_order(patterns: list[str], path: str, winner: str) -> None:
    found = table(*patterns).find(segments(path))
    assert found is not None
    assert found[0] == winner


def test_an_empty_table() -> None:
    assert table().find(("a",)) is None


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("/a", "/a"),
        ("/{x}", "/{y}"),
        ("/{x}", "/{y:str}"),
        ("/café", "/caf%C3%A9"),
        ("/a/{x:path}", "/a/{y:path}"),
    ],
)
def test_two_for_the_same_paths(first: str, second: str) -> None:
    made = table(first)
    with pytest.raises(ValueError, match=r"^/") as refusal:
        made.add(Pattern.parse(second), second)
    assert str(refusal.value) == first


@pytest.mark.parametrize(("first", "second"), [("/{x}", "/{x:int}"), ("/a", "/a/"), ("/a/b", "/a%2Fb")])
def test_two_for_different_paths(first: str, second: str) -> None:
    table(first, second)


NO_PATTERN = [
    ("", "must begin with a slash"),
    ("a/b", "must begin with a slash"),
    ("gemini://a.test/", "must begin with a slash"),
    ("/a?b", "must be a path alone"),
    ("/a#b", "must be a path alone"),
    ("/a\n", "must have no control characters"),
    ("/a\u202e", "must have no control characters"),
    ("/a/../b", "must have no segment . or .."),
    ("/a/%2e", "must have no segment . or .."),
    ("/100%", "must be a path, but it has a percent sign"),
    ("/%ff", "must be a path, but it has percent-encoded octets that are not UTF-8"),
    ("/old/*", "must have {rest:path} at its end in place of *"),
    ("/*.gmi", "must have {rest:path} at its end in place of *"),
    ("/{x}.gmi", "must have {name}"),
    ("/a{x}", "must have {name}"),
    ("/{", "must have {name}"),
    ("/{}", "must have {name}"),
    ("/{1}", "must have {name}"),
    ("/{x:float}", "must have {name}"),
    ("/{x:}", "must have {name}"),
    ("/{ä}", "must have {name}"),
    ("/{x}/{x:int}", "must have {x} only once"),
    ("/{x:path}/a", "must have a capture of the kind path at its end only"),
    ("/{x:path}/", "must have a capture of the kind path at its end only"),
    ("/" + "a" * MAX_PATTERN, f"must have at most {MAX_PATTERN} characters"),
    ("/a" * (MAX_SEGMENTS + 1), f"must have at most {MAX_SEGMENTS} segments"),
]


@pytest.mark.parametrize(("text", "message"), NO_PATTERN)
def test_no_pattern(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"^must ") as refusal:
        Pattern.parse(text)
    assert str(refusal.value).startswith(message)


def to_date(text: str) -> date:
    return date.fromisoformat(text)


def to_even(text: str) -> int:
    number = int(text)
    if number % 2:
        raise ValueError
    return number


FURTHER = {"date": to_date, "even": to_even, "same_date": to_date}
FURTHER_MATCHES = [  # patterns, path, the winner, its captures
    (["/{x:date}"], "/2026-11-23", "/{x:date}", {"x": date(2026, 11, 23)}),
    (["/{x:date}"], "/2026-11-31", None, {}),
    (["/{x:date}"], "/", None, {}),
    (["/{x:even}", "/{x:int}"], "/2", "/{x:even}", {"x": 2}),
    (["/{x:even}", "/{x:int}"], "/3", "/{x:int}", {"x": 3}),
    (["/2", "/{x:even}"], "/2", "/2", {}),
    (["/{x:even}/a", "/{x}/b"], "/2/b", "/{x}/b", {"x": "2"}),
    (["/{x:even}/a", "/{y:even}/b"], "/2/b", "/{y:even}/b", {"y": 2}),
    (["/{x:date}/{rest:path}"], "/2026-11-23/a/b", "/{x:date}/{rest:path}", {"rest": "a/b"}),
]


@pytest.mark.parametrize(("patterns", "path", "winner", "captures"), FURTHER_MATCHES)
@pytest.mark.parametrize("order", [1, -1])
def test_further_kinds(
    patterns: list[str], path: str, winner: str | None, captures: dict[str, object], order: int
) -> None:
    made: PatternTable[str] = PatternTable()
    for pattern in patterns[::order]:
        made.add(Pattern.parse(pattern, FURTHER), pattern)
    found = made.find(segments(path))
    if winner is None:
        assert found is None
    else:
        assert found is not None
        assert found[0] == winner
        assert captures.items() <= found[1].items()


def test_a_further_kind_sees_what_an_encoded_slash_stands_for() -> None:
    seen: list[str] = []
    made: PatternTable[str] = PatternTable()
    made.add(Pattern.parse("/{x:seen}", {"seen": seen.append}), "")
    made.find(segments("/a%2Fb%2525"))
    assert seen == ["a/b%25"]


@pytest.mark.parametrize(
    ("first", "second"),
    [("/{x:even}", "/{y:even}"), ("/{x:even}", "/{y:date}"), ("/{x:even}/a", "/{y:date}/b")],
)
def test_two_further_kinds_in_one_place(first: str, second: str) -> None:
    made: PatternTable[str] = PatternTable()
    made.add(Pattern.parse(first, FURTHER), first)
    with pytest.raises(ValueError, match=r"^/") as refusal:
        made.add(Pattern.parse(second, FURTHER), second)
    assert str(refusal.value) == first


def test_one_function_is_one_kind_under_any_name() -> None:
    made: PatternTable[str] = PatternTable()
    made.add(Pattern.parse("/{x:date}/a", FURTHER), "a")
    made.add(Pattern.parse("/{x:same_date}/b", FURTHER), "b")
    assert made.find(segments("/2026-11-23/b")) == ("b", {"x": date(2026, 11, 23)})


def test_an_unknown_kind_is_told_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"^must ") as refusal:
        Pattern.parse("/{x:data}", {"date": to_date})
    assert str(refusal.value) == "must have {name}, {name:int}, {name:date} or {name:path} as whole segments"


def test_what_else_a_further_kind_raises_is_its_mistake() -> None:
    made: PatternTable[str] = PatternTable()
    made.add(Pattern.parse("/{x:colour}", {"colour": {"red": 1}.__getitem__}), "")
    with pytest.raises(KeyError):
        made.find(("blue",))


def test_searching_takes_linear_time() -> None:
    # Every prefix of the path has several ways on, and none of them gets to the end.
    ways = itertools.product(*(("a", f"{{{name}}}") for name in "abcdefgh"))
    patterns = [f"/{'/'.join(way)}/x" for way in ways]
    made = table(*patterns, "/{a:path}")
    found = made.find(("a",) * 500)
    assert found is not None
    began = time.perf_counter()
    for _ in range(20):
        made.find(("a",) * 8 + ("y",))
    assert time.perf_counter() - began < 1  # second; each looks at 511 nodes at most


FILLED = [  # pattern, template, path as sent, target
    ("/a", "/b", "/a", "/b"),
    ("/{x}", "/new/{x}.gmi", "/a", "/new/a.gmi"),
    ("/{x}", "/{x}/{x}", "/a%2Fb", "/a%2Fb/a%2Fb"),
    ("/{x}", "/{x}", "/%2Fevil.test", "/%2Fevil.test"),
    ("/{x}", "/{x}", "/%0D%0A20", "/%0D%0A20"),
    ("/{x}", "/{x}", "/%3Fq%23f", "/%3Fq%23f"),
    ("/{x}", "/{x}", "/caf%c3%a9", "/caf%C3%A9"),
    ("/{x}", "/{x}", "/%252e%252e", "/%252e%252e"),
    ("/{x:int}", "/{x}", "/007", "/7"),
    ("/old/{x:path}", "/{x}", "/old/a/b%20c/", "/a/b%20c/"),
    ("/old/{x:path}", "/{x}", "/old//evil.test/", "/evil.test/"),
    ("/old/{x:path}", "/{x}", "/old///evil.test/", "/evil.test/"),
    ("/old/{x:path}", "/{x}", "/old/", "/"),
    ("/old/{x:path}", "/n/{x}", "/old//a", "/n//a"),
    ("/old/{x:path}", "/{x}", "/old/a:b@c", "/a:b@c"),
    ("/{x}", "gemini://B.test:1966/{x}", "/a", "gemini://b.test:1966/a"),
    ("/{x}", "GEMINI://b.test/{x}", "/a", "gemini://b.test/a"),
    ("/a", "gemini://b.test", "/a", "gemini://b.test/"),
    ("/{x}", "/find?{x}", "/a%26b%2Fc%3D%C3%A9", "/find?a%26b%2Fc%3D%C3%A9"),
    ("/{x:path}", "/find?q={x}", "/a/b", "/find?q=a%2Fb"),
    ("/{x}", "/find?", "/a", "/find?"),
    ("/{x}", "/my café/{x}", "/a", "/my%20caf%C3%A9/a"),
    ("/{x}", "/100%25/{x}", "/a", "/100%25/a"),
]


@pytest.mark.parametrize(("pattern", "template", "path", "target"), FILLED)
def test_a_template(pattern: str, template: str, path: str, target: str) -> None:
    found = table(pattern).find(segments(path))
    assert found is not None
    assert Template.parse(template).fill(found[1], Pattern.parse(pattern).kinds) == target


NO_TEMPLATE = [
    ("", "must be a path that begins with a slash, or a gemini:// URI"),
    ("a", "must be a path that begins"),
    ("?a", "must be a path that begins"),
    ("//evil.test/", "must be a path that begins"),
    ("https://a.test/", "must be a path that begins"),
    ("gemini://{x}/", "must be a path that begins"),
    ("gemini://a.test{x}", "must be a path that begins"),
    ("gemini://a.{x}.test/", "must be a path that begins"),
    ("{x}", "must be a path that begins"),
    ("/a#b", "must be a path that begins"),
    ("gemini:///a", "must be a URI or a path, but the host is missing"),
    ("gemini://a b/", "must be a URI or a path, but"),
    ("gemini://a.test:0/", "must be a URI or a path, but the port"),
    ("gemini://me@a.test/", "must have no userinfo"),
    ("/100%", "must be a URI or a path, but"),
    ("/{x:path}", "must have captures in the form {name}, without a kind"),
    ("/{", "must have captures in the form {name}"),
    ("/a/../b", "must have no segment . or .."),
    ("/a\r\n", "must have no control characters"),
    ("/" + "a" * MAX_PATTERN, f"must have at most {MAX_PATTERN} characters"),
]


@pytest.mark.parametrize(("text", "message"), NO_TEMPLATE)
def test_no_template(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"^must ") as refusal:
        Template.parse(text)
    assert str(refusal.value).startswith(message)


@given(
    st.lists(
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1, max_size=5
    )
)
@example(["", "evil.test"])
@example(["\r\n20 text/gemini"])
def test_no_captured_text_leaves_the_path(names: list[str]) -> None:
    names = [name for name in names if name not in {".", ".."}]
    path = "/old/" + "/".join(map(percent_encode, names))
    found = table("/old/{x:path}").find(segments(path))
    if found is None:  # an encoded slash
        return
    for template, host in (("/{x}", None), ("gemini://b.test/{x}", "b.test"), ("/?{x}", None)):
        target = Template.parse(template).fill(found[1], {"x": "path"})
        assert target.isascii()
        assert target.isprintable()
        uri = parse(target)
        assert (uri.host, uri.fragment) == (host, None)
        assert (uri.query is None) == ("?" not in template)
