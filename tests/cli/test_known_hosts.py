from pathlib import Path

import pytest

from pad19.cli.known_hosts import default_path
from pad19.tls.known_hosts import KnownHostsError


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("/data", "/data/pad19/known_hosts"),
        ("relative", "/home/ada/.local/share/pad19/known_hosts"),
        (None, "/home/ada/.local/share/pad19/known_hosts"),
    ],
)
def test_default_path(monkeypatch: pytest.MonkeyPatch, data: str | None, expected: str) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    if data:
        monkeypatch.setenv("XDG_DATA_HOME", data)
    assert default_path() == Path(expected)


def test_nobody_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError

    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(KnownHostsError, match="no home folder"):
        default_path()
