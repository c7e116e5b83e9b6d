"""What is put in front of a capsule's files, without sockets: who answers."""

import logging
from pathlib import Path
from textwrap import dedent

import pytest

from pad19.content.static import StaticFiles
from pad19.dispatch.proxying.paths import parse_upstream
from pad19.service.config.capsule import Capsule, Proxy
from pad19.service.config.model import ConfigError
from pad19.service.handlers import handler_for, rehearse
from pad19.service.mounting import Backends
from pad19.service.signature import signatures
from support.mounting import LIFE, PAGE, ask, configured, forget, living, problem_of, with_routes, write
from support.scripts import SH, write_script
from support.tls import self_signed

pytestmark = pytest.mark.usefixtures("fresh_imports")

# Who answers


def test_without_routes_and_programs_files_answer_themselves(tmp_path: Path) -> None:
    capsule = Capsule(content=write(tmp_path, {}) / "content")
    files = StaticFiles(capsule.content)
    assert Backends(configured(tmp_path, capsule)).in_front_of(files, capsule) is files


ANSWERS = [  # path, answer
    ("/", "20 route index"),
    ("/guestbook/", "20 route guestbook"),
    ("/guestbook", "31 /guestbook/"),
    ("/guestbook?x", "31 /guestbook/?x"),
    ("/shadowed.gmi", "20 route shadowed"),
    ("/cgi-bin/shadowed", "20 route shadowed"),
    ("/cgi-bin/hello", "20 script"),
    ("/cgi-bin/hello/more", "20 script"),
    ("/cgi-bin/nothing", "51 not found"),
    ("/cgi-bin/page.gmi", "51 not found"),  # a file, but the prefix is the programs'
    ("/page.gmi", "20 file"),
    ("/docs/", "20 docs"),
    ("/docs", "31 /docs/"),
    ("/nothing", "51 not found"),
    ("/routes/index.py", "51 not found"),
]


@pytest.mark.parametrize(("path", "answer"), ANSWERS)
async def test_routes_come_first_then_prefixes_then_files(tmp_path: Path, path: str, answer: str) -> None:
    more = """
        @routes.gemini("/shadowed.gmi")
        @routes.gemini("/cgi-bin/shadowed")
        async def shadowed(request: Request) -> str:
            return "route shadowed"
    """
    files = {
        "routes/index.py": PAGE.format("route index") + dedent(more),
        "routes/guestbook.py": PAGE.format("route guestbook"),
        **{f"content/{name}.gmi": "file" for name in ("index", "shadowed", "page", "cgi-bin/page")},
        "content/guestbook/index.gmi": "file",
        "content/cgi-bin/hello": "file",
        "content/docs/index.gmi": "docs",
    }
    write(tmp_path, files)
    for name in ("hello", "shadowed"):
        write_script(tmp_path / "cgi-bin" / name, f"{SH}printf '20 text/plain\\r\\nscript'")
    capsule = with_routes(tmp_path, cgi={"/cgi-bin/": tmp_path / "cgi-bin"})
    async with living(tmp_path, capsule) as [handler]:
        assert await ask(handler, path) == answer


async def test_installed_routes_need_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"site/some_wiki.py": PAGE.format("wiki"), "content/page.gmi": "file"})
    monkeypatch.syspath_prepend(tmp_path / "site")
    capsule = Capsule(content=tmp_path / "content", mount={"/wiki/": "some_wiki:routes"})
    async with living(tmp_path, capsule) as [handler]:
        assert await ask(handler, "/wiki/") == "20 wiki"
        assert await ask(handler, "/page.gmi") == "20 file"


async def test_a_route_serves_a_file_of_its_capsule(tmp_path: Path) -> None:
    more = """
        from pathlib import Path
        @routes.gemini("/{name}")
        async def file(request: Request, name: str) -> Path:
            return Path(name)
    """
    write(tmp_path, {"routes/old.py": PAGE.format("") + dedent(more), "content/page.gmi": "file"})
    async with living(tmp_path, with_routes(tmp_path)) as [handler]:
        assert await ask(handler, "/old/page.gmi") == "20 file"
        assert await ask(handler, "/old/none.gmi") == "51 not found"


TELLS = """
from pad19 import Request, Routes
routes = Routes()
@routes.gemini("/")
async def page(request: Request) -> str:
    return f"{request.settings['title']} {await request.store.increment('visits')}"
"""


async def test_capsules_have_routes_settings_and_a_store_of_their_own(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    capsules = []
    for folder in (one, two):
        write(folder, {"routes/index.py": TELLS})
        capsules.append(with_routes(folder, hosts=(f"{folder.name}.test",), settings={"title": folder.name}))
    async with living(tmp_path, *capsules) as [first, second]:
        assert [await ask(first, "/") for _ in range(2)] == ["20 one 1", "20 one 2"]
        assert await ask(second, "/") == "20 two 1"
    forget()
    async with living(tmp_path, *capsules) as [first, _]:  # the worker after it
        assert await ask(first, "/") == "20 one 3"


async def test_workers_at_the_same_time_share_the_store(tmp_path: Path) -> None:
    write(tmp_path, {"routes/index.py": TELLS})
    capsule = with_routes(tmp_path, settings={"title": "visits"})
    async with living(tmp_path, capsule) as [first]:
        forget()
        async with living(tmp_path, capsule) as [second]:
            answers = [await ask(handler, "/") for handler in (first, second, first)]
    assert answers == ["20 visits 1", "20 visits 2", "20 visits 3"]


# What cannot be served


BROKEN = "x = 1\ndef f(:\n"


def test_a_broken_module_is_a_mistake_with_file_and_line(tmp_path: Path) -> None:
    write(tmp_path, {"routes/a.py": BROKEN, "routes/b.py": "\n1 / 0", "routes/c.py": PAGE.format("c")})
    capsule = with_routes(tmp_path)
    with pytest.raises(ConfigError) as error:
        handler_for(capsule, Backends(configured(tmp_path, capsule)))
    first, second = error.value.problems
    assert first.startswith(f"{tmp_path}/routes/a.py, line 2, column 7: SyntaxError: ")
    assert second == f"{tmp_path}/routes/b.py, line 2: ZeroDivisionError: division by zero"


async def test_in_development_it_is_a_page(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path, {"routes/a.py": BROKEN, "routes/c.py": PAGE.format("c"), "content/page.gmi": "file"})
    capsule = with_routes(tmp_path)
    backends = Backends(configured(tmp_path, capsule), is_development=True)
    handler = handler_for(capsule, backends)
    async with backends.living():
        answer = await ask(handler, "/a/whatever")
        assert answer.startswith("20 # SyntaxError: ")
        assert f"{tmp_path}/routes/a.py" in answer
        assert "def f(:" in answer
        assert await ask(handler, "/c/") == "20 c"
        assert await ask(handler, "/page.gmi") == "20 file"
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage().startswith(f"{tmp_path}/routes/a.py, line 2, column 7: SyntaxError: ")
    assert "    def f(:\n" in record.getMessage()  # as Python shows it


DUPLICATE = PAGE.format("one") + dedent("""
    @routes.gemini("/")
    async def again(request: Request) -> str: ...
""")
NO_LIFE = PAGE.format("never") + dedent("""
    @routes.lifespan
    async def life(capsule):
        raise SystemExit("no database")
        yield
""")
SHOWN: list[tuple[str, str, list[str]]] = [  # file, its text, paths that show what is wrong with it
    ("index.py", "1 / 0", ["/", "/none", "/file/none"]),
    ("index.py", DUPLICATE, ["/", "/none", "/none/"]),
    ("index.py", NO_LIFE, ["/", "/none"]),
    ("a.py", "1 / 0", ["/a/", "/a/x"]),
    ("a.py", DUPLICATE, ["/a/", "/a/x"]),
    ("a.py", NO_LIFE, ["/a/", "/a/x"]),
]


@pytest.mark.parametrize(("file", "text", "shown"), SHOWN)
async def test_in_development_all_else_works(
    tmp_path: Path, file: str, text: str, shown: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    files = {"routes/b.py": PAGE.format("b"), "content/file": "a file", "content/index.gmi": "index"}
    lost = (
        PAGE.format("").replace('return ""', 'raise NotFound("lost")').replace("import", "import NotFound,")
    )
    write(tmp_path, {**files, "routes/lost.py": lost, f"routes/{file}": text})
    capsule = with_routes(tmp_path)
    backends = Backends(configured(tmp_path, capsule), is_development=True)
    handler = handler_for(capsule, backends)
    async with backends.living():
        assert await ask(handler, "/b/") == "20 b"
        assert await ask(handler, "/b") == "31 /b/"
        assert await ask(handler, "/file") == "20 a file"
        assert await ask(handler, "/lost/") == "51 lost"
        for path in shown:
            answer = await ask(handler, path)
            assert answer.startswith("20 # "), path
            assert f"{tmp_path}/routes/{file} cannot be mounted" in answer
        if file != "index.py":
            assert await ask(handler, "/") == "20 index"
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert f"{tmp_path}/routes/{file}" in record.getMessage()


async def test_of_two_modules_with_the_same_paths_one_works(tmp_path: Path) -> None:
    other = PAGE.format("index").replace('"/"', '"/a/"')
    write(tmp_path, {"routes/a.py": PAGE.format("a"), "routes/index.py": other, "content/file": "a file"})
    capsule = with_routes(tmp_path)
    backends = Backends(configured(tmp_path, capsule), is_development=True)
    handler = handler_for(capsule, backends)
    assert await ask(handler, "/a/") == "20 a"
    assert await ask(handler, "/file") == "20 a file"
    page = await ask(handler, "/")
    assert page.startswith("20 # route /a/, index.page ")
    assert "cannot be told apart from route /a/, a.page " in page


AT_THE_ROOT = {"/": "42 ", "/x": "42 ", "/a/": "20 a", "/page.gmi": "20 file"}
STANDING_IN = [  # broken file, answers
    ("routes/b.py", {"/b/": "42 ", "/b/x": "42 ", "/a/": "20 a", "/": "20 home"}),
    ("routes/index.py", AT_THE_ROOT),
]


@pytest.mark.parametrize(("file", "answers"), STANDING_IN)
async def test_who_stands_in_for_another_one_serves_what_can_be(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, file: str, answers: dict[str, str]
) -> None:
    files = {"routes/a.py": PAGE.format("a"), "content/index.gmi": "home", "content/page.gmi": "file"}
    write(tmp_path, {**files, file: "import nonsense"})
    capsule = with_routes(tmp_path)
    backends = Backends(configured(tmp_path, capsule), stands_in=True)
    handler = handler_for(capsule, backends)
    async with backends.living():
        assert {path: await ask(handler, path) for path in answers} == answers
    [problem] = backends.problems
    assert problem.startswith(f"{tmp_path}/{file}, line 1: ModuleNotFoundError: ")
    assert problem.endswith("; until that is mended, what needs it is answered with 42")
    assert not caplog.messages  # who has asked for it does so, once


async def test_nor_does_a_lifespan_that_fails_keep_it_from_serving(tmp_path: Path, said: list[str]) -> None:
    files = {"routes/a.py": PAGE.format("a"), "routes/broken.py": NO_LIFE}
    write(tmp_path, files)
    capsule = with_routes(tmp_path)
    backends = Backends(configured(tmp_path, capsule), stands_in=True)
    handler = handler_for(capsule, backends)
    async with backends.living():
        assert await ask(handler, "/a/") == "20 a"
        assert await ask(handler, "/broken/") == "42 "
    assert len(backends.problems) == 1


async def test_nor_does_a_store_or_a_proxy(tmp_path: Path) -> None:
    write(tmp_path, {"routes/a.py": PAGE.format("a"), "state/store.sqlite3": "# No database\n" * 99})
    to = parse_upstream("gemini://127.0.0.1:1966/")
    proxy = Proxy(path="/there/", to=to, certificate=tmp_path / "a.crt", key=tmp_path / "a.key")
    capsule = with_routes(tmp_path, proxies=(proxy,))
    backends = Backends(configured(tmp_path, capsule), stands_in=True)
    handler = handler_for(capsule, backends)
    async with backends.living():
        assert await ask(handler, "/a/") == "20 a"
        assert await ask(handler, "/there/") == "42 "
    assert [problem.split(" is ")[0] for problem in backends.problems[:1]] == [f"{tmp_path}/a.crt"]
    assert "the store " in backends.problems[1]


async def test_lifespans_of_others_live_beside_a_broken_one(tmp_path: Path, said: list[str]) -> None:
    files = {f"routes/{name}.py": LIFE.replace("NAME", name) for name in ("a", "z")}
    write(tmp_path, {**files, "routes/broken.py": NO_LIFE})
    capsule = with_routes(tmp_path)
    backends = Backends(configured(tmp_path, capsule), is_development=True)
    handler_for(capsule, backends)
    async with backends.living():
        assert said[-2:] == ["a begins", "z begins"]
    assert said[-2:] == ["z ends", "a ends"]
    assert said.count("a begins") == said.count("a ends")


async def test_only_in_development_errors_are_shown(tmp_path: Path) -> None:
    write(tmp_path, {"routes/index.py": PAGE.format("").replace('return ""', "raise ValueError('why')")})
    capsule = with_routes(tmp_path)
    for is_development, expected in [(False, "42 internal error, id "), (True, "20 # ValueError: why\n")]:
        forget()
        backends = Backends(configured(tmp_path, capsule), is_development=is_development)
        assert (await ask(handler_for(capsule, backends), "/")).startswith(expected)


def test_two_routes_for_one_path_cannot_be_told_apart(tmp_path: Path) -> None:
    again = '@routes.gemini("/{a}")\n@routes.gemini("/{b}")\nasync def f(request: Request, **_: str): ...'
    write(tmp_path, {"routes/a.py": PAGE.format("") + again})
    capsule = with_routes(tmp_path)
    with pytest.raises(ConfigError, match="cannot be told apart from route "):
        handler_for(capsule, Backends(configured(tmp_path, capsule)))


def test_a_proxy_without_its_certificate(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"a.crt": self_signed().certificate_pem.decode(), "b.key": self_signed("b").key_pem.decode()},
    )
    proxy = Proxy(
        path="/",
        to=parse_upstream("gemini://127.0.0.1:1966/"),
        certificate=tmp_path / "a.crt",
        key=tmp_path / "b.key",
    )
    capsule = Capsule(content=tmp_path / "content", proxies=(proxy,))
    with pytest.raises(ConfigError, match=r"b\.key is not the key of a\.crt"):
        handler_for(capsule, Backends(configured(tmp_path, capsule)))


async def test_a_store_that_cannot_be_used(tmp_path: Path) -> None:
    write(tmp_path, {"routes/index.py": PAGE.format(""), "state/store.sqlite3": "# No database\n" * 99})
    assert (await problem_of(tmp_path)).startswith(f"the store {tmp_path}/state/store.sqlite3 ")


# Source files


def test_files_are_as_they_were_before_they_were_read(tmp_path: Path) -> None:
    itself = "from pathlib import Path\nPath(__file__).write_text('changed')\n"
    write(tmp_path, {"routes/index.py": itself + PAGE.format(""), "routes/_help.py": "", "routes/a.txt": ""})
    file = tmp_path / "routes/index.py"
    before = signatures([str(file)])
    capsule = with_routes(tmp_path)
    backends = Backends(configured(tmp_path, capsule))
    handler_for(capsule, backends)
    assert backends.files[str(file)] == before[str(file)] != signatures([str(file)])[str(file)]
    assert backends.files.keys() == {str(file), str(tmp_path / "routes/_help.py")}


# Without visitors


RUNS = """
from pad19 import Request, Routes
from said import said
said("loaded")
routes = Routes()

@routes.lifespan
async def life(capsule):
    said("begins")
    yield

@routes.background
async def beside(capsule):
    said("runs")

@routes.around
async def around(request, call_next):
    said("around")
    return await call_next(request)

@routes.gemini("/{rest:path}")
async def page(request: Request, rest: str) -> str:
    said("asked")
    return ""
"""


async def test_a_rehearsal_loads_routes_and_asks_nobody(tmp_path: Path, said: list[str]) -> None:
    write(tmp_path, {"routes/book.py": RUNS, "content/page.gmi": "file"})
    write_script(tmp_path / "cgi-bin/touch", f"{SH}touch ../ran")
    capsule = with_routes(tmp_path, cgi={"/cgi-bin/": tmp_path / "cgi-bin"})
    [handler], problems = rehearse(configured(tmp_path, capsule))
    assert problems == []
    for path in ("/book/", "/book/deep/down", "/cgi-bin/touch", "/cgi-bin/touch/info"):
        assert await ask(handler, path) == "20 "
    assert await ask(handler, "/book") == "31 /book/"
    assert await ask(handler, "/page.gmi") == "20 file"
    for path in ("/none.gmi", "/cgi-bin/none", "/cgi-bin/"):
        assert await ask(handler, path) == "51 not found"
    assert said == ["loaded"]
    assert not (tmp_path / "state").exists()
    assert not (tmp_path / "ran").exists()


async def test_a_rehearsal_goes_on_with_what_can_be_loaded(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one", {"routes/a.py": BROKEN, "content/a.gmi": "a"}), tmp_path / "two"
    write(two, {"routes/b.py": PAGE.format("b")})
    handlers, problems = rehearse(configured(tmp_path, with_routes(one), with_routes(two)))
    assert len(problems) == 1
    assert await ask(handlers[0], "/a.gmi") == "20 a"
    assert await ask(handlers[1], "/b/") == "20 "


async def test_in_a_rehearsal_a_broken_file_leaves_the_others_and_programs(tmp_path: Path) -> None:
    write(tmp_path, {"routes/a.py": BROKEN, "routes/b.py": PAGE.format("b"), "content/page.gmi": "file"})
    write_script(tmp_path / "cgi-bin/touch", f"{SH}true")
    capsule = with_routes(tmp_path, cgi={"/cgi-bin/": tmp_path / "cgi-bin"})
    [handler], problems = rehearse(configured(tmp_path, capsule))
    assert [problem.partition(",")[0] for problem in problems] == [str(tmp_path / "routes/a.py")]
    for path in ("/a/", "/b/", "/cgi-bin/touch"):
        assert await ask(handler, path) == "20 ", path
    assert await ask(handler, "/page.gmi") == "20 file"
    assert await ask(handler, "/none.gmi") == "51 not found"


async def test_in_a_rehearsal_nothing_is_missing_where_a_broken_index_might_answer(tmp_path: Path) -> None:
    write(tmp_path, {"routes/index.py": BROKEN, "content/page.gmi": "file"})
    [handler], problems = rehearse(configured(tmp_path, with_routes(tmp_path)))
    assert len(problems) == 1
    assert await ask(handler, "/page.gmi") == "20 file"
    assert not (await ask(handler, "/perhaps")).startswith("51")


OVERLOOKED = [  # files, which of them is not mounted
    ({"game/game.py": PAGE.format("")}, "game/game.py"),
    ({"game/a.py": "x = 1", "game/game.py": PAGE.format("")}, "game/game.py"),
    ({"game/game.py": "import pad19\nroutes: object = pad19.Routes()\n"}, "game/game.py"),
    ({"game/__init__.py": PAGE.format(""), "game/more.py": PAGE.format("")}, None),
    ({"_game/game.py": PAGE.format("")}, None),
    ({"game/game.py": "from pad19 import Routes\n"}, None),
    ({"game/game.txt": PAGE.format("")}, None),
    ({"game/game.py": PAGE.format(""), "a.py": "from .game.game import routes"}, None),
]


@pytest.mark.parametrize(("files", "found"), OVERLOOKED)
def test_a_folder_that_lacks_its_init(
    tmp_path: Path, files: dict[str, str], found: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, {f"routes/{name}": text for name, text in files.items()})
    capsule = with_routes(tmp_path)
    handler_for(capsule, Backends(configured(tmp_path, capsule)))
    said = [record.getMessage() for record in caplog.records]
    assert said == (
        [
            f"localhost: {tmp_path}/routes/{found} is not mounted, since its folder has no __init__.py: "
            f"name the file so, or move it to {tmp_path}/routes"
        ]
        if found
        else []
    )
