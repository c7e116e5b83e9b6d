"""Variables of the environment in a configuration: ``${NAME}``, and ``${NAME:-otherwise}``."""

import re
from collections.abc import Mapping

# "$${" is a "${" that means itself.
_REFERENCE = re.compile(r"\$\$\{|\$\{(?:([A-Za-z_][A-Za-z0-9_]*)(?::-([^{}]*))?\})?")


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Put values in place of ``${NAME}``. As in a shell, what is behind ``:-`` also replaces an empty one.

    Values are not expanded again. A dollar sign without a brace is one.

    Raises:
        ValueError: A variable is not set, or a brace is not closed; the message continues "it ...".
    """

    def value(match: re.Match[str]) -> str:
        name, otherwise = match.groups()
        if match[0] == "$${":
            return "${"
        if name is None:
            raise ValueError("must have variables in the form ${NAME} or ${NAME:-otherwise}")
        found = variables.get(name)
        if found or (found is not None and otherwise is None):
            return found
        if otherwise is None:
            raise ValueError(f"must name variables that are set, and {name} is not")
        return otherwise

    return _REFERENCE.sub(value, text) if "${" in text else text
