#!/usr/bin/env python3
"""Roman numerals: a CGI program in Python that asks for something, and looks at the answer.

A program finds the request in its environment, and writes a whole response: a header, which ends in
CRLF, and then the page.
"""

import os
import re
import sys
from urllib.parse import unquote

NUMERALS = [
    (1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"),
    (50, "L"), (40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I"),
]  # fmt: skip


def roman(number: int) -> str:
    """The number in Roman numerals."""
    written = ""
    for value, numeral in NUMERALS:
        count, number = divmod(number, value)
        written += count * numeral
    return written


def response(query: str) -> str:
    """The answer to what a visitor has typed, which comes percent-encoded; before that, there is nothing."""
    answer = unquote(query).strip()
    # Nothing but a number gets into the page. Not isdigit(): there are digits in many scripts.
    if not re.fullmatch("[0-9]{1,4}", answer) or not 1 <= int(answer) <= 3999:
        return "10 A number from 1 to 3999?\r\n"
    return (
        "20 text/gemini\r\n"
        f"# {int(answer)} is {roman(int(answer))}\n"
        "\n"
        "=> roman.py Another number\n"
        "=> /examples.gmi All examples\n"
    )


sys.stdout.write(response(os.environ.get("QUERY_STRING", "")))
