"""Configurations of sockets alone."""

from pad19.service.config.listen import Listen
from pad19.service.config.model import Config, Forwarder, Server
from pad19.service.sockets import Bound


def configured(*listen: str) -> Config:
    return Config(server=Server(listen=tuple(map(Listen.parse, listen)) or None))


def close(bound: tuple[Bound, ...]) -> None:
    for entry in bound:
        entry.close()


def forwarded(*listen: str, direct: tuple[str, ...] | None = None) -> Config:
    return Config(
        server=Server(listen=None if direct is None else tuple(map(Listen.parse, direct))),
        forwarders=tuple(Forwarder(listen=Listen.parse(text)) for text in listen),
    )
