"""Uploads to routes and programs."""

import logging
import math
import re
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from pad19.protocol.client import Client
from pad19.protocol.failure import BadRequest, CGIError, Failure, NotFound
from pad19.protocol.request import Request, TitanRequest, parse_request
from pad19.protocol.response import Redirect, Response, Success
from pad19.routes.cgi.environment import Gateway
from pad19.routes.cgi.handler import CGI
from pad19.routes.interface import RouteError
from pad19.routes.mounting import Mounted
from pad19.routes.table import Routes
from pad19.testing import identity
from support.scripts import SH, running, write_script
from support.uploads import body_of, edit, upload

ADA = Client("192.0.2.1", certificate=identity("Ada"))


async def files(request: Request) -> Response:
    """Stands for uploads into files."""
    if request.path.startswith("/files/"):
        return Success(b"file")
    raise NotFound


routes = Routes()


@routes.titan("/page/{name}", max_size=10)
async def save(request: TitanRequest, name: str) -> Redirect | str:
    text = (await request.upload.read()).decode()
    if not text:
        return f"deleted {name}"
    return Redirect(f"gemini://{request.host}/page/{name}?{request.upload.mime},{len(text)}")


@routes.titan("/page/{name}", edit=True)
async def source(request: Request, name: str) -> str:
    return f"the source of {name}"


@routes.gemini("/page/{name}")
async def page(request: Request, name: str) -> str:
    return f"the page {name}"


@routes.titan("/members/{number:int}", certificate=True)
async def chunks(request: Request, number: int) -> str:
    assert request.upload
    count = 0
    async for _ in request.upload:
        count += 1
    return f"{count} chunks of {request.upload.size} bytes, {request.settings['title']}"


@routes.gemini("/read-only")
async def read_only(request: Request) -> str:
    return "read"


MOUNTED = Mounted(routes, files, settings={"title": "a capsule"})


async def answer(request: Request, mounted: Mounted = MOUNTED) -> str:
    try:
        response = await mounted(request)
    except Failure as failure:
        return f"{failure.status:d} {failure}"
    return f"{response.status:d} {(await body_of(response)).decode() or response.meta}"


ANSWERS = [  # request, answer
    (upload("/page/tea", b"he", b"llo", mime="text/plain"), "30 gemini://localhost/page/tea?text/plain,5"),
    (upload("/page/tea", b"x" * 10), "30 gemini://localhost/page/tea?text/gemini,10"),
    (upload("/page/tea", b"x" * 11), "59 at most 10 bytes may be uploaded here"),
    (upload("/page/tea"), "20 deleted tea"),
    (edit("/page/tea"), "20 the source of tea"),
    (upload("/members/7", b"a", b"b", client=ADA), "20 2 chunks of 2 bytes, a capsule"),
    (upload("/members/7", b"a"), "60 this page needs a client certificate"),
    (edit("/members/7", ADA), "50 this can be uploaded, but not edited"),
    (upload("/members/x", b"a", client=ADA), "51 not found"),
    (upload("/files/a", b"a"), "20 file"),
    (edit("/files/a"), "20 file"),
    (upload("/read-only", b"a"), "51 not found"),
    (upload("/page/tea/", b"a"), "51 not found"),  # uploads are not redirected
    (upload("/page/tea", b"he", BadRequest("the upload ended early"), size=5), "59 the upload ended early"),
    (parse_request(b"gemini://localhost/page/tea", ADA), "20 the page tea"),
    (parse_request(b"gemini://localhost/members/7", ADA), "51 not found"),
]


@pytest.mark.parametrize(("request_", "expected"), ANSWERS)
async def test_answers(request_: Request, expected: str) -> None:
    if request_.upload:  # it is read once, and rows may run twice
        request_ = replace(request_, upload=replace(request_.upload))
    assert await answer(request_) == expected


def test_what_takes_uploads() -> None:
    assert MOUNTED.takes_uploads
    only = Routes()
    only.gemini("/")(page_without_captures)
    assert not Mounted(only).takes_uploads


async def page_without_captures(request: Request) -> str:
    return ""


def no_coroutine(request: Request) -> str:
    return ""


DECLARED_WRONG: list[tuple[str, dict[str, Any], Any, str]] = [
    ("x", {}, page_without_captures, "the pattern must begin with a slash$"),
    ("/", {"max_size": 0}, page_without_captures, ": max_size must be a whole number of bytes, at least 1$"),
    ("/", {"rate": "1"}, page_without_captures, ": rate must be a number, a slash and a time "),
    ("/{x}", {}, page_without_captures, r" cannot be called with \(request, x=\.\.\.\): "),
    ("/", {}, no_coroutine, " must be async def: uploads are awaited$"),
]


@pytest.mark.parametrize(("pattern", "options", "function", "message"), DECLARED_WRONG)
def test_a_mistake_names_the_route(
    pattern: str, options: dict[str, Any], function: Any, message: str
) -> None:
    name = re.escape(function.__name__)
    with pytest.raises(RouteError, match=rf"^route {re.escape(pattern)}, .*{name} .*{message}"):
        Routes().titan(pattern, **options)(function)


def test_the_same_path_twice() -> None:
    twice = Routes()
    twice.titan("/a")(page_without_captures)
    twice.titan("/a", edit=True)(page_without_captures)  # which is something else
    Mounted(twice)
    twice.titan("/a")(page_without_captures)
    with pytest.raises(RouteError, match="cannot be told apart"):
        Mounted(twice)


# Time


class Slow:
    """A body that takes its time."""

    def __init__(self, seconds: float, count: int) -> None:
        self.seconds = seconds
        self.count = count

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self.count:
            raise StopAsyncIteration
        self.count -= 1
        await trio.sleep(self.seconds)
        return b"x"


@pytest.mark.parametrize(("works", "seconds"), [(4.0, 504.0), (6.0, None)])
async def test_a_route_has_its_time_besides_that_of_the_client(
    works: float, seconds: float | None, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    slow = Routes()

    @slow.titan("/", timeout=5)
    async def save(request: Request) -> str:
        assert request.upload
        await trio.sleep(works / 2)
        await request.upload.read()
        await trio.sleep(works / 2)
        return "done"

    request = upload("/", size=5)
    assert request.upload
    request = replace(request, upload=replace(request.upload, chunks=Slow(100, 5)))
    if seconds is None:
        with pytest.raises(CGIError, match=r"^the route took longer than 5 seconds$"):
            await Mounted(slow)(request)
        assert trio.current_time() == pytest.approx(505)
        assert [record.levelno for record in caplog.records] == [logging.WARNING]
    else:
        assert await answer(request, Mounted(slow)) == "20 done"
        assert trio.current_time() == pytest.approx(seconds)


async def test_a_route_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    broken = Routes()

    @broken.titan("/")
    async def save(request: Request) -> str:
        raise ValueError("an accident")

    request = upload("/", b"x", token="secret")
    with pytest.raises(CGIError, match=r"^internal error, id [0-9a-f]{8}$"):
        await Mounted(broken)(request)
    assert "secret" not in caplog.text


async def test_a_converter_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    broken = Routes()

    @broken.converter("bad")
    def convert(text: str) -> float:
        return math.sqrt(len(text) / 0)

    @broken.titan("/{x:bad}")
    async def save(request: Request, x: float) -> str:
        return ""

    with pytest.raises(CGIError):
        await Mounted(broken)(upload("/a", b"x"))
    assert "a converter failed" in caplog.text


# Programs

SHOW = f"""{SH}
printf '20 text/plain\\r\\n'
echo "$SERVER_PROTOCOL $REQUEST_METHOD $CONTENT_LENGTH $CONTENT_TYPE $TITAN_TOKEN $TITAN_EDIT"
echo "$TITAN_URL $TITAN_URL_PATH $GEMINI_URL $GEMINI_URL_PATH"
cat
"""


@pytest.fixture
async def program(tmp_path: Path) -> AsyncIterator[CGI]:
    write_script(tmp_path / "cgi-bin/show", SHOW)
    async with running() as programs:
        yield CGI("/cgi-bin/", tmp_path / "cgi-bin", Gateway(tmp_path / "content"), programs)


async def output(program: CGI, request: Request) -> list[str]:
    return (await body_of(await program(request))).decode().splitlines()


async def test_a_program_reads_an_upload(program: CGI) -> None:
    request = upload("/cgi-bin/show/a?q", b"he", b"llo\n", mime="text/plain", token="secret")
    assert await output(program, request) == [
        "TITAN PUT 6 text/plain secret ",
        "titan://localhost/cgi-bin/show/a?q /cgi-bin/show/a  ",
        "hello",
    ]


async def test_a_program_is_asked_to_delete(program: CGI) -> None:
    assert (await output(program, upload("/cgi-bin/show")))[0] == "TITAN PUT 0 text/gemini  "


async def test_a_program_is_asked_for_a_text(program: CGI) -> None:
    assert await output(program, edit("/cgi-bin/show")) == [
        "GEMINI GET 0   1",  # as GmCapsule has it
        "  gemini://localhost/cgi-bin/show /cgi-bin/show",
    ]


async def test_a_gemini_request_tells_nothing_of_uploads(program: CGI) -> None:
    request = parse_request(b"gemini://localhost/cgi-bin/show", ADA)
    assert await output(program, request) == [
        "GEMINI GET    ",
        "  gemini://localhost/cgi-bin/show /cgi-bin/show",
    ]


async def test_a_large_upload_to_a_program(tmp_path: Path) -> None:
    write_script(tmp_path / "cgi-bin/count", f"{SH}printf '20 text/plain\\r\\n'; wc -c; cat\n")
    async with running() as programs:
        program = CGI("/cgi-bin/", tmp_path / "cgi-bin", Gateway(tmp_path), programs)
        body = b"x" * 65536
        [count] = await output(program, upload("/cgi-bin/count", *[body] * 100))
    assert int(count) == len(body) * 100


async def test_a_program_is_not_run_for_half_an_upload(tmp_path: Path) -> None:
    write_script(tmp_path / "cgi-bin/touch", f"{SH}touch {tmp_path}/touched\n")
    async with running() as programs:
        program = CGI("/cgi-bin/", tmp_path / "cgi-bin", Gateway(tmp_path), programs)
        failure = BadRequest("the upload ended early")
        with pytest.raises(BadRequest):
            await program(upload("/cgi-bin/touch", b"half", failure, size=10))
    assert not (tmp_path / "touched").exists()


async def test_no_room_for_a_program_to_read(
    program: CGI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(Failure) as caught:
        await program(upload("/cgi-bin/show", b"x"))
    assert (caught.value.status, str(caught.value)) == (40, "it cannot be taken now")
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    monkeypatch.setattr(tempfile, "tempdir", None)

    class Full:
        def write(self, data: bytes) -> int:
            raise OSError(28, "No space left on device")

        def __enter__(self) -> "Full":
            return self

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr("pad19.routes.cgi.input._open", Full)
    with pytest.raises(Failure) as caught:
        await program(upload("/cgi-bin/show", b"x"))
    assert (caught.value.status, str(caught.value)) == (40, "there is no room for it now")
