"""From a folder, a file and flags to a checked `Config`, or a `ConfigError` with all mistakes.

Nothing is created on disk and no name is looked up. Flags are put into the file's table before it
is read, so they are checked like everything else and only their mistakes are called otherwise.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msgspec.structs import fields

from pad19.service.user_data import NoHomeFolder, user_data

from . import routes_folder
from .capsule import Capsule
from .check import check
from .model import Config, ConfigError, Included, Includes, Sections
from .read import Reader, flag_of, is_within, shown_path
from .toml_file import FILE_NAME, read_file

_CAPSULE = re.compile(r"^capsule\[(\d+)\]")


@dataclass(slots=True)
class _File:
    """A table and where it comes from."""

    path: Path | None  # None: there is no file, its capsule is the folder itself
    folder: Path  # absolute: where its relative paths start
    table: dict[str, Any]
    flags: dict[str, str] = field(default_factory=dict)  # key to the name under which the user gave its value
    before: int = 0  # capsules in the files before this one

    @property
    def name(self) -> str:
        """For messages."""
        return shown_path(self.path) if self.path else ""

    def problem(self, key: str, text: str) -> str:
        """The whole sentence."""
        prefix = f"{self.name}: " if self.path else ""
        return f"{flag_of(key, self.flags) or f'{prefix}{key}'} {text}"

    @property
    def capsules(self) -> list[Any]:
        """What stands there, right or not."""
        found = self.table.get("capsule", [])
        return found if isinstance(found, list) else [found]


def load(path: Path) -> Config:
    """Read a file.

    Raises:
        ConfigError: It cannot be read, is no TOML, or says something that cannot be.
    """
    return _build(*_with_included(_File(path, path.absolute().parent, read_file(path))))


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
        folder: With a ``pad19.toml`` in it, or itself the content, and then the certificates stay outside of
            it; not looked at when ``config`` is given.
        config: A file to read instead.
        listen: Replaces ``server.listen`` if not empty.
        hosts: Replaces the hosts of the only capsule if not empty.
        certs: Replaces ``server.certs``.
        workers: Replaces ``server.workers``.

    Raises:
        ConfigError: As in `load`; mistakes in arguments are reported under the flag's name.
    """
    paths = [config or folder, *((certs,) if certs else ()), *map(_socket_path, listen)]
    if not all(path is None or path.is_absolute() for path in paths):
        try:
            Path.cwd()
        except OSError as error:
            raise ConfigError(
                (f"the working directory is of no use ({error.strerror}): go to another one",)
            ) from None
    if certs is not None and not certs.name and not certs.is_absolute():
        raise ConfigError(("--certs is empty: name a folder",))
    main = _main_file(folder, config)
    if main.path is None and certs is None:
        try:
            certs = user_data() / "certs"
            main.flags["server.certs"] = "--certs is not given, and your own folder of certificates"
        except NoHomeFolder as error:
            raise ConfigError(
                ("--certs is needed, because you have no home folder: name a folder",)
            ) from error
    server: dict[str, Any] = {}
    if listen:
        server["listen"] = [_absolute_socket(text) for text in listen]
        main.flags["server.listen"] = "--listen"
    if certs is not None:
        server["certs"] = str(certs.absolute())
        main.flags.setdefault("server.certs", "--certs")
    if workers is not None:
        server["workers"] = workers
        main.flags["server.workers"] = "--workers"
    # A section that is no table stays as it is: the reader says so.
    if isinstance(given := main.table.setdefault("server", {}), dict):
        given |= server
    files, unreadable = _with_included(main)
    if hosts and not unreadable:
        _replace_hosts(files, hosts)
    return _build(files, unreadable)


def _main_file(folder: Path, config: Path | None) -> _File:
    """What is named, or lies in the folder, or else stands for the folder itself."""
    path = config or folder / FILE_NAME
    if not config and os.path.isfile(folder):  # noqa: PTH113 - Path.is_file() raises where it may not look
        raise ConfigError(
            (f"DIR is {shown_path(folder)}, but that is a file: name its folder, or give it with --config",)
        )
    if config or os.path.lexists(path):
        return _File(path, path.absolute().parent, read_file(path))
    base = folder.absolute()
    if problem := routes_folder.problem_without_file(base):
        raise ConfigError((problem,))
    return _File(None, base, {"capsule": [{"content": str(base)}]}, {"capsule[1].content": "DIR"})


def _replace_hosts(files: list[_File], hosts: Sequence[str]) -> None:
    count = sum(len(file.capsules) for file in files)
    if count != 1:
        raise ConfigError((f"--host needs one capsule, but {files[0].name} has {count}: write hosts there",))
    owner = next(file for file in files if file.capsules)
    if isinstance(capsule := owner.capsules[0], dict):
        capsule["hosts"] = [*hosts]
        owner.flags["capsule[1].hosts"] = "--host"


def _with_included(main: _File) -> tuple[list[_File], list[str]]:
    """The file, and those that it includes, each once, in the order of their names; what cannot be read."""
    files = [main]
    unreadable: list[str] = []
    if "include" in main.table:
        # What is wrong with the key itself is told when the whole file is read.
        reader = Reader(main.folder, {})
        include = reader.arguments(Includes, {"include": main.table["include"]}).get("include", ())
        paths = dict.fromkeys(path for pattern in include for path in matches(pattern, main.folder))
        own = main.path and main.path.absolute()
        for path in paths:
            if path == own:  # "*.toml"
                continue
            if os.path.isdir(path):  # noqa: PTH112 - Path.is_dir() raises where it may not look
                unreadable.append(
                    f"{main.name}: include is {shown_path(path)}, a folder: name files, as in /*.toml"
                )
                continue
            try:
                files.append(_File(path, path.parent, read_file(path)))
            except ConfigError as error:
                unreadable += error.problems
    if "capsule" not in main.table and not any(file.capsules for file in files) and not unreadable:
        main.table["capsule"] = [{}]
        if "include" in main.table:  # whose files may be missing by mistake
            said = f"{main.name}: include has no [[capsule]], so there is the default one, whose content"
            main.flags.setdefault("capsule[1].content", said)
    return files, unreadable


def matches(pattern: str, folder: Path) -> list[Path]:
    """The files that a pattern means; without wildcards, the one that must be there."""
    import glob  # only this key needs it, and start time counts

    if not glob.has_magic(pattern):
        return [folder / pattern]
    return [folder / name for name in sorted(glob.glob(pattern, root_dir=folder))]  # noqa: PTH207 - for root_dir


def searched(pattern: str, folder: Path) -> list[Path]:
    """The folders in which there may come to be files that a pattern means, or folders with such files."""
    import glob

    path = Path(pattern)
    parts = [path, *(part for part in path.parents if glob.has_magic(part.name))]
    return [found for part in parts for found in matches(str(part.parent), folder)]


def _build(files: list[_File], unreadable: list[str]) -> Config:
    """Read and check the tables; the first one is the main file's.

    ``unreadable``: why there are not all of them, which is a mistake like any other.

    Raises:
        ConfigError: With all mistakes.
    """
    main, *included = files
    reader = Reader(main.folder, main.flags)
    arguments = reader.arguments(Sections, main.table)
    found = [(main, key, text) for key, text in reader.problems]
    capsules: list[Capsule] = [*arguments.pop("capsules", ())]
    where = f" of {main.name}" if included and main.path else ""
    names = [f"capsule[{number}]{where}" for number, _ in enumerate(capsules, 1)]
    for file in included:
        file.before = len(capsules)
        reader = Reader(file.folder, file.flags)
        more = reader.arguments(Included, _without_other_sections(file, reader)).get("capsules", ())
        found += [(file, key, text) for key, text in reader.problems]
        capsules += more
        names += [f"capsule[{number}] of {file.name}" for number, _ in enumerate(more, 1)]
    config = Config(
        **arguments,
        capsules=tuple(capsules),
        source=main.path and main.path.absolute(),
        included=tuple(file.path for file in included if file.path),
    )
    broken = [_moved(key, file.before) for file, key, _ in found]
    for key, text in check(config, names):
        # What follows from a mistake that is reported already is none of its own.
        if not any(is_within(key, start) for start in broken):
            number = int(match[1]) if (match := _CAPSULE.match(key)) else 0
            owner = next((file for file in reversed(included) if file.before < number), main)
            found.append((owner, _moved(key, -owner.before), text))
    if found or unreadable:
        raise ConfigError((*unreadable, *(file.problem(key, text) for file, key, text in found)))
    return config


def _without_other_sections(file: _File, reader: Reader) -> dict[str, Any]:
    """The table of an included file without what may only stand in the main one, which is told."""
    elsewhere = {info.encode_name for info in fields(Sections)} - {
        info.encode_name for info in fields(Included)
    }
    reader.problems += [
        (
            key,
            "cannot stand in an included file, which has only [[capsule]] sections: move it to the main one",
        )
        for key in file.table
        if key in elsewhere
    ]
    return {key: value for key, value in file.table.items() if key not in elsewhere}


def _moved(key: str, by: int) -> str:
    """The key with its capsule counted in another way."""
    return _CAPSULE.sub(lambda match: f"capsule[{int(match[1]) + by}]", key)


def _socket_path(text: str) -> Path | None:
    path = text.removeprefix("unix:")
    return Path(path) if path and path != text else None


def _absolute_socket(text: str) -> str:
    """A path on the command line starts at the working directory, one in the file at the file."""
    path = _socket_path(text)
    return f"unix:{path.absolute()}" if path else text
