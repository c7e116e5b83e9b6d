from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import date
from functools import partial, wraps
from typing import TYPE_CHECKING, Annotated, Any, Literal, NewType, Protocol, TypeVar
from uuid import UUID

import pytest

from pad19.protocol.pattern import Pattern
from pad19.protocol.request import Request
from pad19.routes.signature import is_awaited, located, misfit, name_of, runs_on_loop, takes

if TYPE_CHECKING:
    from decimal import Decimal


def to_date(text: str) -> date:
    return date.fromisoformat(text)


FURTHER: dict[str, Callable[[str], object]] = {"date": to_date, "uuid": UUID, "any": lambda text: text}


class HasName(Protocol):
    name: str


async def plain(request: Request) -> str:
    return ""


async def one(request: Request, x: str) -> str:
    return ""


async def number(request: Request, x: int) -> str:
    return ""


async def real(request: Request, x: float) -> str:
    return ""


async def maybe(request: Request, x: int | None = None) -> str:
    return ""


async def anything(request: Request, x: Any) -> str:
    return ""


async def day(request: Request, x: date) -> str:
    return ""


async def uuid(request: Request, x: UUID) -> str:
    return ""


async def named(request: Request, x: HasName) -> str:
    return ""


async def unknown(request: Request, x: Decimal) -> str:
    return ""


async def keyword(request: Request, *, x: str) -> str:
    return ""


async def all_of_them(request: Request, **captures: str) -> str:
    return ""


async def positional(request: Request, x: str, /) -> str:
    return ""


async def none() -> str:
    return ""


async def more(request: Request, x: str, y: str) -> str:
    return ""


async def generator(request: Request) -> AsyncIterator[str]:
    yield ""


def threaded(request: Request) -> str:
    return ""


class Object:
    async def __call__(self, request: Request, x: str) -> str:
        return ""

    async def method(self, request: Request, x: str) -> str:
        return ""


@wraps(number)
def wrapped(*arguments: Any, **captures: Any) -> Any:
    return number(*arguments, **captures)


def in_words(annotations: str) -> Callable[..., object]:
    """A function of a module that has ``from __future__ import annotations``."""
    scope: dict[str, Any] = {}
    exec(f"from __future__ import annotations\nasync def page(request: Absent, {annotations}): ...", scope)  # noqa: S102
    function: Callable[..., object] = scope["page"]
    return function


def of_type(annotation: Any) -> Callable[..., object]:
    async def page(request: Request, x: str) -> str:
        return ""

    page.__annotations__["x"] = annotation
    return page


FITS: list[tuple[Callable[..., object], str]] = [
    (plain, "/"),
    (one, "/{x}"),
    (one, "/{x:path}"),
    (number, "/{x:int}"),
    (real, "/{x:int}"),
    (maybe, "/{x:int}"),
    (maybe, "/"),
    (anything, "/{x:int}"),
    (day, "/{x:date}"),
    (uuid, "/{x:uuid}"),
    (number, "/{x:any}"),
    (named, "/{x:int}"),
    (unknown, "/{x:int}"),
    (lambda request, x: "", "/{x:int}"),
    (keyword, "/{x}"),
    (all_of_them, "/{x}/{y}"),
    (Object(), "/{x}"),
    (Object().method, "/{x}"),
    (wrapped, "/{x:int}"),
    (partial(more, y="y"), "/{x}"),
    (in_words("x: str"), "/{x}"),
    (in_words("x: Absent"), "/{x:int}"),
    (of_type(int | None), "/{x:int}"),
    (in_words("x: __import__('typing').Optional[int]"), "/{x:int}"),
    (of_type(Annotated[int, "a number"]), "/{x:int}"),
    (of_type(Annotated[int | str, "x"] | None), "/{x:int}"),
    (of_type(float | None), "/{x:int}"),
    (of_type(NewType("Number", int)), "/{x:int}"),
    (of_type(Literal["a", "b"]), "/{x}"),
    (of_type(Sequence[str]), "/{x}"),
    (of_type(TypeVar("T")), "/{x:int}"),
]


@pytest.mark.parametrize(("function", "pattern"), FITS)
def test_a_function_that_fits(function: Callable[..., object], pattern: str) -> None:
    assert misfit(function, Pattern.parse(pattern, FURTHER)) is None


MISFITS: list[tuple[Callable[..., object], str, str]] = [  # the last: what is said of it
    (none, "/", "cannot be called with (request): too many"),
    (plain, "/{x}", "cannot be called with (request, x=...): got an unexpected keyword argument 'x'"),
    (one, "/", "cannot be called with (request): missing a required argument: 'x'"),
    (one, "/{y}", "cannot be called with (request, y=...): "),
    (one, "/{request}", "cannot be called with (request, request=...): multiple values"),
    (positional, "/{x}", "cannot be called with (request, x=...): "),
    (number, "/{x}", "takes x as int, but the pattern captures str; {name:int} captures an int"),
    (one, "/{x:int}", "takes x as str, but the pattern captures int"),
    (number, "/{x:date}", "takes x as int, but the pattern captures date"),
    (number, "/{x:uuid}", "takes x as int, but the pattern captures UUID"),
    (wrapped, "/{x}", "takes x as int, but the pattern captures str"),
    (in_words("x: str"), "/{x:int}", "takes x as str, but the pattern captures int"),
    (in_words("x: int, y: Absent"), "/{x}/{y}", "takes x as int, but the pattern captures str"),
    (partial(number), "/{x}", "takes x as int, but the pattern captures str"),
    (of_type(str | None), "/{x:int}", "takes x as str | None, but the pattern captures int"),
    (in_words("x: __import__('typing').Optional[str]"), "/{x:int}", "takes x as Optional[str], but the "),
    (of_type(list[int]), "/{x:int}", "takes x as list[int], but the pattern captures int"),
    (of_type(Annotated[str, "x"]), "/{x:int}", "takes x as "),
    ("text", "/", "is nothing that can be called"),  # type: ignore[list-item]  # on purpose
]


@pytest.mark.parametrize(("function", "pattern", "reason"), MISFITS)
def test_a_function_that_does_not_fit(function: Callable[..., object], pattern: str, reason: str) -> None:
    said = misfit(function, Pattern.parse(pattern, FURTHER))
    assert said is not None
    assert said.startswith(reason)


ON_LOOP: list[tuple[Callable[..., object], bool]] = [
    (plain, True),
    (generator, True),
    (threaded, False),
    (Object(), True),
    (Object().method, True),
    (partial(more, y="y"), True),
    (partial(threaded), False),
    (lambda request: "", False),
    (wrapped, False),  # what it returns is awaited all the same
]


@pytest.mark.parametrize(("function", "on_loop"), ON_LOOP)
def test_where_a_function_runs(function: Callable[..., object], on_loop: bool) -> None:
    assert runs_on_loop(function) is on_loop


async def returns(request: Request) -> str:
    return ""


@wraps(returns)
def passes_on(*arguments: Any) -> Any:
    return returns(*arguments)


AWAITED: list[tuple[Callable[..., object], bool]] = [
    (plain, True),
    (generator, False),
    (threaded, False),
    (Object(), True),
    (Object().method, True),
    (partial(more, y="y"), True),
    (passes_on, True),
    (partial(threaded), False),
]


@pytest.mark.parametrize(("function", "awaited"), AWAITED)
def test_which_function_is_awaited(function: Callable[..., object], awaited: bool) -> None:
    assert is_awaited(function) is awaited


@pytest.mark.parametrize(("function", "count", "can"), [(plain, 1, True), (plain, 2, False), (1, 1, False)])
def test_how_many_arguments_a_function_takes(function: Any, count: int, can: bool) -> None:
    assert takes(function, count) is can


NAMES = [
    (plain, "test_signature.plain (line "),
    (Object().method, "test_signature.Object.method (line "),
    (wrapped, "test_signature.number (line "),
    (partial(plain), "test_signature.plain (line "),
    (Object(), "test_signature.Object"),
    (len, "builtins.len"),
]


@pytest.mark.parametrize(("function", "name"), NAMES)
def test_what_a_function_is_called(function: Callable[..., object], name: str) -> None:
    assert name_of(function).removeprefix("tests.routes.").startswith(name)
    place = name.replace("(line ", f"({__file__}, line ")
    assert located(function).removeprefix("tests.routes.").startswith(place)
