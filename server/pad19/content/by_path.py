"""Files that code has chosen, answered as if a visitor had asked for them."""

import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from pad19.protocol.failure import NotFound
from pad19.protocol.request import Request
from pad19.protocol.response import Redirect, Response
from pad19.protocol.uri import percent_encode

from .static import StaticFiles


def server_of(static: StaticFiles, root: Path) -> Callable[[Path, Request], Awaitable[Response]]:
    """The function that answers with a file below ``root``, which is that of ``static``: as safe, as fast.

    It raises `NotFound` for what lies elsewhere, for folders, and for what visitors may not have either,
    such as names that are not UTF-8.
    """
    folder = os.path.abspath(root)

    async def serve(path: Path, request: Request) -> Response:
        relative = _beneath(folder, path)
        try:
            raw_path = f"/{percent_encode(relative, '/')}"
        except UnicodeEncodeError:
            raise NotFound from None
        response = await static(replace(request, path=f"/{relative}", raw_path=raw_path))
        if isinstance(response, Redirect):  # a folder
            raise NotFound
        return response

    return serve


def _beneath(folder: str, path: Path) -> str:
    relative = os.path.relpath(os.path.join(folder, path), folder)
    if relative.partition("/")[0] == ".." or "\0" in relative:  # a path may come from a visitor's query
        raise NotFound
    return relative
