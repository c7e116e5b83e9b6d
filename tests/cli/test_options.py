"""What is given as a folder or a file and cannot be used: one sentence, with the path and the mend."""

import importlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from support.users import unprivileged

COMMANDS: dict[str, click.Command] = {
    name: getattr(importlib.import_module(f"pad19.cli.{name}"), name)
    for name in ("serve", "dev", "check", "status", "init", "cert", "identity", "get", "put")
}
# What they import when they are called, where an ordinary user may be unable to read it.
importlib.import_module("pad19.cli.visit")

ARGUMENTS: list[tuple[str, int, str]] = [  # the command, its exit status, the rest of the sentence
    *(
        (f"{name} {arguments}", 2, sentence)
        for name in ("serve", "dev", "check")
        for arguments, sentence in (
            ("shut", "DIR is {folder}/shut, but it cannot be read by this user: allow that, or name another"),
            ("shut/in", "but it cannot be read by this user: allow that for it and the folders above, or"),
            ("file", "DIR is file, but that is a file: name its folder, or give it with --config"),
            ("none", "DIR is {folder}/none, but there is no such folder: create it, or name another"),
            ("--config shut", "shut cannot be read (Permission denied): mend that, or name another file"),
            ("--config shut/in", "shut/in cannot be read (Permission denied): mend that, or name another"),
            ("--config closed", "closed cannot be read (Permission denied): mend that, or name another"),
        )
    ),
    ("status shut", 1, "no pad19 that you may ask runs for {folder}/shut: name the DIR"),
    ("status shut/in", 1, "no pad19 that you may ask runs for {folder}/shut/in: name the DIR"),
    ("status --config closed", 1, "no pad19 that you may ask runs for {folder}/closed: name the DIR"),
    ("init shut", 1, "shut cannot be made (Permission denied): mend that, or name another folder"),
    ("init file", 1, "file cannot be made (Not a directory): mend that, or name another folder"),
    ("cert show --certs shut", 1, "shut cannot be read (Permission denied); make it readable for the user"),
    ("cert show --certs shut/in", 1, "shut/in cannot be read (Permission denied); make it readable"),
    ("cert show a --certs shut", 1, "shut/a.crt cannot be read (Permission denied); make it readable"),
    ("cert new a --certs shut", 1, "cannot be written (Permission denied); make the folder writable"),
    ("cert show closed.crt", 1, "closed.crt cannot be read (Permission denied); mend that, or name another"),
    (
        "identity list --file closed",
        1,
        "closed cannot be read (Permission denied); mend that, or name another",
    ),
    ("identity list --file open", 1, "open cannot be read (Is a directory); mend that, or name another with"),
    ("get a.test --cert closed", 2, "--cert: closed cannot be read (Permission denied); make it readable"),
    ("put closed a.test", 1, "closed cannot be read (Permission denied); mend that, or name another file"),
    ("put none a.test", 1, "none cannot be read (No such file or directory); mend that, or name another"),
]


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with unprivileged() as path:
        monkeypatch.chdir(path)
        monkeypatch.setattr(os, "access", _as_effective_user)
        monkeypatch.setenv("XDG_DATA_HOME", str(path / "data"))
        for name in ("open", "shut"):
            (path / name).mkdir()
        for name in ("file", "closed", "closed.crt"):
            (path / name).touch()
        for name in ("shut", "closed", "closed.crt"):
            (path / name).chmod(0)
        yield path
        (path / "shut").chmod(0o700)


def _as_effective_user(
    path: Path | str, mode: int, *, effective_ids: bool = True, _access: Callable[..., bool] = os.access
) -> bool:
    """What access(2) would say to somebody who is an ordinary user for good."""
    return _access(path, mode, effective_ids=True)


def run(line: str) -> Result:
    name, *arguments = line.split()
    return CliRunner().invoke(COMMANDS[name], arguments, catch_exceptions=False)


@pytest.mark.parametrize(("line", "status", "sentence"), ARGUMENTS, ids=[row[0] for row in ARGUMENTS])
def test_what_cannot_be_used_is_told_in_a_sentence(
    folder: Path, line: str, status: int, sentence: str
) -> None:
    result = run(line)
    assert result.exit_code == status
    [told] = result.stderr.splitlines()
    assert sentence.format(folder=folder) in told
