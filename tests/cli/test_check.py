import socket
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pad19.cli import main
from pad19.cli.check import MAX_TOLD
from pad19.service import check_machine
from pad19.tls.making import make


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
    assert result.exit_code == 2
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
