import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pad19.cli import main
from pad19.service.telemetry.scoreboard import Scoreboard, size
from pad19.service.telemetry.status import Snapshot, as_text, message
from pad19.service.telemetry.status_socket import StatusSocket, open_socket, subjects
from support.status import Loop

SNAPSHOT = Snapshot(
    version="0.1.0",
    uptime_s=7500,
    generation=3,
    addresses=("[::]:1965",),
    workers=(),
    certificates=(),
    totals=Scoreboard(bytearray(size(1)), 1).totals(),
    taken_at=datetime(2026, 11, 23, tzinfo=UTC),
)


@pytest.fixture
def capsule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = tmp_path / "capsule"
    folder.mkdir()
    (folder / "pad19.toml").touch()
    monkeypatch.chdir(tmp_path)
    return folder


def started(folder: Path, config: Path | None = None) -> StatusSocket:
    server = open_socket(subjects(folder, config)[0])
    assert server
    return server


def status(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["status", *arguments], catch_exceptions=False)


def test_it_runs(capsule: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = started(capsule)
    with Loop(server, lambda: message(SNAPSHOT)):
        result = status("capsule")
        assert (result.exit_code, result.stdout, result.stderr) == (0, as_text(SNAPSHOT), "")
        assert status(str(capsule)).stdout == result.stdout
        assert status("--config", "capsule/pad19.toml").stdout == result.stdout
        monkeypatch.chdir(capsule)
        assert status().stdout == result.stdout
    server.close()


def test_for_programs(capsule: Path) -> None:
    server = started(capsule)
    with Loop(server, lambda: message(SNAPSHOT)):
        result = status("capsule", "--json")
    server.close()
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.count("\n") == 1
    assert json.loads(result.stdout)["generation"] == 3


def test_another_file(capsule: Path) -> None:
    server = started(capsule, capsule / "other.toml")
    with Loop(server, lambda: message(SNAPSHOT)):
        assert status("capsule").exit_code == 1
        assert status("capsule", "--config", str(capsule / "other.toml")).exit_code == 0
    server.close()


@pytest.mark.parametrize("text", ["= broken", "[server]\nworkers = -1\n", "[metrics]"])
def test_a_configuration_that_is_broken_by_now(text: str, capsule: Path) -> None:
    server = started(capsule)
    (capsule / "pad19.toml").write_text(text)
    with Loop(server, lambda: message(SNAPSHOT)):
        assert status("capsule").exit_code == 0
        (capsule / "pad19.toml").unlink()
        assert status("capsule").exit_code == 0
    server.close()


def test_it_plays_no_tricks_with_the_terminal(capsule: Path) -> None:
    server = started(capsule)
    with Loop(server, lambda: "{}\nunix:/\x1b]0;x\x07\u202e é\n"):
        assert status("capsule").stdout == "unix:/\\x1b]0;x\\x07\\u202e é\n"
    server.close()


@pytest.mark.parametrize(
    "arguments", [["capsule"], ["capsule", "--json"], ["--config", "capsule/pad19.toml"]]
)
def test_nothing_runs(arguments: list[str], capsule: Path) -> None:
    result = status(*arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        f"pad19: no pad19 runs for {capsule}/pad19.toml: name the DIR or the --config that it has\n"
    )


def test_a_folder_that_is_not_there(capsule: Path) -> None:
    result = status("none")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"pad19: no pad19 runs for {capsule.parent}/none: ")


def test_a_working_directory_that_is_gone(capsule: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = capsule / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    result = status()
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "pad19: the working directory is of no use (No such file or directory): go to another one\n"
    )


def test_flags_that_are_not_there(capsule: Path) -> None:
    assert status("--certs", "x").exit_code == 2
