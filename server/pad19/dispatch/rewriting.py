"""Paths that are answered without asking for what lies there: moved, gone, or another path's alias."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from pad19.protocol.failure import BadRequest, Failure, Gone
from pad19.protocol.pattern import Pattern, PatternTable, Template
from pad19.protocol.request import Request, parse_request
from pad19.protocol.response import MAX_META, Redirect, Response
from pad19.protocol.titan import edit_target, upload_target

from .router import Handler


@dataclass(frozen=True, slots=True)
class Moved:
    """A redirect."""

    target: Template
    permanent: bool = False


@dataclass(frozen=True, slots=True)
class Alias:
    """Another path of the same capsule answers."""

    target: Template


@dataclass(frozen=True, slots=True)
class Removed:
    """There is nothing. ``text``: for the visitor, maybe empty."""

    text: str = ""
    failure: type[Failure] = Gone


Rule = Moved | Alias | Removed


class Rewriting:
    """A handler in front of another one. The most specific pattern wins, and only one is applied.

    Queries are kept, unless the target has its own.
    """

    def __init__(self, rules: Iterable[tuple[Pattern, Rule]], inner: Handler) -> None:
        """``rules``: a pattern each, all different.

        Raises:
            ValueError: Two patterns match the same paths.
        """
        self._table: PatternTable[tuple[Pattern, Rule]] = PatternTable()
        for pattern, rule in rules:
            self._table.add(pattern, (pattern, rule))
        self._inner = inner

    async def __call__(self, request: Request) -> Response:
        """Answer, or let the other one do it.

        Raises:
            BadRequest: The URI is too long once it is rewritten.
            Failure: A rule says so, or the other one.
        """
        found = self._table.find(request.segments)
        if found is None:
            return await self._inner(request)
        (pattern, rule), captures = found
        if isinstance(rule, Removed):
            raise rule.failure(*filter(None, [rule.text]))
        target = rule.target.fill(captures, pattern.kinds)
        if rule.target.query is None and request.raw_query is not None:
            target += f"?{request.raw_query}"
        if isinstance(rule, Alias):
            return await self._inner(_at(request, target))
        if request.upload is not None:
            target = edit_target(request, target) if request.upload.edit else upload_target(target)
        if len(target) > MAX_META:
            raise BadRequest("the URI is too long once it is rewritten")
        return Redirect(target, permanent=rule.permanent)


def _at(request: Request, target: str) -> Request:
    """The same request for another path and query; the URI stays as it was sent, and so does an upload."""
    line = f"{request.scheme}://{request.host}:{request.port}{target}".encode()
    return replace(parse_request(line, request.client), uri=request.uri, upload=request.upload)
