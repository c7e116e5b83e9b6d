"""CGI: executables below a folder answer for the paths below a prefix."""

import logging
from datetime import UTC, datetime
from pathlib import Path

import trio

from pad19.protocol.failure import BadRequest, NotFound, TemporaryFailure
from pad19.protocol.request import Request
from pad19.protocol.response import MAX_META, Redirect, Response, Success
from pad19.protocol.uri import percent_encode

from .environment import Gateway, Mount, join, variables
from .input import received
from .output import respond
from .process import Programs
from .scripts import Script, Scripts

LOGGER = logging.getLogger("pad19.cgi")


class CGI:
    """A handler: the scripts below ``folder`` answer for what is below ``prefix``, such as ``/cgi-bin/``.

    `NotFound` always means that there is no script, and that none was run: what a script says of the
    kind is a response.
    """

    def __init__(self, prefix: str, folder: Path, gateway: Gateway, programs: Programs) -> None:
        self._mount = Mount(prefix)
        self._scripts = Scripts(folder)
        self._gateway = gateway
        self._programs = programs

    async def __call__(self, request: Request) -> Response:
        """Run the script and answer as it does.

        Raises:
            NotFound: There is no script that may be run.
            CGIError: It failed before the whole header was there.
            ServerUnavailable: Too many programs are running.
            BadRequest: The URI of a folder, with the slash that it lacks, is too long to be sent; or an
                upload is broken.
            TemporaryFailure: The disk failed.
        """
        segments = self._mount.below(request)
        script = await self._find(segments)
        if script.is_index and script.depth == len(segments):
            return _add_slash(request)
        found = self._variables(request, script, segments)
        if request.upload is None or request.upload.edit:
            return await respond(await self._programs.start(script.path, found))
        async with received(request.upload) as body:
            program = await self._programs.start(script.path, found, body)
        return await respond(program)

    async def rehearse(self, request: Request) -> Response:
        """An empty page where there is a script, which is not run.

        Raises:
            NotFound: There is none that may be run.
            TemporaryFailure: The disk failed.
        """
        await self._find(self._mount.below(request))
        return Success(b"", "text/plain")

    async def _find(self, segments: tuple[str, ...]) -> Script:
        try:
            script = await trio.to_thread.run_sync(self._scripts.find, segments)
        except OSError as error:
            LOGGER.error("%r: %s", error.filename, error.strerror)  # noqa: TRY400 - one line tells all
            raise TemporaryFailure("the script cannot be read now") from error
        if script is None:
            raise NotFound
        return script

    def _variables(self, request: Request, script: Script, segments: tuple[str, ...]) -> dict[str, str]:
        script_name = join(self._mount.names + segments[: script.depth])
        path_info = join(segments[script.depth :])
        if script.is_index and path_info == "/":  # the folder is the script, with its slash
            script_name, path_info = script_name + path_info, ""
        return variables(
            request,
            self._gateway,
            datetime.now(UTC),
            script_name=script_name,
            path_info=path_info,
            script=script.path,
        )


def _add_slash(request: Request) -> Redirect:
    """The redirect to a folder's own name: relative links in its index would lead astray without it."""
    target = join(tuple(map(percent_encode, request.segments))) + "/"
    if request.raw_query is not None:
        target += f"?{request.raw_query}"
    if len(target) > MAX_META:  # an IRI becomes up to three times as long
        raise BadRequest("the URI is too long once it is percent-encoded")
    return Redirect(target, permanent=True)
