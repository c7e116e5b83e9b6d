import signal
from collections.abc import Iterator

import pytest

from pad19.service.signals import CAUGHT


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    """A server that has run in this process ignores signals afterwards, since its own would end."""
    before = {number: signal.getsignal(number) for number in CAUGHT}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
