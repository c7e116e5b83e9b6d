import logging
from pathlib import Path

import pytest

from pad19.dispatch.zones.tokens import Tokens


@pytest.mark.parametrize(
    "token", ["", "a", "opensesame", "open sesame ", "OPEN SESAME", "open sesame\0", "é" * 99]
)
def test_another_one(token: str) -> None:
    tokens = Tokens(["open sesame", "swordfish", "ouvre-toi é"])
    assert not tokens.has(token)
    assert all(map(tokens.has, ["open sesame", "swordfish", "ouvre-toi é"]))


def test_none() -> None:
    assert not Tokens()
    assert not Tokens().has("")
    assert Tokens(["open sesame"])


def test_a_file_of_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "tokens"
    file.write_bytes(b"\xef\xbb\xbfopen sesame\r\n\n# a comment\n  sword fish  \nshort\nno\xffutf8-text\n")
    tokens = Tokens(["from the configuration"], [file])
    assert tokens
    assert all(map(tokens.has, ["open sesame", "sword fish", "from the configuration"]))
    assert not any(map(tokens.has, ["", "# a comment", "short", "no\ufffdutf8-text"]))
    assert caplog.messages == [
        f"{file}: line 5 is no token: it has less than 8 characters",
        f"{file}: line 6 is no token: it is not UTF-8",
    ]
    file.write_text("another one\n")
    assert tokens.has("another one")
    assert not tokens.has("open sesame")


def test_a_file_that_is_missing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tokens = Tokens(["open sesame"], [tmp_path / "none"])
    assert tokens  # there may be one later
    assert not tokens.has("")
    assert tokens.has("open sesame")
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_they_are_nowhere_in_memory() -> None:
    tokens = Tokens(["open sesame"])
    assert "sesame" not in f"{tokens!r}{vars(tokens)}"
