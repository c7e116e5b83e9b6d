import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from pad19.protocol.request import Request
from pad19.routes.interface import CallNext, Capsule, RouteError
from pad19.routes.table import Routes, declared


async def page(request: Request) -> str:
    return ""


async def entry(request: Request, number: int) -> str:
    return ""


def where(pattern: str, function: Callable[..., object] = page) -> str:
    name = function.__name__
    return rf"^route {pattern}, (.*\.)?test_table\.{name} \(line {function.__code__.co_firstlineno}\)"


DECLARED_WRONG: list[tuple[Any, dict[str, Any], Callable[..., Any], str]] = [
    ("x", {}, page, where("x") + ": the pattern must begin with a slash$"),
    ("/{x", {}, page, where(r"/\{x") + ": the pattern must have {name}, "),
    ("/{x:date}", {}, page, where(r"/\{x:date\}") + ": the pattern must have {name}, "),
    ("/{n}", {}, entry, where(r"/\{n\}", entry) + r" cannot be called with \(request, n=\.\.\.\): "),
    ("/", {}, entry, where("/", entry) + r" cannot be called with \(request\): "),
    ("/{number}", {}, entry, where(r"/\{number\}", entry) + " takes number as int, but "),
    ("/", {"rate": "1"}, page, where("/") + ": rate must be a number, a slash and a time such as"),
    ("/", {"allow": ["Ada"]}, page, where("/") + ": allow has 'Ada'"),
    ("/", {"timeout": 0}, page, where("/") + ": timeout must be a number of seconds, more than 0$"),
    ("/", {"timeout": "1"}, page, where("/") + ": timeout must be a number of seconds, more than 0$"),
    ("/", {"allow": 3}, page, where("/") + ": allow must be fingerprints, as in "),
    ("/", {"rate": 5}, page, where("/") + ": rate must be a number, a slash and a time such as"),
    *(
        (
            pattern,
            {},
            page,
            where(re.escape(repr(pattern))) + ': the pattern must be a text, such as "/path"$',
        )
        for pattern in (None, 3, b"/x", ["/a"])
    ),
]


@pytest.mark.parametrize(("pattern", "options", "function", "message"), DECLARED_WRONG)
def test_a_mistake_names_the_route(
    pattern: Any, options: dict[str, Any], function: Callable[..., Any], message: str
) -> None:
    routes = Routes()
    with pytest.raises(RouteError, match=message):
        routes.gemini(pattern, **options)(function)
    assert declared(routes).routes == []


@pytest.mark.parametrize(
    ("decorator", "argument"), [("gemini", "/path"), ("titan", "/path"), ("converter", "kind")]
)
def test_a_decorator_without_its_parentheses_is_a_mistake(decorator: str, argument: str) -> None:
    message = (
        rf'test_table\.page \(line \d+\) is declared for nothing: write @routes\.{decorator}\("{argument}"\)$'
    )
    with pytest.raises(RouteError, match=message):
        getattr(Routes(), decorator)(page)


@pytest.mark.parametrize("pattern", [None, 3, b"/x"])
def test_a_pattern_of_uploads_that_is_no_text(pattern: Any) -> None:
    for function in (page, not_async):
        with pytest.raises(RouteError, match=f"^route {pattern!r}, "):
            Routes().titan(pattern)(function)


def test_a_pattern_is_named_in_printable_letters() -> None:
    with pytest.raises(
        RouteError, match=r"^route /a\\x00b, .*: the pattern must have no control characters$"
    ):
        Routes().gemini("/a\0b")(page)
    with pytest.raises(RouteError, match=r"^include, prefix /a\\x1b: it must have no control characters$"):
        Routes().include(Routes(), "/a\x1b")


def not_async(request: Request, call_next: CallNext) -> Awaitable[str]:
    raise NotImplementedError


async def not_enough(request: Request) -> str:
    return ""


async def no_yield(capsule: Capsule) -> None: ...


async def with_yield(capsule: Capsule) -> AsyncIterator[None]:
    yield


async def without_capsule() -> AsyncIterator[None]:
    yield


def no_async_yield(capsule: Capsule) -> Iterator[None]:
    yield


async def around_with_yield(request: Request, call_next: CallNext) -> AsyncIterator[str]:
    yield ""


async def no_capsule() -> None: ...


def thread(capsule: Capsule) -> None: ...


OTHERS_WRONG = [
    (
        "around",
        not_async,
        r"^around, .*not_async .* must be async def \(request, call_next\), without yield$",
    ),
    (
        "around",
        not_enough,
        r"^around, .*not_enough .* must be async def \(request, call_next\), without yield$",
    ),
    ("around", around_with_yield, r"^around, .* must be async def \(request, call_next\), without yield$"),
    ("lifespan", no_yield, r"^lifespan, .*no_yield .* must be async def \(capsule\), with one yield$"),
    ("lifespan", no_async_yield, r"^lifespan, .*no_async_yield .* must be async def"),
    ("lifespan", contextmanager(no_async_yield), r"^lifespan, .*no_async_yield .* must be async def"),
    ("lifespan", Request, r"^lifespan, .*Request must be async def"),
    ("lifespan", without_capsule, r"^lifespan, .*without_capsule .* must be async def"),
    ("background", thread, r"^background, .*thread .* must be async def \(capsule\)$"),
    ("background", with_yield, r"^background, .*with_yield .* must be async def \(capsule\)$"),
    ("background", no_capsule, r"^background, .*no_capsule .* must be async def \(capsule\)$"),
]


@pytest.mark.parametrize(("what", "function", "message"), OTHERS_WRONG)
def test_other_mistakes_name_the_function(what: str, function: Callable[..., Any], message: str) -> None:
    with pytest.raises(RouteError, match=message):
        getattr(Routes(), what)(function)


CONVERTERS_WRONG: list[tuple[Any, Any, str]] = [
    ("int", int, "^converter int: there is a kind of that name already$"),
    ("path", str, "^converter path: there is a kind of that name already$"),
    ("known", str, "^converter known: there is a kind of that name already$"),
    ("a-b", str, "^converter 'a-b': its name must be a word of letters, digits and _$"),
    ("é", str, "^converter 'é': its name"),
    ("", str, "^converter '': its name"),
    (None, str, "^converter None: its name"),
    (b"x", str, "^converter b'x': its name"),
    ("x", "str", r"^converter x must be a function \(text\)$"),
    ("x", no_capsule, r"^converter x, .*no_capsule .* must be def: nothing awaits it$"),
    ("x", with_yield, r"^converter x, .*with_yield .* must be def"),
]


@pytest.mark.parametrize(("kind", "convert", "message"), CONVERTERS_WRONG)
def test_a_wrong_converter(kind: Any, convert: Any, message: str) -> None:
    routes = Routes()
    routes.converter("known")(str)
    with pytest.raises(RouteError, match=message):
        routes.converter(kind)(convert)


INCLUDED_WRONG = [
    ("x", "^include, prefix x: it must begin with a slash$"),
    ("/a?b", r"^include, prefix /a\?b: it must be a path alone"),
    ("/{user}", r"^include, prefix /\{user\}: it must have no captures$"),
]


@pytest.mark.parametrize(("prefix", "message"), INCLUDED_WRONG)
def test_a_wrong_prefix(prefix: str, message: str) -> None:
    with pytest.raises(RouteError, match=message):
        Routes().include(Routes(), prefix)


@pytest.mark.parametrize(("other", "prefix"), [("/x", Routes()), (Routes, "/x"), (Routes(), None)])
def test_what_cannot_be_included(other: Any, prefix: Any) -> None:
    with pytest.raises(RouteError, match=r'^include takes Routes and a prefix, .*\(other, "/prefix"\)$'):
        Routes().include(other, prefix)


def test_routes_do_not_include_themselves() -> None:
    outer, middle, inner = Routes(), Routes(), Routes()
    outer.include(middle)
    middle.include(inner)
    for routes in (inner, middle, outer):
        with pytest.raises(RouteError, match=r"^include, prefix /x: routes cannot include themselves$"):
            inner.include(routes, "/x")


PREFIXES = [  # prefix, pattern, the whole
    ("", "/", "/"),
    ("/", "/", "/"),
    ("/guestbook", "/", "/guestbook/"),
    ("/guestbook/", "/", "/guestbook/"),
    ("/guestbook", "/sign", "/guestbook/sign"),
    ("/guestbook/", "/sign", "/guestbook/sign"),
    ("", "/sign", "/sign"),
    ("/a/b", "/c/", "/a/b/c/"),
    ("/caf%C3%A9", "/x", "/caf%C3%A9/x"),
]


@pytest.mark.parametrize(("prefix", "pattern", "whole"), PREFIXES)
def test_a_prefix(prefix: str, pattern: str, whole: str) -> None:
    outer, inner = Routes(), Routes()
    outer.include(inner, prefix)
    inner.gemini(pattern)(page)  # also what is declared later
    assert [route.pattern.text for route in declared(outer).routes] == [whole]
    outermost = Routes()
    outermost.include(outer, "/x")
    assert [route.pattern.text for route in declared(outermost).routes] == ["/x" + whole]


def test_a_pattern_that_its_prefixes_make_too_long() -> None:
    outer, inner = Routes(), Routes()
    inner.gemini("/" + "a" * 1000)(page)
    outer.include(inner, "/" + "b" * 100)
    with pytest.raises(RouteError, match=r"^route /bbb.*page .*: the pattern must have at most 1024"):
        declared(outer)


def test_the_including_ones_middleware_is_outermost() -> None:
    async def first(request: Request, call_next: CallNext) -> str:
        return ""

    async def second(request: Request, call_next: CallNext) -> str:
        return ""

    async def third(request: Request, call_next: CallNext) -> str:
        return ""

    outer, inner = Routes(), Routes()
    outer.gemini("/outer")(page)
    outer.include(inner)
    inner.gemini("/inner")(page)
    inner.around(third)
    outer.around(first)
    outer.around(second)
    around = {route.pattern.text: route.around for route in declared(outer).routes}
    assert around == {"/outer": (first, second), "/inner": (first, second, third)}


def test_who_is_included_twice_lives_once() -> None:
    outer, inner = Routes(), Routes()
    inner.lifespan(with_yield)
    inner.background(no_yield)
    inner.gemini("/")(page)
    outer.include(inner, "/a")
    outer.include(inner, "/b")
    everything = declared(outer)
    assert everything.lifespans == [with_yield]
    assert everything.background == [no_yield]
    assert [route.pattern.text for route in everything.routes] == ["/a/", "/b/"]


def test_kinds_of_captures_belong_to_their_routes() -> None:
    outer, inner = Routes(), Routes()
    outer.include(inner, "/inner")
    outer.converter("number")(int)
    with pytest.raises(RouteError, match=r"must have \{name\}"):
        inner.gemini("/{number:number}")(entry)
    outer.gemini("/{number:number}")(entry)
    assert [route.pattern.text for route in declared(outer).routes] == ["/{number:number}"]


def test_decorators_give_back_what_they_got() -> None:
    routes = Routes()
    assert routes.gemini("/")(page) is page
    assert routes.gemini("/again")(page) is page  # one function, two paths
    assert routes.lifespan(with_yield) is with_yield
    assert routes.background(no_yield) is no_yield
    assert routes.converter("number")(int) is int
