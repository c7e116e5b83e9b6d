"""A generation: the workers that serve one configuration."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, TypeVar

from .child import Child
from .config.model import Config
from .handover import Shown
from .restarts import Restarts
from .signature import Signatures
from .sockets import Bound

C = TypeVar("C", bound=Child)


class State(Enum):
    """What a worker is doing."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


@dataclass(slots=True, eq=False)
class Worker(Generic[C]):
    """One of them. Times are those of the fleet's clock, in seconds."""

    child: C
    generation: "Generation[C]"
    number: int  # in its generation, from 0; the one in the place of a dead one has the same
    slot: int  # in shared memory; no other living worker has the same
    started: float
    heard: float  # when it gave its last sign of life
    state: State = State.STARTING
    deadline: float = math.inf  # killed then: it has been told to end
    problems: tuple[str, ...] = ()  # why it ends, one sentence each
    lacks: tuple[str, ...] = ()  # what does not work, though it serves; likewise


@dataclass(slots=True, eq=False)
class Generation(Generic[C]):
    """Workers with one configuration."""

    number: int  # from 1
    config: Config
    sockets: tuple[Bound, ...]
    size: int  # workers
    began: float  # seconds of the fleet's clock
    is_to_blame: bool = False  # a worker has said what is wrong with what it should serve
    workers: dict[int, Worker[C]] = field(default_factory=dict)  # by number; all but those that died
    certificates: tuple[Shown, ...] = ()
    files: Signatures = field(default_factory=dict)  # that its workers have read
    restarts: Restarts = field(init=False)
    told: set[str] = field(default_factory=set)  # what is wrong for workers in the place of others

    def __post_init__(self) -> None:
        self.restarts = Restarts(self.size)

    def has_read(self, files: Signatures) -> None:
        """A worker has read these. Of a file that has changed since another one did, the older state counts.

        So the change is noticed, and all of them come to serve the same.
        """
        self.files = files | self.files

    @property
    def known(self) -> frozenset[str]:
        """Those of them that were there."""
        return frozenset(path for path, signature in self.files.items() if signature)

    def news(self, problems: Iterable[str]) -> list[str]:
        """Those that were not told yet: whoever comes next fails in the same way."""
        found = [problem for problem in dict.fromkeys(problems) if problem not in self.told]
        self.told.update(found)
        return found
