"""A clock that ticks: the page is made while it is read, one line each second."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import trio

from pad19 import NotFound, Request, Routes

DEFAULT = 10  # ticks
MAX = 600

routes = Routes()


async def ticks(count: int) -> AsyncIterator[str]:
    """The page, piece by piece. Each is sent when it is there.

    When a visitor reads slowly, this waits at ``yield``; when one leaves, it ends there or at ``sleep``.
    """
    yield "# The time, in UTC\n\n"
    for tick in range(count):
        if tick:
            await trio.sleep(1)
        yield f"{datetime.now(UTC):%H:%M:%S}\n"
    yield "\n=> /examples.gmi All examples\n"


@routes.gemini("/")
async def clock(request: Request) -> AsyncIterator[str]:
    """Tick for a while."""
    return ticks(DEFAULT)


@routes.gemini("/{count:int}")
async def clock_for(request: Request, count: int) -> AsyncIterator[str]:
    """Tick so many times, as in /clock/60."""
    if not 1 <= count <= MAX:
        raise NotFound(f"this clock ticks 1 to {MAX} times")
    return ticks(count)
