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
