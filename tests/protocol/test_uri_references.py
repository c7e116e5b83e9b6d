"""Relative references, as RFC 3986 resolves them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pad19.protocol.uri import InvalidURI, parse, remove_dot_segments, resolve
from protocol.uris import relaxed, texts


def rfc_remove_dot_segments(path: str) -> str:
    """RFC 3986, section 5.2.4, word for word."""
    output = ""
    while path:
        if path.startswith("../"):
            path = path[3:]
        elif path.startswith(("./", "/./")):
            path = path[2:]
        elif path == "/.":
            path = "/"
        elif path.startswith("/../"):
            path = path[3:]
            output = output[: max(output.rfind("/"), 0)]
        elif path == "/..":
            path = "/"
            output = output[: max(output.rfind("/"), 0)]
        elif path in {".", ".."}:
            path = ""
        else:
            end = path.find("/", 1)
            end = len(path) if end < 0 else end
            output += path[:end]
            path = path[end:]
    return output


DOTS = [
    ("/a/b/c/./../../g", "/a/g"),
    ("mid/content=5/../6", "mid/6"),
    ("", ""),
    (".", ""),
    ("..", ""),
    ("/", "/"),
    ("/.", "/"),
    ("/..", "/"),
    ("/../../a", "/a"),
    ("/a/..", "/"),
    ("/a/.", "/a/"),
    ("/a//..", "/a/"),
    ("/a//../..", "/"),
    ("//..", "/"),
    ("/...", "/..."),
    ("/.a/..b/c.", "/.a/..b/c."),
    ("/%2e%2e/", "/%2e%2e/"),
    ("a/..", "/"),
    ("a/../b", "/b"),
    ("../a", "a"),
    (".//a", "/a"),
]


@pytest.mark.parametrize(("path", "clean"), DOTS)
def test_remove_dot_segments(path: str, clean: str) -> None:
    assert rfc_remove_dot_segments(path) == clean
    assert remove_dot_segments(path) == clean


@relaxed
@given(st.lists(st.sampled_from(["/", ".", "..", "a", "...", "%2e", "/..", "/.", "//"])).map("".join))
def test_remove_dot_segments_as_the_rfc_does(path: str) -> None:
    assert remove_dot_segments(path) == rfc_remove_dot_segments(path)


EXAMPLES = [  # RFC 3986, section 5.4: relative to http://a/b/c/d;p?q
    # normal
    ("g:h", "g:h"),
    ("g", "http://a/b/c/g"),
    ("./g", "http://a/b/c/g"),
    ("g/", "http://a/b/c/g/"),
    ("/g", "http://a/g"),
    ("//g", "http://g"),
    ("?y", "http://a/b/c/d;p?y"),
    ("g?y", "http://a/b/c/g?y"),
    ("#s", "http://a/b/c/d;p?q#s"),
    ("g#s", "http://a/b/c/g#s"),
    ("g?y#s", "http://a/b/c/g?y#s"),
    (";x", "http://a/b/c/;x"),
    ("g;x", "http://a/b/c/g;x"),
    ("g;x?y#s", "http://a/b/c/g;x?y#s"),
    ("", "http://a/b/c/d;p?q"),
    (".", "http://a/b/c/"),
    ("./", "http://a/b/c/"),
    ("..", "http://a/b/"),
    ("../", "http://a/b/"),
    ("../g", "http://a/b/g"),
    ("../..", "http://a/"),
    ("../../", "http://a/"),
    ("../../g", "http://a/g"),
    # abnormal
    ("../../../g", "http://a/g"),
    ("../../../../g", "http://a/g"),
    ("/./g", "http://a/g"),
    ("/../g", "http://a/g"),
    ("g.", "http://a/b/c/g."),
    (".g", "http://a/b/c/.g"),
    ("g..", "http://a/b/c/g.."),
    ("..g", "http://a/b/c/..g"),
    ("./../g", "http://a/b/g"),
    ("./g/.", "http://a/b/c/g/"),
    ("g/./h", "http://a/b/c/g/h"),
    ("g/../h", "http://a/b/c/h"),
    ("g;x=1/./y", "http://a/b/c/g;x=1/y"),
    ("g;x=1/../y", "http://a/b/c/y"),
    ("g?y/./x", "http://a/b/c/g?y/./x"),
    ("g?y/../x", "http://a/b/c/g?y/../x"),
    ("g#s/./x", "http://a/b/c/g#s/./x"),
    ("g#s/../x", "http://a/b/c/g#s/../x"),
    ("http:g", "http:g"),
]


@pytest.mark.parametrize("scheme", ["http", "gemini"])
@pytest.mark.parametrize(("reference", "target"), EXAMPLES)
def test_resolve_the_examples_of_the_rfc(scheme: str, reference: str, target: str) -> None:
    base = parse(f"{scheme}://a/b/c/d;p?q")
    reference = reference.replace("http:", f"{scheme}:")
    assert str(resolve(base, parse(reference))) == target.replace("http:", f"{scheme}:")


@pytest.mark.parametrize(
    ("base", "reference", "target"),
    [
        ("gemini://h", "a", "gemini://h/a"),
        ("gemini://h", "", "gemini://h"),
        ("gemini://h", "..", "gemini://h/"),
        ("gemini://h?q", "", "gemini://h?q"),
        ("gemini://h/a?q", "?", "gemini://h/a?"),
        ("gemini://h/a#f", "b", "gemini://h/b"),
        ("gemini://h:7/a", "/b", "gemini://h:7/b"),
        ("gemini://h:7/a", "//g/b", "gemini://g/b"),
        ("gemini://u@h/a", "b", "gemini://u@h/b"),
        ("gemini://h/a/b", "..//c", "gemini://h//c"),
        ("gemini://h/a/../b", "", "gemini://h/a/../b"),
        ("gemini://h/", "titan://g/x/../y", "titan://g/y"),
        ("mailto:a", "b", "mailto:b"),
        ("x:a/b", "c", "x:a/c"),
        ("/a/b", "c", "/a/c"),
        ("a/b", "c", "a/c"),
        ("x:/a/b", "..//c/d", "x:/.//c/d"),  # not x://c/d, where c is a host
    ],
)
def test_resolve(base: str, reference: str, target: str) -> None:
    resolved = resolve(parse(base), parse(reference))
    assert str(resolved) == target
    assert str(parse(target)) == target


@relaxed
@given(texts, texts)
def test_resolving_never_changes_the_host_of_a_path(base: str, reference: str) -> None:
    try:
        start, step = parse(base), parse(reference)
    except InvalidURI:
        return
    resolved = resolve(start, step)
    if start.scheme is not None:
        again = parse(str(resolved))
        assert (again.scheme, again.host, again.port) == (resolved.scheme, resolved.host, resolved.port)
        assert (again.query, again.fragment) == (resolved.query, resolved.fragment)
