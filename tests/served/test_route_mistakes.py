"""Routes that cannot be loaded: at the start, at a reload, while they are written, and for `pad19 check`."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent

import pytest

from support.capsule_folder import NOT_RELOADED, RELOADED, configure, reload, reload_in_vain
from support.files import write
from support.process import command, fetch, gemini, serving
from support.route_modules import PAGE, ROUTED, module
from support.scripts import SH, write_script

pytestmark = pytest.mark.machine


def life(begins: str) -> str:
    text = """
        @routes.lifespan
        async def life(capsule):
            BEGINS
            yield
    """
    return dedent(text).replace("BEGINS", begins)


BROKEN = [  # the module, what is said of it
    ("import pad19\ndef f(:\n", r"{file}, line 2, column 7: SyntaxError: invalid syntax"),
    ("import nowhere\n", r"{file}, line 1: ModuleNotFoundError: No module named 'nowhere': install it, .*"),
    (module("1 / 0"), r"{file}, line 4: ZeroDivisionError: division by zero"),
    ("import os\n", r"{file}: it has no routes: write routes = Routes\(\), or begin its name with _ .*"),
    ("raise SystemExit(0)\n", r"{file}, line 1: it ends the program, with sys\.exit\(0\): let it only .*"),
    (module(life("1 / 0")), r"a lifespan of the routes failed \(ZeroDivisionError: .*\): mend it"),
]


@pytest.mark.parametrize(("text", "said"), BROKEN, ids=range(len(BROKEN)))
def test_a_broken_module_at_the_start(folder: Path, text: str, said: str) -> None:
    files = {"routes/broken.py": text, "routes/good.py": module(PAGE.format("x"))}
    configure(write(folder, files), capsule=ROUTED)
    done = command("serve", str(folder), home=folder)
    assert (done.returncode, done.stdout) == (2, "")
    expected = said.format(file=re.escape(f"{folder}/routes/broken.py"))
    assert re.fullmatch(f"pad19: {expected}", done.stderr.splitlines()[-1])
    if "lifespan" not in said:  # that one has its traceback in the log: it is no mistake in a file alone
        assert done.stderr.count("\n") == 1


def test_all_mistakes_are_told_together(folder: Path) -> None:
    files = {f"routes/{name}.py": "import nowhere" for name in "ab"}
    configure(write(folder, files), capsule=f"{ROUTED}certificate = 'pad19.toml'\nkey = 'pad19.toml'")
    done = command("serve", str(folder), home=folder)
    assert done.returncode == 2
    places = ("routes/a.py", "routes/b.py", "pad19.toml")
    for place, line in zip(places, done.stderr.splitlines(), strict=True):
        assert line.startswith(f"pad19: {folder}/{place}")


@pytest.mark.parametrize(("text", "said"), BROKEN, ids=range(len(BROKEN)))
def test_a_broken_module_at_a_reload(folder: Path, text: str, said: str) -> None:
    configure(write(folder, {"routes/page.py": module(PAGE.format("old"))}), capsule=ROUTED)
    with serving(folder, home=folder, suffers="lifespan" in said) as server:
        uri = gemini(server.address, "/page/")
        write(folder, {"routes/page.py": module(PAGE.format("new")), "routes/broken.py": text})
        reload_in_vain(server)
        expected = said.format(file=re.escape(f"{folder}/routes/broken.py"))
        assert re.search(f"^pad19: {expected}$", server.err, re.MULTILINE)
        assert fetch(server.address, uri).body == b"old"
        (folder / "routes/broken.py").unlink()
        reload(server)
        assert fetch(server.address, uri).body == b"new"


def test_saving_is_enough_where_files_are_watched(folder: Path) -> None:
    configure(write(folder, {"routes/page.py": module(PAGE.format("old"))}), watch=True, capsule=ROUTED)
    with serving(folder, home=folder) as server:
        uri = gemini(server.address, "/page/")
        write(folder, {"routes/page.py": "def"})
        server.wait_for_err(NOT_RELOADED)
        assert f"pad19: {folder}/routes/page.py, line 1, column 4: SyntaxError: " in server.err
        assert fetch(server.address, uri).body == b"old"
        write(folder, {"routes/page.py": module(PAGE.format("new"))})
        server.wait_for_err(RELOADED)
        assert fetch(server.address, uri).body == b"new"
        write(folder, {"routes/more.py": module(PAGE.format("more"))})
        server.wait_for_err(RELOADED, 2)
        assert fetch(server.address, gemini(server.address, "/more/")).body == b"more"


def test_check_loads_routes_and_asks_none(folder: Path) -> None:
    touches = "open(__file__ + '.touched', 'w').close()"
    page = PAGE.format("x").replace("    return", f"    {touches}\n    return")
    write(
        folder,
        {
            "routes/book.py": module(page + life(touches)),
            "content/index.gmi": "=> /book/\n=> /book\n=> /cgi-bin/touch\n=> /none.gmi\n",
        },
    )
    write_script(folder / "cgi-bin/touch", f"{SH}touch ran")
    configure(folder, capsule=f"{ROUTED}cgi = {{ '/cgi-bin/' = 'cgi-bin' }}")
    before = {path for path in folder.rglob("*") if path.is_file()}
    done = command("check", str(folder), home=folder)
    assert (done.returncode, done.stderr) == (1, "")
    *_, finding, count = done.stdout.splitlines()
    assert finding.endswith('content/index.gmi:4: "/none.gmi" leads to /none.gmi: 51 not found')
    assert count == "2 files, 4 links: 1 problem"
    assert {path for path in folder.rglob("*") if path.is_file()} == before

    write(folder, {"routes/broken.py": "1 / 0"})
    done = command("check", str(folder), home=folder)
    assert done.returncode == 1
    assert f"pad19: {folder}/routes/broken.py, line 1: ZeroDivisionError: division by zero\n" in done.stderr
    assert "Traceback" not in done.stderr
