import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from click.testing import CliRunner

from pad19.cli import _COMMANDS, main
from support.process import COMMAND, PATIENCE


def test_help_lists_every_command() -> None:
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    listed = re.findall(r"^  (\w+) +(.+)$", result.stdout.partition("Commands:\n")[2], re.MULTILINE)
    assert dict(listed) == _COMMANDS


@pytest.mark.parametrize("name", _COMMANDS)
def test_every_command_is_there(name: str) -> None:
    for option in ("--help", "-h"):
        result = CliRunner().invoke(main, [name, option], catch_exceptions=False)
        assert result.exit_code == 0
        assert result.stdout.startswith(f"Usage: main {name} ")


def test_version() -> None:
    result = CliRunner().invoke(main, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"pad19 {version('pad19')}\n")


@pytest.mark.parametrize("arguments", [["serv"], ["--serve"], ["os.path"], ["__init__"]])
def test_what_is_no_command(arguments: list[str]) -> None:
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 2
    assert "No such" in result.stderr


@pytest.mark.parametrize(
    ("name", "meant"), [("chek", "check"), ("serv", "serve"), ("indentity", "identity"), ("x", None)]
)
def test_what_may_be_meant(name: str, meant: str | None) -> None:
    result = CliRunner().invoke(main, [name], catch_exceptions=False)
    suggestion = f" Did you mean '{meant}'?" if meant else ""
    assert result.stderr.endswith(f"\nError: No such command '{name}'.{suggestion}\n")


def test_asking_for_help_loads_no_room() -> None:
    program = (
        "import sys\nfrom pad19.cli import main\nmain(['--help'], standalone_mode=False)\n"
        "print({'trio', 'OpenSSL', 'cryptography', 'msgspec'} & {*sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == "set()\n"


ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def test_python_m() -> None:
    done = subprocess.run([sys.executable, "-m", "pad19", "-h"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Usage: pad19 [OPTIONS] COMMAND ")


@pytest.mark.parametrize("command", [COMMAND, [sys.executable, "-m", "pad19"]], ids=["-c", "-m"])
def test_a_locale_that_is_not_utf_8(command: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [*command, "cert", "new", "--client", "Ada", "--out", "caf\xe9"],
        env={**os.environ, **ASCII},
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )
    assert done.stderr == b""
    assert "caf\xe9.crt, caf\xe9.key" in done.stdout.decode()
    assert {path.name for path in tmp_path.iterdir()} == {"caf\xe9.crt", "caf\xe9.key"}


def test_a_python_that_takes_no_notice_of_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would begin anew again and again."""
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "iso8859-1")
    monkeypatch.setenv("PYTHONUTF8", "1")
    with pytest.raises(SystemExit, match=r"^Error: names of files are iso8859-1 here, not UTF-8: start Py"):
        main()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
@pytest.mark.parametrize("arguments", [["--version"], ["check", "--schema"], ["cert", "show"]])
def test_a_full_disk_behind_standard_output(arguments: list[str], tmp_path: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*COMMAND, *arguments],
            env={"HOME": str(tmp_path)},
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=PATIENCE,
            check=False,
        )
    assert done.stderr == b"Error: nothing more can be written (No space left on device): make room\n"
    assert done.returncode == 1
