"""Uploads of the client for tests."""

from pathlib import Path
from typing import Any

import pytest

from pad19 import Redirect, Request, Routes
from pad19.testing import Answer, Client, SyncClient, identity

taking = Routes()


@taking.titan("/page/{name}", max_size=200_000)
async def save(request: Request, name: str) -> Redirect | str:
    upload = request.upload
    assert upload
    pieces = [piece async for piece in upload]
    if not upload.size:
        return Redirect(f"gemini://{request.host}:{request.port}/gone")
    kept = [len(pieces), b"".join(pieces)[:9], upload.size, upload.mime, upload.token, request.query]
    return f"{name} {kept} {request.client.certificate and request.client.certificate.common_name}"


@taking.titan("/page/{name}", edit=True)
async def source(request: Request, name: str) -> str:
    return f"the source of {name} for {request.client.certificate and request.client.certificate.common_name}"


@taking.titan("/relative")
async def relative(request: Request) -> Redirect:
    return Redirect("page/tea")


@taking.gemini("/gone")
async def nothing_there(request: Request) -> str:
    return f"{request.scheme} {request.upload}"


def page(text: str) -> Answer:
    return Answer(20, "text/gemini", text.encode())


UPLOADS: list[tuple[str, bytes | str, dict[str, Any], Answer]] = [  # target, body, more, answer
    ("/page/tea", "é", {}, page("tea [1, b'\\xc3\\xa9', 2, 'text/gemini', None, None] Ada")),
    ("/page/a%20b?q", b"x", {}, page("a b [1, b'x', 1, 'text/gemini', None, 'q'] Ada")),
    (
        "titan://localhost/page/tea",
        b"x" * 200_000,
        {},
        page("tea [4, b'xxxxxxxxx', 200000, 'text/gemini', None, None] Ada"),
    ),
    (
        "gemini://localhost/page/tea",
        b"x",
        {"mime": "text/plain; charset=utf-8", "token": "a;b=c"},
        page("tea [1, b'x', 1, 'text/plain; charset=utf-8', 'a;b=c', None] Ada"),
    ),
    ("/page/tea", "", {}, Answer(30, "gemini://localhost:1965/gone")),
    ("/page/tea", b"x" * 200_001, {}, Answer(59, "at most 200000 bytes may be uploaded here")),
    ("/page/tea", b"x", {"mime": "text"}, Answer(59, "mime is not a MIME type")),
    ("/page/tea;size=1", b"x", {}, Answer(59, "size is there twice")),
    ("/gone", b"x", {}, Answer(50, "nobody may upload here")),
    ("/lost", b"x", {}, Answer(50, "nobody may upload here")),
    ("nowhere", b"x", {}, Answer(59, "the scheme is missing")),
]


@pytest.mark.parametrize(("target", "body", "more", "answer"), UPLOADS)
async def test_an_upload(target: str, body: bytes | str, more: dict[str, Any], answer: Answer) -> None:
    client = Client(taking, certificate=identity("Ada"))
    assert await client.titan(target, body, **more) == answer


EDITS = [  # target, answer
    ("/page/tea", page("the source of tea for Bob")),
    ("gemini://localhost/page/tea", page("the source of tea for Bob")),
    ("/relative", Answer(50, "this can be uploaded, but not edited")),
    ("/gone", Answer(50, "nobody may upload here")),
    ("nowhere", Answer(59, "the scheme is missing")),
]


@pytest.mark.parametrize(("target", "answer"), EDITS)
async def test_a_text_to_edit(target: str, answer: Answer) -> None:
    assert await Client(taking).edit(target, certificate=identity("Bob")) == answer


async def test_what_is_asked_for_by_titan_has_a_size() -> None:
    assert await Client(taking).get("titan://localhost/page/tea") == Answer(59, "the size is missing")


async def test_redirects_after_an_upload() -> None:
    client = Client(taking)
    assert await client.titan("/page/tea", "", follow=True) == page("gemini None")
    # It leads to titan://, as it would for a client.
    assert await client.titan("/relative", "x", follow=True) == Answer(30, "page/tea")


def test_uploads_without_async() -> None:
    with SyncClient(taking) as client:
        for target, body, more, answer in UPLOADS[4:]:
            assert client.titan(target, body, certificate=identity("Ada"), **more) == answer
        for target, answer in EDITS:
            assert client.edit(target, certificate=identity("Bob")) == answer
        assert client.titan("/page/tea", b"", follow=True).text == "gemini None"
    with pytest.raises(RuntimeError, match="works within with"):
        client.titan("/page/tea", b"x")
    with pytest.raises(RuntimeError, match="works within with"):
        client.edit("/page/tea")


async def test_nobody_uploads_files(tmp_path: Path) -> None:
    (tmp_path / "a.gmi").write_text("x")
    client = Client(taking, files=tmp_path)
    assert await client.titan("/a.gmi", "y") == Answer(50, "nobody may upload here")
    assert await client.edit("/a.gmi") == Answer(50, "nobody may upload here")
    assert (await client.get("/a.gmi")).text == "x"


async def test_a_server_may_take_no_uploads() -> None:
    client = Client(taking, titan=False)
    assert await client.titan("/page/tea", "x") == Answer(53, "titan is not served here")
    assert await client.edit("/page/tea") == Answer(53, "titan is not served here")
