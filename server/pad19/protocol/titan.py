"""Titan, uploads beside Gemini: ``titan://host/path;size=N;mime=T;token=S`` CRLF, and then N bytes.

The answer is Gemini's. Parameters come in any order, behind the last segment of the path and before a
query; ``;edit``, alone, asks for the text that is there. By the letter a slash in a parameter would have
to be encoded, since it ends a segment; but ``mime=text/plain`` is what the specification itself writes.

A type may have parameters, and clients write them as they are: ``;mime=text/plain; charset=utf-8``. No URI
can hold a blank; `parse_request` takes that one all the same.

A token is a password: it is taken out of the URI before anybody can write that down.
"""

import re
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace

from .failure import BadRequest
from .request import DEFAULT_PORT, MAX_URI, Request, parse_request
from .upload import DEFAULT_MIMETYPE, Upload
from .uri import URI, InvalidURI, parse, percent_decode, percent_encode, resolve

SCHEME = "titan"
EDIT = "edit"
# Clients that do not encode a token may have any character in it; others encode more than they need to.
_BLANK = r"(?:\s|%20|%09)*"
_NAME = "".join(f"(?:{letter}|%{ord(letter):x}|%{ord(letter.upper()):x})" for letter in "token")
_TOKEN = re.compile(f"((?:;|%3B){_BLANK}{_NAME}{_BLANK}(?:=|%3D)).*", re.IGNORECASE | re.DOTALL)
_FIRST = re.compile(rf";(?:(?:size|mime|token)=|{EDIT}(?=;|\Z))")
# Some clients have put them behind the query, where they are a part of it.
_TOO_LATE = re.compile(rf";(?:(?:size|mime)=|{EDIT}\Z)")
# Of a type, behind it. One that is not told from ours by a blank must be one that texts have.
_OF_TYPE = re.compile(r"%20[\w!#$&^.+\-]+=.*|(?:charset|lang)=.*", re.ASCII | re.IGNORECASE)
_SIZE = re.compile(r"[0-9]{1,15}", re.ASCII)  # a petabyte is enough
_MIMETYPE = re.compile(r"[\w!#$&^.+\-]+/[\w!#$&^.+\-]+(?:[ \t]*;[ -~]*)?", re.ASCII)


def without_token(uri: str) -> str:
    """The URI as a log may keep it: nothing that follows the name of a token, which may be a part of it."""
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
    if not parameters and _TOO_LATE.search(query):
        raise BadRequest("the parameters go before the question mark")
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


def upload_target(target: str) -> str:
    """Where a redirect sends somebody whose upload belongs elsewhere.

    To a gemini URI they would be sent when all is done.
    """
    return f"{SCHEME}{target.removeprefix('gemini')}" if target.startswith("gemini://") else target


def edit_target(request: Request, target: str) -> str:
    """Where a redirect sends somebody who wants to edit, and will ask for that as it stands.

    So it is absolute, and has ``;edit``. What leads to another server stays as it is.

    Raises:
        BadRequest: It is too long then.
    """
    port = None if request.port == DEFAULT_PORT else request.port
    base = URI(SCHEME, None, request.host, port, request.raw_path, None, None)
    try:
        there = resolve(base, parse(target))
    except InvalidURI:
        return target  # whoever sends it will notice
    is_here = (there.host, there.port or DEFAULT_PORT) == (request.host, request.port)
    if not is_here or there.scheme not in {SCHEME, "gemini"}:
        return target
    target = edit_uri_for(str(replace(there, scheme=SCHEME, fragment=None)))
    if len(target) > MAX_URI:
        raise BadRequest("the URI is too long once it is redirected")
    return target


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
    for parameter in _with_whole_type(parameters):
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


def _with_whole_type(parameters: Sequence[str]) -> list[str]:
    """The same, with the parameters of a type as parts of it."""
    joined: list[str] = []
    for parameter in parameters:
        if joined and joined[-1].startswith("mime=") and _OF_TYPE.fullmatch(parameter):
            joined[-1] += f";{parameter}"
        else:
            joined.append(parameter)
    return joined
