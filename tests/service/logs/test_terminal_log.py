"""Requests as they show in a terminal."""

import re
import time
from collections.abc import Iterator
from dataclasses import replace

import click
import pytest

from pad19.dispatch.record import Record
from pad19.service.logs.terminal import SLOW, terminal_formatter

RECORD = Record(
    "192.0.2.77",
    started=1795410501.375,  # 2026-11-23, 05:08:21 UTC
    duration=0.01234,
    request="gemini://localhost/",
    status=20,
    bytes_sent=1516,
    tls_version="TLSv1.3",
    fingerprint="sha256:" + "ab" * 32,
)


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two hours east of Greenwich."""
    monkeypatch.setenv("TZ", "TST-2")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


LINES = [
    (RECORD, "07:08:21  20      12.3 ms      1,516 B  gemini://localhost/"),
    (
        replace(RECORD, status=51, bytes_sent=0, request="gemini://localhost/a?b"),
        "07:08:21  51      12.3 ms          0 B  gemini://localhost/a?b",
    ),
    (
        replace(RECORD, duration=12.3456789, bytes_sent=123_456_789, reason="client left: reset"),
        "07:08:21  20   12345.7 ms  123,456,789 B  gemini://localhost/  (client left: reset)",
    ),
    (
        Record("", started=1795410501.0, reason="handshake timeout", duration=10.0),
        "07:08:21  --   10000.0 ms          0 B  -  (handshake timeout)",
    ),
]


@pytest.mark.parametrize(("record", "line"), LINES)
def test_lines(record: Record, line: str) -> None:
    assert terminal_formatter(colour=False)(record) == line
    coloured = terminal_formatter(colour=True)(record)
    assert click.unstyle(coloured) == line
    assert coloured != line


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize(
    "text", ["\x1b[31mred", "\x1b]0;title\x07", "two\nlines", "a\rb", "\x9b2J", "\u202eabc", "\udcff", '"']
)
def test_a_stranger_plays_no_tricks_with_the_terminal(text: str, colour: bool) -> None:
    line = terminal_formatter(colour=colour)(replace(RECORD, request=text, reason=text))
    assert text not in line
    assert click.unstyle(line).isprintable()


def test_a_token_is_nobody_elses_business() -> None:
    request = "titan://localhost/a;size=1;token=secret;mime=text/plain"
    assert "secret" not in terminal_formatter(colour=False)(replace(RECORD, request=request))


COLOURS = [  # status, and the colour of it (ECMA-48, section 8.3.117: 33 is yellow)
    (10, 36), (11, 36), (20, 32), (30, 34), (31, 34), (40, 33), (44, 33), (51, 31), (59, 31), (60, 35),
    (62, 35),
]  # fmt: skip


@pytest.mark.parametrize(("status", "colour"), COLOURS)
def test_each_kind_of_answer_has_its_colour(status: int, colour: int) -> None:
    line = terminal_formatter(colour=True)(replace(RECORD, status=status))
    assert re.search(rf"\x1b\[1;{colour}m{status}\x1b\[0m", line)


def test_no_answer_has_none() -> None:
    line = terminal_formatter(colour=True)(replace(RECORD, status=None))
    assert "\x1b[1;39m--\x1b[0m" in line


@pytest.mark.parametrize(("seconds", "stands_out"), [(0.0, False), (SLOW - 0.001, False), (SLOW, True)])
def test_what_is_slow_stands_out(seconds: float, stands_out: bool) -> None:
    line = terminal_formatter(colour=True)(replace(RECORD, duration=seconds))
    assert ("\x1b[33m" in line) is stands_out
