"""The checks that look at several keys, or at the disk. They change nothing there."""

import os
import stat
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from pad19.content.mimetype import MimeTypes
from pad19.dispatch.zones.paths import parse_path
from pad19.dispatch.zones.tokens import MIN_LENGTH

from .capsule import Capsule
from .listen import Listen
from .model import Config
from .paths import Problem, check_paths
from .read import shown, shown_path
from .values import Token, Who


def check(config: Config, names: Sequence[str] = ()) -> Iterator[Problem]:
    """All that is wrong with values that are right one by one.

    ``names``: what to call each capsule, if they are not counted in one file.
    """
    names = names or [f"capsule[{number}]" for number, _ in enumerate(config.capsules, 1)]
    yield from _listen(config)
    yield from _forwarders(config)
    yield from _hosts(config, names)
    for number, capsule in enumerate(config.capsules, 1):
        key = f"capsule[{number}]"
        # To find a page in a folder, it takes no right to read the folder.
        if reason := _no_folder(capsule.content, is_read=capsule.listing or capsule.titan is not None):
            yield f"{key}.content", f"is {shown_path(capsule.content)}, but {reason}"
        if capsule.certificate and capsule.key:
            for name, path in (("certificate", capsule.certificate), ("key", capsule.key)):
                if _is_missing(path):
                    mend = "name the file that has it, or leave certificate and key out"
                    yield f"{key}.{name}", f"is {shown_path(path)}, which is missing: {mend}"
        try:
            MimeTypes(capsule.mimetypes, lang=capsule.lang, charset=capsule.charset)
        except ValueError as error:
            yield f"{key}.mimetypes", f"cannot be used, because {error}: write each ending once"
        for missing, given in (("key", "certificate"), ("certificate", "key")):
            if getattr(capsule, given) and not getattr(capsule, missing):
                yield f"{key}.{missing}", f"is missing beside {given}: write it too, or neither of them"
        yield from check_paths(key, capsule)
        yield from _zones(key, capsule)
        yield from _programs(key, capsule, config)
        yield from _uploads(key, capsule, config)
    yield from _served_secrets(config)
    yield from _replaceable(config)


def _programs(key: str, capsule: Capsule, config: Config) -> Iterator[Problem]:
    """Code is to be run, not read, and not to be written either: other capsules may take uploads."""
    for place, folder in _code(key, capsule):
        content = next((each.content for each in config.capsules if _inside(folder, each.content)), None)
        if reason := _no_folder(folder):
            yield place, f"is {shown_path(folder)}, but {reason}"
        elif content:
            yield (
                place,
                f"is {shown_path(folder)}, inside of the content folder {shown_path(content)}, "
                "which would publish the code: move it out",
            )
    taken = [
        (f"{name}.{shown(prefix)}", prefix) for name in ("cgi", "scgi") for prefix in getattr(capsule, name)
    ]
    taken += [(f"proxy[{number}].path", proxy.path) for number, proxy in enumerate(capsule.proxies, 1)]
    seen: dict[str, str] = {}
    for place, prefix in taken:
        other = seen.setdefault(prefix, place)
        if other != place:
            yield f"{key}.{place}", f"is the path of {key}.{other} already: remove one of them"
    for number, proxy in enumerate(capsule.proxies, 1):
        for missing, given in (("key", "certificate"), ("certificate", "key")):
            if getattr(proxy, given) and not getattr(proxy, missing):
                place = f"{key}.proxy[{number}].{missing}"
                yield place, f"is missing beside {given}: write it too, or neither of them"


def _listen(config: Config) -> Iterator[Problem]:
    seen: list[Listen] = []
    asked = [(f"server.listen[{number}]", listen) for number, listen in enumerate(config.addresses, 1)]
    asked += [
        (f"forwarder[{number}].listen", entry.listen) for number, entry in enumerate(config.forwarders, 1)
    ]
    for key, listen in asked:
        if any(map(listen.clashes, seen)):
            yield key, f"is {listen}, which is listened on already: remove it"
        seen.append(listen)
    if config.metrics and any(map(config.metrics.listen.clashes, seen)):
        yield "metrics.listen", f"is {config.metrics.listen}, where the capsule is: choose another port"


def _forwarders(config: Config) -> Iterator[Problem]:
    for number, forwarder in enumerate(config.forwarders, 1):
        key = f"forwarder[{number}].from"
        if forwarder.listen.path and forwarder.networks is not None:
            yield key, "is of no use, since UNIX sockets have no addresses: remove it"
        elif not forwarder.listen.path and forwarder.networks is None:
            yield key, 'is missing: name the forwarder, for example from = ["127.0.0.1"]'


def _hosts(config: Config, names: Sequence[str]) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for number, capsule in enumerate(config.capsules, 1):
        for position, host in enumerate(capsule.hosts, 1):
            owner = seen.setdefault(host, number)
            if owner != number or host in capsule.hosts[: position - 1]:
                yield (
                    f"capsule[{number}].hosts[{position}]",
                    f"is {host}, which is a host of {names[owner - 1]} already: remove one of them",
                )


def _zones(key: str, capsule: Capsule) -> Iterator[Problem]:
    seen: dict[tuple[str, ...], str] = {}
    for number, zone in enumerate(capsule.zones, 1):
        place = f"{key}.zone[{number}]"
        other = seen.setdefault(parse_path(zone.path), place)
        if other != place:
            yield (
                f"{place}.path",
                f"is {zone.path}, which is the path of {other} already: make one zone of them",
            )
    for place, who in _whos(key, capsule):
        if who.kind == "name" and who.value not in capsule.people:
            yield (
                place,
                f"is {shown(who.value)}, who is not in {key}.people: add them there, or write a fingerprint",
            )
        elif who.kind in {"file", "ca"} and _is_missing(Path(who.value)):
            mend = "`pad19 identity add` makes one" if who.kind == "file" else "name the file that has it"
            yield place, f"is {shown_path(Path(f'{who.kind}:{who.value}'))}, which is missing: {mend}"


def _uploads(key: str, capsule: Capsule, config: Config) -> Iterator[Problem]:
    """What is uploaded must not become code, and not be where everybody is served what has a dotted name."""
    for place, token in _tokens(key, capsule):
        if token.kind == "file" and _is_missing(Path(token.value)):
            yield place, f"is {shown_path(Path(f'file:{token.value}'))}, which is missing: make it"
        elif token.kind == "text" and len(token.value) < MIN_LENGTH:  # which nobody else need read
            yield place, f"has less than {MIN_LENGTH} characters: write a longer one"
    if capsule.titan is None:
        return
    for number, other in enumerate(config.capsules, 1):
        if other.hidden and (
            _inside(other.content, capsule.content) or _inside(capsule.content, other.content)
        ):
            yield (
                f"capsule[{number}].hidden",
                f"is true, which would publish previous versions of what is uploaded by {key}.titan: "
                "set it to false",
            )
        for place, folder in _code(f"capsule[{number}]", other):
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


def _code(key: str, capsule: Capsule) -> Iterator[tuple[str, Path]]:
    """The folders of programs and routes, and where."""
    for prefix, folder in capsule.cgi.items():
        yield f"{key}.cgi.{shown(prefix)}", folder
    if capsule.routes:
        yield f"{key}.routes", capsule.routes


def _may_match(pattern: Path, folder: Path) -> bool:
    """Whether a file below ``folder`` could be one that ``pattern`` means."""
    for form in (os.path.abspath, os.path.realpath):
        parts, wanted = Path(form(folder)).parts, Path(form(pattern)).parent.parts
        if len(parts) <= len(wanted) and all(map(fnmatchcase, parts, wanted)):
            return True
    return False


def _tokens(key: str, capsule: Capsule) -> Iterator[tuple[str, Token]]:
    """All tokens, and where."""
    named = [(f"{key}.zone[{number}]", zone.token) for number, zone in enumerate(capsule.zones, 1)]
    for place, tokens in [*named, (f"{key}.titan", capsule.titan.token if capsule.titan else ())]:
        for position, token in enumerate(tokens, 1):
            yield f"{place}.token[{position}]", token


def _whos(key: str, capsule: Capsule) -> Iterator[tuple[str, Who]]:
    """All who are named in zones, and where."""
    for number, zone in enumerate(capsule.zones, 1):
        for name, listed in (("allow", zone.allow or ()), ("write", zone.write), ("deny", zone.deny)):
            for position, who in enumerate(listed, 1):
                yield f"{key}.zone[{number}].{name}[{position}]", who


def _no_folder(path: Path, *, is_read: bool = True) -> str | None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return "there is no such folder: create it, or name another"
    except PermissionError:
        return "it cannot be read by this user: allow that for it and the folders above, or name another"
    except OSError as error:
        return f"it cannot be looked at ({error.strerror}): mend that, or name another folder"
    if not stat.S_ISDIR(mode):
        return "that is a file: name a folder"
    rights = os.R_OK | os.X_OK if is_read else os.X_OK
    if not os.access(path, rights, effective_ids=os.access in os.supports_effective_ids):
        return "it cannot be read by this user: allow that, or name another"
    return None


def _is_missing(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        pass  # whoever loads it has more to say
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
        for place, who in _whos(f"capsule[{number}]", capsule)
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
        for place, who in _whos(f"capsule[{number}]", capsule):
            if who.kind == "file":
                yield place, Path(who.value), "who may read it"
    for number, capsule in enumerate(config.capsules, 1):
        for place, token in _tokens(f"capsule[{number}]", capsule):
            if token.kind == "file":
                yield place, Path(token.value), "passwords"
    if config.log.access not in {"-", "off"}:
        yield "log.access", Path(config.log.access), "the access log"


def _inside(path: Path, folder: Path) -> bool:
    """Whether ``path`` can be reached below ``folder``, as it is written or through links."""
    return any(Path(form(path)).is_relative_to(form(folder)) for form in (os.path.abspath, os.path.realpath))
