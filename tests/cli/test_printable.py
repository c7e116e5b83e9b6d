import pytest

from pad19.cli.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Ada's café", "Ada's café"),
        ("a\x1b[2Jb\x07", r"a\x1b[2Jb\x07"),
        ("a\nb\tc", r"a\nb\tc"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("caf\udce9", r"caf\udce9"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_what_is_kept() -> None:
    assert printable("a\nb\t", keep="\n") == "a\nb\\t"
