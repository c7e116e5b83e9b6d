"""Functions as route authors write them, examined when their module is loaded."""

import inspect
from collections.abc import Callable, Mapping
from types import CodeType
from typing import Any

from pad19.protocol.pattern import Capture, Pattern

from .naming import plain

_BUILT_IN: Mapping[str, type] = {"int": int, "str": str, "path": str}  # by kind


def name_of(function: Callable[..., object]) -> str:
    """``guestbook.sign (line 12)``: the line is where that is to be found."""
    name, code = _named(function)
    return f"{name} (line {code.co_firstlineno})" if code else name


def located(function: Callable[..., object]) -> str:
    """The same with its file: ``guestbook.sign (/srv/capsule/routes/guestbook.py, line 12)``."""
    name, code = _named(function)
    return f"{name} ({plain(code.co_filename)}, line {code.co_firstlineno})" if code else name


def _named(function: Callable[..., object]) -> tuple[str, CodeType | None]:
    inner: Any = inspect.unwrap(function)
    inner = getattr(inner, "func", inner)  # of a functools.partial
    name = getattr(inner, "__qualname__", None) or type(inner).__qualname__
    return plain(f"{getattr(inner, '__module__', '?')}.{name}"), getattr(inner, "__code__", None)


def runs_on_loop(function: Callable[..., object]) -> bool:
    """Is it an ``async def``, generator or not? Also as a method, a partial, or an object's ``__call__``."""
    candidates = (function, type(function).__call__)
    return any(inspect.iscoroutinefunction(it) or inspect.isasyncgenfunction(it) for it in candidates)


def misfit(function: Callable[..., object], pattern: Pattern) -> str | None:
    """Why it cannot be called with a request and what ``pattern`` captures, or None if it can."""
    captures = [part for part in pattern.parts if isinstance(part, Capture)]
    call = ", ".join(["request", *(f"{capture.name}=..." for capture in captures)])
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return "is nothing that can be called"
    try:
        signature.bind(None, **{capture.name: None for capture in captures})
    except TypeError as error:
        return f"cannot be called with ({call}): {error}"
    annotations = _annotations(function)
    for capture in captures:
        given, wanted = _type_of(capture), annotations.get(capture.name, Any)
        if not _fits(given, wanted):
            return (
                f"takes {capture.name} as {wanted.__name__}, but the pattern captures {given.__name__}; "
                "{name:int} captures an int, {name} and {name:path} a str"
            )
    return None


def takes(function: Callable[..., object], count: int) -> bool:
    """Can it be called with so many arguments, by position?"""
    try:
        inspect.signature(function).bind(*range(count))
    except (TypeError, ValueError):
        return False
    return True


def _annotations(function: Callable[..., object]) -> Mapping[str, Any]:
    try:
        return inspect.get_annotations(inspect.unwrap(function), eval_str=True)
    except Exception:  # they may be any text, or name what only a type checker imports
        return {}


def _type_of(capture: Capture) -> Any:
    if capture.convert is None:
        return _BUILT_IN[capture.kind]
    if isinstance(capture.convert, type):
        return capture.convert
    return _annotations(capture.convert).get("return", Any)


def _fits(given: Any, wanted: Any) -> bool:
    """Whether the one is the other, as far as plain classes tell."""
    if not isinstance(given, type) or not isinstance(wanted, type) or Any in {given, wanted}:
        return True
    try:
        return issubclass(given, wanted) or (given is int and wanted in {float, complex})
    except TypeError:  # a protocol
        return True
