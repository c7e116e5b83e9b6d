"""What counts as a change, of files that are really there."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pad19.service.changes import Changes
from pad19.service.config.load import load, resolve
from pad19.service.config.model import Config, ConfigError
from pad19.service.signature import Signatures, signatures
from pad19.service.watch import Watcher
from support.waiting import is_readable, wait_for_threads

PATIENCE = 10.0  # seconds until something that must happen counts as missing


class Story:
    """A server that reads its configuration, as `reloader.Reloader` does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.watcher = Watcher()
        self.changes = Changes(self.watcher)

    @property
    def file(self) -> Path:
        return self.folder / "pad19.toml"

    def read(self) -> Config:
        self.changes.reading()
        config = load(self.file)
        self.changes.was_read(config)
        return config

    def serve(self) -> Config:
        """Read, have workers read the certificate, and serve."""
        config = self.read()
        self.changes.served(config, self.certificates())
        return config

    def certificates(self) -> Signatures:
        return signatures([self.folder / "certs/a.crt", self.folder / "certs/a.key"])


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    for name in ("content", "certs", "sites", "more"):
        (tmp_path / name).mkdir()
    for name in ("certs/a.crt", "certs/a.key"):
        (tmp_path / name).write_text("old")
    write(tmp_path / "sites/a.toml", "")
    story = Story(tmp_path)
    write(story.file, "include = 'sites/*.toml'\n[[capsule]]")
    yield story
    story.watcher.close()
    wait_for_threads("watch")


def write(path: Path, text: str) -> None:
    """Another file each time, whatever the clock says."""
    new = path.with_name("new")
    new.write_text(text)
    new.replace(path)


def news(story: Story) -> bool:
    """Whether there is some; asking changes nothing."""
    first = story.changes.news()
    assert story.changes.news() == first
    return first is not None


def test_before_anything_is_served_nothing_changes(story: Story) -> None:
    assert not news(story)
    story.read()
    write(story.file, "")
    assert not news(story)


CHANGED = ["pad19.toml", "sites/a.toml", "certs/a.crt", "certs/a.key"]


@pytest.mark.parametrize("name", CHANGED)
def test_a_file_changes(story: Story, name: str) -> None:
    story.serve()
    assert not news(story)
    path = story.folder / name
    write(path, path.read_text())
    assert news(story)
    story.serve()
    assert not news(story)
    path.unlink()
    assert news(story)


def test_a_file_comes_and_goes(story: Story) -> None:
    story.serve()
    (story.folder / "sites/b.toml").touch()
    assert news(story)
    story.serve()
    assert not news(story)
    (story.folder / "sites/b.toml").unlink()
    assert news(story)


EMPTIED = [  # what an included file had in it, and those of both that count when both are empty
    ("[[capsule]]\nhosts = ['a.test']\ncontent = '../content'", "pad19.toml sites/a.toml"),
    ("", "pad19.toml"),
]


@pytest.mark.parametrize(("included", "expected"), EMPTIED)
def test_files_are_emptied(story: Story, included: str, expected: str) -> None:
    write(story.folder / "sites/a.toml", included)
    story.serve()
    assert not story.changes.emptied
    for name in ("pad19.toml", "sites/a.toml"):
        (story.folder / name).write_text("")
    for _ in range(2):
        assert story.changes.emptied == [str(story.folder / name) for name in expected.split()]
        story.changes.reading()  # in vain
    write(story.file, "# as it should be\n")
    (story.folder / "sites/a.toml").unlink()
    assert not story.changes.emptied


def test_a_file_that_was_empty_may_be_so(story: Story) -> None:
    write(story.file, "")
    story.serve()
    story.file.touch()
    assert not story.changes.emptied


IRRELEVANT = ["other.toml", "sites/a.toml~", "sites/a.txt", "certs/b.key", "content/index.gmi"]


@pytest.mark.parametrize("name", IRRELEVANT)
def test_other_files_do_not_matter(story: Story, name: str) -> None:
    story.serve()
    (story.folder / name).touch()
    assert not news(story)


def test_a_link_that_leads_elsewhere(story: Story) -> None:
    key = story.folder / "certs/a.key"
    for number in (1, 2):
        (story.folder / f"key{number}").write_text("same")
    key.unlink()
    key.symlink_to("../key1")
    story.serve()
    assert not news(story)
    key.unlink()
    key.symlink_to("../key2")
    assert news(story)


def test_a_change_while_it_is_read_is_news_afterwards(story: Story) -> None:
    story.serve()
    story.changes.reading()
    config = load(story.file)
    write(story.file, "include = 'sites/*.toml'")
    certificates = story.certificates()
    write(story.folder / "certs/a.key", "new")
    story.changes.was_read(config)
    story.changes.served(config, certificates)
    assert news(story)
    story.serve()
    assert not news(story)


def test_a_mistake_is_reported_once(story: Story) -> None:
    story.serve()
    write(story.file, "a = ")
    for _ in range(2):
        assert news(story)
        with pytest.raises(ConfigError):
            story.read()
        assert not news(story)
        write(story.file, "b = ")
    write(story.file, "")
    story.serve()
    assert not news(story)


@pytest.mark.parametrize("name", ["sites/a.toml", "sites/b.toml"])
def test_so_is_one_in_an_included_file(story: Story, name: str) -> None:
    story.serve()
    write(story.folder / name, "a = ")
    assert news(story)
    with pytest.raises(ConfigError):
        story.read()
    assert not news(story)
    write(story.folder / name, "")
    assert news(story)


def test_so_is_a_file_that_workers_cannot_use(story: Story) -> None:
    story.serve()
    write(story.file, "[[capsule]]")
    new = story.folder / "certs/new.key"
    story.read()
    story.changes.tried(signatures([new, story.folder / "certs/a.key"]))
    assert not news(story)
    new.touch()  # mended
    assert news(story)


def test_files_that_are_known_and_others(story: Story) -> None:
    story.serve()
    write(story.folder / "more/b.toml", "")
    write(story.file, "include = ['sites/*.toml', 'more/*.toml']")
    config = load(story.file)
    assert not story.changes.knows(config)
    story.changes.was_read(config)
    assert story.changes.knows(config)
    story.serve()
    assert not news(story)


def tells(story: Story) -> bool:
    """Whether the watcher says something, which is forgotten then."""
    ready = is_readable(story.watcher, PATIENCE)
    story.watcher.clear()
    return ready


def test_it_can_be_waited_for(story: Story) -> None:
    story.serve()
    assert tells(story)  # who knows what has changed before
    assert not news(story)
    write(story.file, "")
    assert tells(story)
    assert news(story)


COMING = ["sites/b/a.toml", "routes/blog/__init__.py"]


@pytest.mark.parametrize("name", COMING)
def test_so_can_a_file_in_a_folder_that_was_not_there(story: Story, name: str) -> None:
    (story.folder / "routes").mkdir()
    write(story.file, "include = 'sites/*/a.toml'\n[[capsule]]\nroutes = 'routes'")
    story.serve()
    assert tells(story)
    file = story.folder / name
    file.parent.mkdir()
    assert tells(story)
    assert not news(story)  # there is nothing in it so far
    assert tells(story)  # who knows what was written before it was watched
    file.touch()
    assert tells(story)
    assert news(story)


def test_so_can_what_workers_cannot_use(story: Story) -> None:
    story.serve()
    assert tells(story)
    new = story.folder / "elsewhere/new.key"
    new.parent.mkdir()
    story.changes.tried(signatures([new]))
    assert tells(story)
    new.touch()
    assert tells(story)
    assert news(story)


def test_a_key_that_may_be_read_now(story: Story) -> None:
    """Only its rights are other ones."""
    key = story.folder / "certs/a.key"
    key.chmod(0)
    story.serve()
    assert tells(story)
    key.chmod(0o600)
    assert tells(story)
    assert news(story)


def test_a_configuration_that_does_not_want_it(story: Story) -> None:
    write(story.file, "server.watch = false")
    story.serve()
    write(story.file, "")
    write(story.folder / "certs/a.key", "new")
    assert not news(story)
    story.serve()  # SIGHUP
    write(story.file, "server.watch = false")
    assert news(story)


def test_without_a_file_there_are_certificates(tmp_path: Path) -> None:
    key = tmp_path / "certs/a.key"
    key.parent.mkdir()
    content = tmp_path / "content"
    content.mkdir()
    watcher = Watcher()
    changes = Changes(watcher)
    changes.reading()
    config = resolve(content, certs=tmp_path / "certs")
    changes.was_read(config)
    changes.served(config, signatures([key]))
    (content / "index.gmi").touch()
    assert changes.news() is None
    key.touch()
    assert changes.news()
    watcher.close()
    wait_for_threads("watch")
