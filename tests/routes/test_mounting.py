"""Routes that are mounted: which one answers, and what the capsule adds."""

import re
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest
import trio

from pad19.protocol.failure import Gone, NotFound
from pad19.protocol.request import Request
from pad19.protocol.response import MAX_META, Response, Success
from pad19.routes.interface import Capsule, RouteError
from pad19.routes.mounting import Mounted
from pad19.routes.table import Routes
from pad19.store.interface import Store
from routes.asking import answer, ask

FILES = {"/", "/file", "/both", "/folder/"}


async def files(request: Request) -> Response:
    """Stands for static files."""
    if request.path not in FILES:
        raise NotFound
    return Success(f"file {request.path}".encode())


def routes_of(*patterns: str) -> Routes:
    """Each answers with its pattern and its captures."""
    routes = Routes()

    def add(pattern: str) -> None:
        async def show(request: Request, **captures: object) -> str:
            return " ".join([pattern, *(f"{name}={value!r}" for name, value in captures.items())])

        routes.gemini(pattern)(show)

    for pattern in patterns:
        add(pattern)
    return routes


SITE = routes_of(
    "/both",
    "/about",
    "/book/",
    "/book/sign",
    "/entry/{number:int}",
    "/entry/{name}",
    "/entry/last",
    "/tag/{name}/",
    "/wiki/{page:path}",
    "/caf%C3%A9/",
    "/a%2Fb/",
)
ANSWERS = [  # path as sent, answer
    ("/both", "20 /both"),  # routes go first
    ("/about", "20 /about"),
    ("/about?x", "20 /about"),
    ("/x/../about", "20 /about"),
    ("/entry/7", "20 /entry/{number:int} number=7"),
    ("/entry/007", "20 /entry/{number:int} number=7"),
    ("/entry/seven", "20 /entry/{name} name='seven'"),
    ("/entry/a%2Fb%252F", "20 /entry/{name} name='a/b%2F'"),
    ("/entry/last", "20 /entry/last"),
    ("/wiki/", "20 /wiki/{page:path} page=''"),
    ("/wiki/a/b%20c", "20 /wiki/{page:path} page='a/b c'"),
    ("/", "20 file /"),
    ("", "20 file /"),
    ("/file", "20 file /file"),
    ("/lost", "51 not found"),
    ("/About", "51 not found"),
    # The slash that is missing, or one too many
    ("/about/", "31 /about"),
    ("/about/?", "31 /about?"),
    ("/about/?a%2fb", "31 /about?a%2fb"),
    ("/book", "31 /book/"),
    ("/book?Ada", "31 /book/?Ada"),
    ("/book/sign/", "31 /book/sign"),
    ("/entry/7/", "31 /entry/7"),
    ("/entry/a%2Fb%3F/", "31 /entry/a%2Fb%3F"),
    ("/tag/x", "31 /tag/x/"),
    ("/tag/", "51 not found"),
    ("/wiki", "31 /wiki/"),
    ("/caf%c3%a9", "31 /caf%C3%A9/"),
    ("/café", "31 /caf%C3%A9/"),
    ("/a%2fb", "31 /a%2Fb/"),
    ("/./book", "31 /book/"),
    ("/about//", "51 not found"),
    ("//", "51 not found"),
    ("//about/", "51 not found"),
]


@pytest.mark.parametrize(("path", "expected"), ANSWERS)
async def test_an_answer(path: str, expected: str) -> None:
    assert await answer(Mounted(SITE, files), ask(path)) == expected


async def test_without_anything_behind_them() -> None:
    assert await answer(Mounted(SITE), ask("/file")) == "51 not found"
    assert await answer(Mounted(Routes()), ask("/")) == "51 not found"


async def test_files_go_before_a_slash_that_is_missing() -> None:
    mounted = Mounted(routes_of("/file/", "/folder"), files)
    assert await answer(mounted, ask("/file")) == "20 file /file"
    assert await answer(mounted, ask("/folder/")) == "20 file /folder/"


async def test_no_redirect_leads_to_another_host() -> None:
    mounted = Mounted(routes_of("//evil.test/", "//evil.test/x"))
    assert await answer(mounted, ask("//evil.test")) == "51 not found"
    assert await answer(mounted, ask("//evil.test/x/")) == "51 not found"


async def test_no_redirect_gets_too_long() -> None:
    mounted = Mounted(routes_of("/about"))
    query = "x" * (MAX_META - len("gemini://a.test/about/?"))
    assert await answer(mounted, ask(f"/about/?{query}")) == f"31 /about?{query}"
    query = "é" * 400  # the target has them percent-encoded
    assert await answer(mounted, ask(f"/about/?{query}")) == "51 not found"


async def test_a_failure_of_what_lies_behind_is_no_missing_slash() -> None:
    async def gone(request: Request) -> Response:
        raise Gone

    assert await answer(Mounted(SITE, gone), ask("/book")) == "52 gone"


async def test_errors_of_what_lies_behind_are_not_the_routes() -> None:
    async def broken(request: Request) -> Response:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await Mounted(SITE, broken)(ask("/file"))


async def test_a_route_that_finds_nothing_has_the_last_word() -> None:
    routes = Routes()

    @routes.gemini("/file")
    async def missing(request: Request) -> str:
        raise NotFound("not here")

    assert await answer(Mounted(routes, files), ask("/file")) == "51 not here"


async def test_other_schemes_are_not_for_these_routes() -> None:
    assert await answer(Mounted(SITE, files), ask("/both", scheme="titan")) == "20 file /both"


async def test_prefixes() -> None:
    root, book = Routes(), routes_of("/", "/sign")
    root.include(book, "/guestbook")
    root.include(routes_of("/"))
    mounted = Mounted(root)
    assert await answer(mounted, ask("/guestbook")) == "31 /guestbook/"
    assert await answer(mounted, ask("/guestbook/")) == "20 /"
    assert await answer(mounted, ask("/guestbook/sign")) == "20 /sign"
    assert await answer(mounted, ask("/")) == "20 /"
    assert await answer(mounted, ask("/sign")) == "51 not found"


CONFLICTS = [
    ("/a/{x}", "/a/{y}"),
    ("/a", "/a"),
    ("/a/{x:path}", "/a/{rest:path}"),
    ("/café", "/caf%C3%A9"),
]


@pytest.mark.parametrize(("first", "second"), CONFLICTS)
@pytest.mark.parametrize("prefix", ["", "/x"])
def test_two_for_the_same_paths(first: str, second: str, prefix: str) -> None:
    root = Routes()
    root.include(routes_of(first), prefix)
    root.include(routes_of(second), prefix)
    show = r"(.*\.)?test_mounting\.routes_of\.<locals>\.add\.<locals>\.show \(/.*, line \d+\)"
    message = rf"^route {re.escape(prefix + second)}, {show} cannot be told apart from "
    message += rf"route {re.escape(prefix + first)}, {show}: change the pattern of one of them, or remove it$"
    with pytest.raises(RouteError, match=message):
        Mounted(root)


def test_two_kinds_of_captures_in_one_place() -> None:
    routes = Routes()
    routes.converter("a")(int)
    routes.converter("b")(float)

    async def page(request: Request, x: float) -> str:
        return ""

    routes.gemini("/{x:a}/1")(page)
    routes.gemini("/{x:b}/2")(page)
    with pytest.raises(
        RouteError, match=r"^route /\{x:b\}/2, .* cannot be told apart from route /\{x:a\}/1, "
    ):
        Mounted(routes)


async def test_what_is_declared_later_changes_nothing() -> None:
    routes = routes_of("/a")
    mounted = Mounted(routes)

    @routes.gemini("/b")
    async def late(request: Request) -> str:
        return ""

    assert await answer(mounted, ask("/b")) == "51 not found"


# What the capsule adds


async def test_settings_and_store_reach_the_routes() -> None:
    routes = Routes()
    seen: list[Request] = []

    @routes.gemini("/{name}")
    async def page(request: Request, name: str) -> str:
        seen.append(request)
        return ""

    store = cast("Store", object())
    settings = {"title": "x"}
    mounted = Mounted(routes, settings=settings, store=store)
    request = ask("/a?b")
    settings["title"] = "changed later"
    await mounted(request)
    assert seen == [request]  # otherwise it is the same
    assert seen[0].settings == {"title": "x"}
    assert seen[0].store is store
    with pytest.raises(TypeError):
        seen[0].settings["title"] = "y"  # type: ignore[index]  # on purpose
    assert "title" not in repr(seen[0])
    assert not request.settings
    assert request.store is not store


async def test_settings_cannot_be_changed_however_deep() -> None:
    routes = Routes()
    seen: list[Any] = []

    @routes.gemini("/")
    async def page(request: Request) -> str:
        seen.append(request.settings)
        return ""

    @routes.lifespan
    async def life(capsule: Capsule) -> AsyncIterator[None]:
        seen.append(capsule.settings)
        yield

    settings = {"list": [1, {"a": [2]}], "table": {"b": {"c": 3}}}
    mounted = Mounted(routes, settings=settings)
    async with mounted.living():
        await mounted(ask("/"))
    settings["list"].append(4)  # type: ignore[attr-defined]  # it is a list
    assert seen[0] is seen[1]
    assert seen[0] == {"list": (1, {"a": (2,)}), "table": {"b": {"c": 3}}}
    for table in (seen[0]["list"][1], seen[0]["table"], seen[0]["table"]["b"]):
        with pytest.raises(TypeError):
            table["x"] = 1


async def test_functions_run_where_they_should() -> None:
    routes = Routes()

    def where() -> str:
        return "loop" if threading.current_thread() is threading.main_thread() else "thread"

    @routes.gemini("/async")
    async def on_loop(request: Request) -> str:
        return where()

    @routes.gemini("/def")
    def in_thread(request: Request) -> str:
        return where()

    mounted = Mounted(routes)
    assert await answer(mounted, ask("/async")) == "20 loop"
    assert await answer(mounted, ask("/def")) == "20 thread"


async def test_a_def_around_an_async_def_is_awaited() -> None:
    routes = Routes()

    def decorated(function: Callable[[Request], Any]) -> Callable[[Request], Any]:
        return lambda request: function(request)

    @routes.gemini("/")
    @decorated
    async def page(request: Request) -> str:
        await trio.lowlevel.checkpoint()
        return "page"

    assert await answer(Mounted(routes), ask("/")) == "20 page"
