"""From a folder, a file and flags to a checked `Config`, or a `ConfigError` with all mistakes.

Nothing is created on disk and no name is looked up. Flags are put into the file's table before it
is read, so they are checked like everything else and only their mistakes are called otherwise.
"""

import os
import re
import stat
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msgspec.structs import fields

from pad19.service.user_data import NoHomeFolder, user_data

from . import bare_folder
from .capsule import Capsule
from .check import check
from .model import Config, ConfigError, Included, Includes, Sections
from .read import Reader, flag_of, is_within, shown, shown_path

FILE_NAME = "pad19.toml"
MAX_FILE = 1024 * 1024  # bytes: nobody writes so much, but /var/log/syslog is one wrong word away
_CAPSULE = re.compile(r"^capsule\[(\d+)\]")
_TOML_TWICE = re.compile(r"Cannot overwrite a value|Cannot declare (\(.*\)) twice", re.DOTALL)
_TOML_MENDS = [  # what stands where the parser gave up, and what to do about it
    (re.compile("[\u2018-\u201f\u00ab\u00bb]"), 'write straight quotes (")'),
    (re.compile(r"(?:True|False)\b"), "write true and false in small letters"),
    (re.compile(r"(?<=[=\[,\s])[A-Za-z~/.:*]"), "write text in quotes"),
]
_TOML_POSITION = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


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
    return _build(_with_included(_File(path, path.absolute().parent, _read(path))))


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
    try:
        Path.cwd()
    except OSError as error:
        raise ConfigError(
            (f"the working directory is of no use ({error.strerror}): go to another one",)
        ) from None
    if certs is not None and not certs.name and not certs.is_absolute():
        raise ConfigError(("--certs is empty: name a folder",))
    path = config or folder / FILE_NAME
    if not config and os.path.isfile(folder):  # noqa: PTH113 - Path.is_file() raises where it may not look
        raise ConfigError(
            (f"DIR is {shown_path(folder)}, but that is a file: name its folder, or give it with --config",)
        )
    if config or os.path.lexists(path):
        main = _File(path, path.absolute().parent, _read(path))
    else:
        base = folder.absolute()
        if problem := bare_folder.problem_of(base):
            raise ConfigError((problem,))
        main = _File(None, base, {"capsule": [{"content": str(base)}]}, {"capsule[1].content": "DIR"})
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
        main.flags["server.listen"] = "--listen"
    if certs is not None:
        server["certs"] = str(certs.absolute())
        main.flags["server.certs"] = "--certs"
    if workers is not None:
        server["workers"] = workers
        main.flags["server.workers"] = "--workers"
    # A section that is no table stays as it is: the reader says so.
    if isinstance(given := main.table.setdefault("server", {}), dict):
        given |= server
    files = _with_included(main)
    if hosts:
        _replace_hosts(files, hosts, path)
    return _build(files)


def _replace_hosts(files: list[_File], hosts: Sequence[str], path: Path) -> None:
    count = sum(len(file.capsules) for file in files)
    if count != 1:
        raise ConfigError(
            (f"--host needs one capsule, but {shown_path(path)} has {count}: write hosts there",)
        )
    owner = next(file for file in files if file.capsules)
    if isinstance(capsule := owner.capsules[0], dict):
        capsule["hosts"] = [*hosts]
        owner.flags["capsule[1].hosts"] = "--host"


def _with_included(main: _File) -> list[_File]:
    """The file, and those that it includes, each once, in the order of their names."""
    files = [main]
    if "include" in main.table:
        # What is wrong with the key itself is told when the whole file is read.
        reader = Reader(main.folder, {})
        include = reader.arguments(Includes, {"include": main.table["include"]}).get("include", ())
        paths = dict.fromkeys(path for pattern in include for path in matches(pattern, main.folder))
        own = main.path and main.path.absolute()
        problems: list[str] = []
        for path in paths:
            if path == own:  # "*.toml"
                continue
            try:
                files.append(_File(path, path.parent, _read(path)))
            except ConfigError as error:
                problems += error.problems
        if problems:
            raise ConfigError(tuple(problems))
    if "capsule" not in main.table and not any(file.capsules for file in files):
        main.table["capsule"] = [{}]
    return files


def matches(pattern: str, folder: Path) -> list[Path]:
    """The files that a pattern means; without wildcards, the one that must be there."""
    import glob  # only this key needs it, and start time counts

    if not glob.has_magic(pattern):
        return [folder / pattern]
    return [folder / name for name in sorted(glob.glob(pattern, root_dir=folder))]  # noqa: PTH207 - for root_dir


def _build(files: list[_File]) -> Config:
    """Read and check the tables; the first one is the main file's.

    Raises:
        ConfigError: With all mistakes.
    """
    main, *included = files
    reader = Reader(main.folder, main.flags)
    arguments = reader.arguments(Sections, main.table)
    found = [(main, key, text) for key, text in reader.problems]
    capsules: list[Capsule] = [*arguments.pop("capsules", ())]
    names = [f"capsule[{number}]" for number, _ in enumerate(capsules, 1)]
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
    if found:
        raise ConfigError(tuple(file.problem(key, text) for file, key, text in found))
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


def _read(path: Path) -> dict[str, Any]:
    name = shown_path(path)
    try:
        with open(path, "rb", opener=_without_waiting) as file:
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


def _without_waiting(path: str, flags: int) -> int:
    # A FIFO must not make us wait for somebody to write into it.
    return os.open(path, flags | os.O_NONBLOCK)


def _syntax(message: str, data: bytes) -> str:
    position = _TOML_POSITION.search(message)
    if position is None:
        return "a number is too long: write a shorter one"
    lines = data.decode("utf-8-sig").split("\n")
    line = int(position[1] or len(lines))
    column = int(position[2] or len(lines[-1]) + 1)
    reason = message[: position.start()]
    if twice := _TOML_TWICE.match(reason):
        return f"line {line}: {_repeated(twice[1], lines[line - 1])}"
    found = (mend for start, mend in _TOML_MENDS if start.match(lines[line - 1], column - 1))
    mend = next(found, "mend that line")
    return f"line {line}, column {column} is not TOML ({reason[:1].lower()}{reason[1:]}): {mend}"


def _repeated(names: str | None, line: str) -> str:
    """What is there twice. ``names``: of a section, as Python writes a tuple; else ``line`` has the key."""
    if names:
        import ast  # only this message needs it, and start time counts

        section = ".".join(ast.literal_eval(names))
        return f"there is a section {_printable(section)} already: put the keys together in one"
    key, equals, _ = line.partition("=")
    what = _printable(key.strip()) if equals else "what ends here"
    return f"{what} is there already: write it once"


def _printable(text: str) -> str:
    return text if text.isprintable() else shown(text)


def _absolute_socket(text: str) -> str:
    """A path on the command line starts at the working directory, one in the file at the file."""
    path = text.removeprefix("unix:")
    return f"unix:{Path(path).absolute()}" if path and path != text else text
