"""Handlers as a worker mounts them, without its sockets."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from textwrap import dedent

import pytest

from pad19.dispatch.router import Handler
from pad19.protocol.client import Client
from pad19.protocol.failure import Failure
from pad19.protocol.request import parse_request
from pad19.protocol.response import Redirect
from pad19.service.config.capsule import Capsule
from pad19.service.config.model import Config, ConfigError, Server
from pad19.service.handlers import handler_for
from pad19.service.mounting import Backends

from . import files

PAGE = """\
from pad19 import Request, Routes
routes = Routes()
@routes.gemini("/")
async def page(request: Request) -> str:
    return "{}"
"""

LIFE = """
import trio
from collections.abc import AsyncIterator
from pad19 import Capsule, Request, Routes
from said import said
routes = Routes()

@routes.lifespan
async def life(capsule: Capsule) -> AsyncIterator[None]:
    said("NAME begins")
    await trio.lowlevel.checkpoint()
    try:
        yield
    finally:
        await trio.lowlevel.checkpoint()
        await capsule.store.set("ended", True)
        said("NAME ends")
"""


def forget() -> None:
    """All routes that were imported."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if "pad19" not in type(finder).__module__]
    for name in [name for name in sys.modules if name.startswith("pad19_routes_")]:
        del sys.modules[name]


def write(folder: Path, texts: dict[str, str]) -> Path:
    """Files, and a folder for content even if there is none. Returns the folder of them all."""
    (folder / "content").mkdir(parents=True, exist_ok=True)
    return files.write(folder, {name: dedent(text) for name, text in texts.items()})


def configured(folder: Path, *capsules: Capsule) -> Config:
    return Config(capsules=capsules, server=Server(state=folder / "state"))


def with_routes(folder: Path, **more: object) -> Capsule:
    return Capsule(content=folder / "content", routes=folder / "routes", **more)  # type: ignore[arg-type]  # its fields


async def ask(handler: Handler, path: str) -> str:
    """The answer in short; bodies as text."""
    try:
        response = await handler(parse_request(f"gemini://localhost{path}".encode(), Client()))
    except Failure as failure:
        return f"{int(failure.status)} {failure}"
    if isinstance(response.body, bytes):
        text = response.body.decode()
    else:
        text = b"".join([bytes(chunk) async for chunk in response.body]).decode()
        await response.body.aclose()
    return f"{int(response.status)} {response.meta if isinstance(response, Redirect) else text}"


@asynccontextmanager
async def living(folder: Path, *capsules: Capsule) -> AsyncIterator[list[Handler]]:
    """A worker without its sockets."""
    backends = Backends(configured(folder, *capsules))
    handlers = [handler_for(capsule, backends) for capsule in capsules]
    async with backends.living():
        yield handlers


async def problem_of(folder: Path) -> str:
    """Why what it holds cannot live."""
    with pytest.raises(ExceptionGroup) as group:
        async with living(folder, with_routes(folder)):
            pytest.fail("it began")
    [error] = group.value.exceptions
    assert isinstance(error, ConfigError)
    [problem] = error.problems
    return problem
