"""The checks that look at several keys, or at the disk. They change nothing there."""

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from pad19.content.mimetype import MimeTypes
from pad19.dispatch.zones.paths import parse_path
from pad19.dispatch.zones.tokens import MIN_LENGTH

from .capsule import Capsule
from .exposure import code_of, exposures, tokens_of, whos_of
from .listen import Listen
from .model import Config
from .overlaps import overlaps
from .paths import Problem, check_paths
from .read import shown, shown_path


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
        yield from _programs(key, capsule)
        yield from _tokens(key, capsule)
    yield from exposures(config)
    yield from overlaps(config, names)


def _programs(key: str, capsule: Capsule) -> Iterator[Problem]:
    for place, folder in code_of(key, capsule):
        if reason := _no_folder(folder):
            yield place, f"is {shown_path(folder)}, but {reason}"
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
    for place, who in whos_of(key, capsule):
        if who.kind == "name" and who.value not in capsule.people:
            yield (
                place,
                f"is {shown(who.value)}, who is not in {key}.people: add them there, or write a fingerprint",
            )
        elif who.kind in {"file", "ca"} and _is_missing(Path(who.value)):
            mend = "`pad19 identity add` makes one" if who.kind == "file" else "name the file that has it"
            yield place, f"is {shown_path(Path(f'{who.kind}:{who.value}'))}, which is missing: {mend}"


def _tokens(key: str, capsule: Capsule) -> Iterator[Problem]:
    for place, token in tokens_of(key, capsule):
        if token.kind == "file" and _is_missing(Path(token.value)):
            yield place, f"is {shown_path(Path(f'file:{token.value}'))}, which is missing: make it"
        elif token.kind == "text" and len(token.value) < MIN_LENGTH:  # which nobody else need read
            yield place, f"has less than {MIN_LENGTH} characters: write a longer one"


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
