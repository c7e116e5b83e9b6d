"""What tests of static files share: requests, and answers in short."""

from pad19.content.body import FileBody
from pad19.content.static import StaticFiles
from pad19.protocol.client import Client
from pad19.protocol.failure import Failure
from pad19.protocol.request import parse_request
from pad19.protocol.response import Response, Success


async def get(files: StaticFiles, path: str) -> Response:
    return await files(parse_request(f"gemini://localhost{path}".encode(), Client()))


async def page(files: StaticFiles, path: str) -> str:
    """The body as text, or the status and what stands behind it."""
    try:
        response = await get(files, path)
    except Failure as failure:
        return str(int(failure.status))
    if isinstance(response, Success):
        assert isinstance(response.body, bytes)
        return response.body.decode()
    return f"{int(response.status)} {response.meta}"


async def attempt(files: StaticFiles, path: str) -> Failure | None:
    """What went wrong, if anything did; a body is let go."""
    try:
        response = await get(files, path)
    except Failure as failure:
        return failure
    if isinstance(response.body, FileBody):
        await response.body.aclose()
    return None
