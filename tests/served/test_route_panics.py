"""Whatever a route raises, its worker lives on: also what no ``except Exception`` catches."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.capsule_folder import configure
from support.files import write
from support.process import fetch, gemini, serving
from support.route_modules import ROUTED, module

pytestmark = pytest.mark.machine

PANICS = """
    import asyncio
    import logging
    import sys

    class Panic(BaseException):
        pass

    async def cancelled():
        raise asyncio.CancelledError

    async def ends():
        sys.exit(3)

    @routes.gemini("/asyncio")
    def foreign(request: Request) -> str:
        return asyncio.run(cancelled())

    @routes.gemini("/panic")
    async def panic(request: Request) -> str:
        raise Panic

    @routes.gemini("/panic-in-a-thread")
    def panic_in_thread(request: Request) -> str:
        raise Panic

    @routes.gemini("/interrupt")
    async def interrupt(request: Request) -> str:
        raise KeyboardInterrupt

    @routes.gemini("/generator-exit")
    async def generator_exit(request: Request) -> str:
        raise GeneratorExit

    @routes.gemini("/nursery")
    async def nursery(request: Request) -> str:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ends)
            await trio.sleep_forever()

    @routes.gemini("/template")
    async def template(request: Request) -> str:
        raise SyntaxError("tpl", ("tpl.html", "3", "x", "text", "3", "y"))

    @routes.gemini("/log")
    async def log(request: Request) -> str:
        logging.getLogger("page").warning("%d things", "three")
        return "logged"

    @routes.converter("bad")
    def to_bad(text: str) -> str:
        raise Panic

    @routes.gemini("/convert/{x:bad}")
    async def convert(request: Request, x: str) -> str:
        return x

    @routes.gemini("/stream")
    async def stream(request: Request):
        yield "first"
        sys.exit(2)

    @routes.gemini("/stream-in-a-thread")
    def stream_in_thread(request: Request):
        yield "first"
        raise Panic

    @routes.gemini("/end")
    async def end(request: Request):
        try:
            yield "all"
        finally:
            sys.exit(2)

    runs = 0

    @routes.background
    async def beside(capsule):
        global runs
        runs += 1
        print(f"run {runs}")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ends if runs == 1 else trio.sleep_forever)
            nursery.start_soon(trio.sleep_forever)

    @routes.gemini("/")
    async def page(request: Request) -> str:
        return "page"
"""
FAILED = rb"42 internal error, id [0-9a-f]{8}\r\n"
ANSWERS = [  # path, answer, is it whole
    ("/asyncio", FAILED, True),
    ("/panic", FAILED, True),
    ("/panic-in-a-thread", FAILED, True),
    ("/interrupt", FAILED, True),
    ("/generator-exit", FAILED, True),
    ("/nursery", FAILED, True),
    ("/convert/x", FAILED, True),
    ("/template", FAILED, True),
    ("/log", rb"20 text/gemini\r\nlogged", True),
    ("/stream", rb"20 text/gemini\r\nfirst", False),
    ("/stream-in-a-thread", rb"20 text/gemini\r\nfirst", False),
    ("/end", rb"20 text/gemini\r\nall", False),
]


def test_no_route_takes_its_worker_down(folder: Path) -> None:
    configure(write(folder, {"routes/index.py": module(PANICS)}), capsule=ROUTED)
    with serving(folder, home=folder, suffers=True) as server:
        worker = server.worker
        for path, expected, is_whole in ANSWERS:
            answer = fetch(server.address, gemini(server.address, path))
            assert re.fullmatch(expected, answer.received), path
            assert answer.clean == is_whole, path
            assert fetch(server.address, gemini(server.address)).body == b"page", path
        server.wait_for_err("run 2")
        assert re.search(r"background task index\.beside .*failed, it starts again in 1 seconds", server.err)
        assert server.worker == worker
        assert server.stop() == 0


DIES = """
    @routes.lifespan
    async def life(capsule):
        async def crash():
            while not (there := Path(__file__).with_name("crash")).exists():
                await trio.sleep(0.01)
            there.unlink()
            1 / 0

        async with trio.open_nursery() as nursery:
            nursery.start_soon(crash)
            yield
            nursery.cancel_scope.cancel()

    @routes.gemini("/")
    async def page(request: Request) -> str:
        return "page"
"""


def test_a_lifespan_that_fails_later_on_has_its_worker_replaced(folder: Path) -> None:
    configure(write(folder, {"routes/index.py": "from pathlib import Path\n" + module(DIES)}), capsule=ROUTED)
    with serving(folder, home=folder, suffers=True) as server:
        worker = server.worker
        (folder / "routes/crash").touch()
        server.wait_for_err(
            "a lifespan of the routes failed (ZeroDivisionError: division by zero): mend it\n"
        )
        assert fetch(server.address, gemini(server.address)).body == b"page"
        assert server.worker != worker
        assert server.stop() == 0


BLOCKS = """
    import time

    @routes.gemini("/")
    async def page(request: Request) -> str:
        time.sleep(6)
        return "page"
"""


def test_a_route_that_blocks_its_worker_is_named(folder: Path) -> None:
    configure(write(folder, {"routes/slow.py": module(BLOCKS)}), capsule=ROUTED)
    with serving(folder, home=folder, suffers=True) as server:
        uri = gemini(server.address, "/slow/")
        assert fetch(server.address, f"{uri}?secret").body == b"page"
        place = rf"{re.escape(str(folder))}/routes/slow\.py, line \d+, in page, for {re.escape(uri)}"
        assert re.search(
            rf"^pad19: a worker has served nobody for 5 seconds, since it is at {place}: await what takes "
            "long, or write def instead of async def, which runs in a thread$",
            server.err,
            re.MULTILINE,
        )
        assert server.stop() == 0
