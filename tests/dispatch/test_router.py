import pytest

from pad19.dispatch.router import Router
from pad19.protocol.client import Client
from pad19.protocol.failure import ProxyRequestRefused
from pad19.protocol.request import Request, parse_request
from pad19.protocol.response import Response, Success


async def one(_: Request) -> Response:
    return Success(b"one")


async def two(_: Request) -> Response:
    return Success(b"two")


async def wild(_: Request) -> Response:
    return Success(b"wild")


ROUTER = Router({"one.test": one, "two.test": two, "*.two.test": wild, "[::1]": one, "xn--caf-dma.test": two})


def request(uri: str, server_name: str | None) -> Request:
    return parse_request(uri.encode(), Client(server_name=server_name))


@pytest.mark.parametrize(
    ("uri", "server_name", "handler"),
    [
        ("gemini://one.test/", "one.test", one),
        ("gemini://ONE.test", "one.test", one),
        ("gemini://one.test:1965/", "one.test", one),
        ("gemini://one.test/", None, one),  # no SNI: an old or simple client
        ("gemini://two.test/", "two.test", two),
        ("gemini://a.two.test/", "a.two.test", wild),
        ("gemini://[::1]/", None, one),
        ("gemini://[::1]/", "::1", one),  # wrong (RFC 6066), but it says the same
        ("gemini://[0::1]/", None, one),
        ("gemini://café.test/", "xn--caf-dma.test", two),
    ],
)
def test_finds(uri: str, server_name: str | None, handler: object) -> None:
    assert ROUTER.handler(request(uri, server_name), 1965) is handler


@pytest.mark.parametrize(
    ("uri", "server_name", "message"),
    [
        ("gemini://three.test/", "three.test", "host is not served"),
        ("gemini://three.test/", None, "host is not served"),
        ("gemini://test/", None, "host is not served"),
        ("gemini://a.b.two.test/", None, "host is not served"),  # a wildcard is one label
        ("gemini://.two.test/", None, None),
        ("gemini://one.test./", None, "host is not served"),
        ("gemini://one.test/", "two.test", "differ"),
        ("gemini://one.test/", "other.test", "differ"),
        ("gemini://one.test:1966/", "one.test", "port"),
        ("http://one.test/", "one.test", "http is not served"),
        ("titan://one.test/a;size=1", "one.test", "titan is not served"),
    ],
)
def test_refuses(uri: str, server_name: str | None, message: str | None) -> None:
    if message is None:
        with pytest.raises(Exception, match="host name"):
            request(uri, server_name)
        return
    with pytest.raises(ProxyRequestRefused, match=message):
        ROUTER.handler(request(uri, server_name), 1965)


@pytest.mark.parametrize("port", [1, 443, 1965, 65535])
def test_behind_a_forwarder_any_port_will_do(port: int) -> None:
    assert ROUTER.handler(request(f"gemini://one.test:{port}/", None), None) is one


TAKING = Router({"one.test": one, "two.test": two, "*.two.test": wild}, uploads=["one.test", "*.two.test"])


@pytest.mark.parametrize(
    ("uri", "handler"),
    [
        ("titan://one.test/a;size=1", one),
        ("TITAN://one.test/a;size=1", one),
        ("titan://a.two.test/a;size=1", wild),
        ("gemini://one.test/", one),
        ("gemini://two.test/", two),
    ],
)
def test_finds_who_takes_uploads(uri: str, handler: object) -> None:
    assert TAKING.handler(request(uri, None), 1965) is handler


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("titan://two.test/a;size=1", "titan is not served"),
        ("titan://three.test/a;size=1", "host is not served"),
        ("titan://one.test:1966/a;size=1", "port"),
        ("http://one.test/", "http is not served"),
    ],
)
def test_refuses_uploads(uri: str, message: str) -> None:
    with pytest.raises(ProxyRequestRefused, match=message):
        TAKING.handler(request(uri, None), 1965)
