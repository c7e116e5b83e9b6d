from pathlib import Path

import pytest

from pad19.routes.cgi.first_line import flaw

FLAWS = [  # how a program begins, what is wrong with it
    (b"#!/bin/sh\n", None),
    (b"#! /bin/sh -e\necho", None),
    (b"#!/bin/sh", None),
    (b"#!sh\n", "there is no sh, which its #! line names"),
    (b"#!/" + b"x" * 300 + b"\n", f"there is no /{'x' * 253}, which its #! line names"),
    (b"#!/no/such\0\n", r"there is no /no/such\x00, which its #! line names"),
    (b"#!/no/such\x1b -x\n", r"there is no /no/such\x1b, which its #! line names"),
    (b"#!/bin/sh\r\necho\r\n", "its #! line ends in CR and LF: save it with the line ends of Unix"),
    (b"\xef\xbb\xbf#!/bin/sh\n", "it begins with a byte order mark: save it without"),
    (b"echo\n", "it has no #! line: write for example #!/usr/bin/env python3 as the first"),
    (b"", "it has no #! line: write for example #!/usr/bin/env python3 as the first"),
    (b"#!\n", "its #! line names no program: write for example #!/usr/bin/env python3"),
    (b"\x7fELF\x02\x01", None),
]


@pytest.mark.parametrize(("text", "said"), FLAWS)
def test_flaws(tmp_path: Path, text: bytes, said: str | None) -> None:
    (tmp_path / "program").write_bytes(text)
    assert flaw(str(tmp_path / "program")) == said


def test_an_interpreter_beside_the_program(tmp_path: Path) -> None:
    """Programs are started in their folder."""
    (tmp_path / "interpreter").touch()
    (tmp_path / "program").write_text("#!interpreter\n")
    assert flaw(str(tmp_path / "program")) is None


def test_a_program_that_is_gone(tmp_path: Path) -> None:
    assert flaw(str(tmp_path / "program")) is None
