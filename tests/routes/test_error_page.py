"""What an author is shown."""

import json
import logging
import re
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import trio

from pad19.protocol.client import Client
from pad19.protocol.failure import NotFound
from pad19.protocol.gemtext import Heading, Line, Preformatted, parse, write
from pad19.protocol.request import Request, parse_request
from pad19.protocol.response import Reply, Success
from pad19.routes.error_page import MAX_ERRORS, MAX_FOREIGN, MAX_OWN, MAX_TEXT, answer, answer_of
from pad19.routes.interface import CallNext
from pad19.routes.loading.broken import routes_instead
from pad19.routes.loading.loader import load
from pad19.routes.mounting import Mounted
from pad19.routes.table import Routes
from support.uploads import edit, upload

_packages = count()


@pytest.fixture(autouse=True)
def _clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a fresh process in that folder would not have."""
    finders = sys.meta_path[:]
    monkeypatch.chdir(tmp_path)
    yield
    sys.meta_path[:] = finders
    for name in [name for name in sys.modules if name.startswith(("pad19_routes_", "test_library"))]:
        del sys.modules[name]


def mounted(folder: Path, **files: str) -> Mounted:
    """Of route files by their names."""
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    loaded = load(
        folder,
        {},
        package=f"page_{next(_packages)}",
        on_broken=lambda module: routes_instead(answer_of(module)),
    )
    return Mounted(loaded.routes, on_error=answer)


async def page_of(mounted: Mounted, path: str) -> str:
    """The page, which must be gemtext as it was meant, and printable."""
    response = await mounted(parse_request(f"gemini://a.test{path}".encode(), Client()))
    assert isinstance(response, Success | Reply)
    assert isinstance(response.body, bytes)
    assert (response.status, response.meta) == (20, "text/gemini")
    text = response.body.decode()
    is_marked = isinstance(response, Reply) and response.note == "error page"
    assert is_marked is (text != "good\n")
    assert write(parse(text)) == text
    assert all(line.replace("\t", " ").isprintable() for line in text.split("\n"))
    return text


SIGN = """\
import json

from pad19 import Request, Routes

routes = Routes()
secret = "hunter2"


def read(text):
    # a comment
    return json.loads(text)
    # another one


@routes.gemini("/sign/{number:int}")
async def sign(request: Request, number: int) -> str:
    return read(secret)
"""

PAGE = """\
# json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)

guestbook.py, line 11, in read
```lines around line 11
   9  def read(text):
  10      # a comment
> 11      return json.loads(text)
  12      # another one
  13
```

guestbook.py, line 17, in sign
```lines around line 17
  15  @routes.gemini("/sign/{number:int}")
  16  async def sign(request: Request, number: int) -> str:
> 17      return read(secret)
```

In libraries:
* json/decoder.py, line 0, in raw_decode
* json/decoder.py, line 0, in decode
* json/__init__.py, line 0, in loads

## The request
* route: guestbook.sign
* path: /guestbook/sign/7
* query: Ada
* number: 7

The log has it as error 0.
"""


async def test_the_page_of_an_exception(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = await page_of(mounted(tmp_path, guestbook=SIGN), "/guestbook/sign/7?Ada")
    (error_id,) = re.findall(r"as error ([0-9a-f]{8})\.", text)
    assert f"error {error_id}: route /guestbook/sign/{{number:int}}" in caplog.text
    text = text.replace(error_id, "0").replace(f"{Path(json.__file__).parents[1]}/", "")
    assert re.sub(r"(json/\w+\.py, line )\d+", r"\g<1>0", text) == PAGE
    assert "hunter2" not in text


TAKE = """\
from pad19 import Routes, TitanRequest
routes = Routes()
@routes.titan("/{name}")
@routes.titan("/{name}", edit=True)
async def take(request: TitanRequest, name: str) -> str:
    raise ValueError("no\\nroom")
"""


@pytest.mark.parametrize("request_", [upload("/a/x", b"x"), edit("/a/x")])
async def test_who_uploads_gets_a_failure(tmp_path: Path, request_: Request) -> None:
    response = await mounted(tmp_path, a=TAKE)(request_)
    assert isinstance(response, Reply)
    assert response.status == 42
    assert re.fullmatch(r"error [0-9a-f]{8}: ValueError: no, a\.py, line 6, in take", response.meta)
    assert response.body == b""


MODULES = [  # text of a.py, page
    (
        "x = 1\n\n1 / 0\n",
        """\
# ZeroDivisionError: division by zero
This is why {file} cannot be mounted.

a.py, line 3, in <module>
```lines around line 3
  1  x = 1
  2
> 3  1 / 0
```
""",
    ),
    (
        "def f(:\n    pass\n",
        """\
# SyntaxError: invalid syntax
This is why {file} cannot be mounted.

a.py, line 1, in <module>
```lines around line 1
> 1  def f(:
  2      pass
```
""",
    ),
    (
        "import absent_thing",
        """\
# ModuleNotFoundError: No module named 'absent_thing'
This is why {file} cannot be mounted.
To mend it: install it, mostly that is {python} -m pip install absent_thing.

a.py, line 1, in <module>
```lines around line 1
> 1  import absent_thing
```
""",
    ),
    (
        "x = 1",
        """\
# it has no routes: write routes = Routes(), or begin its name with _ to mount nothing
This is why {file} cannot be mounted.
""",
    ),
    (
        "try:\n    {}[1]\nexcept KeyError as error:\n    raise ValueError from error",
        """\
# ValueError
This is why {file} cannot be mounted.

a.py, line 4, in <module>
```lines around line 4
  2      {{}}[1]
  3  except KeyError as error:
> 4      raise ValueError from error
```

## Caused by KeyError: 1

a.py, line 2, in <module>
```lines around line 2
  1  try:
> 2      {{}}[1]
  3  except KeyError as error:
  4      raise ValueError from error
```
""",
    ),
]


@pytest.mark.parametrize(("source", "page"), MODULES)
@pytest.mark.parametrize("path", ["/a/", "/a/x/y?z"])
async def test_the_page_of_a_module(tmp_path: Path, source: str, page: str, path: str) -> None:
    expected = page.format(file=tmp_path / "a.py", python=sys.executable)
    assert await page_of(mounted(tmp_path, a=source), path) == expected


GOOD = """\
from pad19 import Routes
routes = Routes()
@routes.gemini("/")
def page(request): return "good\\n"
"""


async def test_other_paths_are_not_those_of_a_broken_module(tmp_path: Path) -> None:
    site = mounted(tmp_path, a="1 / 0", b=GOOD)
    assert await page_of(site, "/b/") == "good\n"
    with pytest.raises(NotFound):
        await page_of(site, "/c")


async def test_a_broken_index_does_not_hide_the_others(tmp_path: Path) -> None:
    site = mounted(tmp_path, index="1 / 0", b=GOOD)
    assert await page_of(site, "/b/") == "good\n"
    assert (await page_of(site, "/c")).startswith("# ZeroDivisionError")


def fail_with(error: BaseException) -> Callable[..., str]:
    def fail(request: Request, rest: str) -> str:
        raise error

    return fail


async def page_for(error: BaseException, target: str = "/") -> str:
    routes = Routes()
    routes.gemini("/{rest:path}")(fail_with(error))
    return await page_of(Mounted(routes, on_error=answer), target)


def headings(text: str) -> list[Line]:
    return [line for line in parse(text) if isinstance(line, Heading)]


class Unspeakable(Exception):
    """Has no text."""

    def __str__(self) -> str:
        raise ValueError


def noted() -> Exception:
    error = ValueError("first\n# second\n```\n=> gemini://evil.test")
    error.add_note("a note\x1b[2J")
    return error


HEADINGS = [  # exception, heading
    (ValueError(), "ValueError"),
    (ValueError("# => ```"), "ValueError: # => ```"),
    (ValueError("\x1b[2J\udc80\u2028"), r"ValueError: \x1b[2J\udc80\u2028"),
    (noted(), "ValueError: first"),
    (Unspeakable(), f"{__name__}.Unspeakable: <exception str() failed>"),
    (SystemExit(2), "SystemExit: 2"),
    (KeyError("x" * 9999), f"KeyError: '{'x' * 1989}"),
    (ExceptionGroup("several", [ExceptionGroup("one", [ValueError("x")])]), "ValueError: x"),
]


@pytest.mark.parametrize(("error", "heading"), HEADINGS)
async def test_whatever_is_raised_is_a_heading(error: BaseException, heading: str) -> None:
    assert headings(await page_for(error)) == [Heading(1, heading), Heading(2, "The request")]


async def test_an_exception_may_be_made_of_anything() -> None:
    request = parse_request(b"gemini://a.test/", Client())
    made: list[Any] = [
        ("tpl.html", "3", "x", "text", "3", "y"),
        (b"tpl.html", 3, 1, "x"),
        (None, -1, 0, None),
    ]
    for parts in made:
        response = answer(request, SyntaxError("tpl", parts), "0")
        assert response.body.decode().startswith("# SyntaxError: tpl\n")  # type: ignore[union-attr] # bytes
    assert answer(request, SyntaxError(Unspeakable()), "0").body.startswith(  # type: ignore[union-attr] # bytes
        b"# SyntaxError, whose message cannot be shown\n"
    )


async def test_the_rest_of_a_message_is_below() -> None:
    (block, *_) = [line for line in parse(await page_for(noted())) if isinstance(line, Preformatted)]
    rest = "# second\n ```\n=> gemini://evil.test\na note\\x1b[2J"
    assert block == Preformatted(rest, "the rest of the message")


async def test_exceptions_that_belong_together_are_shown_together() -> None:
    def handle(nothing: dict[int, str]) -> str:
        try:
            return nothing[1]
        except KeyError:
            raise OSError(2)  # noqa: B904 - without a cause

    cause = ValueError("cause")
    cause.__cause__ = cause  # a circle
    try:
        handle({})
    except OSError as error:
        group = ExceptionGroup("several", [error, TypeError("b")])
    group.__cause__ = cause
    assert headings(await page_for(group)) == [
        Heading(1, "ExceptionGroup: several (2 sub-exceptions)"),
        Heading(2, "1 of 2: OSError: 2"),
        Heading(2, "2 of 2: TypeError: b"),
        Heading(2, "Caused by ValueError: cause"),
        Heading(2, "While there was KeyError: 1"),
        Heading(2, "The request"),
    ]


async def test_a_context_that_was_hidden_stays_hidden() -> None:
    error = ValueError()
    error.__context__ = KeyError()
    error.__suppress_context__ = True
    assert headings(await page_for(error)) == [Heading(1, "ValueError"), Heading(2, "The request")]


async def test_a_nursery_shows_where_its_task_failed_and_where_it_is() -> None:
    routes = Routes()

    async def task() -> None:
        raise ValueError("in a task")

    @routes.gemini("/")
    async def page(request: Request) -> str:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(task)
        return ""

    text = await page_of(Mounted(routes, on_error=answer), "/")
    assert text.startswith("# ValueError: in a task\n")
    own = re.findall(rf"^{re.escape(__file__)}, line \d+, in (\w+)$", text, re.MULTILINE)
    assert own == ["task", "page"]


async def test_recursion_is_shown_once() -> None:
    def recurse(depth: int) -> int:
        return recurse(depth + 1)

    routes = Routes()

    @routes.gemini("/")
    async def page(request: Request) -> str:
        return str(recurse(0))

    text = await page_of(Mounted(routes, on_error=answer), "/")
    assert re.findall(r", in (\w+)$", text, re.MULTILINE) == ["recurse", "page"]


DEEP = """\
import test_library
from pad19 import Routes
routes = Routes()
@routes.gemini("/own")
async def own(request): f0()
@routes.gemini("/foreign")
async def foreign(request): test_library.f0()
"""


async def test_a_page_is_not_endless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    functions = "".join(f"def f{number}(): f{number + 1}()\n" for number in range(30))
    library = tmp_path / "site-packages" / "test_library.py"
    library.parent.mkdir()
    library.write_text(functions)
    monkeypatch.syspath_prepend(library.parent)
    site = mounted(tmp_path, a=DEEP + functions)
    text = await page_of(site, "/a/own")
    assert text.count("a.py, line ") == text.count("\n> ") == MAX_OWN
    assert f"\nAnd {31 - MAX_OWN} more.\n" in text
    text = await page_of(site, "/a/foreign")
    assert text.count("test_library.py, line ") == MAX_FOREIGN
    assert f"\nAnd {30 - MAX_FOREIGN} more.\n" in text
    many = ExceptionGroup("many", [ValueError(number) for number in range(1000)])
    assert len(headings(await page_for(many))) == MAX_ERRORS + 1


async def test_a_long_message_is_cut(tmp_path: Path) -> None:
    long = "x" * 2 * MAX_TEXT
    site = mounted(tmp_path, a=f"raise ValueError({long!r})")
    for page in (await page_of(site, "/a/"), await page_for(ValueError(long))):
        assert len(page.partition("\n")[0]) <= MAX_TEXT + len("# ")


async def test_what_is_asked_for_is_shown_as_text() -> None:
    text = await page_for(ValueError(), "/a%0A%23%20b%1B?%0A=%3E%20x")
    assert r"* path: /a\n# b\x1b" in text.split("\n")
    assert r"* query: \n=> x" in text.split("\n")
    assert r"* rest: 'a\n# b\x1b'" in text.split("\n")
    assert "\n* no query\n" in await page_for(ValueError())


async def test_what_goes_around_may_have_changed_the_request() -> None:
    routes = Routes()
    routes.gemini("/{rest:path}")(fail_with(ValueError()))

    @routes.around
    async def around(request: Request, call_next: CallNext) -> str:
        await call_next(parse_request(b"gemini://a.test/other", Client()))
        return ""

    text = await page_of(Mounted(routes, on_error=answer), "/x")
    assert "\n* path: /x\n* no query\n* rest: 'x'\n" in text


async def test_before_a_route_there_is_no_route_to_show() -> None:
    routes = Routes()

    @routes.gemini("/fail/{name}")
    def fail(request: Request, name: str) -> str:
        raise ValueError

    @routes.converter("odd")
    def convert(text: str) -> int:
        raise TypeError("odd")

    @routes.gemini("/{odd:odd}")
    def page(request: Request, odd: int) -> str:
        return ""

    site = Mounted(routes, on_error=answer)
    assert "\n* name: 'x'\n" in await page_of(site, "/fail/x")
    text = await page_of(site, "/x")
    assert text.startswith("# TypeError: odd\n")
    assert "## The request\n* path: /x\n" in text


async def test_source_that_is_gone_is_no_mistake(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    site = mounted(tmp_path, guestbook=SIGN)
    (tmp_path / "guestbook.py").write_text("x = 1\n")
    caplog.set_level(logging.CRITICAL)  # the log would read the old source
    text = await page_of(site, "/guestbook/sign/7")
    assert "guestbook.py, line 11, in read\n\nguestbook.py" in text
    assert "```" not in text
