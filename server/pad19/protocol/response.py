"""What a handler answers, and the one function that writes a header line.

The values carry `status`, `meta` (what stands behind the status) and `body`; failures are
exceptions (`failure`). Nothing else in pad19 puts a header together, so no prompt, error message
or redirect target can smuggle in a CRLF.
"""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Protocol, runtime_checkable

from .characters import CONTROLS, SEPARATORS, SURROGATES
from .status import Status
from .uri import InvalidURI, parse

MAX_META = 1024  # bytes; the limit of v0.16, which clients still enforce
_UNPRINTABLE = re.compile(rf"[{CONTROLS}{SEPARATORS}{SURROGATES}\ufeff]+")  # and a BOM: never in a header
_MIMETYPE = re.compile(r"[\w!#$&^.+\-]+/[\w!#$&^.+\-]+(?: *;[ -~]*)?", re.ASCII)


@runtime_checkable
class Stream(Protocol):
    """A body that is made while it is sent. A chunk is good until the next one is asked for.

    `aclose` is always called, whether it was started, finished or neither. With an attribute ``is_stored``
    that is true, it is sent to a client that closes its sending side, since it never waits for long.
    """

    def __aiter__(self) -> AsyncIterator[bytes | memoryview]: ...

    async def aclose(self) -> None:
        """Let go of whatever it holds."""


class BrokenBody(Exception):
    """A `Stream` cannot go on. The client sees a truncation; the message goes to the log."""


Body = bytes | Stream


@dataclass(frozen=True, slots=True)
class Input:
    """Ask the visitor for a line of text (10); it comes back as the query of the same URI."""

    prompt: str

    status: ClassVar[Status] = Status.INPUT
    body: ClassVar[bytes] = b""

    @property
    def meta(self) -> str:
        """The prompt."""
        return self.prompt


@dataclass(frozen=True, slots=True)
class SensitiveInput:
    """Ask for something that must not be echoed (11)."""

    prompt: str

    status: ClassVar[Status] = Status.SENSITIVE_INPUT
    body: ClassVar[bytes] = b""

    @property
    def meta(self) -> str:
        """The prompt."""
        return self.prompt


@dataclass(frozen=True, slots=True)
class Success:
    """A body and its type (20)."""

    body: Body
    mimetype: str = "text/gemini"

    status: ClassVar[Status] = Status.SUCCESS

    @property
    def meta(self) -> str:
        """The MIME type with its parameters."""
        return self.mimetype


@dataclass(frozen=True, slots=True)
class Redirect:
    """Look there instead: for now (30), or ``permanent`` (31). ``target`` may be relative."""

    target: str
    permanent: bool = False

    body: ClassVar[bytes] = b""

    @property
    def status(self) -> Status:
        """30 or 31."""
        return Status.PERMANENT_REDIRECT if self.permanent else Status.TEMPORARY_REDIRECT

    @property
    def meta(self) -> str:
        """The target."""
        return self.target


@dataclass(frozen=True, slots=True)
class Reply:
    """Any status with any meta, for those who pass an answer on: sidecar files, CGI, proxies."""

    status: Status
    meta: str
    body: Body = b""
    note: str = ""  # for the log: what visitors do not learn from status and meta


Response = Input | SensitiveInput | Success | Redirect | Reply


def header(status: Status, meta: str) -> bytes:
    """Write ``NN meta CRLF``, at most 1029 bytes (section "Responses").

    Prompts and errormsgs are cleaned: controls become a space, what is too long is cut, and an
    empty one becomes the status's name. A type or target cannot be cleaned without meaning
    something else, so those must be right.

    Raises:
        ValueError: A 2x type that is no MIME type, or a 3x target that is no URI reference of at
            most 1024 bytes.
    """
    if status is Status.SUCCESS:
        return _success(meta)
    if 30 <= status < 40:
        meta = _target(meta)
    else:
        # Cut first: cleaning a megabyte of somebody's input is work for nothing.
        meta = _UNPRINTABLE.sub(" ", meta[: MAX_META + 1]).strip() or status.phrase
    text = meta.encode()
    if len(text) > MAX_META:
        text = text[:MAX_META].decode("utf-8", "ignore").encode()
    return b"%d %b\r\n" % (status, text)


@lru_cache(maxsize=256)
def _success(mimetype: str) -> bytes:
    if not _MIMETYPE.fullmatch(mimetype) or len(mimetype) > MAX_META:
        raise ValueError(f"{mimetype[:100]!r} is not a MIME type")
    return b"20 %b\r\n" % mimetype.encode("ascii")


def _target(target: str) -> str:
    try:
        # Through the parser: raw non-ASCII gets encoded, a control or a space is refused.
        target = str(parse(target))
    except InvalidURI as error:
        raise ValueError(f"redirect target {target[:100]!r}: {error}") from None
    if not target or len(target) > MAX_META:
        raise ValueError(f"redirect target {target[:100]!r}: must have 1 to {MAX_META} bytes")
    return target
