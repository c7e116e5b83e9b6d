"""Files that another one includes."""

import pickle
from pathlib import Path

import pytest

from pad19.service.config.load import load, resolve
from pad19.service.config.model import Config, ConfigError
from support.configuration import write


def site(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_included_files_hold_more_capsules(folder: Path) -> None:
    first = site(folder, "sites/a.toml", "[[capsule]]\nhosts = ['a.org']\n[[capsule]]\nhosts = ['b.org']\n")
    (folder / "sites/content").mkdir()
    second = site(folder, "sites/c.toml", "[[capsule]]\nhosts = ['c.org']\ncontent = '../content'")
    site(folder, "sites/.d.toml.swp", "not TOML")
    site(folder, "sites/empty.toml", "")
    path = write(folder, "include = 'sites/*.toml'\n[[capsule]]\nhosts = ['own.org']")
    config = load(path)
    assert [(capsule.hosts[0], capsule.content) for capsule in config.capsules] == [
        ("own.org", folder / "content"),
        ("a.org", folder / "sites/content"),
        ("b.org", folder / "sites/content"),
        ("c.org", folder / "sites/../content"),
    ]
    assert config.included == (first, second, folder / "sites/empty.toml")
    assert config.include == ("sites/*.toml",)
    restored: Config = pickle.loads(pickle.dumps(config))  # noqa: S301 - on its way to a worker
    assert restored == config


def test_without_a_capsule_of_its_own_there_are_only_the_included(folder: Path) -> None:
    site(folder, "a.toml", "[[capsule]]\nhosts = ['a.org']")
    assert [capsule.hosts for capsule in load(write(folder, "include = ['a.toml']")).capsules] == [("a.org",)]
    # A file that matches twice is read once, and the main file is none of those it includes.
    assert len(load(write(folder, "include = ['*.toml', 'a.toml', 'none/*']")).capsules) == 1
    site(folder, "a.toml", "capsule = []")
    assert load(write(folder, "include = 'a.toml'")).capsules[0].hosts == ("localhost",)


def told(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as refusal:
        load(write(folder, text))
    return [problem.replace(f"{folder}/", "") for problem in refusal.value.problems]


def test_a_pattern_that_matches_nothing_is_named_where_that_matters(folder: Path) -> None:
    (folder / "content").rmdir()
    assert told(folder, "include = 'site/*.toml'") == [
        "pad19.toml: include has no [[capsule]], so there is the default one, whose content is content, "
        "but there is no such folder: create it, or name another"
    ]


@pytest.mark.parametrize("include", ["sites", "sites/", "site?"])
def test_a_folder_is_no_file(folder: Path, include: str) -> None:
    site(folder, "sites/a.toml", "[[capsule]]\nhosts = ['a.org']")
    name = include.rstrip("/").replace("?", "s")
    assert told(folder, f"include = '{include}'") == [
        f"pad19.toml: include is {name}, a folder: name files, as in /*.toml"
    ]


def test_mistakes_name_the_file_where_they_are(folder: Path) -> None:
    (folder / "sites/content").mkdir(parents=True)
    site(
        folder, "sites/a.toml", "[[capsule]]\nhosts = ['a.org']\n[[capsule]]\nhosts = ['main.org']\nlang = 1"
    )
    site(folder, "sites/b.toml", "[[capsule]]\nhosts = ['a.org']\ncontent = 'none'\n[[capsule]]\nkey = 'a'")
    site(
        folder,
        "sites/c.toml",
        "include = 'x'\n[server]\ncerts = 'a'\n[limit]\n[[capsule]]\nhosts = ['c.org']",
    )
    text = "include = 'sites/*'\nlog = 1\n[[capsule]]\nhosts = ['main.org']"
    start = "cannot stand in an included file, which has only [[capsule]] sections: move it to the main one"
    found = told(folder, text.replace("sites/*", "sites/*.toml"))
    assert [problem.partition(": write")[0] for problem in found] == [
        "pad19.toml: log is 1, but must be a table",
        "sites/a.toml: capsule[2].lang is 1, but must be language tags with commas between them",
        f"sites/c.toml: include {start}",
        f"sites/c.toml: server {start}",
        "sites/c.toml: limit is no key: remove it, or use one of capsule",
        "sites/a.toml: capsule[2].hosts[1] is main.org, which is a host of capsule[1] of pad19.toml already: "
        "remove one of them",
        "sites/b.toml: capsule[1].hosts[1] is a.org, which is a host of capsule[1] of sites/a.toml already: "
        "remove one of them",
        "sites/b.toml: capsule[1].content is sites/none, but there is no such folder: "
        "create it, or name another",
        "sites/b.toml: capsule[2].certificate is missing beside key",
    ]
    unreadable, *others = told(folder, text)  # what must be mended first
    assert unreadable.startswith("pad19.toml: include is sites/content")
    assert others == found


def test_what_cannot_be_included_hides_no_other_mistake_and_makes_none(folder: Path) -> None:
    site(folder, "broken.toml", "[[capsule]]\nhosts = ['a.org']\na = ")
    (folder / "content").rmdir()  # that of a capsule by default, which there is not
    text = "include = 'broken.toml'\nlog = 1"
    assert [problem[:28] for problem in told(folder, text)] == [
        "broken.toml: line 3, column ",
        "pad19.toml: log is 1, but mu",
    ]
    with pytest.raises(ConfigError) as caught:
        resolve(folder, hosts=["b.org"])
    assert len(caught.value.problems) == 2


NOT_INCLUDED = [
    ("include = 'none.toml'", "none.toml cannot be read (No such file or directory)"),
    ("include = ['none.toml', 'content']", "none.toml cannot be read (No such file or directory)"),
    ("include = 'broken.toml'", "broken.toml: line 1, column 5 is not TOML"),
    ("include = 'pad19.toml/x'", "pad19.toml/x cannot be read (Not a directory)"),
]


@pytest.mark.parametrize(("text", "problem"), NOT_INCLUDED)
def test_what_cannot_be_included(folder: Path, text: str, problem: str) -> None:
    site(folder, "broken.toml", "a = ")
    assert told(folder, text)[0].startswith(problem)


def test_a_pattern_may_match_nothing(folder: Path) -> None:
    assert load(write(folder, "include = ['sites/*.toml', '/none/[ab].toml']")).included == ()


def test_a_host_by_flag_goes_to_the_only_capsule_wherever_it_is(folder: Path) -> None:
    site(folder, "a.toml", "[[capsule]]\nhosts = ['a.org']")
    write(folder, "include = 'a.toml'")
    assert resolve(folder, hosts=["b.org"]).capsules[0].hosts == ("b.org",)
    with pytest.raises(ConfigError, match=r'^--host is "a b", but must be a host name'):
        resolve(folder, hosts=["a b"])
    write(folder, "include = 'a.toml'\n[[capsule]]")
    with pytest.raises(ConfigError, match=r"^--host needs one capsule, but .*pad19.toml has 2"):
        resolve(folder, hosts=["b.org"])
