"""What may be stored, and how: keys and values are judged here before anybody writes them."""

import json
import math
import reprlib
from typing import Any

from .interface import StoreError

MAX_KEY = 256  # bytes of UTF-8
MAX_VALUE = 1024 * 1024  # bytes of JSON: a page, not a file
MAX_PAGE = 1000  # entries or keys at once
MAX_DEPTH = 100  # lists and dicts in each other: json recurses, and what holds itself never ends
MAX_INTEGER = 4096  # bits; Python reads no more than 4300 digits


def check_key(key: str, what: str = "key") -> str:
    """Return a key, or the name of a list or namespace, that may be used.

    Raises:
        TypeError: It is not text.
        ValueError: It is empty, too long, or not Unicode.
    """
    if not isinstance(key, str):
        raise TypeError(f"a {what} is text, not {_kind(key)}")
    size = _size(key)
    if size is None:
        raise ValueError(f"the {what} {reprlib.repr(key)} holds half a surrogate pair, which is not Unicode")
    if not 1 <= size <= MAX_KEY:
        raise ValueError(f"the {what} {reprlib.repr(key)} has {size} bytes; 1 to {MAX_KEY} are possible")
    return key


def check_size(size: int, what: str) -> None:
    """See that so many entries or keys can be asked for at once.

    Raises:
        TypeError: It is no whole number.
        ValueError: They are none, or too many.
    """
    check_whole(size, what)
    if not 1 <= size <= MAX_PAGE:
        raise ValueError(f"{what} is {size}; 1 to {MAX_PAGE} are possible")


def check_seconds(seconds: float | None) -> None:
    """See that something can expire after so many seconds.

    Raises:
        ValueError: It would be at once or never, or is no number.
    """
    if seconds is None:
        return
    if not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
        raise ValueError(f"expires_in is {seconds!r}; a number of seconds above 0 is needed, or None")


def check_whole(number: int, what: str) -> None:
    """See that something is counted.

    Raises:
        TypeError: It is no whole number.
    """
    if not isinstance(number, int) or isinstance(number, bool):
        raise TypeError(f"{what} is {_kind(number)}; an int is needed")


def encode(value: object) -> str:
    """Turn a value into JSON.

    Raises:
        TypeError: Something in it is not JSON.
        ValueError: It is too long.
    """
    if fault := _fault(value, 0):
        place, what = fault
        raise TypeError(
            f"value{place} is {what}, which cannot be stored: JSON has text, numbers, True, False, None, "
            "lists, and dicts with text as keys"
        )
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":"))
    if (size := len(text.encode())) > MAX_VALUE:
        raise ValueError(f"the value takes {size} bytes as JSON; {MAX_VALUE} are possible")
    return text


def decode(text: str) -> Any:
    """Turn JSON from the store into a value.

    Raises:
        StoreError: Somebody else has written there.
    """
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise StoreError(f"the store holds a value that is not JSON ({error}): mend or delete it") from None


def _fault(value: object, depth: int) -> tuple[str, str] | None:
    """Where the first thing is that JSON does not have, as in ``['visits'][3]``, and what it is."""
    match value:
        case None | bool():
            return None
        case str():
            return None if _size(value) is not None else ("", "text with half a surrogate pair")
        case int():
            return None if value.bit_length() <= MAX_INTEGER else ("", f"over {MAX_INTEGER} bits long")
        case float():
            return None if math.isfinite(value) else ("", repr(value))
        case list() | tuple() | dict() if depth == MAX_DEPTH:
            return "", f"in more than {MAX_DEPTH} lists and dicts"
        case list() | tuple():
            for index, item in enumerate(value):
                if fault := _fault(item, depth + 1):
                    return f"[{index}]{fault[0]}", fault[1]
        case dict():
            for key, item in value.items():
                place = f"[{reprlib.repr(key)}]"
                if not isinstance(key, str):
                    return place, f"under a key that is {_kind(key)}"
                if _size(key) is None:
                    return place, "under a key with half a surrogate pair"
                if fault := _fault(item, depth + 1):
                    return f"{place}{fault[0]}", fault[1]
        case _:
            return "", _kind(value)
    return None


def _size(text: str) -> int | None:
    """How many bytes a text has. None: it cannot be encoded."""
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        return None


def _kind(value: object) -> str:
    return f"of type {type(value).__qualname__}"
