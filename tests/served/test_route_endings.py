"""Workers come to their end, whatever their routes have begun; and who hangs at the beginning is named."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from pad19.service.fleet import SILENCE
from pad19.service.leaving import FOR_LIBRARIES, FOR_THREADS
from support.capsule_folder import configure, reload
from support.files import write
from support.process import PATIENCE, command, fetch, gemini, serving
from support.route_modules import PAGE, ROUTED, module
from support.waiting import wait_for_end

pytestmark = pytest.mark.machine

SOON = FOR_THREADS + FOR_LIBRARIES + 2.0  # seconds, on a busy machine
STAYS = """
    import atexit
    import threading
    import time
    from pathlib import Path

    def poll():
        while True:
            time.sleep(0.01)

    threading.Thread(target=poll, name="poller").start()
    atexit.register(lambda: Path(__file__).with_name("ended").touch())
"""
NAMED = (
    r"a worker ends though the thread poller is at work at {file}, line \d+, in poll: make it a daemon, or "
)


def test_nobody_waits_for_the_thread_of_a_route(folder: Path) -> None:
    assert SOON < SILENCE
    configure(write(folder, {"routes/index.py": module(STAYS) + PAGE.format("page")}), capsule=ROUTED)
    with serving(folder, home=folder) as server:
        old = server.workers
        reload(server)
        begin = time.monotonic()
        wait_for_end(old)
        assert time.monotonic() - begin < SOON
        server.wait_for_err("a worker ends though the thread poller")
        assert (folder / "routes/ended").exists()
        assert fetch(server.address, gemini(server.address)).body == b"page"
        begin = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - begin < SOON
        assert re.search(NAMED.format(file=re.escape(f"{folder}/routes/index.py")), server.err)
        assert "sign of life" not in server.err


def test_what_hangs_at_the_end_is_not_waited_for(folder: Path) -> None:
    text = """
        import atexit
        import time
        atexit.register(time.sleep, 60)
    """
    configure(write(folder, {"routes/index.py": module(text)}), capsule=ROUTED)
    with serving(folder, home=folder) as server:
        begin = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - begin < SOON


def test_threads_that_end_by_themselves_are_waited_for(folder: Path) -> None:
    text = """
        import atexit
        import concurrent.futures
        import threading
        import time
        from pathlib import Path

        def save_at_the_end():
            while threading.main_thread().is_alive():
                time.sleep(0.01)
            Path(__file__).with_name("saved").touch()

        pool = concurrent.futures.ThreadPoolExecutor()
        pool.submit(print, "idle from now on")
        threading.Thread(target=save_at_the_end).start()
    """
    configure(write(folder, {"routes/index.py": module(text)}), capsule=ROUTED)
    with serving(folder, home=folder) as server:
        assert server.stop() == 0
        assert (folder / "routes/saved").exists()
        assert "at work" not in server.err


def test_a_broken_module_with_a_thread(folder: Path) -> None:
    configure(write(folder, {"routes/index.py": module(STAYS) + "1 / 0\n"}), capsule=ROUTED)
    begin = time.monotonic()
    done = command("serve", str(folder), home=folder)
    assert done.returncode == 2
    assert f"{folder}/routes/index.py, line " in done.stderr
    assert time.monotonic() - begin < PATIENCE
    assert (folder / "routes/ended").exists()


# Imports


def test_an_import_that_hangs_is_named(folder: Path) -> None:
    text = """
        import time
        from pathlib import Path

        def wait():
            while not Path(__file__).with_name("go").exists():
                time.sleep(0.01)

        wait()
    """
    hangs = module(text) + PAGE.format("page")
    configure(write(folder, {"routes/good.py": module(PAGE.format("good"))}), watch=True, capsule=ROUTED)
    with serving(folder, home=folder) as server:
        write(folder, {"routes/hangs.py": hangs})
        file = f"{folder}/routes/hangs.py"
        server.wait_for_err(f"{file} is still being imported after 3 seconds, now at {file}, line ")
        assert fetch(server.address, gemini(server.address, "/good/")).body == b"good"
        (folder / "routes/go").touch()
        server.wait_for_err("reloaded")
        assert fetch(server.address, gemini(server.address, "/hangs/")).body == b"page"
        assert server.err.count("still being imported") == 1
        assert server.stop() == 0
