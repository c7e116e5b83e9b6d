"""From a capsule's configuration to the handler that answers for it."""

from collections.abc import Iterator

from pad19.content.mimetype import MimeTypes
from pad19.content.static import StaticFiles
from pad19.dispatch.rewriting import Alias, Moved, Removed, Rewriting, Rule
from pad19.dispatch.router import Handler
from pad19.protocol.pattern import Pattern, Template

from .config import Capsule


def handler_for(capsule: Capsule) -> Handler:
    """The handler of a capsule that was checked. Without redirects and the like, nothing looks for them."""
    files = StaticFiles(
        capsule.content,
        MimeTypes(capsule.mimetypes, lang=capsule.lang, charset=capsule.charset),
        index=capsule.index,
        listing=capsule.listing,
        hidden=capsule.hidden,
    )
    rules = [*_rules(capsule)]
    return Rewriting(rules, files) if rules else files


def _rules(capsule: Capsule) -> Iterator[tuple[Pattern, Rule]]:
    for redirect in capsule.redirects:
        yield Pattern.parse(redirect.pattern), Moved(Template.parse(redirect.target), redirect.permanent)
    for rewrite in capsule.rewrites:
        yield Pattern.parse(rewrite.pattern), Alias(Template.parse(rewrite.target))
    for gone in capsule.gone:
        yield Pattern.parse(gone.pattern), Removed(gone.text)
