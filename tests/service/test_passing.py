import errno
import os
from pathlib import Path

import pytest

from pad19.service.config.model import ConfigError
from pad19.service.logs.writer import open_log
from pad19.service.passing import PASSING, is_passing


@pytest.mark.parametrize("number", sorted(PASSING))
def test_errors_that_pass(number: int) -> None:
    assert is_passing(f"/srv/certs/a.key cannot be written ({os.strerror(number)}): make room")


def test_a_fifo_has_a_reader_later(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "log")
    with pytest.raises(ConfigError) as error:
        open_log(str(tmp_path / "log"))
    assert all(map(is_passing, error.value.problems))


LASTING = [
    f"a.key cannot be read ({os.strerror(errno.EACCES)}): allow it",
    f"{os.strerror(errno.ENOSPC)}.gmi is no key",  # nobody gives it as the reason
    "",
]


@pytest.mark.parametrize("problem", LASTING)
def test_other_errors(problem: str) -> None:
    assert not is_passing(problem)
