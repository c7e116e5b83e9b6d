"""What comes with a Titan request."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

DEFAULT_MIMETYPE = "text/gemini"


async def _nothing() -> AsyncIterator[bytes]:
    """A body of no bytes."""
    return
    yield b""


@dataclass(frozen=True, slots=True)
class Upload:
    """The parameters, and the body as it arrives: ``async for chunk in upload``, once.

    A body that is cut short, too long or too slow raises a Failure there, and never seems complete. Nobody
    has looked yet whether the body is of the type that is said.
    """

    size: int  # bytes of the body; 0: delete what is there
    mime: str = DEFAULT_MIMETYPE  # the type, as sent
    token: str | None = field(default=None, repr=False)  # a password; decoded
    edit: bool = False  # nothing is uploaded: asks for the text that is to be edited
    chunks: AsyncIterator[bytes] = field(default_factory=_nothing, repr=False, compare=False)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self.chunks

    async def read(self) -> bytes:
        """All of it; as large as whoever lets the upload in allows.

        Raises:
            BadRequest: It is not as long as its size says.
            TemporaryFailure: It was too slow.
        """
        return b"".join([chunk async for chunk in self.chunks])
