"""What several keys say together, and what they say of the disk."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pad19.service.config.load import load, resolve
from pad19.service.config.model import Config, ConfigError
from support.configuration import problems, write
from support.users import unprivileged


def test_a_folder_of_certificates_behind_a_link_is_not_served(folder: Path) -> None:
    (folder / "certs").symlink_to(folder / "content")
    assert "would publish private keys" in problems(folder, "")[0]


def test_the_file_itself_is_not_served(folder: Path) -> None:
    expected = (
        f"capsule[1].content is {folder}/{{}}, which would publish {{}}: "
        "move the pages into a folder of their own, and name that"
    )
    # Nothing is said of the certificates, for which the same move is enough.
    assert problems(folder, "[[capsule]]\ncontent = './'") == [
        expected.format("", "pad19.toml").replace(f"{folder}/,", f"{folder},")
    ]
    (folder / "content/more.toml").write_text("[[capsule]]\nhosts = ['a.org']\ncontent = '../certs'")
    (folder / "certs").mkdir()
    text = "include = 'content/more.toml'\n[server]\ncerts = 'private'\n[[capsule]]"
    assert problems(folder, text) == [expected.format("content", "more.toml")]


UNREAD = "it cannot be read by this user: allow that, or name another"
CLOSED: list[tuple[str, int, str, str | None]] = [  # what, its mode, what else the capsule says, the answer
    ("outer", 0, "", UNREAD.replace("that", "that for it and the folders above")),
    ("outer/content", 0, "", UNREAD),
    ("outer/content", 0o600, "", UNREAD),
    ("outer/content", 0o100, "", None),
    ("outer/content", 0o100, "listing = true", UNREAD),
    ("outer/content", 0o300, "[capsule.titan]", UNREAD),
    ("outer/content", 0o500, "listing = true", None),
]


def told_of(resolved: Callable[[], Config]) -> tuple[str, ...]:
    try:
        resolved()
    except ConfigError as error:
        return error.problems
    return ()


@pytest.mark.parametrize(("closed", "mode", "more", "reason"), CLOSED)
def test_content_that_this_user_cannot_read(closed: str, mode: int, more: str, reason: str | None) -> None:
    with unprivileged() as folder:
        content = folder / "outer/content"
        content.mkdir(parents=True)
        path = write(folder, f"[[capsule]]\ncontent = 'outer/content'\n{more}")
        (folder / closed).chmod(mode)
        told = told_of(lambda: load(path))
        as_argument = told_of(lambda: resolve(content, certs=folder / "certs"))
        (folder / closed).chmod(0o700)
        assert told == ((f"{path}: capsule[1].content is {content}, but {reason}",) if reason else ())
        if not more:
            assert as_argument == ((f"DIR is {content}, but {reason}",) if reason else ())


# Redirects


CIRCLES = [  # redirects as "from to", the numbers of those that lead back
    (["/a /a"], [1]),
    (["/a /b", "/b /a"], [1, 2]),
    (["/a /b", "/b /c", "/c /b"], [2, 3]),
    (["/a gemini://localhost/a"], [1]),
    (["/a gemini://LOCALHOST:1965/a"], [1]),
    (["/a /a?b"], [1]),
    (["/{x} /{x}"], [1]),
    (["/{x} /{x}.gmi"], [1]),
    (["/{x:int} /{x}"], [1]),
    (["/{x:path} /archive/{x}"], [1]),
    (["/old/{x:path} /old/archive/{x}"], [1]),
    (["/a /b"], []),
    (["/a /a/"], []),
    (["/a gemini://b.org/a"], []),
    (["/old/{x:path} /new/{x}", "/new/{x:path} /newest/{x}"], []),
    (["/{x} /pages/{x}"], []),
    (["/{x} /{x}/end", "/x/end /done/"], []),
    (["/{x}/a /{x}/b", "/{x}/b /{x}/c", "/{x}/c /d"], []),
    (["/{a}/{b} /{b}/end", "/end/end /done"], []),  # it comes back once, and then leaves
    (["/a /b%FF"], []),
]


@pytest.mark.parametrize(("redirects", "circular"), CIRCLES)
def test_redirects_that_lead_back(folder: Path, redirects: list[str], circular: list[int]) -> None:
    text = "[[capsule]]\n"
    for redirect in redirects:
        pattern, target = redirect.split()
        text += f"[[capsule.redirect]]\nfrom = '{pattern}'\nto = '{target}'\n"
    if not circular:
        load(write(folder, text))
        return
    expected = "leads back to the same redirect, again and again: name another path"
    assert problems(folder, text) == [f"capsule[1].redirect[{number}].to {expected}" for number in circular]


def test_the_key_of_a_proxy_is_not_served(folder: Path) -> None:
    proxy = "[[capsule]]\n[[capsule.proxy]]\npath = '/a/'\nto = 'gemini://a.test/'\ncertificate = 'a.crt'\n"
    assert problems(folder, f"{proxy}key = 'content/a.key'") == [
        f"capsule[1].proxy[1].key is {folder}/content/a.key, inside of the content folder {folder}/content, "
        "which would publish the private key: move it out"
    ]
    load(write(folder, f"{proxy}key = 'a.key'"))
