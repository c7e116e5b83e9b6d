import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from pad19.content.body import FileBody
from pad19.content.mimetype import MimeTypes
from pad19.protocol.client import Client
from pad19.protocol.failure import Gone, NotFound
from pad19.protocol.gemtext import Gemtext
from pad19.protocol.request import Request, parse_request
from pad19.protocol.response import BrokenBody, Input, Redirect, Reply, Response, SensitiveInput, Success
from pad19.protocol.status import Status
from pad19.routes.results import Results, close, page_type
from pad19.routes.streams import Streamed, stream

REQUEST = parse_request(b"gemini://a.test/", Client())


async def serve_file(path: Path, request: Request) -> Response:
    assert request is REQUEST
    if path.name == "lost":
        raise NotFound
    return Success(str(path).encode(), "text/plain")


async def convert(result: object, *, files: bool = True, page_type: str = "text/gemini") -> Response:
    results = Results(trio.CapacityLimiter(1), serve_file if files else None, page_type)
    return await results.to_response("route /x, mine.x", result, REQUEST)


AS_THEY_ARE: list[Response] = [
    Success(b"x", "image/png"),
    Input("?"),
    SensitiveInput("?"),
    Redirect("/café"),
    Redirect("../", permanent=True),
    Reply(Status.SLOW_DOWN, "5"),
]
RESULTS: list[tuple[object, Response]] = [
    *zip(AS_THEY_ARE, AS_THEY_ARE, strict=True),
    ("", Success(b"")),
    ("# Café\n", Success("# Café\n".encode())),
    (Gemtext().heading("x"), Success(b"# x\n")),
    (Path("a/b"), Success(b"a/b", "text/plain")),
]


@pytest.mark.parametrize(("result", "response"), RESULTS)
async def test_a_result(result: object, response: Response) -> None:
    assert await convert(result) == response


async def text_chunks() -> AsyncIterator[str]:
    yield "é"
    yield ""
    yield "n"


async def byte_chunks() -> AsyncIterator[bytes]:
    yield b"\xff"
    yield b"n"


def lines() -> Iterator[str]:
    yield "é"
    yield "n"


async def nothing() -> AsyncIterator[str]:
    for text in "":
        yield text


class Iterable:
    """Has no aclose, as its generator has."""

    def __aiter__(self) -> AsyncIterator[str]:
        return text_chunks()


STREAMS: list[tuple[Any, bytes, str]] = [
    (text_chunks, "én".encode(), "text/gemini"),
    (byte_chunks, b"\xffn", "text/gemini"),
    (lines, "én".encode(), "text/gemini"),
    (nothing, b"", "text/gemini"),
    (Iterable, "én".encode(), "text/gemini"),
    (lambda: iter([b"a", "b", memoryview(b"c")]), b"abc", "text/gemini"),
    (lambda: Success(stream(text_chunks()), "text/csv"), "én".encode(), "text/csv"),
    (lambda: Success(stream(lines()), "text/csv"), "én".encode(), "text/csv"),
    (lambda: Success(byte_chunks(), "audio/ogg"), b"\xffn", "audio/ogg"),  # type: ignore[arg-type]  # works as well
    (lambda: Success(text_chunks(), "text/csv"), "én".encode(), "text/csv"),  # type: ignore[arg-type]  # as above
    (lambda: Success(lines(), "text/csv"), "én".encode(), "text/csv"),  # type: ignore[arg-type]  # as above
    (lambda: Reply(Status.SUCCESS, "text/csv", stream(lines())), "én".encode(), "text/csv"),
]


IN_A_LANGUAGE: list[tuple[Any, str]] = [  # what is made, its type
    (lambda: "", "text/gemini; lang=en"),
    (lambda: Gemtext(), "text/gemini; lang=en"),
    (text_chunks, "text/gemini; lang=en"),
    (lines, "text/gemini; lang=en"),
    (lambda: Success(b""), "text/gemini"),
    (lambda: Success(b"", "text/gemini; lang=de"), "text/gemini; lang=de"),
    (lambda: Success(stream(lines()), "text/csv"), "text/csv"),
    (lambda: Path("a"), "text/plain"),
]


@pytest.mark.parametrize(("make", "mimetype"), IN_A_LANGUAGE)
async def test_pages_have_the_language_unless_the_route_says_their_type(make: Any, mimetype: str) -> None:
    response = await convert(make(), page_type="text/gemini; lang=en")
    assert response.meta == mimetype
    await close(response.body)


@pytest.mark.parametrize(
    ("lang", "mimetype"),
    [
        (None, "text/gemini"),
        ("en", "text/gemini; lang=en"),
        ("de-CH", "text/gemini; lang=de-CH"),
        ("de, fr-CA", 'text/gemini; lang="de,fr-CA"'),
    ],
)
def test_the_type_of_pages_is_that_of_files(lang: str | None, mimetype: str) -> None:
    assert page_type(lang) == MimeTypes(lang=lang).of("page.gmi") == mimetype


@pytest.mark.parametrize(("make", "body", "mimetype"), STREAMS)
async def test_a_stream(make: Any, body: bytes, mimetype: str) -> None:
    response = await convert(make())
    assert (response.status, response.meta) == (20, mimetype)
    assert isinstance(response.body, Streamed)
    assert b"".join([bytes(chunk) async for chunk in response.body]) == body
    await close(response.body)


async def test_a_stream_of_the_server_stays_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")
    body = FileBody(os.open(tmp_path / "x", os.O_RDONLY), 1)
    response = await convert(Success(body))
    assert response.body is body
    with pytest.raises(ValueError, match="not a MIME type"):
        await convert(Success(body, "text"))
    other = FileBody(os.open(tmp_path / "x", os.O_RDONLY), 1)
    with pytest.raises(TypeError, match="make it str"):
        await convert(Success(other, None))  # type: ignore[arg-type]  # on purpose
    with pytest.raises(BrokenBody, match="Bad file descriptor"):
        await anext(other)
    with pytest.raises(BrokenBody, match="Bad file descriptor"):
        await anext(body)  # it was closed


WRONG = [
    (None, "route /x, mine.x returned None: is a return missing? return str, Gemtext, "),
    (42, "route /x, mine.x returned 42: "),
    (["a", "b"], "route /x, mine.x returned ['a', 'b']: "),
    (b"x" * 1000, "route /x, mine.x returned b'xxxxx"),
    (("text/plain", "x"), "route /x, mine.x returned ('text/plain', 'x'): "),
    (NotFound, "route /x, mine.x returned <class 'pad19...ure.NotFound'>: raise it"),
    (NotFound(), "route /x, mine.x returned NotFound(): raise it"),
    (type, "route /x, mine.x returned <class 'type'>: return str, "),
    (Success("text", "text/plain"), "route /x, mine.x returned Success with a body of the type str: "),  # type: ignore[arg-type]  # on purpose
    (Success(None), "route /x, mine.x returned Success with a body of the type NoneType: "),  # type: ignore[arg-type]  # on purpose
    (Success(b"", None), "route /x, mine.x returned Success with None for its header: make it str"),  # type: ignore[arg-type]  # on purpose
    (Input(7), "route /x, mine.x returned Input with 7 for its header: make it str"),  # type: ignore[arg-type]  # on purpose
    (Redirect(Path("/")), "route /x, mine.x returned Redirect with PosixPath('/') for its header: "),  # type: ignore[arg-type]  # on purpose
]


@pytest.mark.parametrize(("result", "message"), WRONG)
async def test_no_result(result: object, message: str) -> None:
    with pytest.raises(TypeError) as refusal:
        await convert(result)
    assert str(refusal.value).startswith(message)
    assert len(str(refusal.value)) < 250


async def test_a_path_without_files() -> None:
    with pytest.raises(TypeError, match=r"returned a Path, but it is mounted without a folder of files$"):
        await convert(Path("x"), files=False)


async def test_a_path_to_nothing() -> None:
    with pytest.raises(NotFound):
        await convert(Path("lost"))


NO_HEADER = [
    Success(b"", "text"),
    Success(b"", "text/plain\r\n"),
    Redirect("a b"),
    Redirect(""),
    Redirect("x" * 1025),
]


@pytest.mark.parametrize("response", NO_HEADER)
async def test_what_can_be_in_no_header_is_the_routes_mistake(response: Response) -> None:
    with pytest.raises(ValueError, match=r"MIME type|redirect target"):
        await convert(response)


async def test_a_lone_surrogate_is_no_text() -> None:
    with pytest.raises(UnicodeEncodeError):
        await convert("\udcff")


async def fails_first() -> AsyncIterator[str]:
    raise Gone("moved out")
    yield ""


def fails_first_in_thread() -> Iterator[str]:
    raise Gone("moved out")
    yield ""


@pytest.mark.parametrize("make", [fails_first, fails_first_in_thread])
async def test_a_failure_before_the_first_chunk_is_an_answer(make: Any) -> None:
    with pytest.raises(Gone, match="moved out"):
        await convert(make())


async def test_a_wrong_first_chunk_names_the_route() -> None:
    with pytest.raises(TypeError, match=r"^route /x, mine.x streamed 1: yield str or bytes$"):
        await convert(iter([1]))
