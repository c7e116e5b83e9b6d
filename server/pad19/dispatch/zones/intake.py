"""Who may upload, and what, where no route has a say: files and programs.

Nobody, unless a zone lets them, or they have a token. A token for the whole capsule is for what lies in no
zone: a zone has its own.
"""

from collections.abc import Mapping, Sequence

from pad19.content.uploads import Terms
from pad19.dispatch.router import Handler
from pad19.protocol.failure import NotFound, PermanentFailure
from pad19.protocol.request import Request
from pad19.protocol.response import Response
from pad19.protocol.upload import Upload

from .guard import Zones
from .paths import Segments
from .tokens import Tokens


class UploadTerms:
    """What may be uploaded, by path."""

    def __init__(self, zones: Zones, terms: Terms, by_zone: Mapping[Segments, Terms]) -> None:
        """``terms``: for what lies in no zone. ``by_zone``: by the paths of the zones, of each."""
        self._zones = zones
        self._terms = terms
        self._by_zone = by_zone

    def __call__(self, request: Request) -> Sequence[Terms]:
        """All those that hold for a path: there are several if it has several readings."""
        return [self._by_zone[zone.path] for zone in self._zones.covering(request)] or [self._terms]


class Intake:
    """A handler in front of the one that takes uploads."""

    def __init__(self, zones: Zones, tokens: Tokens, terms: UploadTerms, inner: Handler) -> None:
        self._zones = zones
        self._tokens = tokens
        self._terms = terms
        self._inner = inner

    async def __call__(self, request: Request) -> Response:
        """Let the other one have the uploads of those who may.

        Raises:
            BadRequest: It is too large, or of another type than may be uploaded.
            Failure: They may not, see `Zone.admit`; and whatever the other one raises.
        """
        upload = request.upload
        if upload is None:
            raise NotFound
        if not self._zones.admit(request):
            self._check_token(upload)
        for terms in self._terms(request):
            terms.check(upload)
        return await self._inner(request)

    def _check_token(self, upload: Upload) -> None:
        if not self._tokens:
            raise PermanentFailure("nobody may upload here")
        if upload.edit:
            return  # a token can only come along with what is uploaded then
        if upload.token is None:
            raise PermanentFailure("an upload here needs a token")
        if not self._tokens.has(upload.token):
            raise PermanentFailure("this token is not known here")


class ByScheme:
    """Uploads to one handler, all else to another."""

    def __init__(self, gemini: Handler, titan: Handler) -> None:
        self._gemini = gemini
        self._titan = titan

    async def __call__(self, request: Request) -> Response:
        """Whatever that one answers.

        Raises:
            Failure: Whatever that one raises.
        """
        return await (self._gemini if request.upload is None else self._titan)(request)
