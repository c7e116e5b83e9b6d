import pytest

from pad19.dispatch.prefixes import Prefixes
from pad19.dispatch.router import Handler
from pad19.protocol.client import Client
from pad19.protocol.failure import NotFound
from pad19.protocol.request import Request, parse_request
from pad19.protocol.response import Response, Success


def named(name: str) -> Handler:
    async def handler(_: Request) -> Response:
        return Success(name.encode())

    return handler


async def missing(_: Request) -> Response:
    raise NotFound


async def ask(prefixes: Prefixes, path: str) -> bytes:
    response = await prefixes(parse_request(f"gemini://localhost{path}".encode(), Client()))
    assert isinstance(response.body, bytes)
    return response.body


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/", b"files"),
        ("/a", b"a"),  # the slash that is missing is the handler's business
        ("/a/", b"a"),
        ("/a/x", b"a"),
        ("/a//b/", b"a"),
        ("/a/b", b"a/b"),
        ("/a/b/c", b"a/b"),
        ("/%61/b/c", b"a/b"),
        ("/x/../a/b", b"a/b"),
        ("/ab", b"files"),
        ("/A/", b"files"),
        ("//a/", b"files"),
        ("/a%2Fb/", b"files"),
        ("/b/", b"files"),
    ],
)
async def test_the_longest_prefix_answers(path: str, name: bytes) -> None:
    prefixes = Prefixes({"/a/": named("a"), "/a/b/": named("a/b")}, named("files"))
    assert await ask(prefixes, path) == name


async def test_what_is_missing_below_a_prefix_is_missing() -> None:
    with pytest.raises(NotFound):
        await ask(Prefixes({"/a/": missing}, named("files")), "/a/x")


async def test_below_the_root_files_are_asked_next() -> None:
    assert await ask(Prefixes({"/": missing}, named("files")), "/a/x") == b"files"
    assert await ask(Prefixes({"/": named("all")}, named("files")), "/a/x") == b"all"
