import pytest

from pad19.protocol.titan import without_token


@pytest.mark.parametrize(
    ("uri", "logged"),
    [
        ("titan://h/a;size=1", "titan://h/a;size=1"),
        ("titan://h/a;token=secret", "titan://h/a;token=..."),
        ("titan://h/a;token=secret;size=1", "titan://h/a;token=...;size=1"),
        ("titan://h/a;size=1;token=secret?q", "titan://h/a;size=1;token=...?q"),
        ("titan://h/a;TOKEN=secret", "titan://h/a;TOKEN=..."),
        ("titan://h/a;token=secret;token=another", "titan://h/a;token=...;token=..."),
        ("titan://h/a;token=", "titan://h/a;token=..."),
        ("titan://h/a;token=sec=ret/%3B", "titan://h/a;token=..."),
        ("titan://h/a;token=two words\tsecret", "titan://h/a;token=..."),  # refused, logged all the same
        ("titan://h/a;token=sec\nret\r", "titan://h/a;token=..."),
        ("gemini://h/a;token=secret", "gemini://h/a;token=..."),  # the wrong scheme, the right password
        ("gemini://h/token=public", "gemini://h/token=public"),
        ("", ""),
    ],
)
def test_a_token_is_not_logged(uri: str, logged: str) -> None:
    assert without_token(uri) == logged
    assert without_token(logged) == logged
