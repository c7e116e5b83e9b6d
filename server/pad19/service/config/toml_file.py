"""One file of TOML as a table, and what to say of one that is none."""

import os
import re
import stat
import tomllib
from pathlib import Path
from typing import Any

from .model import ConfigError
from .read import shown, shown_path

FILE_NAME = "pad19.toml"
MAX_FILE = 1024 * 1024  # bytes: nobody writes so much, but /var/log/syslog is one wrong word away
_TWICE = re.compile(r"Cannot overwrite a value|Cannot declare (\(.*\)) twice", re.DOTALL)
_MENDS = [  # what stands where the parser gave up, and what to do about it
    (re.compile("[\u2018-\u201f\u00ab\u00bb]"), 'write straight quotes (")'),
    (re.compile(r"(?:True|False|TRUE|FALSE)\b"), "write true and false in small letters"),
    (re.compile(r"(?:yes|no)\b", re.IGNORECASE), "write true or false"),
    (re.compile(r"(?<=[=\[,\s])[A-Za-z~/.:*]"), "write text in quotes"),
]
_MENDS_OF_REASONS = {  # how the parser's messages begin, where that says enough
    "Expected '=' after a key": "write key = value",
    "Expected newline": "end the line here, or write text in quotes",
    "Unclosed array": "write commas between its values, and ] behind the last",
    "Unclosed inline table": "write commas between its keys, and } behind the last",
    "Illegal character '\\n'": "write the quote at its end",
    "Unterminated string": "write the quote at its end",
    "Expected \"'": "write the quote at its end",
}
_POSITION = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


def read_file(path: Path) -> dict[str, Any]:
    """The table.

    Raises:
        ConfigError: It cannot be read, is too large, or is no TOML.
    """
    name = shown_path(path)
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ConfigError((f"{name} is not a file: name a {FILE_NAME}",))
            data = file.read(MAX_FILE + 1)
    except IsADirectoryError:
        raise ConfigError((f"{name} is a folder: name a file, such as {FILE_NAME} in it",)) from None
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
    position = _POSITION.search(message)
    if position is None:
        return "a number is too long: write a shorter one"
    lines = data.decode("utf-8-sig").split("\n")
    line = int(position[1] or len(lines))
    column = int(position[2] or len(lines[-1]) + 1)
    reason = message[: position.start()]
    if twice := _TWICE.match(reason):
        return f"line {line}: {_repeated(twice[1], lines[line - 1])}"
    found = [mend for start, mend in _MENDS_OF_REASONS.items() if reason.startswith(start)]
    found += [mend for start, mend in _MENDS if start.match(lines[line - 1], column - 1)]
    mend = next(iter(found), "mend that line")
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
