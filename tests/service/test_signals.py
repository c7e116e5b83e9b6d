"""Whether a SIGHUP says that the terminal was closed, or that somebody wants a reload."""

import errno

import pytest

from pad19.service import signals
from pad19.service.signals import OUTLIVED, Signals


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """What is wrong with it, in the end."""
    problems: list[int | None] = [None]
    monkeypatch.setattr(signals, "_terminal_problem", lambda: problems[-1])
    return problems


def test_a_terminal_that_was_just_closed(terminal: list[int | None]) -> None:
    caught = Signals()
    caught.look(1.0)
    assert not caught.terminal_is_gone
    terminal.append(errno.EIO)
    caught.look(2.0)
    caught.look(2.0 + OUTLIVED - 0.1)
    assert caught.terminal_is_gone


def test_a_terminal_whose_end_was_survived(terminal: list[int | None]) -> None:
    caught = Signals()
    terminal.append(errno.ENXIO)
    caught.look(1.0)
    caught.look(1.0 + OUTLIVED)
    assert not caught.terminal_is_gone


def test_a_terminal_that_cannot_be_had_for_a_moment(terminal: list[int | None]) -> None:
    caught = Signals()
    terminal.append(errno.EMFILE)  # which says nothing
    caught.look(1.0)
    caught.look(1.0 + OUTLIVED)
    terminal.append(errno.EIO)
    caught.look(2.0 + OUTLIVED)
    assert caught.terminal_is_gone


def test_no_terminal_from_the_beginning(terminal: list[int | None]) -> None:
    terminal.append(errno.ENXIO)
    caught = Signals()
    caught.look(1.0)
    assert not caught.terminal_is_gone
