import os
import subprocess
import sys

import pytest

SCRIPT = """
import logging, sys
from pad19.service import messages
messages.set_up()
messages.say("Listening")
messages.complain("wrong")
logging.info("known")
logging.warning("look")
try:
    1 / 0
except ZeroDivisionError:
    logging.exception("broken")
"""


def written(*, journal: bool) -> list[str]:
    reader, writer = os.pipe()
    with open(reader, "rb") as read:
        try:
            found = os.fstat(writer)
            stream = f"{found.st_dev}:{found.st_ino if journal else found.st_ino + 1}"
            environment = {**os.environ, "JOURNAL_STREAM": stream}
            subprocess.run([sys.executable, "-c", SCRIPT], stderr=writer, env=environment, check=True)
        finally:
            os.close(writer)
        return read.read().decode().splitlines()


@pytest.mark.parametrize("journal", [False, True])
def test_lines_are_as_their_reader_likes_them(journal: bool) -> None:
    lines = written(journal=journal)
    expected = [
        ("Listening", "<6>Listening"),
        ("pad19: wrong", "<3>wrong"),
        ("pad19: known", "<6>known"),
        ("pad19: look", "<4>look"),
        ("pad19: broken", "<3>broken"),
    ]
    assert lines[:5] == [pair[journal] for pair in expected]
    traceback = lines[5:]
    assert traceback[-1].endswith("ZeroDivisionError: division by zero")
    assert all(line.startswith("<3>") == journal for line in traceback)
