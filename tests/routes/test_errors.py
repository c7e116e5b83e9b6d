"""What routes raise: what the log says of it, and what the client learns."""

import asyncio
import logging
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
import trio

from pad19.protocol.failure import CGIError, Failure, Gone, NotFound
from pad19.protocol.request import Request
from pad19.protocol.response import Redirect, Response
from pad19.routes.interface import Handler
from pad19.routes.mounting import Mounted
from pad19.routes.table import Routes
from pad19.store.interface import StoreError
from routes.asking import answer, ask


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


async def sleep_by_asyncio(request: Request) -> str:
    await asyncio.sleep(1)
    return ""


async def raise_what_is_returned(request: Request) -> str:
    raise Redirect("/")  # type: ignore[misc]  # that is the mistake


def open_beside_the_server(request: Request) -> str:
    return Path("absent.txt").read_text()


def open_a_certain_file(request: Request) -> str:
    return Path("/absent/absent.txt").read_text()


MENDS: list[tuple[Handler, str | None]] = [
    (sleep_by_asyncio, "pad19 runs on trio"),
    (raise_what_is_returned, "return Input, Redirect"),
    (open_beside_the_server, "relative paths start where pad19 was started"),
    (open_a_certain_file, None),
]


@pytest.mark.parametrize(("handler", "mend"), MENDS)
async def test_a_frequent_mistake_is_logged_with_its_mend(
    handler: Handler, mend: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    routes = Routes()
    routes.gemini("/")(handler)
    assert (await answer(Mounted(routes), ask("/"))).startswith("42 internal error, id ")
    last = caplog.text.splitlines()[-1]
    assert last.startswith(mend) if mend else last.startswith("FileNotFoundError: ")


async def test_an_error_that_is_raised_twice_has_one_note() -> None:
    error = FileNotFoundError(2, "No such file or directory", "absent.txt")
    mounted = Mounted(raising(error))
    for _ in range(2):
        await answer(mounted, ask("/broken"))
    assert len(error.__notes__) == 1


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
