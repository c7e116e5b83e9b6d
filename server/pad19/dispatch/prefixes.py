"""Handlers for the paths below prefixes, in front of one for the rest."""

from collections.abc import Mapping

from pad19.protocol.failure import NotFound
from pad19.protocol.request import Request
from pad19.protocol.response import Response

from .router import Handler


class Prefixes:
    """The longest prefix wins; whole segments count, so ``/cgi-bin/`` is not in front of ``/cgi-binary``.

    What is not found below a prefix is not looked for elsewhere, except below ``/``, which is
    everything.
    """

    def __init__(self, handlers: Mapping[str, Handler], inner: Handler) -> None:
        """``handlers``: by prefixes, which begin and end with a slash."""
        self._handlers = {tuple(prefix.split("/")[1:-1]): handler for prefix, handler in handlers.items()}
        self._longest = max(map(len, self._handlers), default=0)
        self._inner = inner

    async def __call__(self, request: Request) -> Response:
        """Answer by the handler that the path belongs to.

        Raises:
            Failure: What that one raises.
        """
        segments = request.segments
        for count in range(min(self._longest, len(segments)), 0, -1):
            handler = self._handlers.get(segments[:count])
            if handler is not None:
                return await handler(request)
        handler = self._handlers.get(())
        if handler is not None:
            try:
                return await handler(request)
            except NotFound:
                pass
        return await self._inner(request)
