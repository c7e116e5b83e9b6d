"""Requests for routes that are mounted, and their answers in a line."""

from pad19.protocol.client import Client
from pad19.protocol.failure import Failure
from pad19.protocol.request import Request, parse_request
from pad19.routes.mounting import Mounted


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
