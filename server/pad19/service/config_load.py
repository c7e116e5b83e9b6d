"""From a folder, a file and flags to a checked `Config`, or a `ConfigError` with all mistakes.

Nothing is created on disk and no name is looked up. Flags are put into the file's table before it
is read, so they are checked like everything else and only their mistakes are called otherwise.
"""

import os
import re
import stat
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .config import Config, ConfigError, Sections
from .config_check import check
from .config_read import Reader, flag_of, is_within, shown_path
from .user_data import NoHomeFolder, user_data

FILE_NAME = "pad19.toml"
MAX_FILE = 1024 * 1024  # bytes: nobody writes so much, but /var/log/syslog is one wrong word away
_TOML_POSITION = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


def load(path: Path) -> Config:
    """Read a file.

    Raises:
        ConfigError: It cannot be read, is no TOML, or says something that cannot be.
    """
    return _build(_read(path), path.absolute().parent, path, {})


def for_folder(folder: Path) -> Config:
    """A folder without a file is itself the content, and the certificates stay outside of it.

    Raises:
        ConfigError: There is no such folder, or no place for the certificates.
    """
    return resolve(folder)


def resolve(
    folder: Path,
    *,
    config: Path | None = None,
    listen: Sequence[str] = (),
    hosts: Sequence[str] = (),
    certs: Path | None = None,
    workers: int | None = None,
) -> Config:
    """What the command line asks for.

    Args:
        folder: With a ``pad19.toml`` in it, or content; not looked at when ``config`` is given.
        config: A file to read instead.
        listen: Replaces ``server.listen`` if not empty.
        hosts: Replaces the hosts of the only capsule if not empty.
        certs: Replaces ``server.certs``.
        workers: Replaces ``server.workers``.

    Raises:
        ConfigError: As in `load`; mistakes in arguments are reported under the flag's name.
    """
    try:
        Path.cwd()
    except OSError as error:
        raise ConfigError(
            (f"the working directory is of no use ({error.strerror}): go to another one",)
        ) from None
    if certs is not None and not certs.name and not certs.is_absolute():
        raise ConfigError(("--certs is empty: name a folder",))
    flags: dict[str, str] = {}
    path = config or folder / FILE_NAME
    if config or os.path.lexists(path):
        source, table, base = path, _read(path), path.absolute().parent
    else:
        source, base = None, folder.absolute()
        table = {"capsule": [{"content": str(base)}]}
        flags["capsule[1].content"] = "DIR"
        if certs is None:
            try:
                certs = user_data() / "certs"
            except NoHomeFolder as error:
                raise ConfigError(
                    ("--certs is needed, because you have no home folder: name a folder",)
                ) from error
    server: dict[str, Any] = {}
    if listen:
        server["listen"] = [_absolute_socket(text) for text in listen]
        flags["server.listen"] = "--listen"
    if certs is not None:
        server["certs"] = str(certs.absolute())
        flags["server.certs"] = "--certs"
    if workers is not None:
        server["workers"] = workers
        flags["server.workers"] = "--workers"
    # A section that is no table stays as it is: the reader says so.
    if isinstance(given := table.setdefault("server", {}), dict):
        given |= server
    if hosts:
        capsules = table.setdefault("capsule", [{}])
        if isinstance(capsules, list) and len(capsules) != 1:
            raise ConfigError(
                (f"--host needs one capsule, but {shown_path(path)} has {len(capsules)}: write hosts there",)
            )
        if isinstance(capsules, list) and isinstance(capsules[0], dict):
            capsules[0]["hosts"] = [*hosts]
            flags["capsule[1].hosts"] = "--host"
    return _build(table, base, source, flags)


def _build(table: dict[str, Any], base: Path, source: Path | None, flags: Mapping[str, str]) -> Config:
    """Read and check a table. ``flags``: key to the name under which the user gave its value."""
    table.setdefault("capsule", [{}])
    reader = Reader(base, flags)
    config = Config(**reader.arguments(Sections, table), source=source and source.absolute())
    problems = reader.problems
    broken = [key for key, _ in problems]
    # What follows from a mistake that is reported already is none of its own.
    problems += [
        (key, text) for key, text in check(config) if not any(is_within(key, start) for start in broken)
    ]
    if problems:
        name = f"{shown_path(source)}: " if source else ""
        raise ConfigError(
            tuple(f"{flag_of(key, flags) or f'{name}{key}'} {text}" for key, text in problems),
        )
    return config


def _read(path: Path) -> dict[str, Any]:
    name = shown_path(path)
    try:
        # O_NONBLOCK: a FIFO must not make us wait for somebody to write into it.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ConfigError((f"{name} is not a file: name a {FILE_NAME}",))
            data = file.read(MAX_FILE + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "its name holds a NUL"
        raise ConfigError((f"{name} cannot be read ({reason}): mend that, or name another file",)) from None
    if len(data) > MAX_FILE:
        raise ConfigError((f"{name} is larger than {MAX_FILE} bytes: name a {FILE_NAME}",))
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError((f"{name}: line {line} is not UTF-8: save the file as UTF-8",)) from None
    except RecursionError:
        raise ConfigError((f"{name} is nested too deeply: remove some brackets",)) from None
    except ValueError as error:  # TOMLDecodeError, or a number with more digits than int() takes
        raise ConfigError((f"{name}: {_syntax(str(error), data)}",)) from None


def _syntax(message: str, data: bytes) -> str:
    position = _TOML_POSITION.search(message)
    if position is None:
        return "a number is too long: write a shorter one"
    lines = data.decode("utf-8-sig").split("\n")
    line = int(position[1] or len(lines))
    column = int(position[2] or len(lines[-1]) + 1)
    reason = message[: position.start()]
    return f"line {line}, column {column} is not TOML ({reason[:1].lower()}{reason[1:]}): mend that line"


def _absolute_socket(text: str) -> str:
    """A path on the command line starts at the working directory, one in the file at the file."""
    path = text.removeprefix("unix:")
    return f"unix:{Path(path).absolute()}" if path and path != text else text
