import re
from pathlib import Path

import pytest

from pad19.service.config.load import load, resolve
from pad19.service.config.model import ConfigError
from pad19.service.config.routes_folder import problem_beside_file
from support.configuration import write

ROUTES: list[tuple[str, str, bool]] = [  # a file in the folder, its text, whether it is one of routes
    ("routes/hello.py", "from pad19 import Request, Routes\nroutes = Routes()\n", True),
    ("routes/hello.py", '"""Greets."""\n\ntry:\n    import pad19\nfinally:\n    pass\n', True),
    ("routes/blog/__init__.py", "import pad19\n", True),
    ("routes/_helpers.py", "from pad19.protocol import uri\n", True),
    ("routes/gpx.py", "import sys\n# from pad19 import nothing\n", False),
    ("routes/hello.py", "import pad19th_century\n", False),
    ("routes/alps.gmi", "from pad19 import Routes\n", False),
    ("hello.py", "from pad19 import Routes\n", False),
    ("routes/hello.py/index.gmi", "# A folder\n", False),
    ("routes", "import pad19\n", False),
]


@pytest.mark.parametrize(("name", "text", "is_refused"), ROUTES)
def test_code_of_routes_is_not_served_as_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, is_refused: bool
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    file = tmp_path / "capsule" / name
    file.parent.mkdir(parents=True)
    file.write_text(text)
    if not is_refused:
        resolve(tmp_path / "capsule")
        return
    with pytest.raises(ConfigError) as error:
        resolve(tmp_path / "capsule")
    [problem] = error.value.problems
    assert problem.startswith(f"{file} has routes, but there is no pad19.toml, ")
    lines = re.findall(r"\[\[capsule\]\]|\w+ = \"\w+\"", problem)
    (tmp_path / "capsule/pad19.toml").write_text("\n".join(lines))
    (tmp_path / "capsule/content").mkdir()
    assert resolve(tmp_path / "capsule").capsules[0].routes == tmp_path / "capsule/routes"


@pytest.mark.parametrize(("name", "text", "has_routes"), ROUTES)
def test_routes_that_no_capsule_names_are_told(folder: Path, name: str, text: str, has_routes: bool) -> None:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    problem = problem_beside_file(load(write(folder, "[[capsule]]\n")))
    if not has_routes:
        assert problem is None
        return
    assert problem == (
        f"{file} has routes, which are not asked, since no capsule names them: "
        'write routes = "routes" below [[capsule]]'
    )
    assert problem_beside_file(load(write(folder, '[[capsule]]\nroutes = "routes"\n'))) is None


def test_whoever_mounts_routes_knows_where_they_are(folder: Path) -> None:
    (folder / "routes").mkdir()
    (folder / "routes/a.py").write_text("import pad19\n")
    mounting = "[[capsule]]\nmount = { '/a/' = 'routes.a' }\n"
    assert problem_beside_file(load(write(folder, mounting))) is None


def test_a_folder_without_a_file_has_its_own_sentence(tmp_path: Path, folder: Path) -> None:
    assert problem_beside_file(resolve(folder / "content", certs=tmp_path / "certs")) is None
