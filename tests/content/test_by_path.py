"""What a route may have a file answered with: more is tested with the routes that return paths."""

from pathlib import Path

import pytest

from pad19.content.by_path import server_of
from pad19.content.static import StaticFiles
from pad19.protocol.client import Client
from pad19.protocol.failure import NotFound
from pad19.protocol.request import parse_request
from pad19.protocol.response import Success

REQUEST = parse_request(b"gemini://a.test/notes?a", Client())


@pytest.fixture
def content(tmp_path: Path) -> Path:
    root = tmp_path / "content"
    (root / "notes").mkdir(parents=True)
    (root / "notes/a.gmi").write_text("hello")
    (root / ".hidden.gmi").write_text("hidden")
    (tmp_path / "secret.gmi").write_text("secret")
    return root


@pytest.mark.parametrize("absolute", [False, True])
async def test_a_file_below_the_root(content: Path, absolute: bool) -> None:
    serve = server_of(StaticFiles(content), content)
    path = content / "notes/a.gmi" if absolute else Path("notes/../notes/a.gmi")
    assert await serve(path, REQUEST) == Success(b"hello")


@pytest.mark.parametrize(
    "path",
    [
        "none.gmi",
        "notes",
        "notes/",
        ".",
        "..",
        "../secret.gmi",
        "/etc/passwd",
        ".hidden.gmi",
        "notes/a.gmi\0",  # a query may hold any character
        "notes\0/a.gmi",
        "\udcff.gmi",  # a byte that is not UTF-8, as os.listdir() spells it
    ],
)
async def test_what_visitors_may_not_have_either(content: Path, path: str) -> None:
    for hidden in (False, True):
        if path != ".hidden.gmi" or not hidden:
            with pytest.raises(NotFound):
                await server_of(StaticFiles(content, hidden=hidden), content)(Path(path), REQUEST)
