import os
from pathlib import Path

import pytest

from pad19.service import sources
from pad19.service.config.capsule import Capsule
from pad19.service.config.load import load
from pad19.service.config.model import Config
from pad19.service.sources import code

COUNTED = [  # below the folder; and whether that is code which is watched
    ("guestbook.py", True),
    ("_helpers.py", True),
    ("blog/__init__.py", True),
    ("blog/posts/draft.py", True),
    ("two words/café.py", True),
    ("notes.txt", False),
    ("guestbook.py~", False),
    ("guestbook.pyc", False),
    ("__pycache__/guestbook.py", False),
    (".git/hook.py", False),
    ("blog/.drafts/a.py", False),
]


@pytest.mark.parametrize(("name", "counts"), COUNTED)
def test_code(tmp_path: Path, name: str, counts: bool) -> None:
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    files, folders = code(tmp_path)
    assert files == ({os.fspath(file)} if counts else set())
    assert os.fspath(tmp_path) in folders
    if counts:
        assert os.fspath(file.parent) in folders  # where the next one may appear


def test_folders_without_code_may_have_some_later(tmp_path: Path) -> None:
    (tmp_path / "blog/posts").mkdir(parents=True)
    (tmp_path / "__pycache__").mkdir()
    _, folders = code(tmp_path)
    assert folders == {os.fspath(tmp_path / name) for name in ("", "blog", "blog/posts")}


def test_a_folder_that_is_missing_has_nothing(tmp_path: Path) -> None:
    assert code(tmp_path / "missing") == (set(), set())


def test_links_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "routes").mkdir()
    (tmp_path / "routes/again").symlink_to(tmp_path / "routes")
    (tmp_path / "routes/all").symlink_to("/")
    (tmp_path / "routes/dangling.py").symlink_to("nowhere.py")
    files, folders = code(tmp_path / "routes")
    assert files == {os.fspath(tmp_path / "routes/dangling.py")}  # it may lead somewhere yet
    assert folders == {os.fspath(tmp_path / "routes")}


def test_a_package_may_be_a_link(tmp_path: Path) -> None:
    routes, shared = tmp_path / "routes", tmp_path / "shared"
    for name in ("wiki", "wiki/parts", "wiki/.git"):
        (shared / name).mkdir(parents=True)
        (shared / name / "__init__.py").touch()
    (shared / "wiki/again").symlink_to(shared / "wiki")
    routes.mkdir()
    (routes / "wiki").symlink_to("../shared/wiki")
    (routes / "same").symlink_to("../shared/wiki")
    files, folders = code(routes)
    assert files == {os.fspath(routes / f"same/{name}") for name in ("__init__.py", "parts/__init__.py")}
    assert folders == {os.fspath(routes / name) for name in ("", "same", "same/parts")}


def test_there_is_an_end_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MAX_FOLDERS", 3)
    for number in range(9):
        (tmp_path / f"{number}").mkdir()
    assert len(code(tmp_path)[1]) == 3


def test_all_that_a_configuration_is_made_of(tmp_path: Path) -> None:
    for name in ("content", "routes/blog", "sites", "other"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("routes/blog/__init__.py", "other/index.py", "content/page.py"):
        (tmp_path / name).touch()
    (tmp_path / "sites/a.toml").write_text("[[capsule]]\nhosts = ['a.test']\ncontent = '../content'")
    (tmp_path / "pad19.toml").write_text(
        "include = 'sites/*.toml'\n[[capsule]]\nroutes = 'routes'\n"
        "[[capsule]]\nhosts = ['b.test']\nroutes = 'other'\n[[capsule]]\nhosts = ['c.test']\n"
    )
    config = load(tmp_path / "pad19.toml")
    (tmp_path / "sites/b.toml").touch()  # since then
    files, folders = sources.sources(config)
    assert files == {
        os.fspath(tmp_path / name)
        for name in (
            "pad19.toml", "sites/a.toml", "sites/b.toml", "routes/blog/__init__.py", "other/index.py",
        )
    }  # fmt: skip
    assert folders == {os.fspath(tmp_path / name) for name in ("sites", "routes", "routes/blog", "other")}
    assert sources.configuration(config) == {
        os.fspath(tmp_path / name) for name in ("pad19.toml", "sites/a.toml")
    }


WATCHED = [  # include, and the folders in which more files may appear
    ("sites/a.toml", ["sites"]),
    ("*.toml", ["."]),
    ("none/*.toml", ["none"]),
    ("sites/*/a.toml", ["sites", "sites/b", "sites/file"]),
    ("*/b/a.toml", [".", "sites/b"]),
    ("sites/*/*.toml", ["sites", "sites/b", "sites/file"]),
]


@pytest.mark.parametrize(("pattern", "watched"), WATCHED)
def test_where_included_files_may_appear(pattern: str, watched: list[str], tmp_path: Path) -> None:
    (tmp_path / "sites/b").mkdir(parents=True)
    (tmp_path / "sites/file").touch()
    for prefix in ("", f"{tmp_path}/"):
        config = Config(include=(prefix + pattern,), source=tmp_path / "pad19.toml")
        _, folders = sources.sources(config)
        assert folders == {os.fspath(tmp_path / name) for name in watched}


def test_a_folder_of_pages_is_made_of_nothing(tmp_path: Path) -> None:
    config = Config(capsules=(Capsule(content=tmp_path),))
    assert not sources.configuration(config)
    files, folders = sources.sources(config)
    assert files == {os.fspath(tmp_path / "pad19.toml")}  # which would be another matter
    assert not folders
