"""Routes of which some may be broken: those are answered with something else, and the rest works.

While they are written, that is a page with the reason.
"""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

from pad19.protocol.failure import NotFound
from pad19.protocol.request import Request
from pad19.protocol.response import Response
from pad19.routes import error_page
from pad19.routes.interface import Lifespan
from pad19.routes.loading.broken import Answer, BrokenModule, routes_instead
from pad19.routes.loading.loader import Loaded
from pad19.routes.mistakes import parted
from pad19.routes.mounting import Mounted
from pad19.routes.table import Routes

LOGGER = logging.getLogger("pad19.service")


@dataclass(frozen=True, slots=True)
class Instead:
    """What there is in the place of a module that cannot be mounted."""

    answer: Callable[[BrokenModule], Answer]
    tell: Callable[[BrokenModule], object]


def _log(module: BrokenModule) -> None:
    LOGGER.error("%s\n%s", module, module.traceback.rstrip())


REASONS = Instead(error_page.answer_of, _log)


class Workbench:
    """A handler, in the place of `Mounted`."""

    def __init__(
        self,
        load: Callable[[Callable[[BrokenModule], Routes]], Loaded],
        mount: Callable[[Routes], Mounted],
        instead: Instead = REASONS,
    ) -> None:
        """``load``: is given what to call for each module that cannot be mounted."""
        self._instead = instead
        self._at_root: Answer | None = None  # of a module that would answer there
        self._is_whole = True
        self._mount = mount
        self._loaded = load(self._show)
        self._mounted = mount(self._loaded.routes)

    @property
    def takes_uploads(self) -> bool:
        """Whether there is a route for any. Nobody knows that of a module that is broken."""
        return self._is_whole and self._mounted.takes_uploads

    def matches(self, request: Request) -> bool:
        """Whether there is a route for it; see `Mounted`."""
        return self._mounted.matches(request)

    @asynccontextmanager
    async def living(self) -> AsyncIterator[None]:
        """What must be entered before requests come. A module whose lifespan cannot begin is broken.

        Raises:
            BaseException: Whatever a lifespan raises later on.
        """
        async with AsyncExitStack() as stack:
            while broken := await self._begin(stack):
                self._loaded = self._loaded.without(*broken, self._show)
                self._mounted = self._mount(self._loaded.routes)
            yield

    async def _begin(self, stack: AsyncExitStack) -> tuple[Lifespan, BaseException] | None:
        """Enter it, or say which lifespan has failed; those before it have ended then."""
        failing: list[Lifespan] = []
        try:
            await stack.enter_async_context(self._mounted.living(failing.append))
        except BaseException as error:
            stop, mistake = parted(error)
            if stop is not None or mistake is None or not failing:
                raise
            return failing[0], mistake
        return None

    async def __call__(self, request: Request) -> Response:
        """The answer of a route, or of what lies behind; at the root, and where there is none, that instead.

        So it is for all uploads that no route takes: the module's own might have, and files must not.

        Raises:
            Failure: As `Mounted` does.
        """
        instead = self._at_root
        if instead is None or self.matches(request):
            return await self._mounted(request)
        if request.upload is None and request.path != "/":
            with suppress(NotFound):
                return await self._mounted(request)
        return instead(request)

    def _show(self, module: BrokenModule) -> Routes:
        """What is mounted in its place."""
        self._instead.tell(module)
        self._is_whole = False
        answer = self._instead.answer(module)
        if module.prefix.rstrip("/"):
            return routes_instead(answer)
        # Files have paths there as well, and those can be told apart only by asking.
        self._at_root = self._at_root or answer
        return Routes()
