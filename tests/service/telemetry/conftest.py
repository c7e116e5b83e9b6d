import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pad19.service.telemetry import status_socket
from pad19.service.telemetry.status_socket import StatusSocket, open_socket


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine where nothing runs: no service manager, a user's runtime folder, one for temporary files."""
    for name in ("xdg", "tmp", "etc"):
        (tmp_path / name).mkdir()
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "xdg"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(status_socket, "SYSTEM_FOLDER", tmp_path / "run")
    monkeypatch.setattr(status_socket, "USERS_FOLDER", tmp_path / "users")
    monkeypatch.setattr(status_socket, "TEMPORARY_FOLDERS", (str(tmp_path / "var"),))
    monkeypatch.setattr(status_socket, "PATIENCE", 5.0)
    return tmp_path


@pytest.fixture
def subject(places: Path) -> Path:
    return places / "etc/pad19.toml"


@pytest.fixture
def server(subject: Path) -> Iterator[StatusSocket]:
    found = open_socket(subject)
    assert found
    yield found
    found.close()
