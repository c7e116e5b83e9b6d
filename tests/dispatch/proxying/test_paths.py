import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pad19.dispatch.proxying.paths import ProxyPaths, parse_upstream
from pad19.protocol.client import Client
from pad19.protocol.failure import BadRequest, Failure, NotFound
from pad19.protocol.request import MAX_URI, Request, parse_request
from pad19.protocol.response import Redirect
from pad19.protocol.uri import URI, InvalidURI, parse, resolve

TO = "gemini://127.0.0.1:1966/"


def request(path: str, authority: str = "a.test") -> Request:
    return parse_request(f"gemini://{authority}{path}".encode(), Client("192.0.2.7", 50000))


def paths(prefix: str = "/astro/", to: str = TO, *, keep_host: bool = False) -> ProxyPaths:
    return ProxyPaths(prefix, parse_upstream(to), keep_host=keep_host)


# What ``to`` may be

UPSTREAMS = [
    ("gemini://127.0.0.1:1966/", "gemini://127.0.0.1:1966/"),
    ("gemini://127.0.0.1:1966", "gemini://127.0.0.1:1966/"),
    ("GEMINI://A.Test", "gemini://a.test/"),
    ("gemini://[::1]:1966/a/", "gemini://[::1]:1966/a/"),
    ("gemini://bücher.example/café/", "gemini://xn--bcher-kva.example/caf%C3%A9/"),
    ("gemini://a.test/.a/..b/", "gemini://a.test/.a/..b/"),
]


@pytest.mark.parametrize(("text", "uri"), UPSTREAMS)
def test_upstreams(text: str, uri: str) -> None:
    assert str(parse_upstream(text)) == uri


NO_UPSTREAMS = [
    ("", "begin with gemini"),
    ("127.0.0.1:1966", "be a URI, and"),
    ("//127.0.0.1:1966/", "begin with gemini"),
    ("/astro/", "begin with gemini"),
    ("gemini:/astro/", "begin with gemini"),
    ("https://a.test/", "begin with gemini"),
    ("titan://a.test/", "begin with gemini"),
    ("gemini:///", "be a URI, and the host is missing"),
    ("gemini://a.test:0/", "be a URI, and the port is out of range"),
    ("gemini://me@a.test/", "have no userinfo, query or fragment"),
    ("gemini://a.test/?", "have no userinfo, query or fragment"),
    ("gemini://a.test/#x", "have no userinfo, query or fragment"),
    ("gemini://a.test/a", "end with a slash"),
    ("gemini://a.test/a/../", "have no dot segments"),
    ("gemini://a.test/%2e%2E/", "have no dot segments"),
    ("gemini://a.test/./", "have no dot segments"),
    ("gemini://a.test/%ff/", "be a URI, and percent-encoded octets that are not UTF-8"),
    ("gemini://a.test/a b/", "be a URI, and ' ' is not allowed"),
]


@pytest.mark.parametrize(("text", "message"), NO_UPSTREAMS)
def test_no_upstreams(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        parse_upstream(text)


@pytest.mark.parametrize("prefix", ["", "astro/", "/astro", "astro"])
def test_no_prefixes(prefix: str) -> None:
    with pytest.raises(ValueError, match="must begin and end with a slash"):
        paths(prefix)


# There

FORWARD = [  # prefix, to, what is asked for here, and there
    ("/astro/", TO, "/astro/", TO),
    ("/astro/", TO, "/astro/log/1.gmi", f"{TO}log/1.gmi"),
    ("/astro/", TO, "/astro/log/", f"{TO}log/"),
    ("/astro/", TO, "/astro/?", f"{TO}?"),
    ("/astro/", TO, "/astro/find?a%20b&c=%2f/..?", f"{TO}find?a%20b&c=%2f/..?"),
    ("/astro/", TO, "/astro/%41%2f%2F%7e+;x=1,2@:", f"{TO}%41%2f%2F%7e+;x=1,2@:"),
    ("/astro/", TO, "/astro/café", f"{TO}caf%C3%A9"),
    ("/astro/", TO, "/astro//a//", f"{TO}/a//"),
    ("/astro/", TO, "/astro/astro/", f"{TO}astro/"),
    ("/astro/", TO, "/%61str%6F/a", f"{TO}a"),  # the same name
    ("/astro/", TO, "/astro/a/../b", f"{TO}b"),
    ("/astro/", TO, "/astro/a/./%2e/b/.%2E/%41", f"{TO}a/%41"),
    ("/astro/", TO, "/astro/a/..", TO),
    ("/astro/", TO, "/other/../astro/a", f"{TO}a"),
    ("/astro/", TO, "/astro/.a/..b/...", f"{TO}.a/..b/..."),
    ("/astro/", TO, "/astro/a..%2f..b", f"{TO}a..%2f..b"),
    ("/astro/", TO, "/astro/%252e%252e/", f"{TO}%252e%252e/"),
    ("/", TO, "", TO),
    ("/", TO, "/", TO),
    ("/", TO, "/a/b?c", f"{TO}a/b?c"),
    ("/a b/é/", "gemini://b.test/c%20d/", "/a%20b/%c3%a9/x", "gemini://b.test/c%20d/x"),
    ("/a/b/", "gemini://b.test:1965/", "/a/b/c", "gemini://b.test:1965/c"),
]


@pytest.mark.parametrize(("prefix", "to", "path", "uri"), FORWARD)
def test_forward(prefix: str, to: str, path: str, uri: str) -> None:
    assert str(paths(prefix, to).forward(request(path))) == uri


ELSEWHERE = [
    "/", "/other", "/astrolog/", "/Astro/", "/astro%2F", "/astro%2fa", "//astro/a", "/a/astro/",
    "/astro/../other", "/astro/..", "/astro/%2e%2e/other", "/astro/a/../../other",
    "/astro/..%2Fother", "/astro/%2e%2e%2fother", "/astro/a%2F..%2F..%2Fother", "/astro/..%5Cother",
    "/astro/a%5c..", "/astro/a%5c..%5c..%2fb/c", "/astro/a%2f../b",
]  # fmt: skip


@pytest.mark.parametrize("path", ELSEWHERE)
def test_elsewhere(path: str) -> None:
    with pytest.raises(NotFound):
        paths().forward(request(path))


@given(st.text("/.%2eEfF5cCab\\", max_size=24))
def test_nothing_leaves_the_folder(path: str) -> None:
    """Also not by way of servers that decode too early, or take a backslash for a separator."""
    try:
        found = paths(to="gemini://b.test/folder/").forward(request(f"/astro/{path}"))
    except Failure:
        return
    assert isinstance(found, URI)
    assert found.path.startswith("/folder/")
    decoded = request(
        found.path.replace("%2F", "/").replace("%2f", "/").replace("%5C", "/").replace("%5c", "/")
    )
    assert decoded.path.startswith("/folder/")


SLASHES = [("/astro", "/astro/"), ("/astro?a%20b", "/astro/?a%20b"), ("/x/../%61stro", "/astro/")]


@pytest.mark.parametrize(("path", "target"), SLASHES)
def test_missing_slash(path: str, target: str) -> None:
    assert paths().forward(request(path)) == Redirect(target, permanent=True)


def test_missing_slash_of_an_encoded_name() -> None:
    assert paths("/é x/").forward(request("/é%20x")) == Redirect("/%C3%A9%20x/", permanent=True)


KEPT = [  # authority of the visitor's URI, and of ours
    ("a.test", "a.test"),
    ("A.Test:1965", "a.test"),
    ("a.test:1970", "a.test:1970"),
    ("[::1]", "[::1]"),
]


@pytest.mark.parametrize(("visited", "asked"), KEPT)
def test_the_visitors_host(visited: str, asked: str) -> None:
    uri = paths("/astro/", "gemini://127.0.0.1:1966/b/", keep_host=True).forward(
        request("/astro/c?d", visited)
    )
    assert str(uri) == f"gemini://{asked}/b/c?d"


def test_length() -> None:
    fits = "x" * (MAX_URI - len(TO))
    found = paths("/").forward(request(f"/{fits}", "b"))
    assert len(str(found)) == MAX_URI
    with pytest.raises(BadRequest, match="too long once it is passed on"):
        paths("/").forward(request(f"/{fits}x", "b"))


def test_length_of_the_redirect() -> None:
    with pytest.raises(BadRequest, match="too long once it is passed on"):
        paths(f"/{'é' * 200}/").forward(request(f"/{'é' * 200}"))


# And back

B = "gemini://b.test:1966/base/"
BACK = [  # what was asked for below /astro/, the upstream's target, what the visitor gets
    ("a", "b", "/astro/b"),
    ("a/b?c", "d/", "/astro/a/d/"),
    ("a/b?c", "../d?e#f", "/astro/d?e#f"),
    ("a/b?c", "?d", "/astro/a/b?d"),
    ("a/b", "/base/c%2Fd", "/astro/c%2Fd"),
    ("a", "/b%61se/c", "/astro/c"),
    ("a", "//b.test:1966/base/c", "/astro/c"),
    ("a", "gemini://B.test:1966/base/c?", "/astro/c?"),
    ("a", "GEMINI://b.test:1966/base/", "/astro/"),
    ("a", "gemini://b.test:1966/base/c/../d", "/astro/d"),
    ("a", "/base//c", "/astro//c"),
    # Elsewhere on the upstream, where no prefix leads
    ("a", "/", "gemini://b.test:1966/"),
    ("a", "/base", "gemini://b.test:1966/base"),
    ("a", "../..", "gemini://b.test:1966/"),
    ("a", "/base/%2e%2e/c", "gemini://b.test:1966/base/%2e%2e/c"),
    ("a", "gemini://b.test:1966", "gemini://b.test:1966"),
    # Elsewhere
    ("a", "gemini://b.test/base/c", "gemini://b.test/base/c"),
    ("a", "gemini://c.test/Ä?x", "gemini://c.test/Ä?x"),
    ("a", "gemini://me@b.test:1966/base/c", "gemini://me@b.test:1966/base/c"),
    ("a", "titan://b.test:1966/base/c", "titan://b.test:1966/base/c"),
    ("a", "https://b.test:1966/base/c", "https://b.test:1966/base/c"),
    ("a", "mailto:ada@b.test", "mailto:ada@b.test"),
]


@pytest.mark.parametrize(("path", "target", "expected"), BACK)
def test_back(path: str, target: str, expected: str) -> None:
    assert paths(to=B).back(parse(f"{B}{path}"), target) == expected


def test_back_to_the_default_port() -> None:
    there = paths(to="gemini://b.test/")
    assert there.back(parse("gemini://b.test/a"), "gemini://b.test:1965/c") == "/astro/c"


def test_back_to_the_root() -> None:
    """Two slashes would begin a host."""
    target = paths("/").back(parse(f"{TO}a"), "//127.0.0.1:1966//c.test/d")
    assert target == "/.//c.test/d"
    assert str(resolve(parse("gemini://a.test/x"), parse(target))) == "gemini://a.test//c.test/d"


def test_back_to_the_visitors_host() -> None:
    there = paths(keep_host=True)
    asked = there.forward(request("/astro/a"))
    assert isinstance(asked, URI)
    assert there.back(asked, "gemini://a.test/b") == "/astro/b"
    assert there.back(asked, "gemini://127.0.0.1:1966/b") == "gemini://127.0.0.1:1966/b"


@pytest.mark.parametrize("target", ["a b", "gemini://", "%zz", "gemini://a.test:99999/", ":x"])
def test_no_targets(target: str) -> None:
    with pytest.raises(InvalidURI):
        paths().back(parse(TO), target)


def test_prefix_is_kept_by_a_round_trip() -> None:
    """What a visitor is sent to leads to what the upstream meant."""
    there = paths("/a b/", B)
    target = there.back(parse(f"{B}x"), "y%2Fz?q")
    assert str(there.forward(request(target))) == f"{B}y%2Fz?q"
