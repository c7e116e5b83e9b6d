"""What tests of uploads share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

from pad19.protocol.client import Client
from pad19.protocol.failure import Failure
from pad19.protocol.request import Request, parse_request
from pad19.protocol.response import Response
from pad19.protocol.upload import Upload


class Pieces:
    """A body in pieces; a failure among them is raised, as it is when a client does something wrong."""

    def __init__(self, *pieces: bytes | Failure) -> None:
        self.left = list(pieces)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self.left:
            raise StopAsyncIteration
        piece = self.left.pop(0)
        if isinstance(piece, Failure):
            raise piece
        return piece


def upload(
    path: str,
    *pieces: bytes | Failure,
    mime: str = "text/gemini",
    size: int | None = None,
    token: str | None = None,
    client: Client | None = None,
) -> Request:
    """An upload, of the size of its pieces if none is said."""
    total = sum(len(piece) for piece in pieces if isinstance(piece, bytes)) if size is None else size
    request = parse_request(f"titan://localhost{path}".encode(), client or Client("192.0.2.1"))
    return replace(request, upload=Upload(total, mime, token, chunks=Pieces(*pieces)))


def edit(path: str, client: Client | None = None) -> Request:
    """A request for a text to edit."""
    return replace(upload(path, client=client), upload=Upload(0, edit=True))


async def body_of(response: Response) -> bytes:
    if isinstance(response.body, bytes):
        return response.body
    try:
        return b"".join([bytes(chunk) async for chunk in response.body])
    finally:
        await response.body.aclose()


def files_below(folder: Path, *, versions: bool = False) -> dict[str, bytes]:
    """Everything that is there, folders with a slash at their end; maybe without previous versions."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if versions or ".titan" not in name.split("/"):
            found[f"{name}/" if path.is_dir() else name] = b"" if path.is_dir() else path.read_bytes()
    return found


def versions_of(folder: Path, name: str) -> Sequence[bytes]:
    """The previous versions of a file, the oldest first."""
    shelf = folder / ".titan" / name
    return [path.read_bytes() for path in sorted(shelf.iterdir())] if shelf.is_dir() else []
