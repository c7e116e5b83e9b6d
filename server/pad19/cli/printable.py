"""What others wrote, for a terminal."""


def printable(text: str, *, keep: str = "") -> str:
    """The text without what could play tricks with a terminal: that is escaped, but for ``keep``."""
    return "".join(char if char.isprintable() or char in keep else repr(char)[1:-1] for char in text)
