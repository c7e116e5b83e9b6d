import errno
import os

import pytest

from pad19.service.passing import PASSING, is_passing


@pytest.mark.parametrize("number", sorted(PASSING))
def test_errors_that_pass(number: int) -> None:
    assert is_passing(f"/srv/certs/a.key cannot be written ({os.strerror(number)}): make room")


LASTING = [
    f"a.key cannot be read ({os.strerror(errno.EACCES)}): allow it",
    f"{os.strerror(errno.ENOSPC)}.gmi is no key",  # nobody gives it as the reason
    "",
]


@pytest.mark.parametrize("problem", LASTING)
def test_other_errors(problem: str) -> None:
    assert not is_passing(problem)
