"""What lives beside the requests: lifespans, and background tasks that are kept alive."""

import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

import trio

from .interface import Background, Capsule, Lifespan
from .mistakes import parted
from .signature import name_of

LOGGER = logging.getLogger("pad19.routes")

FIRST_PAUSE = 1.0  # seconds before a task that failed is started again; each time twice as many
LONGEST_PAUSE = 60.0
CALM = 120.0  # seconds; who ran for so long begins with the first pause again


def ignore(_lifespan: Lifespan) -> None:
    """Do nothing."""


@asynccontextmanager
async def living(
    capsule: Capsule,
    lifespans: Iterable[Lifespan],
    background: Iterable[Background],
    failing: Callable[[Lifespan], None] = ignore,
) -> AsyncIterator[None]:
    """Start everything, the lifespans one after another; at the end stop it in the opposite order.

    ``failing``: is told of the lifespan that cannot begin.

    Raises:
        BaseException: Whatever a lifespan raises.
    """
    failure: Exception | None = None
    async with AsyncExitStack() as stack:
        for lifespan in lifespans:
            try:
                await stack.enter_async_context(_context(lifespan(capsule)))
            except BaseException:
                failing(lifespan)
                raise
        async with trio.open_nursery() as nursery:
            for function in background:
                nursery.start_soon(_keep_running, function, capsule, name=name_of(function))
            try:
                yield
            except Exception as error:  # the nursery would wrap it
                failure = error
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure


def _context(
    lifespan: AsyncIterator[None] | AbstractAsyncContextManager[object],
) -> AbstractAsyncContextManager[object]:
    if isinstance(lifespan, AbstractAsyncContextManager):
        return lifespan
    return asynccontextmanager(lambda: lifespan)()


async def _keep_running(function: Background, capsule: Capsule) -> None:
    pause = FIRST_PAUSE
    while True:
        started = trio.current_time()
        try:
            return await function(capsule)
        except BaseException as error:
            stop, mistake = parted(error)
            if mistake is None:
                raise
            if trio.current_time() - started >= CALM:
                pause = FIRST_PAUSE
            LOGGER.exception(
                "background task %s failed, it starts again in %g seconds",
                name_of(function),
                pause,
                exc_info=mistake,
            )
            if stop is not None:
                raise stop from None
        await trio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)
