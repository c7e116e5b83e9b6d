import re
from collections.abc import Callable
from types import ModuleType

import pytest
import trio
from trio.testing import MockClock

from pad19.testing import Client

TICKS = [("/clock/", 10), ("/clock/1", 1), ("/clock/600", 600)]  # path, ticks


@pytest.mark.parametrize(("path", "ticks"), TICKS)
async def test_it_ticks_once_a_second(
    example: Callable[[str], ModuleType], autojump_clock: MockClock, path: str, ticks: int
) -> None:
    client = Client(example("clock").routes, prefix="/clock")
    start = trio.current_time()
    page = (await client.get(path)).text
    assert trio.current_time() - start == pytest.approx(ticks - 1)
    assert re.fullmatch(
        rf"# The time, in UTC\n\n(\d\d:\d\d:\d\d\n){{{ticks}}}\n=> /examples\.gmi All examples\n", page
    )


@pytest.mark.parametrize("path", ["/clock/0", "/clock/601", "/clock/-1", "/clock/x", f"/clock/{'9' * 30}"])
async def test_what_it_cannot_do(example: Callable[[str], ModuleType], path: str) -> None:
    assert (await Client(example("clock").routes, prefix="/clock").get(path)).status == 51
