"""What routes print and log."""
# ruff: noqa: T201 - printing is what is tested

import functools
import logging
import re
import sys
import threading
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import redirect_stdout
from types import ModuleType

import pytest
import trio

from pad19.protocol.request import Request
from pad19.protocol.response import Response
from pad19.routes.interface import CallNext
from pad19.routes.output import (
    MAX_LINE,
    RUNNING,
    RouteNames,
    RouteOutput,
    Running,
    Speaker,
    log_missing_awaits,
)
from pad19.routes.table import Routes
from pad19.testing import Client

routes = Routes()


@routes.gemini("/lines")
async def lines(request: Request) -> str:
    print("one", 1)
    print("two\nthree\n\n   \nfour ")
    return ""


@routes.gemini("/thread")
def thread(request: Request) -> str:
    print("in a thread")
    return ""


@routes.gemini("/parts")
async def parts(request: Request) -> str:
    print("begun, ", end="")
    await trio.lowlevel.checkpoint()
    print("ended, ", end="")
    print("and", end="")
    return ""


@routes.gemini("/flushed")
async def flushed(request: Request) -> str:
    print("half", end="", flush=True)
    print("whole")
    return ""


@routes.gemini("/broken")
def broken(request: Request) -> str:
    print("the last words", end="")
    raise ZeroDivisionError


@routes.gemini("/stream")
async def stream(request: Request) -> AsyncIterator[str]:
    print("first")
    yield "a"
    print("second")
    yield "b"


@routes.gemini("/rows")
def rows(request: Request) -> Iterator[str]:
    print("row")
    yield "a"
    print("row")
    yield "b"


@routes.gemini("/tasks")
async def tasks(request: Request) -> str:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, print, "from a child")
    return ""


@routes.gemini("/stranger")
async def stranger(request: Request) -> str:
    print(f"{request.query}\tand \udc80")
    return ""


@routes.gemini("/long")
async def long(request: Request) -> str:
    print("a" * MAX_LINE)
    print("b" * (MAX_LINE + 1))
    for _ in range(3):
        print("c" * MAX_LINE, end="")
    return ""


@routes.gemini("/logged")
async def logged(request: Request) -> str:
    logging.getLogger("library").warning("%d %s", 100, "%")
    logging.getLogger("library").warning("100%")
    logging.getLogger("pad19.store").warning("ours")
    return ""


routes.gemini("/partial")(functools.partial(thread))

HERE = __name__
PRINTED = [  # target, lines behind the route's name
    ("/lines", ["lines: one 1", "lines: two", "lines: three", "lines: four"]),
    ("/thread", ["thread: in a thread"]),
    ("/partial", ["thread: in a thread"]),
    ("/parts", ["parts: begun, ended, and"]),
    ("/flushed", ["flushed: half", "flushed: whole"]),
    ("/stream", ["stream: first", "stream: second"]),
    ("/rows", ["rows: row", "rows: row"]),
    ("/tasks", ["tasks: from a child"]),
    ("/stranger?%1B%5B2J%0D", [r"stranger: \x1b[2J\r" + "\tand \\udc80"]),
    ("/long", [f"long: {'a' * MAX_LINE}", f"long: {'b' * MAX_LINE}…", f"long: {'c' * MAX_LINE}…"]),
]


@pytest.fixture
def output(caplog: pytest.LogCaptureFixture) -> RouteOutput:
    """To be put in place by the test itself: pytest does so when a test begins."""
    caplog.set_level(logging.INFO)
    return RouteOutput()


@pytest.mark.parametrize(("target", "expected"), PRINTED)
async def test_what_a_route_prints_is_logged(
    output: RouteOutput, caplog: pytest.LogCaptureFixture, target: str, expected: list[str]
) -> None:
    with redirect_stdout(output):
        assert (await Client(routes).get(target)).status == 20
    assert caplog.record_tuples == [
        (f"pad19.routes.{HERE}", logging.INFO, f"{HERE}.{line}") for line in expected
    ]


async def test_the_line_before_a_failure_is_logged(
    output: RouteOutput, caplog: pytest.LogCaptureFixture
) -> None:
    with redirect_stdout(output), pytest.raises(ZeroDivisionError):
        await Client(routes).get("/broken")
    assert caplog.messages[0] == f"{HERE}.broken: the last words"


async def test_requests_at_once_do_not_mix(output: RouteOutput, caplog: pytest.LogCaptureFixture) -> None:
    with redirect_stdout(output):
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(Client(routes).get, "/parts")
    assert caplog.messages == [f"{HERE}.parts: begun, ended, and"] * 3


async def test_what_goes_around_a_route_speaks_for_it(
    output: RouteOutput, caplog: pytest.LogCaptureFixture
) -> None:
    outer = Routes()
    outer.include(routes)

    @outer.around
    async def around(request: Request, call_next: CallNext) -> Response:
        print("around")
        return await call_next(request)

    with redirect_stdout(output):
        await Client(outer).get("/thread")
    assert caplog.messages == [f"{HERE}.thread: around", f"{HERE}.thread: in a thread"]


def module(name: str, source: str) -> ModuleType:
    made = ModuleType(name)
    exec(compile(source, f"{name}.py", "exec"), made.__dict__)  # noqa: S102 - source of this test
    return made


def test_outside_of_requests_it_is_the_module_that_prints(
    output: RouteOutput, caplog: pytest.LogCaptureFixture
) -> None:
    library = module("library", "def say(text): print(text)")
    with redirect_stdout(output):
        private = module("pad19_routes_x.blog.posts", "print('loaded')\ndef call(it, *more): it(*more)")
        library.say("alone")
        private.call(library.say, "on behalf")
        print("test", end="")
        private.call(print, "other")
        output.flush()
    assert caplog.record_tuples == [
        ("pad19.routes.blog.posts", logging.INFO, "blog.posts: loaded"),
        ("pad19.routes.library", logging.INFO, "library: alone"),
        ("pad19.routes.blog.posts", logging.INFO, "blog.posts: on behalf"),
        ("pad19.routes.blog.posts", logging.INFO, "blog.posts: other"),
        (f"pad19.routes.{HERE}", logging.INFO, f"{HERE}: test"),
    ]


def test_the_caller_may_be_far_away(output: RouteOutput, caplog: pytest.LogCaptureFixture) -> None:
    deep = module("deep", "def say(depth):\n print('x') if not depth else say(depth - 1)")
    private = module("pad19_routes_x.a", "def call(it, *more): it(*more)")
    with redirect_stdout(output):
        private.call(deep.say, 100)
    assert caplog.messages == ["deep: x"]


def test_it_is_a_text_stream(output: RouteOutput, caplog: pytest.LogCaptureFixture) -> None:
    assert output.writable()
    assert not output.isatty()
    assert output.encoding == "utf-8"
    assert output.write("käse\n") == 5
    with output:
        output.write("begun, ")
    output.write("still open\n")
    assert caplog.messages == [f"{HERE}: käse", f"{HERE}: begun, still open"]
    assert output.fileno() == 1
    output.reconfigure(encoding="ascii", line_buffering=True)


def test_it_takes_bytes(output: RouteOutput, caplog: pytest.LogCaptureFixture) -> None:
    assert output.buffer.writable()
    assert output.buffer.write("käse\n".encode()) == 6
    assert output.buffer.write(memoryview(b"\xff, ")) == 3
    output.buffer.close()
    assert output.buffer.write(bytearray(b"begun")) == 5
    output.buffer.flush()
    assert caplog.messages == [f"{HERE}: käse", f"{HERE}: \ufffd, begun"]
    private = module("pad19_routes_x.blog", "def call(it, *more): it(*more)")
    private.call(output.buffer.write, b"other\n")
    assert caplog.messages[-1] == "blog: other"
    assert output.buffer.fileno() == 1


class Echo(logging.Handler):
    """Prints what is logged."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record))


class Broken(logging.Filter):
    """Fails."""

    def filter(self, record: logging.LogRecord) -> bool:
        raise ValueError


def test_a_log_that_prints_does_not_go_in_circles(
    output: RouteOutput, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = logging.getLogger(f"pad19.routes.{HERE}")
    monkeypatch.setattr(logger, "handlers", [Echo()])
    with redirect_stdout(output):
        print("hello")
    assert capsys.readouterr().err.count("hello") == 1


def test_printing_never_fails(
    output: RouteOutput, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    logger = logging.getLogger(f"pad19.routes.{HERE}")
    monkeypatch.setattr(logger, "filters", [Broken()])
    output.write("lost\n")
    monkeypatch.undo()
    output.write("found\n")
    assert caplog.messages == [f"{HERE}: found"]


def test_threads_can_print_at_once(output: RouteOutput, caplog: pytest.LogCaptureFixture) -> None:
    def say() -> None:
        for _ in range(MAX_LINE // 4):
            output.write("x")

    threads = [threading.Thread(target=say) for _ in range(4)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # seconds
    try:
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    finally:
        sys.setswitchinterval(interval)
    output.flush()
    assert caplog.messages == [f"{HERE}: {'x' * MAX_LINE}"]


async def test_what_is_logged_in_a_route_has_its_name(caplog: pytest.LogCaptureFixture) -> None:
    names = RouteNames()
    caplog.handler.addFilter(names)
    try:
        await Client(routes).get("/logged")
    finally:
        caplog.handler.removeFilter(names)
    assert caplog.messages == [f"{HERE}.logged: 100 %", f"{HERE}.logged: 100%", "ours"]


def record(name: str, message: object, *args: object) -> logging.LogRecord:
    return logging.LogRecord(name, logging.INFO, __file__, 1, message, args, None)


class Unspeakable:
    """An object that has no text."""

    def __str__(self) -> str:
        raise ValueError


NAMED = [  # who runs, name of the logger, message, arguments, what is logged
    (None, "pad19_routes_x.guestbook", "text", (), "guestbook: text"),
    (None, "pad19_routes_x.a%s", "text %s", ("x",), "a%s: text x"),
    (None, "pad19_routes_x.a%s", "text", (), "a%s: text"),
    (None, "library", "text", (), "text"),
    (None, "root", "text", (), "text"),
    (None, "pad19.service", "text", (), "text"),
    (None, "pad19", "text", (), "text"),
    ("guestbook.sign", "root", "text", (), "guestbook.sign: text"),
    ("guestbook.sign", "pad19_routes_x.guestbook", "text", (), "guestbook.sign: text"),
    ("guestbook.sign", "pad19.store", "text", (), "text"),
    ("guestbook.sign", "library", ValueError("an object"), (), "guestbook.sign: an object"),
]


@pytest.mark.parametrize(("running", "name", "message", "args", "expected"), NAMED)
def test_records_get_names(
    running: str | None, name: str, message: object, args: tuple[object, ...], expected: str
) -> None:
    token = RUNNING.set(Running(Speaker(running, "guestbook")) if running else None)
    try:
        made = record(name, message, *args)
        for _ in range(2):  # two handlers can have the filter
            assert RouteNames().filter(made)
        assert made.getMessage() == expected
    finally:
        RUNNING.reset(token)


def test_a_message_that_fails_is_left_to_the_handler() -> None:
    unspeakable = record("pad19_routes_x.a", Unspeakable())
    assert RouteNames().filter(unspeakable)
    assert isinstance(unspeakable.msg, Unspeakable)
    wrong = record("pad19_routes_x.a", "%d", "x")
    assert RouteNames().filter(wrong)
    with pytest.raises(TypeError):
        wrong.getMessage()


# A forgotten await

forgetful = Routes()


@forgetful.gemini("/statement")
async def statement(request: Request) -> str:
    request.store.set("x", 1)  # type: ignore[unused-coroutine]  # on purpose
    return ""


@forgetful.gemini("/variable")
async def variable(request: Request) -> str:
    count = request.store.increment("x")
    return f"{count}"


@pytest.mark.parametrize(
    ("path", "place"),
    [("/statement", f" at {__file__}, line {statement.__code__.co_firstlineno + 2}"), ("/variable", "")],
)
async def test_a_missing_await_is_told_each_time(
    path: str, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    method = {"/statement": "set", "/variable": "increment"}[path]
    with warnings.catch_warnings():
        log_missing_awaits()
        async with Client(forgetful) as client:
            assert [(await client.get(path)).status for _ in range(2)] == [20, 20]
    [first, second] = caplog.messages
    assert first == second
    assert first.partition(": ")[0].endswith(f"test_output.{path[1:]}")
    assert first.endswith(
        f": await is missing{place}: SQLiteStore.{method}() was called, but has done nothing"
    )


def test_other_warnings_are_shown_as_before(caplog: pytest.LogCaptureFixture) -> None:
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        log_missing_awaits()
        warnings.warn("beware", UserWarning, stacklevel=1)
        warnings.warn("coroutine is a word", RuntimeWarning, stacklevel=1)
    assert [str(warning.message) for warning in shown] == ["beware", "coroutine is a word"]
    assert caplog.messages == []


async def test_a_missing_await_outside_of_routes(caplog: pytest.LogCaptureFixture) -> None:
    async def begin() -> None: ...

    with warnings.catch_warnings():
        log_missing_awaits()
        begin()  # type: ignore[unused-coroutine]  # on purpose
    assert re.match(r"routes: await is missing at /.*begin\(\) was called", caplog.messages[0])
