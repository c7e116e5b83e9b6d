import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import trio

from pad19 import Gone, Input, Request, Routes, Store, Success, TemporaryFailure, stream
from pad19.routes.interface import Capsule, RouteError
from pad19.testing import Answer, Client, SyncClient, identity

routes = Routes()
log: list[str] = []


@routes.lifespan
async def life(capsule: Capsule) -> AsyncIterator[None]:
    log.append("begins")
    yield
    log.append("ends")


@routes.gemini("/")
async def index(request: Request) -> str:
    client = request.client
    return f"{request.uri} {client.address} {client.fingerprint} {request.settings} {request.store}"


@routes.gemini("/echo")
async def echo(request: Request) -> str:
    return repr(request.query)


@routes.gemini("/input")
async def prompt(request: Request) -> Input:
    return Input("a\r\nb" + "c" * 2000)


@routes.gemini("/latin")
async def latin(request: Request) -> Success:
    return Success(b"caf\xe9", "text/plain; charset=ISO-8859-1")


@routes.gemini("/gone")
async def gone(request: Request) -> str:
    raise Gone("long ago")


@routes.gemini("/broken")
async def broken(request: Request) -> str:
    raise ZeroDivisionError("by nobody")


@routes.gemini("/breaks-off")
async def breaks_off(request: Request) -> AsyncIterator[str]:
    try:
        yield "first"
        raise ZeroDivisionError("by nobody")
    finally:
        log.append("closed")


@routes.gemini("/stream")
async def streams(request: Request) -> Success:
    chunks: list[str | bytes] = ["é", b"\xff"]
    return Success(stream(iter(chunks)), "application/octet-stream")


@routes.gemini("/file/{path:path}")
async def file(request: Request, path: str) -> Path:
    return Path(path)


@pytest.fixture(autouse=True)
def _empty_log() -> None:
    log.clear()


ANSWERS = [  # target, answer
    ("/echo", Answer(20, "text/gemini", b"None")),
    ("/echo?", Answer(20, "text/gemini", b"''")),
    ("/echo?a%20b", Answer(20, "text/gemini", b"'a b'")),
    ("gemini://localhost/echo?x", Answer(20, "text/gemini", b"'x'")),
    ("/input", Answer(10, "a b" + "c" * 1021)),  # as it is sent
    ("/gone", Answer(52, "long ago")),
    ("/lost", Answer(51, "not found")),
    ("/echo/", Answer(31, "/echo")),
    ("/stream", Answer(20, "application/octet-stream", b"\xc3\xa9\xff")),
    ("/../", Answer(51, "not found")),
    ("/a b", Answer(59, "' ' is not allowed in a URI")),
    ("nowhere", Answer(59, "the scheme is missing")),
]


@pytest.mark.parametrize(("target", "answer"), ANSWERS)
async def test_an_answer(target: str, answer: Answer) -> None:
    assert await Client(routes).get(target) == answer


def test_the_same_answers_without_async() -> None:
    with SyncClient(routes) as client:
        for target, answer in ANSWERS:
            assert client.get(target) == answer


async def test_what_a_visitor_brings() -> None:
    ada, bob = identity("Ada"), identity("Bob")
    store = cast("Store", "store")
    client = Client(
        routes, host="a.test", certificate=ada, address="192.0.2.1", settings={"x": 1}, store=store
    )
    page = "gemini://a.test/ 192.0.2.1 {} {{'x': 1}} store"
    assert (await client.get("/")).text == page.format(ada.fingerprint)
    assert (await client.get("/", certificate=bob)).text == page.format(bob.fingerprint)
    text = (await Client(routes).get("/")).text
    assert text.startswith("gemini://localhost/ 127.0.0.1 None {} <pad19.store.")


async def test_a_store_of_its_own() -> None:
    counting = Routes()

    @counting.gemini("/")
    async def count(request: Request) -> str:
        return str(await request.store.increment("visits"))

    for _ in range(2):
        async with Client(counting) as client:
            assert [(await client.get("/")).text for _ in range(2)] == ["1", "2"]


NOT_SERVED = "this host is not served here"
HOSTS = [  # target, answer
    ("gemini://café.test/echo", "20 text/gemini"),
    ("gemini://xn--caf-dma.TEST:1966/echo", "20 text/gemini"),
    ("/echo", "20 text/gemini"),
    ("gemini://b.test/echo", "20 text/gemini"),
    ("gemini://x.c.test/echo", "20 text/gemini"),
    ("gemini://[::1]:1965/echo", "20 text/gemini"),
    ("gemini://c.test/echo", f"53 {NOT_SERVED}"),
    ("gemini://localhost/echo", f"53 {NOT_SERVED}"),
    ("http://café.test/echo", "53 http is not served here"),
    ("gemini:///echo", "59 the host is missing"),
]


@pytest.mark.parametrize(("target", "expected"), HOSTS)
async def test_who_is_asked(target: str, expected: str) -> None:
    client = Client(routes, host="Café.test", hosts=["b.test", "*.c.test", "[::1]"])
    answer = await client.get(target)
    assert f"{answer.status} {answer.meta}" == expected


async def test_uploads_for_other_hosts_are_refused() -> None:
    assert await Client(routes).titan("titan://a.test/echo", "x") == Answer(53, NOT_SERVED)
    assert (await Client(routes).edit("gemini://a.test/echo")).meta == NOT_SERVED


async def test_the_client_names_whom_it_asks() -> None:
    naming = Routes()

    @naming.gemini("/")
    async def name(request: Request) -> str:
        return f"{request.client.server_name}"

    client = Client(naming, host="a.test", hosts=["b.test"])
    assert (await client.get("/")).text == "a.test"
    assert (await client.get("gemini://b.test/")).text == "b.test"


def test_a_host_that_is_none() -> None:
    with pytest.raises(ValueError, match="not allowed in a URI"):
        Client(routes, host="a b")


LONGEST = "gemini://localhost/echo?".ljust(1024, "x")


async def test_a_uri_has_an_end() -> None:
    client = Client(routes)
    too_long = Answer(59, "the URI is longer than 1024 bytes")
    assert (await client.get(LONGEST)).status == 20
    assert await client.get(f"{LONGEST}x") == too_long
    assert await client.get("/echo", "\u00e9" * 200) == too_long  # percent-encoded


async def test_a_query_takes_the_place_of_another_one() -> None:
    client = Client(routes)
    assert (await client.get("/echo?old", "new")).text == "'new'"
    assert (await client.get("/echo?old?older", "")).text == "''"


@pytest.mark.parametrize("query", ["", "Ada & Co?", "100% é\r\n", "a+b=c/d#e"])
async def test_a_query_as_it_is_typed(query: str) -> None:
    assert (await Client(routes).get("/echo", query)).text == repr(query)


async def test_a_prefix() -> None:
    client = Client(routes, prefix="/x")
    assert (await client.get("/x/echo")).status == 20
    assert (await client.get("/x")).meta == "/x/"
    assert (await client.get("/echo")).status == 51


async def test_text_has_a_charset() -> None:
    assert (await Client(routes).get("/latin")).text == "café"
    with pytest.raises(UnicodeDecodeError):
        _ = (await Client(routes).get("/stream")).text


async def test_exceptions_reach_the_test() -> None:
    with pytest.raises(ZeroDivisionError, match="by nobody"):
        await Client(routes).get("/broken")
    with pytest.raises(ZeroDivisionError, match="by nobody"):
        await Client(routes).get("/breaks-off")
    assert log == ["closed"]


def test_exceptions_reach_the_test_without_async() -> None:
    with SyncClient(routes) as client, pytest.raises(ZeroDivisionError, match="by nobody"):
        client.get("/broken")


def test_a_conflict_reaches_the_test() -> None:
    twice = Routes()
    twice.gemini("/")(echo)
    twice.gemini("/")(index)
    for client in (Client, SyncClient):
        with pytest.raises(RouteError, match="cannot be told apart"):
            client(twice)


FILES = [  # what the route returns, status
    ("a.txt", 20),
    ("folder/../a.txt", 20),
    ("folder/b.gmi", 20),
    ("100%25.txt", 20),
    ("", 51),
    ("folder", 51),
    ("folder/", 51),
    ("lost", 51),
    (".hidden", 51),
    ("link", 51),
]


@pytest.mark.parametrize(("path", "status"), FILES)
async def test_files(path: str, status: int, tmp_path: Path) -> None:
    content = tmp_path / "content"
    (content / "folder").mkdir(parents=True)
    for name in ("a.txt", "folder/b.gmi", "folder/index.gmi", "100%.txt", ".hidden", "../outside"):
        (content / name).write_text("x")
    (content / "link").symlink_to(tmp_path / "outside")
    client = Client(routes, files=content)
    assert (await client.get(f"/file/{path}")).status == status


async def test_files_lie_in_their_folder(tmp_path: Path) -> None:
    (tmp_path / "content").mkdir()
    (tmp_path / "outside").write_text("x")
    (tmp_path / "content" / "inside").write_text("x")
    made = Routes()

    @made.gemini("/{number:int}")
    def file(request: Request, number: int) -> Path:
        inside = tmp_path / "content" / "inside"
        return [inside, tmp_path / "outside", Path("../outside"), Path("a/../../outside")][number]

    client = Client(made, files=tmp_path / "content")
    assert [(await client.get(f"/{number}")).status for number in range(4)] == [20, 51, 51, 51]


async def test_files_answer_where_no_route_does(tmp_path: Path) -> None:
    for name in ("a.txt", "echo", "index.gmi"):
        (tmp_path / name).write_text("file")
    client = Client(routes, prefix="/x", files=tmp_path)
    assert (await client.get("/a.txt")).text == "file"
    assert (await client.get("/echo")).text == "file"
    assert (await client.get("/")).text == "file"
    assert (await client.get("/x/echo")).text == "None"
    assert (await client.get("/lost")).status == 51


async def test_without_a_folder_there_are_no_files() -> None:
    with pytest.raises(TypeError, match="returned a Path, but it is mounted without a folder of files"):
        await Client(routes).get("/file/a.txt")


# Lifespans


async def test_a_lifespan_is_run_within_the_client() -> None:
    client = Client(routes)
    await client.get("/echo")
    assert log == []
    async with client:
        assert log == ["begins"]
        await client.get("/echo")
    assert log == ["begins", "ends"]


def test_a_lifespan_is_run_within_the_synchronous_client() -> None:
    with SyncClient(routes) as client:
        assert log == ["begins"]
        client.get("/echo")
    assert log == ["begins", "ends"]
    assert "pad19.testing" not in {thread.name.rpartition("_")[0] for thread in threading.enumerate()}
    with client:
        assert log == ["begins", "ends", "begins"]


async def test_a_test_that_fails_shows_its_own_error() -> None:
    background = Routes()

    @background.background
    async def sleep(capsule: Capsule) -> None:
        await trio.sleep_forever()

    with pytest.raises(AssertionError, match=r"^mine$"):
        async with Client(background):
            raise AssertionError("mine")
    with pytest.raises(TemporaryFailure):
        async with Client(routes):
            raise TemporaryFailure


def test_a_test_without_async_that_fails_shows_its_own_error() -> None:
    with pytest.raises(AssertionError, match=r"^mine$"), SyncClient(routes):
        raise AssertionError("mine")
    assert log == ["begins", "ends"]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_lifespan_that_fails(when: str) -> None:
    broken = Routes()
    reached = False

    @broken.lifespan
    async def fails(capsule: Capsule) -> AsyncIterator[None]:
        if when == "before":
            raise ConnectionRefusedError("no database")
        yield
        raise ConnectionRefusedError("no database any more")

    with pytest.raises(ConnectionRefusedError, match="no database"), SyncClient(broken):
        reached = True
    assert reached is (when == "after")


def test_a_rate_holds_between_requests_of_one_client() -> None:
    limited = Routes()
    limited.gemini("/", rate="2/1h")(echo)
    with SyncClient(limited) as client:
        assert [client.get("/").status for _ in range(3)] == [20, 20, 44]
    with SyncClient(limited) as client:
        assert client.get("/").status == 20


async def test_a_name_is_no_certificate() -> None:
    name: Any = "Ada"
    with pytest.raises(TypeError, match=r"write certificate=identity\('Ada'\)$"):
        await Client(routes).get("/", certificate=name)
    with pytest.raises(TypeError, match=r"write certificate=identity\('Ada'\)$"):
        await Client(routes, certificate=name).get("/")


def test_identities() -> None:
    ada = identity("Ada")
    assert ada == identity("Ada")
    known = "sha256:" + "0a" * 32
    owner = identity("Owner", fingerprint=known)
    assert owner == replace(identity("Owner"), fingerprint=known)
    assert identity("Owner", key_fingerprint=known) == replace(identity("Owner"), key_fingerprint=known)
    assert ada.common_name == "Ada"
    assert ada.problem(ada.not_before) is None
    assert len({ada.fingerprint, ada.key_fingerprint, identity("Bob").fingerprint}) == 3
    renewed = identity("Ada, renewed", key="Ada")
    assert renewed.fingerprint != ada.fingerprint
    assert renewed.key_fingerprint == ada.key_fingerprint


@pytest.mark.parametrize("text", ["", "sha256:", "0a" * 32, f"sha256:{'0A' * 32}", f"sha256:{'0a' * 32} "])
def test_what_is_no_fingerprint(text: str) -> None:
    for arguments in ({"fingerprint": text}, {"key_fingerprint": text}):
        with pytest.raises(ValueError, match="is no fingerprint: sha256: and 64 hex digits"):
            identity("Owner", **arguments)


async def test_exceptions_of_an_upload_reach_the_test() -> None:
    failing = Routes()
    failing.titan("/broken")(broken)
    with pytest.raises(ZeroDivisionError, match="by nobody"):
        await Client(failing).titan("/broken", "x")


def test_a_synchronous_client_outside_of_with() -> None:
    client = SyncClient(routes)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="works within with: with SyncClient"):
            client.get("/echo")
        with client:
            assert client.get("/echo").status == 20


async def test_pages_have_the_language_of_the_capsule(tmp_path: Path) -> None:
    (tmp_path / "page.gmi").touch()
    client = Client(routes, files=tmp_path, lang="de, fr")
    for path in ("/echo", "/page.gmi", "/file/page.gmi"):
        assert (await client.get(path)).meta == 'text/gemini; lang="de,fr"'
    assert (await client.get("/latin")).meta == "text/plain; charset=ISO-8859-1"


@pytest.mark.parametrize("given", [True, False])
def test_routes_have_folders(tmp_path: Path, given: bool) -> None:
    seen: list[Capsule] = []
    writing = Routes()

    @writing.lifespan
    async def life(capsule: Capsule) -> AsyncIterator[None]:
        capsule.state.mkdir()
        (capsule.state / "file").touch()
        seen.append(capsule)
        yield

    state = tmp_path / "state" if given else None
    with SyncClient(writing, files=tmp_path, state=state):
        [capsule] = seen
        assert capsule.content == tmp_path
        assert (capsule.state / "file").exists()
    assert capsule.state.exists() is given  # its own is removed
    assert capsule.state == state or not given
