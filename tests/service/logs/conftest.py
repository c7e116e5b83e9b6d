import os
from collections.abc import Iterator
from io import FileIO

import pytest

from support.descriptors import Pipe


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    reader, writer = os.pipe()
    with FileIO(reader) as read, FileIO(writer, "w") as write:
        yield Pipe(read, write)
