"""What ``pad19.toml`` can say: one frozen value per section, with types, bounds and defaults.

To add a key, add a field; to add a section, add a Struct and a field in `Sections`. Reading, the
checks of single values and their error messages follow from the annotations: ``description``
completes "must be ...", ``examples`` "write for example ...", and `Reads` turns the string in the
file into the field's value. Checks that look at several keys are in `check`.
"""

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from .capsule import Capsule
from .listen import Listen
from .values import (
    Address,
    Count,
    FilePath,
    Line,
    Network,
    OneOrMore,
    Rate,
    Reads,
    Seconds,
    Switch,
    VariableName,
    read_glob,
    read_log_target,
)

DEFAULT_LISTEN = (Listen(host="::", port=1965), Listen(host="0.0.0.0", port=1965))  # noqa: S104 - to be found


class ConfigError(Exception):
    """Nothing can be served this way. ``problems``: one sentence each."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Server(Struct, frozen=True, kw_only=True):
    """``[server]``: the process and its sockets."""

    listen: (
        Annotated[
            tuple[Address, ...],
            Meta(min_length=1, description="a list of addresses", examples=[["[::]:1965", "0.0.0.0:1965"]]),
        ]
        | None
    ) = None  # None: not given, so DEFAULT_LISTEN, and a machine without IPv6 is no error
    certs: Annotated[FilePath, Meta(examples=["certs"])] = Path("certs")
    state: Annotated[FilePath, Meta(examples=["state"])] = Path("state")  # what routes keep; made when needed
    workers: Annotated[
        int, Meta(ge=0, le=64, description="a whole number from 0 to 64 (0: one for each core)", examples=[1])
    ] = 1
    watch: Switch = True  # reload when files change; SIGHUP reloads anyway
    check_port: Switch = True

    @property
    def addresses(self) -> tuple[Listen, ...]:
        """What to listen on, given or not."""
        return DEFAULT_LISTEN if self.listen is None else self.listen


class Limits(Struct, frozen=True, kw_only=True):
    """``[limits]``: how much, and for how long."""

    connections: Annotated[Count, Meta(examples=[4096])] = 4096
    per_address: Count | None = None  # None: DEFAULT_PER_ADDRESS, and loopback is not counted
    rate: Rate | None = None  # of new connections per address; None: no limit
    handshake_s: Seconds = 10.0
    request_s: Seconds = 10.0
    upload_s: Annotated[Seconds, Meta(examples=[30])] = 30.0  # beside a second for each 4 KiB
    stall_s: Annotated[Seconds, Meta(examples=[30])] = 30.0
    grace_s: Annotated[
        float, Meta(ge=0, le=86_400, description="0 seconds or more (and at most a day)", examples=[30])
    ] = 30.0


class Log(Struct, frozen=True, kw_only=True):
    """``[log]``: the access log."""

    access: Annotated[
        str,
        Meta(description='"-", a path or "off"', examples=["-"]),
        Reads(read_log_target, environment=True),
    ] = "-"  # or "off", or an absolute path
    format: Annotated[
        Literal["common", "combined", "json"],
        Meta(description='"common", "combined" or "json"', examples=["common"]),
    ] = "common"
    addresses: Annotated[
        Literal["full", "truncated", "off"],
        Meta(description='"full", "truncated" or "off"', examples=["truncated"]),
    ] = "truncated"


class Forwarder(Struct, frozen=True, kw_only=True):
    """``[[forwarder]]``: a listener for a forwarder that speaks the PROXY protocol, and for nobody else."""

    listen: Annotated[Address, Meta(examples=["127.0.0.1:1966"])]
    networks: (
        Annotated[
            tuple[Network, ...],
            Meta(
                min_length=1,
                description="a list of addresses and networks",
                examples=[["127.0.0.1", "10.0.0.0/8"]],
            ),
        ]
        | None
    ) = field(name="from", default=None)  # None: a UNIX socket, whose folder's mode decides


def _loopback(text: str, folder: Path) -> Listen:
    listen = Listen.parse(text, folder)
    if not all(ip_address(address).is_loopback for address in listen.addresses):
        raise ValueError("must be an address of this machine alone")
    return listen


class Metrics(Struct, frozen=True, kw_only=True):
    """``[metrics]``: numbers for Prometheus."""

    listen: Annotated[
        Listen,
        Meta(description='a loopback address and a port, or "unix:" and a path', examples=["localhost:9965"]),
        Reads(_loopback, environment=True),
    ]


class CGI(Struct, frozen=True, kw_only=True):
    """``[cgi]``: what programs may take, those of all capsules together."""

    programs: Annotated[Count, Meta(examples=[16])] = 16  # at once, in each worker
    timeout_s: Annotated[Seconds, Meta(examples=[30])] = 30.0
    cpu_s: (
        Annotated[
            int, Meta(ge=1, le=86_400, description="a whole number of seconds from 1 up", examples=[10])
        ]
        | None
    ) = None
    memory: (
        Annotated[
            int,
            Meta(
                ge=1024 * 1024,
                le=2**40,
                description="a number of bytes, 1048576 or more",
                examples=[268_435_456],
            ),
        ]
        | None
    ) = None
    environment: Annotated[
        dict[VariableName, Line],
        Meta(description="a table of variables", examples=[{"TZ": "Europe/Berlin"}]),
    ] = field(default_factory=dict)


class Includes(Struct, frozen=True, kw_only=True):
    """Where the rest of a configuration is."""

    include: Annotated[
        tuple[
            Annotated[str, Meta(description="a path that is not empty"), Reads(read_glob, environment=True)],
            ...,
        ],
        OneOrMore,
        Meta(description="a path with wildcards, or a list of them", examples=["sites/*.toml"]),
    ] = ()  # files with more [[capsule]] sections


class Included(Struct, frozen=True, kw_only=True):
    """A file that another one includes."""

    capsules: Annotated[tuple[Capsule, ...], Meta(description="a [[capsule]] section or several")] = field(
        name="capsule", default=()
    )


class Sections(Includes, frozen=True, kw_only=True):
    """The whole file. Paths are absolute once `load` is done."""

    server: Server = Server()
    limits: Limits = Limits()
    log: Log = Log()
    capsules: Annotated[
        tuple[Capsule, ...], Meta(min_length=1, description="a [[capsule]] section or several")
    ] = field(name="capsule", default=(Capsule(),))
    forwarders: Annotated[
        tuple[Forwarder, ...], Meta(min_length=1, description="a [[forwarder]] section or several")
    ] = field(name="forwarder", default=())
    cgi: CGI = CGI()
    metrics: Metrics | None = None  # None: there are none

    @property
    def addresses(self) -> tuple[Listen, ...]:
        """Where clients connect by themselves: where there is a forwarder, only if that is written."""
        return () if self.forwarders and self.server.listen is None else self.server.addresses


class Config(Sections, frozen=True, kw_only=True):
    """A checked configuration."""

    source: Path | None = None  # the file it was read from
    included: tuple[Path, ...] = ()  # those that belong to it
