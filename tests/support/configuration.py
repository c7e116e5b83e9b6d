"""Configurations as files, and what is said of their mistakes."""

from pathlib import Path

import pytest

from pad19.service.config.load import load
from pad19.service.config.model import ConfigError


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "pad19.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def problems(folder: Path, text: str | bytes) -> list[str]:
    """What load() has to say about a file, without the file's name."""
    path = write(folder, text)
    with pytest.raises(ConfigError) as refusal:
        load(path)
    found = refusal.value.problems
    assert str(refusal.value) == "\n".join(found)
    assert all(problem.startswith(str(path)) and problem.isprintable() for problem in found)
    return [problem.removeprefix(str(path)).removeprefix(":").removeprefix(" ") for problem in found]
