"""Redirects as the client for tests follows them."""

import pytest

from pad19 import Redirect, Request, Routes
from pad19.testing import Answer, Client, SyncClient, identity

moving = Routes()


@moving.gemini("/to")
async def to(request: Request) -> Redirect:
    return Redirect(request.query or "")


@moving.gemini("/down/{left:int}")
async def down(request: Request, left: int) -> str | Redirect:
    return Redirect(f"{left - 1}") if left else "here"


@moving.gemini("/whom")
async def whom(request: Request) -> str:
    return f"{request.query!r} {request.client.certificate and request.client.certificate.common_name}"


HERE = Answer(20, "text/gemini", b"here")
FOLLOWED = [  # target, answer
    ("/down/0", HERE),
    ("/down/1", HERE),
    ("/down/5", HERE),
    ("/down/6", Answer(30, "0")),  # clients follow five
    ("/down/0/", HERE),
    ("gemini://a.test/down/1", HERE),  # another host, and it stays there
    ("gemini://a.test:1966/down/1", HERE),
    ("/to?gemini://localhost:1965/down/0", HERE),
    ("/to?//localhost/down/1", HERE),
    ("/to?down/0%23top", HERE),  # the client keeps the fragment
    ("/to?whom", Answer(20, "text/gemini", b"None Ada")),
    ("/to?whom%3Fx", Answer(20, "text/gemini", b"'x' Ada")),
    ("/to?/lost", Answer(51, "not found")),
    ("/to?gemini://a.test/down/0", Answer(30, "gemini://a.test/down/0")),
    ("/to?gemini://localhost:1966/down/0", Answer(30, "gemini://localhost:1966/down/0")),
    ("/to?https://localhost/down/0", Answer(30, "https://localhost/down/0")),
    ("/to?mailto:ada@a.test", Answer(30, "mailto:ada@a.test")),
    ("/lost", Answer(51, "not found")),
    ("nowhere", Answer(59, "the scheme is missing")),
]


@pytest.mark.parametrize(("target", "answer"), FOLLOWED)
async def test_redirects_are_followed(target: str, answer: Answer) -> None:
    client = Client(moving, hosts=["a.test"], certificate=identity("Ada"))
    assert await client.get(target, follow=True) == answer


async def test_redirects_are_not_followed_unless_the_test_says_so() -> None:
    assert await Client(moving).get("/down/1") == Answer(30, "0")


def test_redirects_without_async() -> None:
    with SyncClient(moving) as client:
        assert client.get("/to", "/whom?x", follow=True, certificate=identity("Bob")).text == "'x' Bob"
        assert client.get("/down/1").status == 30
