"""Functions as route authors write them, examined when their module is loaded."""

import inspect
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from types import CodeType, UnionType
from typing import Annotated, Any, NewType, Union, get_args, get_origin

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


def is_awaited(function: Callable[..., object]) -> bool:
    """Is it an ``async def``, or wraps one? Also as a method, a partial, or an object's ``__call__``."""
    candidates = (function, inspect.unwrap(function), type(function).__call__)
    return any(map(inspect.iscoroutinefunction, candidates))


def is_lifespan(function: Callable[..., object]) -> bool:
    """Is it an ``async def`` with ``yield``, also in ``@asynccontextmanager``, or a class of such?"""
    if isinstance(function, type):
        return issubclass(function, AbstractAsyncContextManager)
    candidates = (function, inspect.unwrap(function))
    return any(map(inspect.isasyncgenfunction, candidates))


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
    for capture in captures:
        given, wanted = _type_of(capture), _annotation(function, capture.name)
        if not _fits(given, wanted):
            kind = plain(inspect.formatannotation(wanted))
            return (
                f"takes {capture.name} as {kind}, but the pattern captures {given.__name__}; "
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


def _annotation(function: Callable[..., object], name: str) -> Any:
    """The type of an argument, or of what it returns: Any if none is given, or nobody can tell.

    Each on its own: another one may name what only a type checker imports.
    """
    inner: Any = inspect.unwrap(function)
    inner = getattr(inner, "func", inner)  # of a functools.partial
    try:
        annotation = inspect.get_annotations(inner)[name]
        return eval(annotation, inner.__globals__) if isinstance(annotation, str) else annotation  # noqa: S307 - its author's own code
    except Exception:  # it may be any text
        return Any


def _type_of(capture: Capture) -> Any:
    if capture.convert is None:
        return _BUILT_IN[capture.kind]
    if isinstance(capture.convert, type):
        return capture.convert
    return _annotation(capture.convert, "return")


def _fits(given: Any, wanted: Any) -> bool:
    """Whether the one is the other, as far as classes tell."""
    origin, arguments = get_origin(wanted), get_args(wanted)
    if origin in {Union, UnionType}:
        return any(_fits(given, each) for each in arguments)
    if origin is Annotated:
        return _fits(given, arguments[0])
    if isinstance(wanted, NewType):
        return _fits(given, wanted.__supertype__)
    wanted = origin or wanted  # list[int] is a list
    if not isinstance(given, type) or not isinstance(wanted, type) or Any in {given, wanted}:
        return True
    try:
        return issubclass(given, wanted) or (given is int and wanted in {float, complex})
    except TypeError:  # a protocol
        return True
