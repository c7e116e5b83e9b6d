"""How metrics follow the configuration, without a worker."""

import socket
from collections.abc import Iterator
from http.client import HTTPConnection

import pytest

from pad19.service.child import WorkerProcess
from pad19.service.config.capsule import Capsule
from pad19.service.config.listen import Listen
from pad19.service.config.model import Config, Metrics
from pad19.service.fleet import Fleet
from pad19.service.generation import Generation
from pad19.service.sockets import Unavailable
from pad19.service.telemetry.overview import Overview
from pad19.service.telemetry.scoreboard import Scoreboard, size


class Nobody:
    """Owns a fleet that has no ships."""

    def open(self, generation: Generation[WorkerProcess]) -> tuple[str, ...]:
        return ()

    def promoted(self, *_: object) -> None:
        """Never comes."""

    settled = abandoned = promoted


def start(_generation: Generation[WorkerProcess], _number: int, _slot: int) -> WorkerProcess:
    pytest.fail("nothing begins")


@pytest.fixture
def overview() -> Iterator[Overview]:
    found = Overview(Fleet(start, Nobody(), lambda: 0.0), Scoreboard(bytearray(size(1)), 1))
    yield found
    found.close()


def configured(host: str, port: int) -> Config:
    return Config(capsules=(Capsule(),), metrics=Metrics(listen=Listen(host=host, port=port)))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def answers(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().status == 200
    except ConnectionRefusedError:
        return False
    finally:
        connection.close()


def test_the_same_port_by_another_name(overview: Overview) -> None:
    port = free_port()
    for host in ("localhost", "127.0.0.1", "localhost"):
        overview.prepare(configured(host, port))
        overview.adopt(configured(host, port))
        assert answers(port)
    overview.adopt(Config(capsules=(Capsule(),)))
    assert not answers(port)


def test_a_configuration_that_comes_to_nothing_takes_nothing_away(overview: Overview) -> None:
    port = free_port()
    overview.prepare(configured("localhost", port))
    overview.adopt(configured("localhost", port))
    overview.prepare(configured("127.0.0.1", port))
    overview.withdraw()
    assert answers(port)
    with socket.create_server(("127.0.0.1", 0)) as other:
        with pytest.raises(Unavailable, match="another program has it"):
            overview.prepare(configured("127.0.0.1", other.getsockname()[1]))
        assert answers(port)
