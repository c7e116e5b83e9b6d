import os
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pad19.cli import main
from pad19.cli.check import MAX_TOLD
from pad19.service.check import machine as check_machine
from pad19.tls.making import make
from support.process import command


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_machine, "PATIENCE", 0.1)  # seconds for programs that say nothing


@pytest.fixture
def capsule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "capsule"
    (folder / "content").mkdir(parents=True)
    (folder / "content/index.gmi").write_text("# Pad 19\n=> index.gmi\n")
    (folder / "pad19.toml").write_text("[server]\nlisten = ['127.0.0.1:0']\n")
    monkeypatch.chdir(tmp_path)
    return folder


def check(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["check", *arguments], catch_exceptions=False)


def test_a_clean_capsule(capsule: Path) -> None:
    before = sorted(capsule.rglob("*"))
    result = check("capsule")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        "note: a certificate for localhost will be made at the first start\n1 file, 1 link: 0 problems\n"
    )
    assert sorted(capsule.rglob("*")) == before
    make("localhost", capsule / "certs")
    assert check("capsule").stdout == "1 file, 1 link: 0 problems\n"


def test_findings_are_lines_that_an_editor_understands(
    capsule: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make("localhost", capsule / "certs")
    (capsule / "content/b.gmi").write_text("#### x\n=> none.gmi\n```\n")
    (capsule / "content/a\x1b[31m.gmi").write_text("=>\n")
    result = check("capsule")
    assert (result.exit_code, result.stderr) == (1, "")
    assert result.stdout.splitlines() == [
        f'"{capsule.relative_to(capsule.parent)}/content/a\\u001b[31m.gmi": '
        "the name holds a character that nobody can see: rename it",
        "capsule/content/b.gmi:1: note: headings have three levels, so this one begins with #",
        'capsule/content/b.gmi:2: "none.gmi" leads to /none.gmi: 51 not found',
        "capsule/content/b.gmi:3: the preformatted block that begins here is not closed",
        "2 files, 2 links: 3 problems",
    ]
    monkeypatch.chdir(capsule / "content")
    assert "\nb.gmi:2: " in check(str(capsule)).stdout
    monkeypatch.chdir("/usr")
    assert str(capsule / "content/b.gmi:2") in check(str(capsule)).stdout


def test_notes_alone_are_no_failure(capsule: Path) -> None:
    (capsule / "content/b.gmi").write_text(" => x\n")
    result = check("capsule")
    assert result.exit_code == 0
    assert "note: this is text" in result.stdout


def test_no_file_fills_the_screen(capsule: Path) -> None:
    make("localhost", capsule / "certs")
    (capsule / "content/a.gmi").write_text("=>\n" * (MAX_TOLD + 5))
    (capsule / "content/b.gmi").write_text("=>\n" * MAX_TOLD)
    lines = check("capsule").stdout.splitlines()
    assert lines[MAX_TOLD - 1 : MAX_TOLD + 2] == [
        f"capsule/content/a.gmi:{MAX_TOLD}: the link has no URI",
        "capsule/content/a.gmi: and 5 more",
        "capsule/content/b.gmi:1: the link has no URI",
    ]
    assert lines[-1] == f"3 files, 1 link: {2 * MAX_TOLD + 5} problems"
    assert len(lines) == 2 * MAX_TOLD + 2


def test_a_link_cannot_play_tricks_with_the_terminal(capsule: Path) -> None:
    (capsule / "content/a.gmi").write_text("=> none\u202eimg\n=> \x1b]0;x\x07\n", "utf-8")
    result = check("capsule")
    assert result.exit_code == 1
    assert result.stdout.replace("\n", "").isprintable()


def test_a_mistake_in_the_configuration(capsule: Path) -> None:
    (capsule / "pad19.toml").write_text("[server]\nport = 1\nworkers = 'x'\n")
    result = check("capsule")
    assert (result.exit_code, result.stdout) == (2, "")
    assert [line[:27] for line in result.stderr.splitlines()] == ["pad19: capsule/pad19.toml: "] * 2


def test_what_would_keep_it_from_starting(capsule: Path) -> None:
    (capsule / "content/index.gmi").write_text("=>\n")
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        result = check("capsule", "--listen", f"127.0.0.1:{port}")
    assert result.exit_code == 1
    assert result.stderr.startswith(f'pad19: server.listen: "127.0.0.1:{port}" cannot be listened on')
    assert result.stdout.endswith("1 file, 0 links: 2 problems\n")  # and the pages are looked at, too


def test_warnings_of_certificates(capsule: Path) -> None:
    made = make("localhost", capsule / "certs")
    made.key_path.chmod(0o644)
    result = check("capsule")
    assert result.exit_code == 1
    assert result.stdout.startswith(f"warning: {made.key_path} can be read by everybody")


def test_flags_are_those_of_serve(capsule: Path) -> None:
    other = capsule / "other.toml"
    other.write_text("[server]\nlisten = ['127.0.0.1:0']\n[[capsule]]\nhosts = ['a.test', 'b.test']\n")
    result = check("--config", str(other), "--certs", "c", "--workers", "1")
    assert "certificate for a.test" in result.stdout
    result = check("capsule/content", "--host", "b.test", "--certs", "c", "--listen", "127.0.0.1:0")
    assert "certificate for b.test" in result.stdout
    assert "1 file" in result.stdout


# What the server would say at its start

FP = f"sha256:{'a' * 64}"
ZONE = "[[capsule]]\n[[capsule.zone]]\npath = '/a/'\nallow = 'everybody'\n"
LIST = "[[capsule]]\n[[capsule.zone]]\npath = '/a/'\nallow = 'file:list'\n"
UPLOADS = "[capsule.titan]\ntoken = 'open sesame'\n"
WARNINGS = [  # configuration, what is in the file "list", the warning or nothing
    (f"[[capsule]]\n{UPLOADS}", "", ""),
    ("[[capsule]]\n[capsule.titan]\n", "", "localhost: nobody may upload; give a [[capsule.zone]] write"),
    ("[[capsule]]\n[capsule.titan]\ntoken = 'file:list'\n", "long enough\n", ""),
    (
        "[[capsule]]\n[capsule.titan]\ntoken = 'file:list'\n",
        "short\n",
        "{folder}/list: line 1 is no token: it has less than 8 characters",
    ),
    (LIST, f"{FP} Ada\n", ""),
    (LIST, f"{FP}\njunk\n", "{folder}/list: line 2 counts for nobody: it must be a fingerprint"),
    (LIST, None, "{folder}/list: it cannot be used (not a file), so whoever had to be looked up"),
    (LIST.replace("file:", "ca:"), "x", "{folder}/list: it cannot be used (no certificates in PEM), so"),
    (f"{ZONE}deny = 'file:list'\n", "junk\n", "{folder}/list: line 1 may mean anybody, so until"),
    # Uploads that zones allow, and nothing takes.
    *(
        (f"{ZONE}{line}\n", "", "localhost: uploads to its zones (/a/) are refused; to take them, write [cap")
        for line in (
            "write = 'any'",
            "token = 'open sesame'",
            "quota = 5",
            "max_size = 5",
            "types = 'text/*'",
        )
    ),
    (f"{ZONE}write = 'any'\nquota = 5\n[capsule.titan]\n", "", ""),
    (ZONE, "", ""),
]


@pytest.mark.parametrize(("text", "listed", "warning"), WARNINGS)
def test_warnings_at_the_start(text: str, listed: str | None, warning: str, capsule: Path) -> None:
    make("localhost", capsule / "certs")
    if listed is None:
        os.mkfifo(capsule / "list")
    else:
        (capsule / "list").write_text(listed)
    (capsule / "pad19.toml").write_text(f"[server]\nlisten = ['127.0.0.1:0']\n{text}")
    result = check("capsule")
    if not warning:
        assert (result.exit_code, result.stdout) == (0, "1 file, 1 link: 0 problems\n")
        return
    said, counts = result.stdout.splitlines()
    assert said.startswith(f"warning: {warning.replace('{folder}', str(capsule))}")
    assert (result.exit_code, counts) == (1, "1 file, 1 link: 1 problem")


def test_routes_that_are_given_no_uploads(capsule: Path, tmp_path: Path) -> None:
    make("localhost", capsule / "certs")
    (capsule / "routes").mkdir()
    (capsule / "routes/a.py").write_text(
        "from pad19 import Request, Routes\nroutes = Routes()\n"
        "@routes.titan('/')\nasync def save(request: Request) -> str:\n    return ''\n"
    )
    (capsule / "pad19.toml").write_text(
        "[server]\nlisten = ['127.0.0.1:0']\n[[capsule]]\nroutes = 'routes'\n"
    )
    done = command("check", str(capsule), home=tmp_path)  # routes are imported once in a process
    assert done.returncode == 1
    assert "warning: localhost: uploads to its routes are refused; to take them, write" in done.stdout


def test_what_serving_would_not_start_with(capsule: Path) -> None:
    made = make("localhost", capsule / "certs")
    made.key_path.write_text("")
    (capsule / "routes").mkdir()
    (capsule / "routes/a.py").write_text("import nothing\n")
    (capsule / "pad19.toml").write_text(
        "[server]\nlisten = ['127.0.0.1:0']\n[[capsule]]\nroutes = 'routes'\n"
    )
    result = check("capsule")
    assert result.exit_code == 1  # found by looking, while 2 is for a configuration that says nothing
    assert [line.partition(" ")[0] for line in result.stderr.splitlines()] == ["pad19:", "pad19:"]
    assert result.stdout.endswith("1 file, 1 link: 2 problems\n")
