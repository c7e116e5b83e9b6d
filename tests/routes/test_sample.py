"""A route file as its author would write it. mypy checks it too: see the lines that it must refuse."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any, assert_type

import pytest

from pad19 import (
    CallNext,
    Capsule,
    Gemtext,
    Gone,
    Input,
    NotFound,
    Redirect,
    Request,
    Response,
    Routes,
    SensitiveInput,
    Success,
    TitanRequest,
    Upload,
    stream,
)
from pad19.testing import Client, SyncClient, identity

routes = Routes()
entries: list[str] = []


@routes.lifespan
async def open_book(capsule: Capsule) -> AsyncIterator[None]:
    entries.append(f"Welcome to {capsule.settings['title']}")
    yield
    entries.clear()


@routes.background
async def grow_old(capsule: Capsule) -> None: ...


@routes.around
async def no_shouting(request: Request, call_next: CallNext) -> Response:
    assert_type(call_next, Callable[[Request], Awaitable[Response]])
    if request.query is not None and request.query.isupper():
        return Input("Your name, in lower case letters?")
    return await call_next(request)


@routes.gemini("/")
async def book(request: Request) -> Gemtext:
    page = Gemtext().heading(request.settings["title"]).link("sign", "Sign it")
    for entry in entries:
        page.quote(entry)
    return page


@routes.gemini("/sign", rate="5/1m", timeout=10)
async def sign(request: Request) -> Input | Redirect:
    if request.query is None:
        return Input("Your name?")
    if not request.query:
        return Input("Your name, really?")
    entries.append(request.query)
    return Redirect("./")


@routes.gemini("/entry/{number:int}")
async def entry(request: Request, number: int) -> str:
    if number >= len(entries):
        raise NotFound("no such entry")
    return entries[number]


@routes.converter("date")
def to_date(text: str) -> date:
    return date.fromisoformat(text)


@routes.gemini("/day/{day:date}")
def one_day(request: Request, day: date) -> str:
    return f"# {day:%d %B %Y}\n"


@routes.gemini("/count")
async def count(request: Request) -> AsyncIterator[str]:
    for number in range(3):
        yield f"{number}\n"


@routes.gemini("/count-in-thread")
def count_in_thread(request: Request) -> Iterator[bytes]:
    for number in range(3):
        yield b"%d\n" % number


@routes.gemini("/table")
def table(request: Request) -> Success:
    return Success(stream(count_in_thread(request)), "text/csv")


@routes.gemini("/photo/{name}")
def photo(request: Request, name: str) -> Path:
    return Path("photos", name)


@routes.gemini("/secret", certificate=True)
async def secret(request: Request) -> SensitiveInput | str:
    return SensitiveInput("Password?") if request.query is None else "42"


@routes.gemini("/old", allow={identity("Ada").fingerprint})
async def old(request: Request) -> str:
    raise Gone


@routes.titan("/entry/{number:int}", max_size=1000)
async def change(request: TitanRequest, number: int) -> Redirect:
    assert_type(request.upload, Upload)
    entries[number] = (await request.upload.read()).decode()
    return Redirect(f"gemini://{request.host}/entry/{number}")


@routes.gemini("/source/{number:int}")
@routes.titan("/entry/{number:int}", edit=True)
async def source(request: Request, number: int) -> str:
    assert_type(request.upload, Upload | None)
    return entries[number]


async def declared_functions_keep_their_types() -> None:
    assert_type(await source(make_request(), number=1), str)
    await change(make_request(), number=1)  # type: ignore[arg-type]  # it needs an upload
    assert_type(await entry(make_request(), number=1), str)
    assert_type(one_day(make_request(), date.today()), str)
    assert_type(to_date(""), date)
    await entry(make_request(), number="1")  # type: ignore[arg-type]  # and are still checked
    assert_type(make_request().settings["title"], Any)
    assert_type(make_request().query, str | None)


def make_request() -> Request:
    raise NotImplementedError  # nothing above runs


def mypy_refuses() -> None:
    refused = Routes()

    @refused.gemini("/number")  # type: ignore[type-var]  # an int is no page
    async def number(request: Request) -> int:
        return 1

    @refused.gemini("/bytes")  # type: ignore[type-var]  # of which type?
    def untyped(request: Request) -> bytes:
        return b""

    @refused.gemini("/list")  # type: ignore[type-var]
    async def lines(request: Request) -> list[str]:
        return []

    @refused.gemini("/nothing")  # type: ignore[type-var]  # what of the request?
    async def nothing() -> str:
        return ""

    @refused.gemini("/text")  # type: ignore[type-var]  # a Request comes first
    async def text(request: str) -> str:
        return ""

    @refused.gemini("/upload")  # type: ignore[type-var]  # there will be none
    async def save(request: TitanRequest) -> str:
        return ""

    @refused.titan("/thread")  # type: ignore[type-var]  # uploads are awaited
    def save_in_thread(request: TitanRequest) -> str:
        return ""

    @refused.around  # type: ignore[type-var]  # no "return await"
    async def forgetful(request: Request, call_next: CallNext) -> None:
        await call_next(request)

    @refused.lifespan  # type: ignore[type-var]  # lives for no time
    async def short(capsule: Capsule) -> None: ...

    refused.gemini("/x", certificate="yes")  # type: ignore[arg-type]


async def test_the_sample_answers(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.txt").write_text("Meow\n")
    settings = {"title": "My book"}
    async with Client(routes, prefix="/guestbook", settings=settings, files=tmp_path) as client:
        assert (await client.get("/guestbook")).meta == "/guestbook/"
        assert (await client.get("/guestbook/sign")).status == 10
        assert (await client.get("/guestbook/sign?")).meta == "Your name, really?"
        assert (await client.get("/guestbook/sign", "ADA")).meta == "Your name, in lower case letters?"
        assert (await client.get("/guestbook/sign", "Ada & Co")).meta == "./"
        page = await client.get("/guestbook/")
        assert page.text == "# My book\n=> sign Sign it\n> Welcome to My book\n> Ada & Co\n"
        assert (await client.get("/guestbook/entry/1")).text == "Ada & Co"
        assert (await client.get("/guestbook/entry/2")).meta == "no such entry"
        assert (await client.edit("/guestbook/entry/1")).text == "Ada & Co"
        changed = await client.titan("/guestbook/entry/1", "Ada & Sons")
        assert (changed.meta, entries[1]) == ("gemini://localhost/entry/1", "Ada & Sons")
        assert (await client.get("/guestbook/entry/x")).status == 51
        assert (await client.get("/guestbook/day/2026-11-23")).text == "# 23 November 2026\n"
        assert (await client.get("/guestbook/day/2026-11-31")).status == 51
        for path in ("count", "count-in-thread", "table"):
            assert (await client.get(f"/guestbook/{path}")).text == "0\n1\n2\n"
        assert (await client.get("/guestbook/table")).meta == "text/csv"
        photo = await client.get("/guestbook/photo/cat.txt")
        assert (photo.text, photo.meta) == ("Meow\n", "text/plain")
        assert (await client.get("/guestbook/secret")).status == 60
        assert (await client.get("/guestbook/secret", certificate=identity("Bob"))).status == 11
        assert (await client.get("/guestbook/old", certificate=identity("Bob"))).status == 61
        assert (await client.get("/guestbook/old", certificate=identity("Ada"))).status == 52
    assert not entries


def test_the_sample_answers_plain_functions() -> None:
    entries.clear()
    with SyncClient(routes, settings={"title": "My book"}) as client:
        assert client.get("/entry/0").text == "Welcome to My book"
        assert client.get("/sign", "Ada").status == 30
        assert client.get("/entry/1").text == "Ada"


@pytest.mark.parametrize("name", ["Routes", "stream", "CallNext", "Capsule"])
def test_what_is_imported_late_is_there(name: str) -> None:
    import pad19

    assert name in pad19.__all__
    assert getattr(pad19, name) is not None


def test_what_is_not_there() -> None:
    import pad19

    with pytest.raises(AttributeError, match="no attribute 'Route'"):
        _ = pad19.Route  # type: ignore[attr-defined]  # on purpose
