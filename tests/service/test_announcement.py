from pathlib import Path

import pytest

from pad19.service.announcement import announce
from pad19.service.config.capsule import Capsule
from pad19.service.config.model import Config
from pad19.service.logs import messages


def test_a_configuration_above_the_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(messages, "say", said.append)
    content = tmp_path / "content"
    config = Config(capsules=(Capsule(content=content, hosts=()),))
    alone = f"  (no pad19.toml in {content}, so the folder itself is the content"
    announce(config, [], [])
    (tmp_path / "pad19.toml").touch()
    announce(config, [], [])
    assert [line for line in said if line.startswith("  (")] == [
        f"{alone})",
        f"{alone}; {tmp_path}/pad19.toml is not looked at)",
    ]
