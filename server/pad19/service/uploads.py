"""From a capsule's configuration to the handler that takes uploads where no route does."""

import sys
from collections.abc import Mapping
from pathlib import Path

from pad19.content.edits import Edits
from pad19.content.file_tree import Quota
from pad19.content.mimetype import MimeTypes
from pad19.content.uploads import Terms, Uploads
from pad19.dispatch.prefixes import Prefixes
from pad19.dispatch.router import Handler
from pad19.dispatch.zones.guard import Zones
from pad19.dispatch.zones.intake import Intake, UploadTerms
from pad19.dispatch.zones.paths import Segments, parse_path
from pad19.dispatch.zones.tokens import Tokens
from pad19.protocol.failure import ProxyRequestRefused
from pad19.protocol.request import Request
from pad19.protocol.response import Response
from pad19.store.interface import Store

from .config.capsule import Capsule, Titan, Zone
from .config.model import Config
from .config.read import shown_path
from .config.values import Token
from .folders import folder_problem


def uploads_for(
    capsule: Capsule,
    titan: Titan,
    zones: Zones,
    edits: Store,
    visit: Handler,
    handlers: Mapping[str, Handler],
    state: Path,
) -> Handler:
    """The handler of a capsule that was checked.

    ``edits``: a namespace for who edits what. ``visit``: answers visitors, behind the zones. ``handlers``:
    what answers below prefixes; only programs are given uploads. ``state``: the folder for locks.
    """
    terms = _terms(capsule, titan, zones)
    uploads = Uploads(
        capsule.content,
        terms,
        Edits(edits, zones.has_writer),
        visit,
        MimeTypes(capsule.mimetypes, lang=capsule.lang, charset=capsule.charset),
        locks=state,
        delete=titan.delete,
        folders=titan.folders,
        keep=titan.keep,
    )
    prefixes = {prefix: handler if prefix in capsule.cgi else _refuse for prefix, handler in handlers.items()}
    return Intake(zones, tokens_of(titan.token), terms, Prefixes(prefixes, uploads) if prefixes else uploads)


def may_upload(capsule: Capsule, titan: Titan) -> bool:
    """Whether there is anybody who may upload a file."""
    return bool(titan.token or any(zone.write or zone.token for zone in capsule.zones))


def state_problem(config: Config) -> str | None:
    """Why uploads could not be stored, as a sentence without a full stop."""
    state = config.server.state
    if not any(capsule.titan and may_upload(capsule, capsule.titan) for capsule in config.capsules):
        return None
    problem = folder_problem(state)
    return problem and f"server.state is {shown_path(state)}, which uploads need, but {problem}"


def zones_in_vain(capsule: Capsule) -> list[str]:
    """The paths of the zones that say something about uploads."""
    return [
        zone.path
        for zone in capsule.zones
        if zone.write or zone.token or zone.max_size or zone.types or zone.quota
    ]


def own_terms(capsule: Capsule) -> dict[Segments, Terms]:
    """What zones themselves say of uploads, by their paths: it holds for those to routes, too."""
    return {
        parse_path(zone.path): Terms(zone.max_size or sys.maxsize, zone.types or ("*/*",))
        for zone in capsule.zones
        if zone.max_size or zone.types
    }


def tokens_of(tokens: tuple[Token, ...]) -> Tokens:
    """The passwords that a key names."""
    return Tokens(
        [token.value for token in tokens if token.kind == "text"],
        [Path(token.value) for token in tokens if token.kind == "file"],
    )


def _terms(capsule: Capsule, titan: Titan, zones: Zones) -> UploadTerms:
    whole = (Quota((), titan.quota),) if titan.quota else ()

    def of_zone(zone: Zone) -> Terms:
        own = (Quota(parse_path(zone.path), zone.quota),) if zone.quota else ()
        return Terms(zone.max_size or titan.max_size, zone.types or titan.types, whole + own)

    by_zone = {parse_path(zone.path): of_zone(zone) for zone in capsule.zones}
    return UploadTerms(zones, Terms(titan.max_size, titan.types, whole), by_zone)


async def _refuse(request: Request) -> Response:
    raise ProxyRequestRefused(f"{request.scheme} is not served here")
