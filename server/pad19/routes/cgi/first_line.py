"""Why the system does not run a program: its messages never say that it is the first line."""

import codecs
import os
from pathlib import Path

from pad19.routes.naming import plain

MAX_LINE = 255  # bytes that Linux looks at


def flaw(path: str) -> str | None:
    """What is wrong with the first line, and what to do; None where nothing is known to be. Blocks."""
    try:
        with Path(path).open("rb") as file:
            line, newline, _ = file.read(MAX_LINE + 1).partition(b"\n")
    except OSError:
        return None
    if line.startswith(codecs.BOM_UTF8):
        return "it begins with a byte order mark: save it without"
    if not line.startswith(b"#!"):
        is_text = not line or line.decode("latin-1").isprintable()  # others may be for the system alone
        return "it has no #! line: write for example #!/usr/bin/env python3 as the first" if is_text else None
    if newline and line.endswith(b"\r"):
        return "its #! line ends in CR and LF: save it with the line ends of Unix"
    words = line[2:].decode("utf-8", "surrogateescape").split()
    if not words:
        return "its #! line names no program: write for example #!/usr/bin/env python3"
    interpreter = os.path.join(os.path.dirname(path), words[0])  # noqa: PTH120 - for the next line
    if os.path.exists(interpreter):  # noqa: PTH110 - Path.exists() raises where it may not look
        return None
    return f"there is no {plain(words[0])}, which its #! line names"
