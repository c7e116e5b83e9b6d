"""What lives beside the requests: the lifespans of routes, and programs."""

from pathlib import Path
from textwrap import dedent

import pytest
import trio
from trio.testing import MockClock

from pad19.protocol.client import Client
from pad19.protocol.failure import CGIError
from pad19.protocol.request import parse_request
from pad19.service.config.capsule import Capsule
from pad19.service.config.model import ConfigError
from pad19.service.fleet import STOP_MARGIN
from pad19.service.handlers import handler_for
from pad19.service.lifespans import LAST_WORK
from pad19.service.mounting import Backends
from support.mounting import LIFE, configured, living, problem_of, with_routes, write
from support.scripts import SH, write_script

pytestmark = pytest.mark.usefixtures("fresh_imports")


async def test_lifespans_begin_and_end_in_order(tmp_path: Path, said: list[str]) -> None:
    files = {f"routes/{name}.py": LIFE.replace("NAME", name) for name in ("one", "two")}
    write(tmp_path, files)
    async with living(tmp_path, with_routes(tmp_path)):
        assert said == ["one begins", "two begins"]
    assert said[2:] == ["two ends", "one ends"]


async def test_lifespans_end_also_when_all_is_cancelled(tmp_path: Path, said: list[str]) -> None:
    write(tmp_path, {"routes/one.py": LIFE.replace("NAME", "one")})
    with trio.CancelScope() as scope:
        async with living(tmp_path, with_routes(tmp_path)):
            scope.cancel()
            await trio.lowlevel.checkpoint()
    assert said == ["one begins", "one ends"]


async def test_lifespans_have_not_for_ever(
    tmp_path: Path, said: list[str], caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    slow = LIFE.replace('said("NAME ends")', "await trio.sleep(60)")
    # Without the store, whose threads let the clock jump.
    write(tmp_path, {"routes/one.py": slow.replace('await capsule.store.set("ended", True)', "")})
    backends = Backends(configured(tmp_path, capsule := with_routes(tmp_path)))
    handler_for(capsule, backends)
    async with backends.living():
        begin = trio.current_time()
    assert trio.current_time() - begin >= LAST_WORK
    assert "the lifespans of the routes did not end within 3 seconds" in caplog.messages
    assert LAST_WORK < STOP_MARGIN


async def test_a_lifespan_that_raises(
    tmp_path: Path, said: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    broken = LIFE.replace('said("NAME begins")', 'raise ValueError("no\\n database")')
    write(tmp_path, {"routes/one.py": LIFE.replace("NAME", "one"), "routes/two.py": broken})
    expected = "a lifespan of the routes failed (ValueError: no database): mend it"
    assert await problem_of(tmp_path) == expected
    assert said == ["one begins", "one ends"]
    assert f'{tmp_path}/routes/two.py", line ' in caplog.text


async def test_a_lifespan_that_raises_what_has_no_words(tmp_path: Path, said: list[str]) -> None:
    mute = "class Mute(Exception):\n    def __str__(self):\n        return None\n\n"
    write(tmp_path, {"routes/one.py": mute + LIFE.replace('said("NAME begins")', "raise Mute")})
    assert await problem_of(tmp_path) == (
        "a lifespan of the routes failed (one.Mute: <exception str() failed>): mend it"
    )


async def test_a_lifespan_that_raises_at_its_end(
    tmp_path: Path, said: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    broken = LIFE.replace('said("NAME ends")', "1 / 0")
    write(tmp_path, {"routes/one.py": LIFE.replace("NAME", "one"), "routes/two.py": broken})
    async with living(tmp_path, with_routes(tmp_path)):
        pass
    assert said[-1] == "one ends"  # nevertheless
    [record] = caplog.records
    assert record.getMessage() == "a lifespan failed at its end"
    assert "ZeroDivisionError" in caplog.text


CRASHES = [  # how a lifespan comes to its end before the worker, and what is said then
    (
        "async with trio.open_nursery() as nursery:",
        "nursery.start_soon(crash)",
        "a lifespan of the routes failed (ZeroDivisionError: division by zero): mend it",
    ),
    ("with trio.move_on_after(0.01):", "pass", "a lifespan of the routes ended before its time: mend it"),
]


@pytest.mark.parametrize(("block", "line", "problem"), CRASHES)
async def test_a_lifespan_that_fails_later_on_is_no_quiet_end(
    tmp_path: Path, said: list[str], block: str, line: str, problem: str
) -> None:
    text = f"""
        async def crash():
            await trio.lowlevel.checkpoint()
            1 / 0

        @routes.lifespan
        async def crashing(capsule: Capsule) -> AsyncIterator[None]:
            {block}
                {line}
                yield
                said("as if all were well")
    """
    files = {"routes/a.py": LIFE.replace("NAME", "a"), "routes/b.py": LIFE + dedent(text)}
    write(tmp_path, files)
    with trio.fail_after(10), pytest.raises(ExceptionGroup) as group:
        async with living(tmp_path, with_routes(tmp_path)):
            await trio.sleep_forever()
    [error] = group.value.exceptions
    assert isinstance(error, ConfigError)
    assert error.problems == (problem,)
    assert said == ["a begins", "NAME begins", "NAME ends", "a ends"]


async def test_programs_end_with_the_worker(tmp_path: Path) -> None:
    write(tmp_path, {})
    write_script(tmp_path / "cgi-bin/slow", f"{SH}printf '20 text/plain\\r\\nx'; exec sleep 60")
    capsule = Capsule(content=tmp_path / "content", cgi={"/cgi-bin/": tmp_path / "cgi-bin"})
    request = parse_request(b"gemini://localhost/cgi-bin/slow", Client())
    with trio.fail_after(10):
        async with living(tmp_path, capsule) as [handler]:
            response = await handler(request)
    assert not isinstance(response.body, bytes)
    await response.body.aclose()
    with pytest.raises((RuntimeError, CGIError)):
        await handler(request)  # nothing starts any more
