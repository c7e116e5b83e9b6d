"""Folders of route files, as people leave them."""

import compileall
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path

import pytest

from pad19.routes.frames import Frame
from pad19.routes.loading.broken import BrokenModule
from pad19.routes.loading.loader import Loaded, LoadError, load
from pad19.routes.table import Routes
from pad19.testing import Client
from support.files import write

PAGE = """\
from pad19 import Request, Routes
routes = Routes()
@routes.gemini("/")
async def page(request: Request) -> str:
    return {text!r}
"""
_packages = count()


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    """What a fresh process would not have."""
    finders, paths = sys.meta_path[:], sys.path[:]
    yield
    sys.meta_path[:] = finders
    sys.path[:] = paths
    sys.path_importer_cache.clear()
    for name in [name for name in sys.modules if name.startswith(("pad19_routes_", "test_wiki"))]:
        del sys.modules[name]


def page(text: str) -> str:
    return PAGE.format(text=text)


def load_folder(
    folder: Path | None,
    mounts: Mapping[str, str] | None = None,
    on_broken: Callable[[BrokenModule], Routes] | None = None,
) -> Loaded:
    return load(folder, mounts or {}, package=f"test_{next(_packages)}", on_broken=on_broken)


def problems_of(folder: Path | None, mounts: Mapping[str, str] | None = None) -> tuple[str, ...]:
    with pytest.raises(LoadError) as caught:
        load_folder(folder, mounts)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return caught.value.problems


async def ask(loaded: Loaded, *paths: str) -> list[str]:
    client = Client(loaded.routes)
    answers = [await client.get(path) for path in paths]
    return [answer.text if answer.status == 20 else f"{answer.status} {answer.meta}" for answer in answers]


MOUNTED = [  # file, path where it answers
    ("guestbook.py", "/guestbook/"),
    ("index.py", "/"),
    ("my-page.py", "/my-page/"),
    ("my page.py", "/my%20page/"),
    ("café.py", "/caf%C3%A9/"),
    ("50%.py", "/50%25/"),
    ("{x}.py", "/%7Bx%7D/"),
    ("class.py", "/class/"),
    ("json.py", "/json/"),
    ("pad19.py", "/pad19/"),
    ("blog/__init__.py", "/blog/"),
    ("index/__init__.py", "/"),
]


@pytest.mark.parametrize(("file", "path"), MOUNTED)
async def test_a_file_answers_below_its_name(tmp_path: Path, file: str, path: str) -> None:
    loaded = load_folder(write(tmp_path, {file: page("here")}))
    assert await ask(loaded, path) == ["here"]
    assert loaded.files == (tmp_path / file,)


@pytest.mark.parametrize(
    "file", ["_helpers.py", ".#guestbook.py", "guestbook.py~", "notes.txt", "data/rows.py"]
)
async def test_other_files_are_not_mounted(tmp_path: Path, file: str) -> None:
    loaded = load_folder(write(tmp_path, {file: "raise ValueError", "index.py": page("index")}))
    assert await ask(loaded, "/") == ["index"]


async def test_files_share_helpers(tmp_path: Path) -> None:
    files = {
        "_book.py": "entries = ['Ada']",
        "guestbook.py": "from ._book import entries\n" + page("x").replace("'x'", "entries[0]"),
        "blog/__init__.py": "from .. import _book; from .posts import posts\n"
        + page("x").replace("'x'", "_book.entries[0] + posts"),
        "blog/posts.py": "from ..shared.later import posts",
        "shared/later.py": "posts = ' and Charles'",  # a folder without __init__.py
    }
    loaded = load_folder(write(tmp_path, files))
    assert await ask(loaded, "/guestbook/", "/blog/") == ["Ada", "Ada and Charles"]
    assert loaded.files == tuple(sorted(tmp_path / name for name in files))


async def test_what_is_imported_later_is_found_then(tmp_path: Path) -> None:
    late = page("x").replace("return 'x'", "from ._late import text; return text")
    loaded = load_folder(write(tmp_path, {"index.py": late, "_late.py": "text = 'late'"}))
    assert await ask(loaded, "/") == ["late"]


async def test_a_file_for_the_folder_itself_runs_first(tmp_path: Path) -> None:
    files = {"__init__.py": "title = 'T'", "index.py": "from . import title\n" + page("x")}
    assert await ask(load_folder(write(tmp_path, files)), "/") == ["x"]


async def test_capsules_can_have_files_of_the_same_name(tmp_path: Path) -> None:
    first = load_folder(write(tmp_path / "a", {"index.py": page("a")}))
    second = load_folder(write(tmp_path / "b", {"index.py": page("b")}))
    assert await ask(first, "/") + await ask(second, "/") == ["a", "b"]


def test_a_file_stands_in_for_no_other_module(tmp_path: Path) -> None:
    strange = "raise SystemExit('imported')"
    files = {
        "_colorsys.py": "",
        "index.py": "import colorsys, trio\nassert colorsys.rgb_to_hls\n" + page(""),
    }
    load_folder(write(tmp_path, files))
    assert "colorsys.py" in problems_of(write(tmp_path, {"colorsys.py": strange}))[0]
    assert str(tmp_path) not in sys.path


def test_no_bytecode_is_written(tmp_path: Path) -> None:
    load_folder(write(tmp_path, {"index.py": "from . import _x\n" + page(""), "_x.py": ""}))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["_x.py", "index.py"]


async def test_two_edits_in_one_second_are_two(tmp_path: Path) -> None:
    for text in ("old", "new"):  # of the same size
        write(tmp_path, {"index.py": page(text)})
        os.utime(tmp_path / "index.py", (1, 1))
        # What other programs leave there would be believed otherwise.
        assert compileall.compile_dir(tmp_path, quiet=1)
        assert await ask(load_folder(tmp_path), "/") == [text]


def test_nothing_is_no_mistake(tmp_path: Path) -> None:
    assert load_folder(tmp_path).files == ()
    assert load_folder(None).files == ()


def test_a_word_is_used_once(tmp_path: Path) -> None:
    write(tmp_path, {"index.py": page("")})
    load(tmp_path, {}, package="once")
    with pytest.raises(ValueError, match="'once' was used before"):
        load(tmp_path, {}, package="once")
    with pytest.raises(ValueError, match=r"'a\.b' is no word"):
        load(tmp_path, {}, package="a.b")


PIP = f"install it, mostly that is {sys.executable} -m pip install"
BROKEN = [  # text of a.py, problem
    (
        "import absent_thing",
        f", line 1: ModuleNotFoundError: No module named 'absent_thing': {PIP} absent_thing",
    ),
    ("x = 1\nimport absent.thing", f", line 2: ModuleNotFoundError: No module named 'absent': {PIP} absent"),
    ("import json.absent", ", line 1: ModuleNotFoundError: No module named 'json.absent'"),
    ("import a", ", line 1: ModuleNotFoundError: No module named 'a': write it as from . import a"),
    ("from ._b import x", ", line 1: ModuleNotFoundError: No module named '_b': there is no _b.py"),
    ("from .a import x", None),
    ("x = 1\nif x\n", ", line 2, column 5: SyntaxError: expected ':'"),
    ("def f():\nx = 1", None),
    ("\n1 / 0", ", line 2: ZeroDivisionError: division by zero"),
    ("raise ValueError('a\\nb\\x1b')", r", line 1: ValueError: a b\x1b"),
    ("class E(Exception): ...\nraise E('mine')", ", line 2: a.E: mine"),
    ("class E(BaseException): ...\nraise E", ", line 2: a.E"),
    ("import json\njson.loads('{')", None),
    (
        "import sys\nsys.exit(3)",
        ", line 2: it ends the program, with sys.exit(3): let it only declare what there is",
    ),
    ("raise SystemExit", ", line 1: it ends the program, with sys.exit(): let it only declare what there is"),
    (
        "x = 1",
        ": it has no routes: write routes = Routes(), or begin its name with _ to mount nothing",
    ),
    ("routes = []", ": its routes are of the type list: make it Routes, as in routes = Routes()"),
    (
        "from pad19 import Routes\nroutes = Routes()\n\n@routes.gemini('nowhere')\ndef f(request): ...",
        ", line 4: route nowhere, a.f (line 4): the pattern must begin with a slash",
    ),
    (
        "from pad19 import Routes\nroutes = Routes()\n\nroutes.gemini('/', cert=True)(print)",
        ", line 4: TypeError: Routes.gemini() got an unexpected keyword argument 'cert'",
    ),
    (
        "from pad19 import Routes\nroutes = Routes\n@routes.gemini('/')\ndef f(request): ...",
        ", line 3: TypeError: Routes.gemini() missing 1 required positional argument: 'pattern': "
        "write routes = Routes(), with parentheses",
    ),
    (
        "open('absent.txt')",
        ", line 1: FileNotFoundError: [Errno 2] No such file or directory: 'absent.txt': "
        "relative paths start where pad19 was started; this file is in Path(__file__).parent",
    ),
    ("from pad19 import Template", None),
    ("raise ImportError", ", line 1: ImportError"),
    ("class E(Exception):\n    def __str__(self): 1 / 0\nraise E", ", line 3: a.E: <exception str() failed>"),
    ("raise ValueError('x' * 9999)", ", line 1: ValueError: " + "x" * 488),
]
PARTS = {  # what a problem has, where Pythons differ
    "from .a import x": ", line 1: ImportError: cannot import name 'x' from partially initialized module 'a'",
    "from pad19 import Template": ", line 1: ImportError: cannot import name 'Template' from 'pad19' (",
    "def f():\nx = 1": "IndentationError: expected an indented block",
    "import json\njson.loads('{')": ", line 2: json.decoder.JSONDecodeError: Expecting property name",
}


@pytest.mark.parametrize(("text", "problem"), BROKEN)
def test_a_mistake_is_a_sentence(tmp_path: Path, text: str, problem: str | None) -> None:
    file = write(tmp_path, {"a.py": text}) / "a.py"
    (found,) = problems_of(tmp_path)
    assert found.startswith(str(file))
    if problem is None:
        assert PARTS[text] in found
    else:
        assert found == f"{file}{problem}"


@pytest.mark.parametrize("text", ["x = 'caf\xe9'", "\xfc = 1"])
def test_a_file_in_another_encoding(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.py").write_text(text, "latin-1")
    (found,) = problems_of(tmp_path)
    assert found.endswith(": save the file as UTF-8")


MISSPELT = [  # text, what is meant
    ("from pad19 import Routes\nRoutes().gemini('/', certificat=True)", "certificate"),
    ("from pad19 import Routes\nRoutes().titan('/', maxsize=1)", "max_size"),
    ("from pad19 import CertificateNotAuthorized", "CertificateNotAuthorised"),
    ("from pad19 import gemtext, Routs", "Gemtext"),
    ("from pad19 import Routes\nRoutes().gemni('/')", "gemini"),
    ("from pad19 import Routes\nRoutes().get('/')", "gemini"),
    ("from pad19 import Routes\nRoutes().route('/')", "gemini"),
    ("from pad19 import Routes\nRoutes().add('/', print)", "gemini"),
    ("from pad19 import Routes\n@Routes().post('/')\ndef f(request): ...", "titan"),
    ("from pad19 import Routes\nRoutes().middleware(print)", "around"),
    ("from pad19 import Routes\nRoutes.on_startup(print)", "lifespan"),
]


@pytest.mark.parametrize(("text", "meant"), MISSPELT)
def test_what_is_meant_is_told(tmp_path: Path, text: str, meant: str) -> None:
    write(tmp_path, {"a.py": text})
    (found,) = problems_of(tmp_path)
    assert "'_" not in found
    assert found.endswith((f": write {meant}", f". Did you mean '{meant}'?", f". Did you mean: '{meant}'?"))


@pytest.mark.parametrize("decorator", ["around", "lifespan", "background"])
def test_parentheses_that_are_too_many_are_told(tmp_path: Path, decorator: str) -> None:
    text = f"from pad19 import Routes\nroutes = Routes()\n@routes.{decorator}()\nasync def f(x): yield\n"
    write(tmp_path, {"a.py": text})
    (found,) = problems_of(tmp_path)
    assert found.endswith(f": write @routes.{decorator} without parentheses")


MADE_UP = [  # of wrong types; what is said
    ('SyntaxError("tpl", ("tpl.html", "3", "x", "text", "3", "y"))', "SyntaxError: tpl"),
    ("ModuleNotFoundError(name=5)", "ModuleNotFoundError"),
    ("SystemExit(type('Mute', (), {'__repr__': None})())", "with sys.exit(<Mute instance"),
]


@pytest.mark.parametrize(("error", "said"), MADE_UP)
def test_a_mistake_may_be_made_of_anything(tmp_path: Path, error: str, said: str) -> None:
    write(tmp_path, {"a.py": f"raise {error}\n"})
    with pytest.raises(LoadError) as caught:
        load_folder(tmp_path)
    assert said in caught.value.problems[0]
    assert f"raise {error}" in caught.value.broken[0].traceback


@pytest.mark.parametrize(("data", "problem"), [(b"x = '\xe9'", "utf-8"), (b"x = 1\0", "null bytes")])
def test_what_is_no_text_is_a_mistake(tmp_path: Path, data: bytes, problem: str) -> None:
    (tmp_path / "a.py").write_bytes(data)
    (found,) = problems_of(tmp_path)
    assert found.startswith(f"{tmp_path / 'a.py'}")
    assert problem in found


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"a.b.py": ""}, "a.b.py: its name has a dot, which no module has: rename it"),
        ({"a.b/__init__.py": ""}, "a.b/__init__.py: its name has a dot, which no module has: rename it"),
        (
            {"blog.py": page(""), "blog/__init__.py": page("")},
            "blog.py: there is blog/__init__.py too: remove one of them",
        ),
    ],
)
def test_a_file_can_have_a_wrong_name(tmp_path: Path, files: Mapping[str, str], problem: str) -> None:
    assert problems_of(write(tmp_path, files)) == (f"{tmp_path}/{problem}",)


def test_names_are_text(tmp_path: Path) -> None:
    file = os.fsencode(tmp_path) + b"/caf\xe9.py"
    try:
        with open(file, "w"):
            pass
    except OSError:
        pytest.skip("this file system has UTF-8 only")
    assert problems_of(tmp_path) == (f"{tmp_path}/caf\\udce9.py: its name is not UTF-8: rename it",)


def test_a_link_can_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "a.py").symlink_to(tmp_path / "gone.py")
    (found,) = problems_of(tmp_path)
    assert found == f"{tmp_path}/a.py: ModuleNotFoundError: No module named 'a': there is no a.py"


def test_the_folder_may_be_missing(tmp_path: Path) -> None:
    problem = f"{tmp_path}/routes: it cannot be read (No such file or directory)"
    assert problems_of(tmp_path / "routes") == (problem,)


def test_all_mistakes_are_told_together_and_each_once(tmp_path: Path) -> None:
    files = {
        "_helpers.py": "\n1 / 0",
        "a.py": "from . import _helpers",
        "b.py": "from . import _helpers",
        "c.py": "import absent_thing",
        "good.py": page(""),
    }
    write(tmp_path, files)
    with pytest.raises(LoadError) as caught:
        load_folder(tmp_path, {"/wiki/": "absent_wiki:routes"})
    first, second, third = caught.value.problems
    assert first == f"{tmp_path}/_helpers.py, line 2: ZeroDivisionError: division by zero"
    assert second.startswith(f"{tmp_path}/c.py, line 1: ")
    assert third.startswith('capsule.mount "/wiki/" = "absent_wiki:routes": ModuleNotFoundError: ')
    assert [module.prefix for module in caught.value.broken] == ["/a", "/b", "/c", "/wiki/"]
    assert caught.value.files == tuple(sorted(tmp_path / name for name in files))


def test_a_traceback_begins_with_the_module(tmp_path: Path) -> None:
    write(tmp_path, {"a.py": "import json\njson.loads('{')", "b.py": "(\n"})
    with pytest.raises(LoadError) as caught:
        load_folder(tmp_path)
    first, second = (module.traceback.splitlines() for module in caught.value.broken)
    assert first[:3] == [
        "Traceback (most recent call last):",
        f'  File "{tmp_path}/a.py", line 2, in <module>',
        "    json.loads('{')",
    ]
    assert second == [
        f'  File "{tmp_path}/b.py", line 1',
        "    (",
        "    ^",
        "SyntaxError: '(' was never closed",
    ]


def test_whoever_wants_to_stop_can(tmp_path: Path) -> None:
    write(tmp_path, {"a.py": "raise KeyboardInterrupt"})
    with pytest.raises(KeyboardInterrupt):
        load_folder(tmp_path)


async def test_others_are_mounted_beside_a_broken_one(tmp_path: Path) -> None:
    told: list[str] = []

    def instead(module: BrokenModule) -> Routes:
        told.append(module.prefix)
        routes = Routes()

        @routes.gemini("/{rest:path}")
        async def show(request: object, rest: str) -> str:
            return f"instead of {module.prefix}"

        return routes

    write(tmp_path, {"a.py": "1 / 0", "b.py": page("b")})
    loaded = load_folder(tmp_path, {"/a/": "absent_wiki:routes"}, instead)
    assert await ask(loaded, "/a/x/y", "/b/") == ["instead of /a", "b"]
    assert told == ["/a", "/a/"]


def install(folder: Path, files: Mapping[str, str], entry_points: str = "", name: str = "wiki") -> None:
    """As pip would."""
    write(folder, files)
    info = {"METADATA": f"Name: {name}\nVersion: 1\n", "entry_points.txt": entry_points}
    write(folder / f"{name}-1.dist-info", info)
    sys.path.insert(0, str(folder))


async def test_packages_are_mounted_by_name(tmp_path: Path) -> None:
    install(
        tmp_path,
        {"test_wiki/__init__.py": "", "test_wiki/web.py": page("wiki") + "class Site: pages = routes"},
        "[pad19.routes]\nwiki = test_wiki.web:routes\nshort = test_wiki.web:Site.pages\n",
    )
    targets = {
        "/a/": "test_wiki.web:routes",
        "/b/c/": "test_wiki.web:Site.pages",
        "/d/": "wiki",
        "/": "short",
    }
    assert await ask(load_folder(None, targets), "/a/", "/b/c/", "/d/", "/") == ["wiki"] * 4


async def test_what_is_only_installed_is_not_mounted(tmp_path: Path) -> None:
    install(tmp_path, {"test_wiki.py": page("wiki")}, "[pad19.routes]\nwiki = test_wiki:routes\n")
    assert await ask(load_folder(None), "/", "/wiki/") == ["51 not found", "51 not found"]


SHAPE = 'it must be "package.module:routes", or the name of an entry point'
UNMOUNTABLE = [  # target, problem
    ("test_wiki:", SHAPE),
    (":routes", SHAPE),
    ("test wiki:routes", SHAPE),
    (".test_wiki:routes", SHAPE),
    ("test_wiki:routes:x", SHAPE),
    ("test_wiki:absent", "test_wiki has no absent"),
    ("test_wiki:text", "text is of the type str: make it Routes, as in routes = Routes()"),
    ("absent_wiki:routes", f"ModuleNotFoundError: No module named 'absent_wiki': {PIP} absent_wiki"),
    (
        "test_wiki.web:routes",
        "ModuleNotFoundError: No module named 'test_wiki.web'; 'test_wiki' is not a package",
    ),
    (
        "absent",
        "it is no entry point in the group pad19.routes, where there are double, odd, wiki: "
        'install the package that has it, or write "package.module:routes"',
    ),
    (
        "double",
        "entry points of several packages have that name: write which one, of other:routes, test_wiki:routes",
    ),
    ("odd", SHAPE),
]


@pytest.mark.parametrize(("target", "problem"), UNMOUNTABLE)
def test_what_cannot_be_mounted_is_named_with_its_key(tmp_path: Path, target: str, problem: str) -> None:
    points = "[pad19.routes]\nwiki = test_wiki:routes\ndouble = test_wiki:routes\nodd = test_wiki\n"
    install(tmp_path / "1", {"test_wiki.py": page("") + "text = ''"}, points)
    install(tmp_path / "2", {}, "[pad19.routes]\ndouble = other:routes\n", name="other")
    assert problems_of(None, {"/wiki/": target}) == (f'capsule.mount "/wiki/" = "{target}": {problem}',)


def test_a_mistake_in_a_package_has_its_place(tmp_path: Path) -> None:
    site = tmp_path / "site-packages"
    install(site, {"test_wiki.py": "\n1 / 0"})
    problem = f"{site}/test_wiki.py, line 2: ZeroDivisionError: division by zero"
    assert problems_of(None, {"/": "test_wiki:routes"}) == (
        f'capsule.mount "/" = "test_wiki:routes": {problem}',
    )
    assert not Frame(f"{site}/test_wiki.py", 2, "f").is_own


def test_no_group_has_no_names(tmp_path: Path) -> None:
    (problem,) = problems_of(None, {"/": "absent"})
    assert "where there is none: install the package that has it" in problem


@pytest.mark.parametrize("prefix", ["wiki/", "/{x}/"])
def test_a_path_may_be_none(tmp_path: Path, prefix: str) -> None:
    install(tmp_path, {"test_wiki.py": page("")})
    (problem,) = problems_of(None, {prefix: "test_wiki:routes"})
    assert problem.startswith(
        f'capsule.mount "{prefix}" = "test_wiki:routes": include, prefix {prefix}: it must '
    )
