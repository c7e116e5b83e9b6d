"""What may be stored, and what is said about the rest."""

import json
import math
from collections import OrderedDict
from datetime import date, timedelta
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pad19.store.interface import StoreError
from pad19.store.values import (
    MAX_DEPTH,
    MAX_INTEGER,
    MAX_KEY,
    MAX_VALUE,
    check_key,
    check_seconds,
    decode,
    encode,
)


class Colour(StrEnum):
    RED = "red"


class Number(IntEnum):
    ONE = 1


def nested(depth: int) -> object:
    value: object = 1
    for level in range(depth):
        value = [value] if level % 2 else {"in": value}
    return value


SELF: list[object] = []
SELF.append(SELF)

STORED = [  # a value, and what comes back
    (None, None),
    (True, True),
    (-7, -7),
    (2**MAX_INTEGER - 1, 2**MAX_INTEGER - 1),
    (0.1, 0.1),
    (-0.0, -0.0),
    ("", ""),
    ("café \0 \n 🚀", "café \0 \n 🚀"),
    ([], []),
    ((1, ("a",)), [1, ["a"]]),
    ({"": {"a": [None]}}, {"": {"a": [None]}}),
    (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
    ({"colour": Colour.RED, "number": Number.ONE}, {"colour": "red", "number": 1}),
    (nested(MAX_DEPTH), nested(MAX_DEPTH)),
]


@pytest.mark.parametrize(("value", "back"), STORED)
def test_values_that_can_be_stored(value: object, back: object) -> None:
    found = decode(encode(value))
    assert found == back
    assert type(found) is type(back)


REFUSED = [  # a value, and what the message begins with
    (b"bytes", "value is of type bytes,"),
    ({1, 2}, "value is of type set,"),
    (object, "value is of type type,"),
    (MappingProxyType({}), "value is of type mappingproxy,"),
    (math.nan, "value is nan,"),
    ([1, -math.inf], "value[1] is -inf,"),
    ({"visits": [{"when": date(2026, 11, 22)}]}, "value['visits'][0]['when'] is of type date,"),
    ({"a": {1: "x"}}, "value['a'][1] is under a key that is of type int,"),
    ({None: "x"}, "value[None] is under a key that is of type NoneType,"),
    ({"\ud800": 1}, "value['\\ud800'] is under a key with half a surrogate pair,"),
    (["\udfff"], "value[0] is text with half a surrogate pair,"),
    ([2**MAX_INTEGER], f"value[0] is over {MAX_INTEGER} bits long,"),
    (([0], (1j,)), "value[1][0] is of type complex,"),
]


@pytest.mark.parametrize(("value", "message"), REFUSED)
def test_values_that_are_not_json(value: object, message: str) -> None:
    with pytest.raises(TypeError) as caught:
        encode(value)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("value", [nested(MAX_DEPTH + 1), SELF], ids=["deep", "endless"])
def test_values_that_are_too_deep(value: object) -> None:
    with pytest.raises(TypeError, match=f"is in more than {MAX_DEPTH} lists and dicts"):
        encode(value)


def test_a_long_name_does_not_make_a_long_message() -> None:
    with pytest.raises(TypeError) as caught:
        encode({"x" * 10_000: b""})
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("letter", ["a", "é", "🚀"])
def test_size_of_a_value_counts_in_bytes(letter: str) -> None:
    fits = letter * ((MAX_VALUE - 2) // len(letter.encode()))  # between quotes
    assert decode(encode(fits)) == fits
    with pytest.raises(
        ValueError, match=rf"^the value takes 10485\d\d bytes as JSON; {MAX_VALUE} are possible$"
    ):
        encode(fits + letter)


KEYS = [
    ("a", None),
    ("a/b c\0\n", None),
    ("x" * MAX_KEY, None),
    ("é" * (MAX_KEY // 2), None),
    ("", "the key '' has 0 bytes; 1 to 256 are possible"),
    ("é" * (MAX_KEY // 2) + "x", "has 257 bytes; 1 to 256 are possible"),
    ("\ud800", "holds half a surrogate pair"),
]


@pytest.mark.parametrize(("key", "message"), KEYS)
def test_keys(key: str, message: str | None) -> None:
    if message is None:
        assert check_key(key) == key
    else:
        with pytest.raises(ValueError, match=message):
            check_key(key)


@pytest.mark.parametrize("key", [None, 7, b"key"])
def test_keys_that_are_not_text(key: str) -> None:
    with pytest.raises(TypeError, match=r"^a key is text, not of type "):
        check_key(key)


@pytest.mark.parametrize("text", ["", "{", "nul", "[" * 100_000, b"\xff"])
def test_what_others_wrote_is_an_error_of_the_store(text: str) -> None:
    with pytest.raises(StoreError, match="holds a value that is not JSON"):
        decode(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_json_comes_back_as_it_was(value: object) -> None:
    text = encode(value)
    assert decode(text) == value
    assert json.loads(text) == value


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf, "60", timedelta(days=1)])
def test_what_is_no_time_to_expire(seconds: Any) -> None:
    with pytest.raises(ValueError, match=r"expires_in is .*; a number of seconds above 0 is needed, or None"):
        check_seconds(seconds)
