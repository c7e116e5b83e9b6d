"""Paths of zones, as they are written in the configuration."""

import pytest

from pad19.dispatch.zones.paths import parse_path

PATHS = [  # as written, the segments or what is wrong
    ("/", ()),
    ("/members", ("members",)),
    ("/members/", ("members",)),
    ("/a/b/", ("a", "b")),
    ("/café", ("café",)),
    ("/caf%C3%A9/two words", ("café", "two words")),
    ("/100%25", ("100%",)),
    ("", "must begin with a slash"),
    ("members/", "must begin with a slash"),
    ("//", "must have no empty segment"),
    ("//members", "must have no empty segment"),
    ("/members//", "must have no empty segment"),
    ("/members/*", r"must have no \* and no \{, since a zone is all that is below its path$"),
    ("/members/{rest:path}", r"must have no \* and no \{"),
    ("/a//b", "must have no empty segment"),
    ("/a/../b", r"must have no segment \. or \.\."),
    ("/%2e", r"must have no segment \. or \.\."),
    ("/a%2Fb", "must have no encoded slash"),
    ("/a%00", "must have no encoded slash and no NUL"),
    ("/a%", "must be a path, but it has a percent sign"),
    ("/%ff", "must be a path, but it has percent-encoded octets"),
    ("/a?b", "must be a path alone"),
    ("/a#b", "must be a path alone"),
    ("/a\n", "must have no control characters"),
]


@pytest.mark.parametrize(("text", "expected"), PATHS)
def test_paths_of_zones(text: str, expected: tuple[str, ...] | str) -> None:
    if not isinstance(expected, str):
        assert parse_path(text) == expected
        return
    with pytest.raises(ValueError, match=f"^{expected}"):
        parse_path(text)
