"""Capsules that take uploads, as their configuration has it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pad19.dispatch.router import Handler
from pad19.protocol.failure import Failure
from pad19.protocol.request import Request
from pad19.service.config.load import load
from pad19.service.config.model import Config
from pad19.service.handlers import handler_for
from pad19.service.mounting import Backends
from pad19.testing import identity
from support.uploads import body_of

ADA = identity("Ada")
TOKEN, WORD = "open sesame", "a long password"
TITAN = f"[capsule.titan]\ntoken = '{TOKEN}'\n"


def make_folder(folder: Path) -> Path:
    for name in ("content/members", "routes", "cgi-bin"):
        (folder / name).mkdir(parents=True)
    (folder / "content/n.gmi").write_text("old")
    return folder


def configure(folder: Path, text: str) -> Config:
    path = folder / "pad19.toml"
    path.write_text(text)
    return load(path)


@asynccontextmanager
async def handling(config: Config) -> AsyncIterator[Handler]:
    backends = Backends(config)
    handler = handler_for(config.capsules[0], backends)
    async with backends.living():
        yield handler


async def answer(handler: Handler, request: Request) -> str:
    try:
        response = await handler(request)
    except Failure as failure:
        return f"{failure.status:d} {failure}"
    return f"{response.status:d} {response.meta}|{(await body_of(response)).decode()}"
