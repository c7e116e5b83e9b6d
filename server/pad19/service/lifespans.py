"""What lives beside the requests: the lifespans and background tasks of routes."""

import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Protocol

import trio

from pad19.routes.mistakes import parted, unwrapped

from .config.model import ConfigError

LOGGER = logging.getLogger("pad19.service")

LAST_WORK = 3.0  # seconds for the ends of lifespans; less than `fleet.STOP_MARGIN`, when we are killed


class Living(Protocol):
    """Routes that are mounted."""

    def living(self) -> AbstractAsyncContextManager[None]:
        """What must be entered before requests come."""


async def run_lifespans(
    mounted: Iterable[Living],
    end: trio.Event,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Begin everything, and at the ``end`` end it, in the opposite order.

    To be run in a task of its own: when a task fails in a nursery that a lifespan has around its yield,
    trio cancels who has entered the lifespan. Were that who serves, it would look like a stop.

    Raises:
        ConfigError: A lifespan failed, at its beginning or later on.
    """
    try:
        with trio.CancelScope() as ending:
            async with AsyncExitStack() as stack:
                for each in mounted:
                    await stack.enter_async_context(_ending(each.living(), end))
                task_status.started()
                # Who has begun something may end it, whatever is cancelled around us.
                ending.shield = True
                try:
                    await end.wait()
                finally:
                    ending.deadline = trio.current_time() + LAST_WORK
    except BaseException as error:
        stop, mistake = parted(error)
        if mistake is not None:
            LOGGER.exception("a lifespan failed", exc_info=mistake)
        if stop is not None or mistake is None:
            raise
        from pad19.routes.frames import summary_of  # here, since start time counts
        from pad19.routes.naming import plain

        summary = plain(" ".join(summary_of(unwrapped(mistake)).split()))
        raise ConfigError((f"a lifespan of the routes failed ({summary}): mend it",)) from error
    if ending.cancelled_caught:
        LOGGER.warning("the lifespans of the routes did not end within %g seconds", LAST_WORK)
    if not end.is_set():
        raise ConfigError(("a lifespan of the routes ended before its time: mend it",))


@asynccontextmanager
async def _ending(living: AbstractAsyncContextManager[None], end: trio.Event) -> AsyncIterator[None]:
    """The same, but what fails at its end is only logged."""
    try:
        async with living:
            yield
    except BaseException as error:
        stop, mistake = parted(error)
        if mistake is None or not end.is_set():
            raise
        LOGGER.exception("a lifespan failed at its end", exc_info=mistake)
        if stop is not None:
            raise stop from None
