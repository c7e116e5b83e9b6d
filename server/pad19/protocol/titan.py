"""Titan, uploads beside Gemini: ``titan://host/path;size=N;mime=T;token=S`` CRLF, and then N bytes.

The answer is Gemini's. Parameters come in any order, behind the last segment of the path and before a
query; ``;edit``, alone, asks for the text that is there. By the letter a slash in a parameter would have
to be encoded, since it ends a segment; but ``mime=text/plain`` is what the specification itself writes.

A token is a password: it is taken out of the URI before anybody can write that down.
"""

import re
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace

from .failure import BadRequest
from .request import Request, parse_request
from .upload import DEFAULT_MIMETYPE, Upload
from .uri import InvalidURI, percent_decode, percent_encode

SCHEME = "titan"
EDIT = "edit"
_TOKEN = re.compile(r"(;token=)[^;?]*", re.IGNORECASE)
_FIRST = re.compile(rf";(?:(?:size|mime|token)=|{EDIT}(?=;|\Z))")
_SIZE = re.compile(r"[0-9]{1,15}", re.ASCII)  # a petabyte is enough
_MIMETYPE = re.compile(r"[\w!#$&^.+\-]+/[\w!#$&^.+\-]+(?:[ \t]*;[ -~]*)?", re.ASCII)


def without_token(uri: str) -> str:
    """The URI as a log may keep it."""
    return _TOKEN.sub(r"\1...", uri)


def receive(request: Request, chunks: Callable[[int], AsyncIterator[bytes]]) -> Request:
    """Read the parameters of a Titan request: it leaves without them, and with an `Upload`.

    ``chunks``: makes the body of so many bytes.

    Raises:
        BadRequest: They are missing, unknown, there twice, or malformed.
        NotFound: The path can name nothing without them.
    """
    uri, question, query = request.uri.partition("?")
    uri, parameters = _split(uri)
    upload = _read(parameters, chunks)
    return replace(parse_request(f"{uri}{question}{query}".encode(), request.client), upload=upload)


def uri_for(uri: str, *, size: int, mimetype: str | None = None, token: str | None = None) -> str:
    """The request line of an upload to ``uri``, which is a titan URI without parameters."""
    parameters = f";size={size}"
    if mimetype is not None:
        parameters = f";mime={percent_encode(mimetype, '/+.')}{parameters}"
    if token is not None:
        parameters += f";token={percent_encode(token, '')}"
    return _insert(uri, parameters)


def edit_uri_for(uri: str) -> str:
    """The request line that asks for the text at ``uri``, which is a titan URI without parameters."""
    return _insert(uri, f";{EDIT}")


def accepts(patterns: Sequence[str], mimetype: str) -> bool:
    """Whether a type is among ``text/gemini``, ``text/*`` and the like. Its parameters do not matter."""
    kind = mimetype.partition(";")[0].strip(" \t").lower()
    return any(pattern in {kind, "*/*", f"{kind.partition('/')[0]}/*"} for pattern in patterns)


def _insert(uri: str, parameters: str) -> str:
    path, question, query = uri.partition("?")
    return f"{path}{parameters}{question}{query}"


def _split(uri: str) -> tuple[str, list[str]]:
    """A URI without its query: what is in front of the parameters, and those."""
    match = _FIRST.search(uri)
    end = match.start() if match else len(uri)
    # Strange ones may come first, in the same segment.
    strange = uri.find(";", uri.rfind("/", 0, end), end)
    end = strange if strange >= 0 else end
    return uri[:end], uri[end + 1 :].split(";") if end < len(uri) else []


def _read(parameters: Sequence[str], chunks: Callable[[int], AsyncIterator[bytes]]) -> Upload:
    if EDIT in parameters:
        if len(parameters) > 1:
            raise BadRequest("edit goes without other parameters")
        return Upload(0, edit=True)
    found: dict[str, str] = {}
    for parameter in parameters:
        name, equals, value = parameter.partition("=")
        if not equals or name not in {"size", "mime", "token"}:
            raise BadRequest("there is a parameter besides size, mime and token")
        if name in found:
            raise BadRequest(f"{name} is there twice")
        try:
            found[name] = percent_decode(value)
        except InvalidURI as error:
            raise BadRequest(f"{name} holds {error}") from None
    if "size" not in found:
        raise BadRequest("the size is missing")
    if not _SIZE.fullmatch(found["size"]):
        raise BadRequest("the size is not a number of bytes")
    mimetype = found.get("mime") or DEFAULT_MIMETYPE
    if not _MIMETYPE.fullmatch(mimetype):
        raise BadRequest("mime is not a MIME type")
    size = int(found["size"])
    return Upload(size, mimetype, found.get("token") or None, chunks=chunks(size))
