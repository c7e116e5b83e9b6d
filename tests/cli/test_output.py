import errno
import io
import sys

import click
import pytest

from pad19.cli.output import Output


class Screen(io.TextIOWrapper):
    """A terminal that keeps what it was sent."""

    def __init__(self, encoding: str = "utf-8") -> None:
        self.sent = io.BytesIO()
        super().__init__(self.sent, encoding=encoding, write_through=True)

    def isatty(self) -> bool:
        return True


SHOWN = [  # body, what a terminal gets
    (b"# Hello\n\ttab\n", "# Hello\n\ttab\n"),
    ("ä€😀\n".encode(), "ä€😀\n"),
    (b"a\r\nb\r\n", "a\nb\n"),
    (b"hidden\rshown\r", "hidden\nshown\n"),
    (b"\x1b[2J\x1b]0;title\x07", "␛[2J␛]0;title␇"),
    (b"\x00\x08\x0b\x0c\x0e\x1f\x7f", "␀␈␋␌␎␟␡"),
    ("\x80\x9b2J\x85\x9f".encode(), "�" + "�2J" + "��"),
    (b"\x9b2J \xff \xc3", "�2J � �"),
    (b"", ""),
]


@pytest.mark.parametrize(("body", "shown"), SHOWN)
@pytest.mark.parametrize("size", [1, 1000])
def test_a_terminal(monkeypatch: pytest.MonkeyPatch, body: bytes, shown: str, size: int) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    output = Output("text/gemini; lang=en")
    for start in range(0, len(body), size):
        output.write(body[start : start + size])
    output.finish()
    assert screen.sent.getvalue().decode() == shown


def test_a_terminal_that_lacks_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen("latin-1")
    monkeypatch.setattr(sys, "stdout", screen)
    Output("TEXT/plain").write("ä€\x1b".encode())
    assert screen.sent.getvalue() == b"\xe4??"


@pytest.mark.parametrize("mimetype", ["image/png", "application/octet-stream", "textile"])
def test_a_terminal_gets_no_other_types(monkeypatch: pytest.MonkeyPatch, mimetype: str) -> None:
    monkeypatch.setattr(sys, "stdout", Screen())
    with pytest.raises(click.ClickException, match=f"{mimetype} is not shown on a terminal"):
        Output(mimetype)


@pytest.mark.parametrize("mimetype", ["text/gemini", "image/png"])
def test_everything_else_gets_the_bytes(monkeypatch: pytest.MonkeyPatch, mimetype: str) -> None:
    sent = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(sent))
    output = Output(mimetype)
    output.write(bytes(range(256)))
    assert sent.getvalue() == bytes(range(256))  # at once
    output.finish()
    assert sent.getvalue() == bytes(range(256))


class Narrow(io.RawIOBase):
    """Takes three bytes at a time, and in the end gives the answer of a full disk or a full pipe."""

    def __init__(self, end: OSError | None) -> None:
        self.sent = b""
        self._end = end

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int | None:
        if len(self.sent) < 6:
            assert isinstance(data, memoryview)
            self.sent += bytes(data[:3])
            return min(3, len(data))
        if isinstance(self._end, OSError):
            raise self._end
        return self._end


NARROW = [  # what happens after six bytes, what is said
    (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
    (None, "Resource temporarily unavailable"),
]


@pytest.mark.parametrize(("end", "reason"), NARROW)
def test_what_cannot_be_written(monkeypatch: pytest.MonkeyPatch, end: OSError | None, reason: str) -> None:
    narrow = Narrow(end)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BufferedWriter(narrow)))
    with pytest.raises(click.ClickException, match=rf"standard output cannot be written \({reason}\)"):
        Output("image/png").write(b"0123456789")
    assert narrow.sent == b"012345"


def test_no_standard_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(click.ClickException, match="standard output is closed"):
        Output("text/gemini")
