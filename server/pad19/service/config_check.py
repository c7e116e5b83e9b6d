"""The checks that look at several keys, or at the disk. They change nothing there."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from pad19.content.mimetype import MimeTypes

from .config import Config
from .config_read import shown_path

Problem = tuple[str, str]  # a key, counted from 1, and what ails it


def check(config: Config) -> Iterator[Problem]:
    """All that is wrong with values that are right one by one."""
    yield from _listen(config)
    yield from _hosts(config)
    for number, capsule in enumerate(config.capsules, 1):
        key = f"capsule[{number}]"
        if reason := _no_folder(capsule.content):
            yield f"{key}.content", f"is {shown_path(capsule.content)}, but {reason}"
        try:
            MimeTypes(capsule.mimetypes, lang=capsule.lang, charset=capsule.charset)
        except ValueError as error:
            yield f"{key}.mimetypes", f"cannot be used, because {error}: write each ending once"
        for missing, given in (("key", "certificate"), ("certificate", "key")):
            if getattr(capsule, given) and not getattr(capsule, missing):
                yield f"{key}.{missing}", f"is missing beside {key}.{given}: write it too, or neither of them"
    yield from _served_secrets(config)


def _listen(config: Config) -> Iterator[Problem]:
    seen: set[tuple[object, int]] = set()
    for number, listen in enumerate(config.server.addresses, 1):
        places: set[tuple[object, int]] = {(address, listen.port) for address in listen.addresses}
        if listen.path:
            places = {(listen.path, 0)}
        # Port 0 is another port each time.
        if places & seen and (listen.port or listen.path):
            yield f"server.listen[{number}]", f"is {listen}, which is listened on already: remove it"
        seen |= places


def _hosts(config: Config) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for number, capsule in enumerate(config.capsules, 1):
        for position, host in enumerate(capsule.hosts, 1):
            owner = seen.setdefault(host, number)
            if owner != number or host in capsule.hosts[: position - 1]:
                yield (
                    f"capsule[{number}].hosts[{position}]",
                    f"is {host}, which is a host of capsule[{owner}] already: remove one of them",
                )


def _no_folder(path: Path) -> str | None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return "there is no such folder: create it, or name another"
    except OSError as error:
        return f"it cannot be looked at ({error.strerror}): mend that, or name another folder"
    return None if stat.S_ISDIR(mode) else "that is a file: name a folder"


def _served_secrets(config: Config) -> Iterator[Problem]:
    """Keys would be handed to everybody, and so would the addresses in the log."""
    secrets = [("server.certs", config.server.certs, "private keys")]
    secrets += [
        (f"capsule[{number}].key", capsule.key, "the private key")
        for number, capsule in enumerate(config.capsules, 1)
        if capsule.key
    ]
    if config.log.access not in {"-", "off"}:
        secrets.append(("log.access", Path(config.log.access), "the access log"))
    for key, path, what in secrets:
        for capsule in config.capsules:
            if _inside(path, capsule.content):
                content = shown_path(capsule.content)
                yield (
                    key,
                    f"is {shown_path(path)}, inside of the content folder {content}, "
                    f"which would publish {what}: move it out",
                )
                break


def _inside(path: Path, folder: Path) -> bool:
    """Whether ``path`` can be reached below ``folder``, as it is written or through links."""
    return any(Path(form(path)).is_relative_to(form(folder)) for form in (os.path.abspath, os.path.realpath))
