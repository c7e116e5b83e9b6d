"""What content folders would publish, or uploads replace, that is not for everybody."""

import os
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from .capsule import Capsule
from .model import Config
from .paths import Problem
from .read import shown, shown_path
from .values import Token, Who


def exposures(config: Config) -> Iterator[Problem]:
    """All that lies in the wrong folder."""
    for number, capsule in enumerate(config.capsules, 1):
        yield from _published_code(f"capsule[{number}]", capsule, config)
        if capsule.titan is not None:
            yield from _uploads(f"capsule[{number}]", capsule, config)
    yield from _served_secrets(config)
    yield from _replaceable(config)


def _published_code(key: str, capsule: Capsule, config: Config) -> Iterator[Problem]:
    """Code is to be run, not read, and not to be written either: other capsules may take uploads."""
    for place, folder in code_of(key, capsule):
        content = next((each.content for each in config.capsules if _inside(folder, each.content)), None)
        if content and folder.is_dir():
            yield (
                place,
                f"is {shown_path(folder)}, inside of the content folder {shown_path(content)}, "
                "which would publish the code: move it out",
            )


def _uploads(key: str, capsule: Capsule, config: Config) -> Iterator[Problem]:
    """What is uploaded must not become code, and not be where everybody is served what has a dotted name."""
    for number, other in enumerate(config.capsules, 1):
        if other.hidden and (
            _inside(other.content, capsule.content) or _inside(capsule.content, other.content)
        ):
            yield (
                f"capsule[{number}].hidden",
                f"is true, which would publish previous versions of what is uploaded by {key}.titan: "
                "set it to false",
            )
        for place, folder in code_of(f"capsule[{number}]", other):
            if _inside(capsule.content, folder):
                yield (
                    place,
                    f"is {shown_path(folder)}, and {key}.content lies in it, so code could be uploaded: "
                    "move one of them",
                )
    for number, pattern in enumerate(config.include, 1):
        if config.source and _may_match(config.source.parent / pattern, capsule.content):
            yield (
                f"include[{number}]",
                f"is {shown(pattern)}, which could match what is uploaded to {key}.content: "
                "name another folder",
            )


def _may_match(pattern: Path, folder: Path) -> bool:
    """Whether a file below ``folder`` could be one that ``pattern`` means."""
    for form in (os.path.abspath, os.path.realpath):
        parts, wanted = Path(form(folder)).parts, Path(form(pattern)).parent.parts
        if len(parts) <= len(wanted) and all(map(fnmatchcase, parts, wanted)):
            return True
    return False


def _served_secrets(config: Config) -> Iterator[Problem]:
    """Keys would be handed to everybody, and so would the addresses in the log."""
    folders: list[Path] = []
    for number, capsule in enumerate(config.capsules, 1):
        own = [path for path in (config.source, *config.included) if path and _inside(path, capsule.content)]
        if own and capsule.content.is_dir():
            yield (
                f"capsule[{number}].content",
                f"is {shown_path(capsule.content)}, which would publish {own[0].name}: "
                "move the pages into a folder of their own, and name that",
            )
        else:
            folders.append(capsule.content)
    for key, path, what in _secrets(config):
        mend = "name one elsewhere" if key == "server.certs" else "move it out"  # it may be made by a start
        for folder in folders:
            if _inside(path, folder):
                yield (
                    key,
                    f"is {shown_path(path)}, inside of the content folder {shown_path(folder)}, "
                    f"which would publish {what}: {mend}",
                )
                break


def _replaceable(config: Config) -> Iterator[Problem]:
    """What everybody may read, but uploads must not replace."""
    named = [
        (place, Path(who.value))
        for number, capsule in enumerate(config.capsules, 1)
        for place, who in whos_of(f"capsule[{number}]", capsule)
        if who.kind == "ca"
    ]
    for number, capsule in enumerate(config.capsules, 1):
        key = f"capsule[{number}]"
        shown_to_clients = [(key, capsule.certificate)]
        shown_to_clients += [
            (f"{key}.proxy[{position}]", proxy.certificate)
            for position, proxy in enumerate(capsule.proxies, 1)
        ]
        named += [(f"{place}.certificate", path) for place, path in shown_to_clients if path]
    for place, path in named:
        content = next(
            (each.content for each in config.capsules if each.titan and _inside(path, each.content)), None
        )
        if content:
            yield (
                place,
                f"is {shown_path(path)}, inside of the content folder {shown_path(content)}, "
                "where an upload could replace it: move it out",
            )


def _secrets(config: Config) -> Iterator[tuple[str, Path, str]]:
    """A key, the path that it names, and what is there that is not for everybody."""
    yield "server.certs", config.server.certs, "private keys"
    for number, capsule in enumerate(config.capsules, 1):
        if capsule.key:
            yield f"capsule[{number}].key", capsule.key, "the private key"
        for position, proxy in enumerate(capsule.proxies, 1):
            if proxy.key:
                yield f"capsule[{number}].proxy[{position}].key", proxy.key, "the private key"
    if any(capsule.routes or capsule.mount or capsule.titan for capsule in config.capsules):
        yield "server.state", config.server.state, "what routes keep"
    for number, capsule in enumerate(config.capsules, 1):
        for place, who in whos_of(f"capsule[{number}]", capsule):
            if who.kind == "file":
                yield place, Path(who.value), "who may read it"
    for number, capsule in enumerate(config.capsules, 1):
        for place, token in tokens_of(f"capsule[{number}]", capsule):
            if token.kind == "file":
                yield place, Path(token.value), "passwords"
    if config.log.access not in {"-", "off"}:
        yield "log.access", Path(config.log.access), "the access log"


def code_of(key: str, capsule: Capsule) -> Iterator[tuple[str, Path]]:
    """The folders of programs and routes, and where."""
    for prefix, folder in capsule.cgi.items():
        yield f"{key}.cgi.{shown(prefix)}", folder
    if capsule.routes:
        yield f"{key}.routes", capsule.routes


def tokens_of(key: str, capsule: Capsule) -> Iterator[tuple[str, Token]]:
    """All tokens, and where."""
    named = [(f"{key}.zone[{number}]", zone.token) for number, zone in enumerate(capsule.zones, 1)]
    for place, tokens in [*named, (f"{key}.titan", capsule.titan.token if capsule.titan else ())]:
        for position, token in enumerate(tokens, 1):
            yield f"{place}.token[{position}]", token


def whos_of(key: str, capsule: Capsule) -> Iterator[tuple[str, Who]]:
    """All who are named in zones, and where."""
    for number, zone in enumerate(capsule.zones, 1):
        for name, listed in (("allow", zone.allow or ()), ("write", zone.write), ("deny", zone.deny)):
            for position, who in enumerate(listed, 1):
                yield f"{key}.zone[{number}].{name}[{position}]", who


def _inside(path: Path, folder: Path) -> bool:
    """Whether ``path`` can be reached below ``folder``, as it is written or through links."""
    return any(Path(form(path)).is_relative_to(form(folder)) for form in (os.path.abspath, os.path.realpath))
