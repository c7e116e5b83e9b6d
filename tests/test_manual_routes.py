"""The manual's pages about routes say what is true: their examples run, and the reference is complete."""

import ast
import dataclasses
import importlib
import inspect
import logging
import os
import re
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trio

import pad19
import pad19.testing
from pad19.cli.init import TEMPLATE
from pad19.dispatch.record import Record
from pad19.protocol import client, gemtext, request, upload
from pad19.protocol.client import Client
from pad19.protocol.failure import Failure
from pad19.protocol.request import Request, parse_request
from pad19.protocol.response import Reply
from pad19.protocol.status import Status
from pad19.routes import error_page, interface, table
from pad19.routes.cgi.environment import Gateway, variables
from pad19.routes.cgi.handler import CGI
from pad19.routes.cgi.process import Programs
from pad19.routes.loading.loader import load
from pad19.routes.mounting import Mounted
from pad19.routes.output import RouteOutput
from pad19.service.logs.terminal import terminal_formatter
from pad19.store import interface as store
from pad19.testing import identity
from support.manual import PAGES, ROOT, blocks, named_blocks, sections
from support.process import command, fetch, gemini, serving
from support.uploads import body_of, edit
from support.uploads import upload as put

TUTORIAL = "routes/tutorial.gmi"
REFERENCE = "routes/reference.gmi"
FILE = re.compile(r"(?:routes|tests|content|cgi-bin)/[\w./-]+|pad19\.toml")
PLAIN = '[[capsule]]\ncontent = "content"\nroutes = "routes"\n'


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n", "utf-8")
    return path


def files_of(page: str) -> list[tuple[str, str]]:
    """The blocks that are called like files, in their order; a later one replaces an earlier one."""
    return [(name, text) for name, text in named_blocks(page) if FILE.fullmatch(name)]


def python_blocks() -> Iterator[Any]:
    for page in PAGES:
        for number, (name, text) in enumerate(named_blocks(page), 1):
            if name == "python" or (FILE.fullmatch(name) and name.endswith(".py")):
                yield pytest.param(text, id=f"{page}-{number}")


# Examples


def run_tests(folder: Path) -> None:
    """Run pytest in a capsule, with no plugin but ours. There must be tests, and all must pass."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "pad19.pytest_plugin", "-p", "no:cacheprovider"],
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONWARNINGS": "error"},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_the_tutorial_works_step_by_step(tmp_path: Path) -> None:
    steps = 0
    for name, text in files_of(TUTORIAL):
        write(tmp_path, name, text)
        if name.startswith("tests/"):  # each step ends with its test; those before must pass as well
            run_tests(tmp_path)
            steps += 1
    headings = [heading for heading in sections(TUTORIAL) if re.match(r"\d\. ", heading)]
    assert steps == len(headings) == 6


@pytest.fixture
def guestbook(tmp_path: Path) -> Path:
    """A capsule as it is at the end of the tutorial."""
    for name, text in files_of(TUTORIAL):
        write(tmp_path, f"capsule/{name}", text)
    return tmp_path / "capsule"


def test_what_the_tutorial_makes_has_nothing_to_mend(guestbook: Path, tmp_path: Path) -> None:
    done = command("check", str(guestbook), "--listen", "127.0.0.1:0", home=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_the_tutorial_makes_can_be_served(guestbook: Path, tmp_path: Path) -> None:
    with serving(guestbook, "--listen", "127.0.0.1:0", home=tmp_path) as server:
        signed = fetch(server.address, gemini(server.address, "/guestbook/sign?Ad%20astra"))
        assert signed.received == b"30 ./\r\n"
        book = fetch(server.address, gemini(server.address, "/guestbook/"))
        assert b"\r\n# Guestbook\n" in book.received
        assert b"\n> Ad astra\n" in book.received
        assert server.stop() == 0


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page != TUTORIAL and any(n.startswith("tests/") for n, _ in files_of(page))],
)
def test_examples_pass_their_tests(page: str, tmp_path: Path) -> None:
    write(tmp_path, "content/index.gmi", "# Home")
    for name, text in files_of(page):
        write(tmp_path, name, text)
    # What the page configures may not be on this machine.
    (tmp_path / "pad19.toml").write_text(f"{PLAIN}[capsule.titan]\n")
    run_tests(tmp_path)


def test_examples_satisfy_type_checkers(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    folders = [tmp_path / page.replace("/", "_").removesuffix(".gmi") for page in PAGES]
    for page, folder in zip(PAGES, folders, strict=True):
        for name, text in files_of(page):
            if name.endswith(".py"):
                write(folder, name, text)
    shutil.copytree(TEMPLATE, tmp_path / "template")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--explicit-package-bases", "--cache-dir=.cache", "."],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(ROOT / "server")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    # That one is a mistake, of which the page tells what becomes of it.
    [mistake] = re.findall(r"^(.*): error: (.*)$", done.stdout, re.MULTILINE)
    assert mistake[0] == "routes_dev/routes/greeting.py:9"
    assert mistake[1].startswith('Unsupported operand types for + ("str" and "None")')


@pytest.mark.parametrize("text", [*python_blocks()])
def test_examples_import_what_is_there(text: str) -> None:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == "pad19":
            module = importlib.import_module(node.module)
            assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


def test_the_first_route_is_the_one_that_init_makes() -> None:
    [text] = blocks("routes/index.gmi", "routes/hello.py")
    assert f"{text}\n" == (TEMPLATE / "routes/hello.py").read_text("utf-8")


# The reference


def signature(function: Any, name: str) -> str:
    """As the manual writes it: ``get(key, default=None)``, without annotations and ``self``."""
    given = inspect.signature(function)
    parameters = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in given.parameters.values()
        if parameter.name != "self"
    ]
    text = str(given.replace(parameters=parameters, return_annotation=inspect.Signature.empty))
    return name + text.replace("mappingproxy({})", "{}").replace("'", '"')


def members(kind: type) -> list[str]:
    """What can be used of a class: its methods as they are called, its fields and properties by name."""
    fields = [field.name for field in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else []
    found = [name for name in fields if not name.startswith("_")]
    for name, value in inspect.getmembers(kind):
        if name.startswith("_") or name in fields:
            continue
        found.append(signature(value, name) if inspect.isfunction(value) else name)
    return found


def listed(heading: str) -> list[str]:
    """What the items of a section are about: the text up to the colon behind it."""
    lines = sections(REFERENCE)[heading].splitlines()
    return [line[2:].partition(": ")[0] for line in lines if line.startswith("* ")]


MEMBERS: list[tuple[str, type]] = [
    ("Routes", table.Routes),
    ("Request", request.Request),
    ("Upload", upload.Upload),
    ("Client", client.Client),
    ("Identity", client.Identity),
    ("Gemtext", gemtext.Gemtext),
    ("Capsule", interface.Capsule),
    ("Store", store.Store),
    ("Entries", store.Entries),
    ("Entry", store.Entry),
    ("Page", store.Page),
    ("Client for tests", pad19.testing.Client),
    ("SyncClient", pad19.testing.SyncClient),
    ("Answer", pad19.testing.Answer),
]


@pytest.mark.parametrize(("heading", "kind"), [pytest.param(*row, id=row[0]) for row in MEMBERS])
def test_the_reference_has_all_of_a_class(heading: str, kind: type) -> None:
    assert sorted(set(members(kind)) - set(listed(heading))) == []


@pytest.mark.parametrize(
    ("heading", "kind"),
    [row for row in MEMBERS if row[0] in {"Gemtext", "Client for tests", "SyncClient"}],
)
def test_the_reference_tells_how_to_make_one(heading: str, kind: type) -> None:
    assert signature(kind, kind.__name__) in sections(REFERENCE)[heading]


@pytest.mark.parametrize("function", [table.Routes.gemini, table.Routes.titan, pad19.testing.Client.__init__])
def test_the_reference_explains_arguments(function: Any) -> None:
    heading = "Client for tests" if function is pad19.testing.Client.__init__ else "Routes"
    arguments = set(inspect.signature(function).parameters) - {"self", "routes"}
    assert sorted(arguments - set(listed(heading))) == []


@pytest.mark.parametrize(
    ("module", "names"), [("pad19", pad19.__all__), ("pad19.testing", pad19.testing.__all__)]
)
def test_the_reference_has_all_names(module: str, names: Sequence[str]) -> None:
    there = {heading.partition(" ")[0] for heading in sections(REFERENCE)}
    for heading in ("Responses", "Failures"):
        there |= {item.partition("(")[0] for item in listed(heading)}
    there |= {"Response"}  # in the first sentence below Responses
    assert sections(REFERENCE)["Responses"].lstrip().startswith("Response ")
    assert sorted(set(names) - there) == []


@pytest.mark.parametrize("name", ["Input", "SensitiveInput", "Success", "Redirect", "stream"])
def test_the_reference_tells_how_to_make_responses(name: str) -> None:
    assert signature(getattr(pad19, name), name) in listed("Responses")


def failures(kind: type[Failure] = Failure) -> Iterator[type[Failure]]:
    for inner in kind.__subclasses__():
        if inner.__name__ in pad19.__all__:
            yield inner
            yield from failures(inner)


def test_failures_have_their_statuses() -> None:
    statuses = {kind.__name__: int(kind.status) for kind in failures()}
    del statuses["CertificateFailure"]  # has the status of one of those that it groups
    [block] = blocks("routes/answers.gmi", "statuses and their exceptions")
    rows = [line.split()[:2] for line in block.splitlines()]
    assert {name.partition("(")[0]: int(status) for status, name in rows} == statuses
    assert [int(status) for status, _ in rows] == sorted(statuses.values())
    section = sections(REFERENCE)["Failures"]
    for name, status in statuses.items():
        assert re.search(rf"^\* {name}(?:\(\w+\))?: {status}[,.]", section, re.MULTILINE), name


def test_the_reference_has_all_statuses() -> None:
    [block] = blocks(REFERENCE, "Status")
    rows = [line.split() for line in block.splitlines()]
    assert [(name, int(number)) for name, number in rows] == [(it.name, it.value) for it in Status]


# pad19 dev


@pytest.fixture
def greeting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mounted]:
    """The route of the page about ``pad19 dev``, as it is served then."""
    finders = sys.meta_path[:]
    [text] = blocks("routes/dev.gmi", "routes/greeting.py")
    write(tmp_path, "routes/greeting.py", text)
    monkeypatch.chdir(tmp_path)
    loaded = load(tmp_path / "routes", {}, package="manual")
    yield Mounted(loaded.routes, on_error=error_page.answer)
    sys.meta_path[:] = finders
    for name in [name for name in sys.modules if name.startswith("pad19_routes_manual")]:
        del sys.modules[name]


def ask(path: str, who: Client | None = None) -> Request:
    return parse_request(f"gemini://localhost{path}".encode(), who or Client("192.0.2.1", 50000))


async def test_a_mistake_looks_as_shown(greeting: Mounted) -> None:
    response = await greeting(ask("/greeting/"))
    assert isinstance(response.body, bytes)
    shown = re.sub("error [0-9a-f]{8}", "error 639669cd", response.body.decode().rstrip("\n"))
    [block] = blocks("routes/dev.gmi", "page that greeting.py gives")
    assert shown == re.sub("^ ```", "```", block, flags=re.MULTILINE)


async def test_requests_look_as_shown(
    greeting: Mounted, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "stdout", RouteOutput())
    with caplog.at_level(logging.INFO):
        response = await greeting(ask("/greeting/?Ada"))
    assert isinstance(response.body, bytes)
    record = Record(
        address="127.0.0.1",
        started=time.mktime((2026, 11, 23, 9, 8, 38, 0, 0, -1)),
        duration=0.0082,
        request="gemini://localhost/greeting/?Ada",
        status=20,
        bytes_sent=len(response.body),
    )
    lines = [*(f"pad19: {line}" for line in caplog.messages), terminal_formatter(colour=False)(record)]
    assert blocks("routes/dev.gmi", "output of pad19 dev") == ["\n".join(lines)]


# CGI


def said(name: str) -> dict[str, str]:
    """The variables of a table, and what is said about each."""
    [block] = blocks("routes/cgi.gmi", name)
    rows = (line.split(maxsplit=1) for line in block.splitlines())
    return {variable: meaning.strip() for variable, meaning in rows}


def test_all_variables_are_explained() -> None:
    gateway = Gateway(Path("/srv/content"))
    arguments = {"script_name": "/cgi-bin/x", "path_info": "", "script": "/srv/cgi-bin/x"}
    now = datetime(2026, 11, 23, tzinfo=UTC)
    plain = variables(ask("/cgi-bin/x"), gateway, now, **arguments)
    assert {*said("variables for every request")} == {*plain}
    more = variables(ask("/cgi-bin/x/a?b"), gateway, now, **{**arguments, "path_info": "/a"})
    assert {*said("variables that are there sometimes")} == {*more} - {*plain}
    ada = Client("192.0.2.1", 50000, certificate=identity("Ada"))
    known = variables(ask("/cgi-bin/x", ada), gateway, now, **arguments)
    changed = {name for name, value in known.items() if plain.get(name) != value}
    assert {*said("variables with a certificate, and only then")} == changed
    uploads = [
        dataclasses.replace(ask("/cgi-bin/x"), scheme="titan", upload=upload.Upload(1)),
        dataclasses.replace(ask("/cgi-bin/x"), scheme="titan", upload=upload.Upload(0, edit=True)),
    ]
    uploaded = [variables(one, gateway, now, **arguments).items() - plain.items() for one in uploads]
    assert {*said("variables with an upload by Titan")} == {name for one in uploaded for name, _ in one}
    for name, meaning in said("variables for every request").items():
        if meaning.isupper() or meaning == "CGI/1.1":
            assert plain[name] == meaning


@pytest.mark.skipif(
    not shutil.which("python3", path="/usr/local/bin:/usr/bin:/bin"), reason="no python3 where programs look"
)
async def test_the_programs_work(tmp_path: Path) -> None:
    for name, text in files_of("routes/cgi.gmi"):
        if name.startswith("cgi-bin/"):
            path = write(tmp_path, name, text)
            path.chmod(path.stat().st_mode | stat.S_IXUSR)
    ada = Client("192.0.2.1", 50000, certificate=identity("Ada"))
    programs = Programs()
    cgi = CGI("/cgi-bin/", tmp_path / "cgi-bin", Gateway(tmp_path), programs)

    async def answer(path: str, who: Client | None = None) -> tuple[int, str, str]:
        response = await cgi(ask(path, who))
        assert isinstance(response, Reply)
        if isinstance(response.body, bytes):
            return response.status, response.meta, response.body.decode()
        body = b"".join([bytes(chunk) async for chunk in response.body])
        await response.body.aclose()
        return response.status, response.meta, body.decode()

    async with trio.open_nursery() as nursery:
        await nursery.start(programs.run)
        assert await answer("/cgi-bin/hello") == (10, "Your name?", "")
        assert await answer("/cgi-bin/hello?Ada%0A%3D%3E%20x") == (20, "text/gemini", "# Hello, Ada => x\n")
        assert await answer("/cgi-bin/hello?a=b") == (20, "text/gemini", "# Hello, a=b\n")
        typed = "%25%C3%A9 %5C=%3D%2a-n%5Cn%27%22%24%28x%29+"
        assert await answer(f"/cgi-bin/hello?{typed.replace(' ', '%20')}") == (
            20,
            "text/gemini",
            "# Hello, %é \\==*-n\\n'\"$(x)+\n",
        )
        assert await answer("/cgi-bin/words") == (20, "text/gemini", "Upload a text here.\n")
        response = await cgi(put("/cgi-bin/words", b"# Tea\n", b"with milk\n"))
        words = "Your text of 16 bytes has 4 words.\n"
        assert (response.status, (await body_of(response)).decode()) == (20, words)
        assert (await cgi(edit("/cgi-bin/words"))).meta == "there is nothing to edit"
        assert (await answer("/cgi-bin/who/a"))[0] == 60
        status, _, text = await answer("/cgi-bin/who/a", ada)
        assert (status, text.splitlines()[0]) == (20, f"# You are {identity('Ada').fingerprint[7:23]}")
        assert text.endswith("You came to /cgi-bin/who, and further to /a.\n")
        nursery.cancel_scope.cancel()
