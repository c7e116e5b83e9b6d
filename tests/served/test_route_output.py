"""What routes print, and the programs that they start: none of it gets into the access log."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.capsule_folder import configure
from support.files import write
from support.process import fetch, gemini, serving
from support.route_modules import ROUTED, module

pytestmark = pytest.mark.machine

PRINTS = """
    import os
    import subprocess
    import sys

    subprocess.run(["echo", "from the start"], check=True)

    @routes.gemini("/program")
    def program(request: Request) -> str:
        subprocess.run(["echo", "inherited"], check=True)
        subprocess.run(["echo", "given"], stdout=sys.stdout, check=True)
        os.system("echo shell")
        os.write(1, b"itself\\n")
        return "done"

    @routes.gemini("/bytes")
    def octets(request: Request) -> str:
        sys.stdout.buffer.write(b"octets\\n")
        sys.__stdout__.write("real\\n")
        sys.__stdout__.flush()
        return "done"
"""


def test_only_the_access_log_is_on_standard_output(folder: Path) -> None:
    configure(write(folder, {"routes/index.py": module(PRINTS)}), capsule=ROUTED)
    with serving(folder, home=folder) as server:
        for path in ("/program", "/bytes"):
            assert fetch(server.address, gemini(server.address, path)).body == b"done"
        records = server.records(2)
        assert [record["status"] for record in records] == [20, 20]
        assert server.stop() == 0
        assert len(server.out.splitlines()) == 2
        said = server.err.splitlines()
        assert {"from the start", "inherited", "given", "shell", "itself", "real"} <= {*said}
        assert "pad19: index.octets: octets" in said
