import errno
import os
import pty
import re
import socket
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pad19.cli import init as module
from pad19.cli import main
from pad19.cli.init import FILES, TEMPLATE
from pad19.protocol import gemtext
from pad19.protocol.gemtext import Heading, Link, Text
from pad19.service.config.load import load
from pad19.service.config.model import Config
from support.process import command, serving

COMMAND = [sys.executable, "-c", "from pad19.cli import main; main()", "init"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def init(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["init", *arguments], catch_exceptions=False)


def made(*arguments: str) -> Config:
    """The configuration of a capsule that was made in the folder ``capsule``."""
    result = init("capsule", *arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    return load(Path("capsule/pad19.toml"))


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


# What is made


def test_every_file_of_the_template_is_in_use() -> None:
    assert {name for name in files_in(TEMPLATE) if "__pycache__" not in name} == {*FILES}


def test_a_capsule() -> None:
    result = init("capsule")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        "There is a capsule in capsule now. Some things to try:\n"
        "\n"
        "  pad19 serve capsule  and look at gemini://localhost/\n"
        "  pad19 get localhost  or look at it from a second terminal\n"
        "  pad19 check capsule  finds mistakes and broken links\n"
        "  pytest capsule       tests its route (pip install pytest)\n"
    )
    assert files_in(Path("capsule")) == {
        ".gitignore",
        "pad19.toml",
        "content/index.gmi",
        "content/gemlog/index.gmi",
        f"content/gemlog/{date.today().isoformat()}-first-post.gmi",
        "routes/hello.py",
        "tests/test_hello.py",
    }


def test_its_configuration() -> None:
    config = made()
    folder = Path.cwd() / "capsule"
    [capsule] = config.capsules
    assert capsule.hosts == ("localhost",)
    assert (capsule.content, capsule.routes) == (folder / "content", folder / "routes")
    # What a repository must not have
    ignored = (folder / ".gitignore").read_text().splitlines()
    for secret in (config.server.certs, config.server.state):
        assert f"/{secret.relative_to(folder)}/" in ignored


def test_what_stands_in_comments_can_be_used() -> None:
    made()
    text = Path("capsule/pad19.toml").read_text()
    changed, count = re.subn(r"^# (?=[a-z_]+ = |\[)", "", text, flags=re.MULTILINE)
    assert count == 6
    Path("capsule/pad19.toml").write_text(changed)
    config = load(Path("capsule/pad19.toml"))
    assert [str(listen) for listen in config.server.addresses] == ["localhost:1965"]
    assert config.capsules[0].listing
    assert [redirect.target for redirect in config.capsules[0].redirects] == ["/new.gmi"]


def test_its_pages() -> None:
    made("--title", "Ada & Co")
    today = date.today().isoformat()
    for path in Path("capsule/content").rglob("*.gmi"):
        lines = gemtext.parse(path.read_text("utf-8"))
        assert gemtext.write(lines) == path.read_text("utf-8")
        assert [line.level for line in lines if isinstance(line, Heading)].count(1) == 1
    feed = gemtext.parse(Path("capsule/content/gemlog/index.gmi").read_text("utf-8"))
    [post] = [line for line in feed if isinstance(line, Link) and line.uri.startswith(today)]
    assert post.label == f"{today} The first post"
    title, *rest = gemtext.parse(Path("capsule/content/gemlog", post.uri).read_text("utf-8"))
    assert title == Heading(1, "The first post")
    assert Text(today) in rest


def test_it_has_nothing_to_check() -> None:
    made()
    # In a process of its own, since routes are loaded once in each.
    program = "from pad19.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "check", "capsule", "--listen", "127.0.0.1:0"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "note: a certificate for localhost will be made at the first start\n3 files, 7 links: 0 problems\n"
    )


def test_its_tests_pass() -> None:
    made()
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "pad19.pytest_plugin",
            "-p",
            "no:cacheprovider",
            "capsule",
        ],
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


def test_it_can_be_served(tmp_path: Path) -> None:
    made()
    with serving("capsule", "--listen", "127.0.0.1:0", home=tmp_path) as server:
        port = server.address[1]
        for path, meta in (("", "text/gemini; lang=en"), ("hello/", "What is your name?")):
            done = command("get", "--trust", f"localhost:{port}/{path}", home=tmp_path)
            assert meta in done.stderr


# Names


HOSTS = [  # as it is typed, as they stand in the file, as they are compared
    ("localhost", '"localhost"', ("localhost",)),
    (" Example.ORG. ", '"example.org", "localhost"', ("example.org", "localhost")),
    ("münchen.example", '"münchen.example", "localhost"', ("xn--mnchen-3ya.example", "localhost")),
    ("192.0.2.1", '"192.0.2.1", "localhost"', ("192.0.2.1", "localhost")),
    ("2001:DB8::1", '"[2001:db8::1]", "localhost"', ("[2001:db8::1]", "localhost")),
]


@pytest.mark.parametrize(("typed", "written", "compared"), HOSTS)
def test_hosts(typed: str, written: str, compared: tuple[str, ...]) -> None:
    assert made("--host", typed).capsules[0].hosts == compared
    assert f"hosts = [{written}]" in Path("capsule/pad19.toml").read_text("utf-8")


@pytest.mark.parametrize(
    "typed", ["", "a b", 'a"b', "a..b", "-a.test", "1.2.3", "a.test/x", "a.test:1965", "a\nb"]
)
def test_what_is_no_host(typed: str) -> None:
    result = init("capsule", "--host", typed)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Invalid value for '--host': this is no host name: " in result.stderr
    assert not Path("capsule").exists()


def test_a_host_has_no_port() -> None:
    result = init("capsule", "--host", "localhost:1966")
    assert "this is no host name: write it without scheme, port and path.\n" in result.stderr


def test_several_hosts_are_one_capsule() -> None:
    capsule = made("--host", "a.test", "--host", "B.test", "--host", "a.test").capsules[0]
    assert capsule.hosts == ("a.test", "b.test", "localhost")


def test_a_wildcard_is_no_host_to_begin_with() -> None:
    result = init("capsule", "--host", "*.example.org")
    assert result.exit_code == 2
    assert "name whole hosts" in result.stderr


TITLES = [  # as it is given, the heading of the first page
    ("Ada's capsule", "Ada's capsule"),
    (" two\nlines\x1b[31m ", "two lines [31m"),
    ("$date ${x} $", "$date ${x} $"),
    ("## => ```", "## => ```"),
    ('"""\\', '"""\\'),
    ("\u2028x\udc80", "x"),
    ("日本語 🚀", "日本語 🚀"),
    ("", "capsule"),
    ("\x07", "capsule"),
]


@pytest.mark.parametrize(("given", "heading"), TITLES)
def test_titles(given: str, heading: str) -> None:
    made("--title", given)
    assert gemtext.parse(Path("capsule/content/index.gmi").read_text("utf-8"))[0] == Heading(1, heading)


@pytest.mark.parametrize(
    ("name", "word", "title"),
    [
        ("my capsule", "'my capsule'", "my capsule"),
        ("-x", "./-x", "-x"),
        ("a\x1b[2J", r"""'"a\u001b[2J"'""", "a [2J"),
        ("above/below/", "above/below", "below"),
    ],
)
def test_names_of_folders(name: str, word: str, title: str) -> None:
    result = init("--", name)
    assert (result.exit_code, result.stderr) == (0, "")
    assert f"\n  pad19 serve {word}  and" in result.stdout
    assert gemtext.parse((Path(name) / "content/index.gmi").read_text("utf-8"))[0] == Heading(1, title)


def test_this_folder(tmp_path: Path) -> None:
    assert init(".").exit_code == 0
    assert (tmp_path / "content/index.gmi").read_text("utf-8").startswith(f"# {tmp_path.name}\n")


# What is there already


@pytest.mark.parametrize("name", [".git/config", ".venv/pyvenv.cfg", ".hidden"])
def test_hidden_files_are_in_nobodys_way(name: str) -> None:
    other = Path("capsule") / name
    other.parent.mkdir(parents=True)
    other.write_text("mine")
    assert init("capsule").exit_code == 0
    assert other.read_text() == "mine"


@pytest.mark.parametrize(
    ("names", "listed"),
    [
        (["a.txt"], "a.txt"),
        (["content"], "content"),
        ([".gitignore", ".other"], ".gitignore"),
        (["c", "b", "a"], "a, b, c"),
        (["e", "d", "c", "b", "a"], "a, b, c and 2 more"),
        (["a\x1b[2J"], r'"a\u001b[2J"'),
    ],
)
def test_a_folder_that_is_not_empty(names: list[str], listed: str) -> None:
    Path("capsule").mkdir()
    for name in names:
        Path("capsule", name).write_text("mine")
    result = init("capsule", "--host", "a.test")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"Error: capsule is not empty, there is {listed}: name another folder\n"
    assert files_in(Path("capsule")) == {*names}


def test_a_second_time() -> None:
    made()
    before = Path("capsule/pad19.toml").stat()
    result = init("capsule")
    assert result.exit_code == 1
    assert "there is .gitignore, content, pad19.toml and 2 more" in result.stderr
    assert Path("capsule/pad19.toml").stat() == before


def test_nothing_is_written_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even what appears while it is at work."""
    Path("capsule/routes").mkdir(parents=True)
    Path("capsule/routes/hello.py").write_text("mine")
    monkeypatch.setattr(module, "_refuse_others", lambda folder: None)
    result = init("capsule")
    assert result.exit_code == 1
    assert "capsule/routes/hello.py cannot be made (File exists)" in result.stderr
    assert Path("capsule/routes/hello.py").read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "reason"),
    [("file", errno.ENOTDIR), ("file/capsule", errno.ENOTDIR), ("x" * 300, errno.ENAMETOOLONG)],
)
def test_what_can_be_no_folder(name: str, reason: int) -> None:
    Path("file").write_text("mine")
    result = init(name)
    assert (result.exit_code, result.stdout) == (1, "")
    said = f"Error: {name} cannot be made ({os.strerror(reason)}): mend that, or name another folder\n"
    assert result.stderr == said
    assert Path("file").read_text() == "mine"


def test_a_link_that_leads_to_nothing() -> None:
    Path("capsule").symlink_to("nowhere")
    result = init("capsule")
    assert result.exit_code == 1
    assert "capsule cannot be made (File exists)" in result.stderr


# On a terminal


def at_terminal(typed: str, *arguments: str) -> tuple[int, str]:
    """Type into the command; the exit status, and what is seen."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, "capsule", *arguments], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ) as process:
        os.close(theirs)
        os.write(ours, typed.encode())
        seen = b""
        try:
            while data := os.read(ours, 4096):
                seen += data
        except OSError:  # how Linux says that the other side of a terminal is closed
            pass
        finally:
            os.close(ours)
    return process.returncode, seen.decode().replace("\r\n", "\n")


def test_questions() -> None:
    status, seen = at_terminal("a b\nexample.org\nAda's capsule\n")
    assert status == 0
    assert "Host name [localhost]: " in seen
    assert "Error: this is no host name: " in seen
    assert "Title [capsule]: " in seen
    assert load(Path("capsule/pad19.toml")).capsules[0].hosts == ("example.org", "localhost")
    assert Path("capsule/content/index.gmi").read_text("utf-8").startswith("# Ada's capsule\n")


def test_defaults() -> None:
    assert at_terminal("\n \x1b\n")[0] == 0
    assert load(Path("capsule/pad19.toml")).capsules[0].hosts == ("localhost",)
    assert Path("capsule/content/index.gmi").read_text("utf-8").startswith("# capsule\n")


def test_what_is_given_is_not_asked_for() -> None:
    status, seen = at_terminal("", "--host", "a.test", "--title", "A")
    assert status == 0
    assert "[" not in seen


def test_who_leaves_leaves_nothing_behind() -> None:
    assert at_terminal("example.org\n\x04")[0] == 1  # Ctrl-D
    assert not Path("capsule").exists()


def test_nothing_is_asked_where_nobody_can_answer() -> None:
    """With a standard input that stays open, and would be waited for."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        done = subprocess.run(
            [*COMMAND, "capsule"],
            stdin=theirs.fileno(),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, "")
