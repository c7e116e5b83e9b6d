"""What the modules of a routes folder are called: by Python, and in messages.

They are imported below a private package, one for each capsule, so that two capsules can have files
of the same name and no file stands in for a module of the standard library. Nobody who reads a
message wants to know of it.
"""

import re

_PREFIX = "pad19_routes_"
_PRIVATE = re.compile(rf"\b{_PREFIX}\w+\.")


def package_of(key: str) -> str:
    """The name of the private package. ``key`` tells capsules apart.

    Raises:
        ValueError: It is no word of letters, digits and ``_``.
    """
    if not re.fullmatch(r"\w+", key):
        raise ValueError(f"{key!r} is no word")
    return f"{_PREFIX}{key}"


def is_private(module: str) -> bool:
    """Whether a module is one of a routes folder."""
    return module.startswith(_PREFIX)


def plain(text: str) -> str:
    """A text without private packages; what cannot be printed is escaped, except tabs."""
    if _PREFIX in text:
        text = _PRIVATE.sub("", text)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\t" else c.encode("unicode_escape").decode() for c in text)
