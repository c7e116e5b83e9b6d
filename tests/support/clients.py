"""Gemini clients of other hands, as programs that print JSON."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from .process import PATIENCE


def run_client(program: str, folder: Path, *arguments: str | Path) -> Any:
    """What a program prints, in a process of its own, whose home and working directory are the folder."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, *map(str, arguments)],
        cwd=folder,
        env={"HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
