"""What a worker answers for what does not work, if it came in the place of one that died.

It finds files as they are by then, perhaps in the middle of an edit. Nobody is served by its refusing to
start, as the first worker of a generation does: all else works.
"""

from pad19.protocol.request import Request
from pad19.protocol.response import Reply, Response
from pad19.protocol.status import Status

CLOSED = Reply(Status.CGI_ERROR, "internal error")


async def closed(_request: Request) -> Response:
    """A handler in the place of one that cannot be made."""
    return CLOSED


def told(problem: object) -> str:
    """What is wrong, with what follows from it."""
    return f"{problem}; until that is mended, what needs it is answered with {CLOSED.status.value}"
