import asyncio
import logging
import math
import re
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock

from pad19.protocol.client import Client
from pad19.protocol.failure import CGIError, Failure, Gone, NotFound, SlowDown
from pad19.protocol.request import Request, parse_request
from pad19.protocol.response import MAX_META, Redirect, Response, Success
from pad19.routes.interface import Capsule, RouteError
from pad19.routes.mounting import Mounted
from pad19.routes.table import Routes
from pad19.store.interface import Store, StoreError
from pad19.testing import identity

FILES = {"/", "/file", "/both", "/folder/"}


async def files(request: Request) -> Response:
    """Stands for static files."""
    if request.path not in FILES:
        raise NotFound
    return Success(f"file {request.path}".encode())


def routes_of(*patterns: str) -> Routes:
    """Each answers with its pattern and its captures."""
    routes = Routes()

    def add(pattern: str) -> None:
        async def show(request: Request, **captures: object) -> str:
            return " ".join([pattern, *(f"{name}={value!r}" for name, value in captures.items())])

        routes.gemini(pattern)(show)

    for pattern in patterns:
        add(pattern)
    return routes


def ask(path: str, client: Client | None = None, scheme: str = "gemini") -> Request:
    return parse_request(f"{scheme}://a.test{path}".encode(), client or Client("192.0.2.1"))


async def answer(mounted: Mounted, request: Request) -> str:
    """The answer in a line."""
    try:
        response = await mounted(request)
    except Failure as failure:
        return f"{failure.status:d} {failure}"
    assert isinstance(response.body, bytes)
    return f"{response.status:d} {response.body.decode() or response.meta}"


SITE = routes_of(
    "/both",
    "/about",
    "/book/",
    "/book/sign",
    "/entry/{number:int}",
    "/entry/{name}",
    "/entry/last",
    "/tag/{name}/",
    "/wiki/{page:path}",
    "/caf%C3%A9/",
    "/a%2Fb/",
)
ANSWERS = [  # path as sent, answer
    ("/both", "20 /both"),  # routes go first
    ("/about", "20 /about"),
    ("/about?x", "20 /about"),
    ("/x/../about", "20 /about"),
    ("/entry/7", "20 /entry/{number:int} number=7"),
    ("/entry/007", "20 /entry/{number:int} number=7"),
    ("/entry/seven", "20 /entry/{name} name='seven'"),
    ("/entry/a%2Fb%252F", "20 /entry/{name} name='a/b%2F'"),
    ("/entry/last", "20 /entry/last"),
    ("/wiki/", "20 /wiki/{page:path} page=''"),
    ("/wiki/a/b%20c", "20 /wiki/{page:path} page='a/b c'"),
    ("/", "20 file /"),
    ("", "20 file /"),
    ("/file", "20 file /file"),
    ("/lost", "51 not found"),
    ("/About", "51 not found"),
    # The slash that is missing, or one too many
    ("/about/", "31 /about"),
    ("/about/?", "31 /about?"),
    ("/about/?a%2fb", "31 /about?a%2fb"),
    ("/book", "31 /book/"),
    ("/book?Ada", "31 /book/?Ada"),
    ("/book/sign/", "31 /book/sign"),
    ("/entry/7/", "31 /entry/7"),
    ("/entry/a%2Fb%3F/", "31 /entry/a%2Fb%3F"),
    ("/tag/x", "31 /tag/x/"),
    ("/tag/", "51 not found"),
    ("/wiki", "31 /wiki/"),
    ("/caf%c3%a9", "31 /caf%C3%A9/"),
    ("/café", "31 /caf%C3%A9/"),
    ("/a%2fb", "31 /a%2Fb/"),
    ("/./book", "31 /book/"),
    ("/about//", "51 not found"),
    ("//", "51 not found"),
    ("//about/", "51 not found"),
]


@pytest.mark.parametrize(("path", "expected"), ANSWERS)
async def test_an_answer(path: str, expected: str) -> None:
    assert await answer(Mounted(SITE, files), ask(path)) == expected


async def test_without_anything_behind_them() -> None:
    assert await answer(Mounted(SITE), ask("/file")) == "51 not found"
    assert await answer(Mounted(Routes()), ask("/")) == "51 not found"


async def test_files_go_before_a_slash_that_is_missing() -> None:
    mounted = Mounted(routes_of("/file/", "/folder"), files)
    assert await answer(mounted, ask("/file")) == "20 file /file"
    assert await answer(mounted, ask("/folder/")) == "20 file /folder/"


async def test_no_redirect_leads_to_another_host() -> None:
    mounted = Mounted(routes_of("//evil.test/", "//evil.test/x"))
    assert await answer(mounted, ask("//evil.test")) == "51 not found"
    assert await answer(mounted, ask("//evil.test/x/")) == "51 not found"


async def test_no_redirect_gets_too_long() -> None:
    mounted = Mounted(routes_of("/about"))
    query = "x" * (MAX_META - len("gemini://a.test/about/?"))
    assert await answer(mounted, ask(f"/about/?{query}")) == f"31 /about?{query}"
    query = "é" * 400  # the target has them percent-encoded
    assert await answer(mounted, ask(f"/about/?{query}")) == "51 not found"


async def test_a_failure_of_what_lies_behind_is_no_missing_slash() -> None:
    async def gone(request: Request) -> Response:
        raise Gone

    assert await answer(Mounted(SITE, gone), ask("/book")) == "52 gone"


async def test_a_route_that_finds_nothing_has_the_last_word() -> None:
    routes = Routes()

    @routes.gemini("/file")
    async def missing(request: Request) -> str:
        raise NotFound("not here")

    assert await answer(Mounted(routes, files), ask("/file")) == "51 not here"


async def test_other_schemes_are_not_for_these_routes() -> None:
    assert await answer(Mounted(SITE, files), ask("/both", scheme="titan")) == "20 file /both"


async def test_prefixes() -> None:
    root, book = Routes(), routes_of("/", "/sign")
    root.include(book, "/guestbook")
    root.include(routes_of("/"))
    mounted = Mounted(root)
    assert await answer(mounted, ask("/guestbook")) == "31 /guestbook/"
    assert await answer(mounted, ask("/guestbook/")) == "20 /"
    assert await answer(mounted, ask("/guestbook/sign")) == "20 /sign"
    assert await answer(mounted, ask("/")) == "20 /"
    assert await answer(mounted, ask("/sign")) == "51 not found"


CONFLICTS = [
    ("/a/{x}", "/a/{y}"),
    ("/a", "/a"),
    ("/a/{x:path}", "/a/{rest:path}"),
    ("/café", "/caf%C3%A9"),
]


@pytest.mark.parametrize(("first", "second"), CONFLICTS)
@pytest.mark.parametrize("prefix", ["", "/x"])
def test_two_for_the_same_paths(first: str, second: str, prefix: str) -> None:
    root = Routes()
    root.include(routes_of(first), prefix)
    root.include(routes_of(second), prefix)
    show = r"(.*\.)?test_mounting\.routes_of\.<locals>\.add\.<locals>\.show \(/.*, line \d+\)"
    message = rf"^route {re.escape(prefix + second)}, {show} cannot be told apart from "
    message += rf"route {re.escape(prefix + first)}, {show}: change the pattern of one of them, or remove it$"
    with pytest.raises(RouteError, match=message):
        Mounted(root)


def test_two_kinds_of_captures_in_one_place() -> None:
    routes = Routes()
    routes.converter("a")(int)
    routes.converter("b")(float)

    async def page(request: Request, x: float) -> str:
        return ""

    routes.gemini("/{x:a}/1")(page)
    routes.gemini("/{x:b}/2")(page)
    with pytest.raises(
        RouteError, match=r"^route /\{x:b\}/2, .* cannot be told apart from route /\{x:a\}/1, "
    ):
        Mounted(routes)


async def test_what_is_declared_later_changes_nothing() -> None:
    routes = routes_of("/a")
    mounted = Mounted(routes)

    @routes.gemini("/b")
    async def late(request: Request) -> str:
        return ""

    assert await answer(mounted, ask("/b")) == "51 not found"


# What the capsule adds


async def test_settings_and_store_reach_the_routes() -> None:
    routes = Routes()
    seen: list[Request] = []

    @routes.gemini("/{name}")
    async def page(request: Request, name: str) -> str:
        seen.append(request)
        return ""

    store = cast("Store", object())
    settings = {"title": "x"}
    mounted = Mounted(routes, settings=settings, store=store)
    request = ask("/a?b")
    settings["title"] = "changed later"
    await mounted(request)
    assert seen == [request]  # otherwise it is the same
    assert seen[0].settings == {"title": "x"}
    assert seen[0].store is store
    with pytest.raises(TypeError):
        seen[0].settings["title"] = "y"  # type: ignore[index]  # on purpose
    assert "title" not in repr(seen[0])
    assert not request.settings
    assert request.store is not store


async def test_settings_cannot_be_changed_however_deep() -> None:
    routes = Routes()
    seen: list[Any] = []

    @routes.gemini("/")
    async def page(request: Request) -> str:
        seen.append(request.settings)
        return ""

    @routes.lifespan
    async def life(capsule: Capsule) -> AsyncIterator[None]:
        seen.append(capsule.settings)
        yield

    settings = {"list": [1, {"a": [2]}], "table": {"b": {"c": 3}}}
    mounted = Mounted(routes, settings=settings)
    async with mounted.living():
        await mounted(ask("/"))
    settings["list"].append(4)  # type: ignore[attr-defined]  # it is a list
    assert seen[0] is seen[1]
    assert seen[0] == {"list": (1, {"a": (2,)}), "table": {"b": {"c": 3}}}
    for table in (seen[0]["list"][1], seen[0]["table"], seen[0]["table"]["b"]):
        with pytest.raises(TypeError):
            table["x"] = 1


# Policies


async def test_a_rate_is_each_routes_own_and_is_checked_last(autojump_clock: MockClock) -> None:
    routes = Routes()
    calls = []

    @routes.gemini("/a", rate="2/10s", allow={identity("Ada").fingerprint})
    @routes.gemini("/b", rate="2/10s")
    async def page(request: Request) -> str:
        calls.append(request)
        return ""

    mounted = Mounted(routes)
    ada, bob = (Client("192.0.2.1", certificate=identity(name)) for name in ("Ada", "Bob"))
    for _ in range(3):
        with pytest.raises(Failure, match="not on the list"):
            await mounted(ask("/a", bob))
    for path, client in (("/a", ada), ("/a", ada), ("/b", ada), ("/b", bob)):
        await mounted(ask(path, client))
    for path, client in (("/a", ada), ("/b", ada), ("/b", bob)):
        with pytest.raises(SlowDown) as failure:
            await mounted(ask(path, client))
        assert str(failure.value) == "10"
    assert len(calls) == 4
    await mounted(ask("/b", replace(bob, address="192.0.2.2")))
    await trio.sleep(10)
    await mounted(ask("/a", ada))


@pytest.mark.parametrize("seconds", [30, 10, 0.5])
async def test_a_route_that_takes_too_long(
    seconds: float, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    routes = Routes()
    ended = []

    @routes.gemini("/slow", timeout=seconds)
    async def slow(request: Request) -> str:
        try:
            await trio.sleep_forever()
        finally:
            ended.append(trio.current_time())

    begin = trio.current_time()
    said = await answer(Mounted(routes), ask("/slow?secret"))
    assert said == f"42 the route took longer than {seconds:g} seconds"
    assert ended == [begin + seconds]
    (record,) = caplog.records
    assert record.name == "pad19.routes"
    assert re.match(r"route /slow, .*slow \(line \d+\) took longer than .* for '/slow'$", record.getMessage())


async def test_a_route_has_thirty_seconds(autojump_clock: MockClock) -> None:
    routes = Routes()

    @routes.gemini("/{wait:int}")
    async def slow(request: Request, wait: int) -> str:
        await trio.sleep(wait)
        return "done"

    assert await answer(Mounted(routes), ask("/29")) == "20 done"
    assert await answer(Mounted(routes), ask("/31")) == "42 the route took longer than 30 seconds"


async def test_a_route_without_a_deadline(autojump_clock: MockClock) -> None:
    routes = Routes()

    @routes.gemini("/slow", timeout=math.inf)
    async def slow(request: Request) -> str:
        await trio.sleep(80_000)
        return "done"

    assert await answer(Mounted(routes), ask("/slow")) == "20 done"


async def test_a_stream_may_take_its_time_after_the_first_chunk(autojump_clock: MockClock) -> None:
    routes = Routes()

    @routes.gemini("/{wait:int}", timeout=10)
    async def slow(request: Request, wait: int) -> AsyncIterator[str]:
        await trio.sleep(wait)
        for text in "ab":
            yield text
            await trio.sleep(60)

    mounted = Mounted(routes)
    assert await answer(mounted, ask("/11")) == "42 the route took longer than 10 seconds"
    response = await mounted(ask("/9"))
    assert not isinstance(response.body, bytes)
    assert [chunk async for chunk in response.body] == [b"a", b"b"]


# Threads


async def test_a_thread_is_not_waited_for_longer_than_its_deadline(autojump_clock: MockClock) -> None:
    routes = Routes()
    go_on = threading.Event()

    @routes.gemini("/slow", timeout=5)
    def slow(request: Request) -> str:
        go_on.wait()
        return "late"

    @routes.gemini("/fast", timeout=math.inf)  # the clock jumps whenever a thread is waited for
    def fast(request: Request) -> str:
        return "fast"

    threads = trio.CapacityLimiter(1)
    mounted = Mounted(routes, threads=threads)
    assert await answer(mounted, ask("/slow")) == "42 the route took longer than 5 seconds"
    assert threads.borrowed_tokens == 1  # it keeps its place, so there are never more of them
    assert await answer(mounted, ask("/slow")) == "42 the route took longer than 5 seconds"
    go_on.set()
    assert await answer(mounted, ask("/fast")) == "20 fast"


async def test_functions_run_where_they_should() -> None:
    routes = Routes()

    def where() -> str:
        return "loop" if threading.current_thread() is threading.main_thread() else "thread"

    @routes.gemini("/async")
    async def on_loop(request: Request) -> str:
        return where()

    @routes.gemini("/def")
    def in_thread(request: Request) -> str:
        return where()

    mounted = Mounted(routes)
    assert await answer(mounted, ask("/async")) == "20 loop"
    assert await answer(mounted, ask("/def")) == "20 thread"


async def test_a_def_around_an_async_def_is_awaited() -> None:
    routes = Routes()

    def decorated(function: Callable[[Request], Any]) -> Callable[[Request], Any]:
        return lambda request: function(request)

    @routes.gemini("/")
    @decorated
    async def page(request: Request) -> str:
        await trio.lowlevel.checkpoint()
        return "page"

    assert await answer(Mounted(routes), ask("/")) == "20 page"


# Errors


def raising(error: BaseException, *, in_thread: bool = False) -> Routes:
    routes = Routes()
    if in_thread:

        @routes.gemini("/broken")
        def broken_in_thread(request: Request) -> str:
            raise error

    else:

        @routes.gemini("/broken")
        async def broken(request: Request) -> str:
            raise error

    return routes


class Panic(BaseException):
    """As foreign code raises it, which wants nobody to catch it."""


ERRORS: list[BaseException] = [
    ZeroDivisionError("secret"),
    SystemExit(1),
    trio.TooSlowError(),
    trio.BrokenResourceError("secret"),
    asyncio.CancelledError(),
    GeneratorExit(),
    Panic(),
    BaseExceptionGroup("", [SystemExit(1), Gone()]),
]


@pytest.mark.parametrize("in_thread", [False, True])
@pytest.mark.parametrize("error", ERRORS, ids=repr)
async def test_an_exception_is_logged_and_not_shown(
    error: BaseException, in_thread: bool, caplog: pytest.LogCaptureFixture
) -> None:
    said = await answer(Mounted(raising(error, in_thread=in_thread)), ask("/broken?password"))
    match = re.fullmatch(r"42 internal error, id ([0-9a-f]{8})", said)
    assert match
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("pad19.routes", logging.ERROR)
    pattern = r"error (.*): route /broken, .*broken.* \(line \d+\) failed for '/broken'"
    logged = re.fullmatch(pattern, record.getMessage())
    assert logged
    assert logged[1] == match[1]
    assert record.exc_info
    assert record.exc_info[1] is error
    assert "in broken" in caplog.text  # the traceback
    assert "password" not in caplog.text


async def test_a_store_that_cannot_be_used_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    error = StoreError("the store /state/store.sqlite3 cannot be written: make room")
    found = await answer(Mounted(raising(error)), ask("/broken?secret"))
    error_id = found.removeprefix("42 internal error, id ")
    [record] = caplog.records
    assert record.getMessage().startswith(f"error {error_id}: route /broken, ")
    assert record.getMessage().endswith(f" failed for '/broken': {error}")
    assert record.exc_info is None


async def test_each_error_has_its_own_id() -> None:
    mounted = Mounted(raising(ZeroDivisionError()))
    assert len({await answer(mounted, ask("/broken")) for _ in range(10)}) == 10


async def test_a_wrong_result_says_what_came_back(caplog: pytest.LogCaptureFixture) -> None:
    routes = Routes()

    @routes.gemini("/number")  # type: ignore[type-var]  # on purpose
    async def number(request: Request) -> int:
        return 42

    assert (await answer(Mounted(routes), ask("/number"))).startswith("42 internal error, id ")
    assert re.search(
        r"TypeError: route /number, .*number \(/.*, line \d+\) returned 42: return str, ", caplog.text
    )


WRAPPED: list[tuple[BaseException, str]] = [
    (Gone("x"), "52 x"),
    (ExceptionGroup("", [Gone("x")]), "52 x"),
    (ExceptionGroup("", [ExceptionGroup("", [Gone("x")])]), "52 x"),
    (ExceptionGroup("", [Gone("x"), NotFound()]), "42 internal error"),
    (ExceptionGroup("", [ZeroDivisionError()]), "42 internal error"),
]


@pytest.mark.parametrize(("error", "expected"), WRAPPED, ids=repr)
async def test_a_failure_also_in_a_nursery(error: BaseException, expected: str) -> None:
    assert (await answer(Mounted(raising(error)), ask("/broken"))).startswith(expected)


async def test_a_failure_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    await answer(Mounted(raising(Gone())), ask("/broken"))
    assert not caplog.records


class Unspeakable(Failure):
    """Has no errormsg."""

    def __str__(self) -> str:
        return cast("str", None)


class Unsendable(Failure):
    """Changes its mind."""

    def __init__(self, status: object) -> None:
        super().__init__("text/gemini")
        self.status = status  # type: ignore[misc, assignment] # which is the point


FLAWS = [  # what is raised, what is said
    (Unspeakable(), r"Unspeakable cannot be sent \(TypeError: __str__ returned non-string.*\)"),
    (Unsendable(20), r"Unsendable cannot be sent \(ValueError: Unsendable has the status 20: .*\)"),
    (Unsendable(None), r"Unsendable cannot be sent \(ValueError: Unsendable has the status None: .*\)"),
    (Unsendable(51), "Unsendable has a number for its status: give it to the class"),
]


@pytest.mark.parametrize(("failure", "said"), FLAWS)
async def test_a_failure_that_cannot_be_sent_is_a_mistake(
    failure: Failure, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert re.fullmatch(
        "42 internal error, id [0-9a-f]{8}", await answer(Mounted(raising(failure)), ask("/broken"))
    )
    assert re.search(f"^TypeError: {said}$", caplog.text, re.MULTILINE)
    assert "in broken" in caplog.text


@pytest.fixture
def interrupt() -> Iterator[None]:
    """The terminal can interrupt this process, which is not so for one that was started with ``&``."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interrupt")
@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), BaseExceptionGroup("", [KeyboardInterrupt()])], ids=repr
)
async def test_interrupting_is_not_caught(error: BaseException) -> None:
    with pytest.raises(type(error)):
        await Mounted(raising(error))(ask("/broken"))


@pytest.mark.usefixtures("interrupt")
async def test_an_interruption_that_nobody_can_have_meant_is_a_mistake() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as workers do
    said = await answer(Mounted(raising(KeyboardInterrupt())), ask("/broken"))
    assert said.startswith("42 internal error, id ")


async def test_exit_in_a_task_of_a_route() -> None:
    routes = Routes()

    async def ends() -> None:
        raise SystemExit(1)

    @routes.gemini("/broken")
    async def broken(request: Request) -> str:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ends)
            await trio.sleep_forever()
        return "never"

    assert (await answer(Mounted(routes), ask("/broken"))).startswith("42 internal error, id ")


async def test_cancelling_is_not_caught(caplog: pytest.LogCaptureFixture) -> None:
    routes = Routes()

    @routes.gemini("/wait")
    async def wait(request: Request) -> str:
        await trio.sleep_forever()

    with trio.CancelScope() as scope:
        scope.cancel()
        await Mounted(routes)(ask("/wait"))
        pytest.fail("it goes on")
    assert scope.cancelled_caught
    assert not caplog.records


async def test_a_mistake_while_it_is_cancelled_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    routes = Routes()

    async def fails() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise Panic

    @routes.gemini("/wait")
    async def wait(request: Request) -> str:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fails)
            nursery.start_soon(trio.sleep_forever)
        return "never"

    with trio.CancelScope() as scope:
        scope.cancel()
        await Mounted(routes)(ask("/wait"))
        pytest.fail("it goes on")
    assert scope.cancelled_caught
    (record,) = caplog.records
    assert "route /wait, " in record.getMessage()
    assert "Panic" in caplog.text
    assert record.exc_info
    assert isinstance(record.exc_info[1], BaseExceptionGroup)
    assert [type(error) for error in record.exc_info[1].exceptions] == [Panic]


async def test_errors_can_be_answered_otherwise(caplog: pytest.LogCaptureFixture) -> None:
    error = ZeroDivisionError()
    seen: list[tuple[str, BaseException, str]] = []

    def on_error(request: Request, error: BaseException, error_id: str) -> Response:
        seen.append((request.path, error, error_id))
        return Redirect("/sorry")

    mounted = Mounted(raising(error), on_error=on_error)
    assert await answer(mounted, ask("/broken")) == "30 /sorry"
    ((path, given, error_id),) = seen
    assert (path, given) == ("/broken", error)
    assert f"error {error_id}: " in caplog.text
    assert await answer(Mounted(raising(Gone()), on_error=on_error), ask("/broken")) == "52 gone"


@pytest.mark.parametrize("error", [KeyError("blue"), SystemExit(1), asyncio.CancelledError()], ids=repr)
async def test_a_converter_that_fails(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    routes = Routes()

    @routes.converter("colour")
    def to_colour(text: str) -> int:
        if text == "red":
            return 1
        raise error

    @routes.gemini("/{colour:colour}")
    async def page(request: Request, colour: int) -> str:
        return f"{colour}"

    mounted = Mounted(routes)
    assert await answer(mounted, ask("/red")) == "20 1"
    for path in ("/blue", "/blue/"):
        assert (await answer(mounted, ask(path))).startswith("42 internal error, id ")
    assert "a converter failed for '/blue'" in caplog.text
    with pytest.raises(CGIError):
        await mounted(ask("/blue"))


async def test_errors_of_what_lies_behind_are_not_the_routes() -> None:
    async def broken(request: Request) -> Response:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await Mounted(SITE, broken)(ask("/file"))
