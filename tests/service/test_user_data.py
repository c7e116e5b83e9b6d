from pathlib import Path

import pytest

from pad19.service.user_data import NoHomeFolder, user_data


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("/data", "/data/pad19"),
        ("relative", "/home/ada/.local/share/pad19"),
        (None, "/home/ada/.local/share/pad19"),
    ],
)
def test_user_data(monkeypatch: pytest.MonkeyPatch, data: str | None, expected: str) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    if data:
        monkeypatch.setenv("XDG_DATA_HOME", data)
    assert user_data() == Path(expected)


def test_nobody_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError

    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(NoHomeFolder):
        user_data()
