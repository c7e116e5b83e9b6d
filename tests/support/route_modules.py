"""Modules of routes, as their authors write them."""

from textwrap import dedent

ROUTED = "routes = 'routes'\n"  # in the table of a capsule that has them

PAGE = """
@routes.gemini("/")
async def page(request: Request) -> str:
    return "{}"
"""

_BEGIN = """\
import trio
from pad19 import Input, Redirect, Request, Routes, Success
routes = Routes()
"""


def module(text: str) -> str:
    """A module with this in it."""
    return _BEGIN + dedent(text)
