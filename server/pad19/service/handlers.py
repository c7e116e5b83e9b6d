"""From a capsule's configuration to the handler that answers for it."""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

from pad19.content.mimetype import MimeTypes
from pad19.content.static import StaticFiles
from pad19.dispatch.rewriting import Alias, Moved, Removed, Rewriting, Rule
from pad19.dispatch.router import Handler
from pad19.dispatch.texts import Wording, texts_in
from pad19.dispatch.zones.guard import Guard, Zones
from pad19.dispatch.zones.lists import AuthorityFile, FingerprintFile, Fingerprints
from pad19.dispatch.zones.paths import parse_path
from pad19.dispatch.zones.programs import Programs
from pad19.dispatch.zones.zone import CertificateList, Grant, Zone
from pad19.protocol.failure import Gone, NotFound, PermanentFailure, ServerUnavailable, TemporaryFailure
from pad19.protocol.pattern import Pattern, Template

from .config.capsule import Capsule
from .config.model import Config
from .config.values import Who
from .mounting import Backends
from .uploads import own_terms, tokens_of

# By capsule.gone.status.
_GONE = {
    int(failure.status): failure
    for failure in (TemporaryFailure, ServerUnavailable, PermanentFailure, NotFound, Gone)
}


def handler_for(capsule: Capsule, backends: Backends | None = None, *, guarded: bool = True) -> Handler:
    """The handler of a capsule that was checked. Without rules, zones and texts, nothing looks for them.

    ``backends``: without one there are only files. ``guarded``: by zones, and with the texts for visitors;
    the owner sees everything, also what is wrong.

    Raises:
        ConfigError: Routes cannot be loaded.
    """
    files = StaticFiles(
        capsule.content,
        MimeTypes(capsule.mimetypes, lang=capsule.lang, charset=capsule.charset),
        index=capsule.index,
        listing=capsule.listing,
        hidden=capsule.hidden,
        withheld=backends.withheld if backends else (),
    )
    rules = [*_rules(capsule)]
    zones = zones_of(capsule)
    inner = backends.in_front_of(files, capsule, zones) if backends else files
    if capsule.zones and guarded:
        # Behind rewrites: the path that they lead to is what counts.
        inner = Guard(zones, inner, own_terms(capsule))
    if rules:
        inner = Rewriting(rules, inner)
    texts = {**texts_in(capsule.lang), **capsule.texts}
    return Wording(texts, inner) if texts and guarded else inner


def rehearse(config: Config) -> tuple[list[Handler], list[str]]:
    """A handler for each capsule that shows what is there, to its owner, and what cannot be loaded.

    Routes are loaded, which runs their modules, but never asked.
    """
    backends = Backends(config, is_rehearsal=True)
    handlers = [handler_for(capsule, backends, guarded=False) for capsule in config.capsules]
    return handlers, list(dict.fromkeys(backends.problems))  # by an import, modules can share a mistake


def _rules(capsule: Capsule) -> Iterator[tuple[Pattern, Rule]]:
    for redirect in capsule.redirects:
        yield Pattern.parse(redirect.pattern), Moved(Template.parse(redirect.target), redirect.is_permanent)
    for rewrite in capsule.rewrites:
        yield Pattern.parse(rewrite.pattern), Alias(Template.parse(rewrite.target))
    for gone in capsule.gone:
        yield Pattern.parse(gone.pattern), Removed(gone.text, _GONE[gone.status])


def zones_of(capsule: Capsule) -> Zones:
    """The zones of a capsule that was checked. A file that several of them name is read once."""
    file = cache(lambda path: FingerprintFile(Path(path)))
    complete = cache(lambda path: FingerprintFile(Path(path), is_complete=True))
    authorities = cache(lambda path: AuthorityFile(Path(path)))

    def lists(whos: Sequence[Who], file: Callable[[str], CertificateList]) -> Iterator[CertificateList]:
        """Those that are written out are one list."""
        named = [key for who in whos if who.kind == "name" for key in capsule.people[who.value]]
        if fingerprints := [*named, *(who.value for who in whos if who.kind == "fingerprint")]:
            yield Fingerprints(fingerprints)
        yield from (file(who.value) for who in whos if who.kind == "file")
        yield from (authorities(who.value) for who in whos if who.kind == "ca")

    def grant(whos: Sequence[Who]) -> Grant:
        kinds = {who.kind for who in whos}
        return Grant("everybody" in kinds, "any" in kinds, tuple(lists(whos, file)))

    return Zones(
        (
            Zone(
                parse_path(zone.path),
                Grant(everybody=True) if zone.allow is None else grant(zone.allow),
                grant(zone.write),
                tuple(lists(zone.deny, complete)),
                tokens_of(zone.token),
            )
            for zone in capsule.zones
        ),
        capsule.index,
        _programs_of(capsule),
    )


def _programs_of(capsule: Capsule) -> Programs:
    if not capsule.cgi:
        return Programs()
    from pad19.routes.cgi.scripts import INDEX, SUFFIXES  # few have them, and start time counts

    prefixes = (tuple(prefix.split("/")[1:-1]) for prefix in capsule.cgi)
    return Programs(prefixes, INDEX, SUFFIXES)
