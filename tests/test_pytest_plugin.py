import os
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from support.files import write

CONFIGURATION = """
[[capsule]]
hosts = ["*.example.org"]
routes = "routes"
settings = { title = "Ada's" }
"""
ROUTES = """
from collections.abc import AsyncIterator
from pathlib import Path

from pad19 import Capsule, Redirect, Request, Routes

routes = Routes()
alive = []
with Path(__file__).with_name("loaded.txt").open("a") as file:
    file.write("loaded\\n")


@routes.lifespan
async def life(capsule: Capsule) -> AsyncIterator[None]:
    alive.append(True)
    yield
    alive.pop()


@routes.gemini("/")
async def page(request: Request) -> str:
    count = await request.store.increment("count")
    return f"{request.host} {request.settings['title']} {len(alive)} {count}"


@routes.gemini("/file")
async def file(request: Request) -> Path:
    return Path("notes.gmi")


@routes.gemini("/away")
async def away(request: Request) -> Redirect:
    return Redirect("/notes.gmi")


@routes.gemini("/broken")
def broken(request: Request) -> str:
    raise ZeroDivisionError("by nobody")
"""
PASSING = """
import pytest
import trio

from pad19.testing import Client, SyncClient, identity


def test_a_route(pad19_client: SyncClient) -> None:
    assert pad19_client.get("/count/").text == "www.example.org Ada's 1 1"
    assert pad19_client.get("/count/").text == "www.example.org Ada's 1 2"


def test_everything_is_new(pad19_client: SyncClient) -> None:
    assert pad19_client.get("/count/", certificate=identity("Ada")).text == "www.example.org Ada's 1 1"


def test_files(pad19_client: SyncClient) -> None:
    for path in ("/count/file", "/count/away", "/notes.gmi"):
        assert pad19_client.get(path, follow=True).text == "# Notes\\n"


def test_errors_reach_the_test(pad19_client: SyncClient) -> None:
    with pytest.raises(ZeroDivisionError):
        pad19_client.get("/count/broken")


def test_async(pad19_async_client: Client) -> None:
    async def ask() -> list[str]:
        before = await pad19_async_client.get("/count/")
        async with pad19_async_client:
            within = await pad19_async_client.get("/count/")
        return [before.text, within.text]

    assert trio.run(ask) == ["www.example.org Ada's 0 1", "www.example.org Ada's 1 2"]
"""
ONE = """
def test_a_route(pad19_client):
    assert pad19_client.get("/count/").status == 20
"""


def capsule(folder: Path, configuration: str = CONFIGURATION, routes: str = ROUTES) -> None:
    write(
        folder,
        {"pad19.toml": configuration, "content/notes.gmi": "# Notes\n", "routes/count.py": routes},
    )


def run(folder: Path, *arguments: str) -> tuple[int, str]:
    """Run pytest with no plugin but this one. Its exit status, and what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "pad19.pytest_plugin", "-W", "error", *arguments],
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_clients_for_the_capsule_of_the_test(tmp_path: Path) -> None:
    capsule(tmp_path)
    write(tmp_path, {"tests/test_count.py": PASSING})
    status, said = run(tmp_path)
    assert status == 0, said
    assert "5 passed" in said
    # Once for all tests, and nothing is kept
    assert (tmp_path / "routes/loaded.txt").read_text() == "loaded\n"
    assert not (tmp_path / "state").exists()


SETTINGS = """
import pytest

from pad19.testing import Client, SyncClient


@pytest.fixture
def pad19_settings() -> dict[str, str]:
    return {"title": "Eve's", "owner": "Eve"}


def test_settings(pad19_client: SyncClient) -> None:
    assert pad19_client.get("/count/").text == "www.example.org Eve's 1 1"


@pytest.mark.parametrize("pad19_settings", [{}, {"owner": "Eve"}])
def test_those_of_the_capsule(pad19_client: SyncClient) -> None:
    answer = pad19_client.get("/count/")
    assert (answer.text, answer.meta) == ("www.example.org Ada's 1 1", "text/gemini; lang=en")


def test_async(pad19_async_client: Client) -> None:
    import trio
    assert "Eve's" in trio.run(pad19_async_client.get, "/count/").text
"""


def test_a_test_can_change_the_settings(tmp_path: Path) -> None:
    capsule(tmp_path, f"{CONFIGURATION}lang = 'en'\n")
    write(tmp_path, {"tests/test_settings.py": SETTINGS})
    status, said = run(tmp_path)
    assert status == 0, said
    assert "4 passed" in said


KEYS = """
[[capsule]]
hosts = ["a.test"]
routes = "routes"
charset = "ISO-8859-1"
index = ["start.gmi"]
listing = true
hidden = true
mimetypes = { ".tea" = "text/tea" }

[[capsule]]
hosts = ["b.test", "*.b.test"]
routes = "others"
content = "uploaded"
[capsule.titan]
"""
KEYS_TEST = """
import pytest


def test_files(pad19_client):
    assert pad19_client.get("/").text == "# Start\\n"
    assert pad19_client.get("/folder").status == 31
    assert "a.tea" in pad19_client.get("/folder/").text
    assert pad19_client.get("/folder/a.tea").meta == "text/tea; charset=ISO-8859-1"
    assert pad19_client.get("/folder/.b.txt").status == 20


def test_uploads(pad19_client):
    assert pad19_client.titan("/count/save", "x").meta == "titan is not served here"


@pytest.mark.parametrize("pad19_host", ["b.test", "www.b.test"])
def test_another_capsule(pad19_client, pad19_host):
    assert pad19_client.get("/").status == 51
    assert pad19_client.get(f"gemini://{pad19_host}/count/").text == pad19_host
    assert pad19_client.titan("/count/save", "x").text == "saved"


@pytest.mark.parametrize("pad19_host", ["c.test"])
def test_no_capsule(pad19_client):
    pass
"""
OTHERS = """
from pad19 import Routes

routes = Routes()

@routes.gemini("/")
async def page(request):
    return request.host

@routes.titan("/save")
async def save(request):
    return "saved"
"""


def test_the_keys_of_a_capsule(tmp_path: Path) -> None:
    capsule(tmp_path, KEYS, OTHERS)
    files = {"start.gmi": "# Start\n", "folder/a.tea": "a", "folder/.b.txt": "b"}
    write(tmp_path / "content", files)
    write(tmp_path, {"others/count.py": OTHERS, "uploaded/a": "", "test_keys.py": KEYS_TEST})
    _, said = run(tmp_path)
    assert "4 passed, 1 error" in said, said
    assert (
        f"pad19_host is 'c.test', but the hosts in {tmp_path}/pad19.toml are a.test, b.test, *.b.test" in said
    )


def test_the_nearest_capsule(tmp_path: Path) -> None:
    """The root of pytest may be far above it, and there may be several."""
    write(tmp_path, {"pytest.ini": "[pytest]\n", "pad19.toml": "broken"})
    for name in ("a", "b"):
        capsule(tmp_path / name)
        write(tmp_path, {f"{name}/tests/deeper/test_{name}.py": ONE})
    status, said = run(tmp_path)
    assert status == 0, said
    assert "2 passed" in said


def test_the_capsule_that_is_named(tmp_path: Path) -> None:
    write(tmp_path, {"pytest.ini": "[pytest]\npad19_capsule = my capsule\n", "tests/test_count.py": ONE})
    capsule(tmp_path / "my capsule")
    status, said = run(tmp_path / "tests")
    assert status == 0, said


def test_the_first_capsule_with_routes(tmp_path: Path) -> None:
    capsule(tmp_path, "[[capsule]]\nhosts = ['a.test']\n" + CONFIGURATION)
    write(tmp_path, {"test_count.py": ONE})
    status, said = run(tmp_path)
    assert status == 0, said


def test_a_capsule_without_routes(tmp_path: Path) -> None:
    test = "def test(pad19_client):\n    assert pad19_client.get('/notes.gmi').text == '# Notes\\n'\n"
    write(tmp_path, {"pad19.toml": "", "content/notes.gmi": "# Notes\n", "test_notes.py": test})
    status, said = run(tmp_path)
    assert status == 0, said


PROBLEMS: list[tuple[dict[str, str], str]] = [  # files, what is said
    ({}, "or above: name the folder that has it as pad19_capsule in the configuration of pytest"),
    ({"pytest.ini": "[pytest]\npad19_capsule = lost\n"}, "lost/pad19.toml cannot be read (No such file"),
    ({"pad19.toml": "[server]\nport = 1\n", "content/x": ""}, "pad19.toml: server.port is no key"),
    (
        {"pad19.toml": "[[capsule]]\nroutes = 'routes'\n", "content/x": "", "routes/count.py": "1 / 0"},
        "count.py",
    ),
]


@pytest.mark.parametrize(("files", "sentence"), PROBLEMS)
def test_what_cannot_be_tested(files: Mapping[str, str], sentence: str, tmp_path: Path) -> None:
    write(tmp_path, {**files, "tests/test_count.py": ONE + ONE.replace("test_a", "test_another")})
    status, said = run(tmp_path)
    assert status == 1
    assert "2 errors" in said
    assert sentence in said
    assert "pytest_plugin.py" not in said.partition("= ERRORS =")[2], "a traceback helps nobody here"


def test_those_who_do_not_use_it_do_not_pay() -> None:
    program = (
        "import sys, pad19.pytest_plugin\n"
        "print({'trio', 'OpenSSL', 'cryptography', 'msgspec'} & {*sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == "set()\n"


def test_pytest_finds_it() -> None:
    [found] = entry_points(group="pytest11", name="pad19")
    assert found.value == "pad19.pytest_plugin"
