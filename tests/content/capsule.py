"""A capsule that takes uploads, for the tests of what becomes of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pad19.content.edits import Edits
from pad19.content.static import StaticFiles
from pad19.content.uploads import Terms, Uploads
from pad19.protocol.client import Client
from pad19.protocol.failure import Failure
from pad19.protocol.request import Request
from pad19.store.interface import Store
from pad19.testing import identity
from support.uploads import body_of, files_below

ADA, EVE = (Client("192.0.2.1", certificate=identity(name)) for name in ("Ada", "Eve"))
ELSEWHERE = Client("192.0.2.2")
TEXT = Terms(1000, ("text/*",))


@dataclass
class Capsule:
    root: Path
    store: Store

    def uploads(self, *terms: Terms, **options: Any) -> Uploads:
        options.setdefault("locks", self.root.parent / "locks")
        return Uploads(
            self.root, lambda _: terms or (TEXT,), Edits(self.store), StaticFiles(self.root), **options
        )

    async def answer(self, request: Request, *terms: Terms, **options: Any) -> str:
        """In a line."""
        try:
            response = await self.uploads(*terms, **options)(request)
        except Failure as failure:
            return f"{failure.status:d} {failure}"
        body = await body_of(response)
        return f"{response.status:d} {response.meta}{f'|{body.decode()}' if body else ''}"

    @property
    def files(self) -> dict[str, bytes]:
        return files_below(self.root)


UNTOUCHED = {"notes/": b"", "old.gmi": b"old"}
PAGE = "30 gemini://localhost"
