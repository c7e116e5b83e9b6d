"""What ``pad19.toml`` can say: one frozen value per section, with types, bounds and defaults.

To add a key, add a field; to add a section, add a Struct and a field in `Sections`. Reading, the
checks of single values and their error messages follow from the annotations: ``description``
completes "must be ...", ``examples`` "write for example ...", and `Reads` turns the string in the
file into the field's value. Checks that look at several keys are in `config_check`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from pad19.content.mimetype import normalize

from .hosts import read_host
from .listen import Listen

DEFAULT_LISTEN = (Listen(host="::", port=1965), Listen(host="0.0.0.0", port=1965))  # noqa: S104 - to be found


class ConfigError(Exception):
    """Nothing can be served this way. ``problems``: one sentence each."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Reads:
    """How a string becomes a value: ``read(text, folder of the file)``.

    It raises ValueError; its message, if any, is a better "must ..." than the description.
    """

    read: Callable[[str, Path], object]


def _path(text: str, folder: Path) -> Path:
    if not text or "\0" in text:
        raise ValueError
    return folder / text


def _log_target(text: str, folder: Path) -> str:
    return text if text in {"-", "off"} else str(_path(text, folder))


def _mimetype(text: str, _folder: Path) -> str:
    return normalize(text)


def _host(text: str, _folder: Path) -> str:
    try:
        return read_host(text)
    except ValueError:
        raise ValueError from None  # the description says it better


Switch = Annotated[bool, Meta(description="true or false", examples=[True])]
Count = Annotated[int, Meta(ge=1, le=10_000_000, description="a whole number from 1 up", examples=[64])]
# A day is the limit because "inf" is a number in TOML: a deadline that never comes is none.
Seconds = Annotated[
    float, Meta(gt=0, le=86_400, description="more than 0 seconds (and at most a day)", examples=[10])
]
FilePath = Annotated[Path, Meta(description="a path that is not empty"), Reads(_path)]
Host = Annotated[
    str, Meta(description="a host name or an IP address without scheme, port and path"), Reads(_host)
]
Address = Annotated[
    Listen,
    Meta(description='an address and a port, or "unix:" and a path'),
    Reads(lambda text, folder: Listen.parse(text, folder)),
]
# "$(?!\n)": Python's "$" alone would let a newline through; JSON Schema knows no "\Z".
FileName = Annotated[
    str, Meta(pattern=r"^(?!\.{1,2}$)[^/\x00-\x1f]+$(?!\n)", description="the name of a file without slashes")
]
Suffix = Annotated[str, Meta(pattern=r"^\.[^/\s]+$(?!\n)", description="a file's ending with its dot")]
Mimetype = Annotated[str, Meta(description="a MIME type"), Reads(_mimetype)]
_TAG = r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*"  # the shape of BCP 47, not its registry


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
    workers: Annotated[
        int, Meta(ge=1, le=1, description="1, since more workers are not possible yet", examples=[1])
    ] = 1
    check_port: Switch = True

    @property
    def addresses(self) -> tuple[Listen, ...]:
        """What to listen on, given or not."""
        return DEFAULT_LISTEN if self.listen is None else self.listen


class Limits(Struct, frozen=True, kw_only=True):
    """``[limits]``: how much, and for how long."""

    connections: Annotated[Count, Meta(examples=[4096])] = 4096
    per_address: Count | None = None  # None: DEFAULT_PER_ADDRESS, and loopback is not counted
    handshake_s: Seconds = 10.0
    request_s: Seconds = 10.0
    stall_s: Annotated[Seconds, Meta(examples=[30])] = 30.0
    grace_s: Annotated[
        float, Meta(ge=0, le=86_400, description="0 seconds or more (and at most a day)", examples=[30])
    ] = 30.0


class Log(Struct, frozen=True, kw_only=True):
    """``[log]``: the access log."""

    access: Annotated[str, Meta(description='"-", a path or "off"', examples=["-"]), Reads(_log_target)] = (
        "-"  # or "off", or an absolute path
    )
    format: Annotated[
        Literal["common", "combined", "json"],
        Meta(description='"common", "combined" or "json"', examples=["common"]),
    ] = "common"
    addresses: Annotated[
        Literal["full", "truncated", "off"],
        Meta(description='"full", "truncated" or "off"', examples=["truncated"]),
    ] = "truncated"


class Capsule(Struct, frozen=True, kw_only=True):
    """``[[capsule]]``: what is served, and under which names."""

    hosts: Annotated[
        tuple[Host, ...], Meta(min_length=1, description="a list of hosts", examples=[["example.org"]])
    ] = ("localhost",)  # as normalize_host() has them, without a trailing dot; "*." for one label more
    content: Annotated[FilePath, Meta(examples=["content"])] = Path("content")
    lang: (
        Annotated[
            str,
            Meta(
                pattern=rf"^{_TAG}(?:,{_TAG})*$(?!\n)",
                max_length=200,
                description="language tags with commas between them",
                examples=["en"],
            ),
        ]
        | None
    ) = None
    charset: (
        Annotated[
            str,
            Meta(
                pattern=r"^[A-Za-z0-9][A-Za-z0-9._+\-]{0,39}$(?!\n)",  # RFC 2978: 40 characters at most
                description="the name of a charset",
                examples=["iso-8859-1"],
            ),
        ]
        | None
    ) = None
    index: Annotated[
        tuple[FileName, ...], Meta(description="a list of file names", examples=[["index.gmi"]])
    ] = ("index.gmi", "index.gemini")
    listing: Switch = False
    hidden: Switch = False  # serve dotfiles; never .meta
    mimetypes: Annotated[
        dict[Suffix, Mimetype],
        Meta(description="a table of file endings and MIME types", examples=[{".foo": "text/x-foo"}]),
    ] = field(default_factory=dict)
    certificate: Annotated[FilePath, Meta(examples=["fullchain.pem"])] | None = None  # with key, or neither
    key: Annotated[FilePath, Meta(examples=["privkey.pem"])] | None = None


class Sections(Struct, frozen=True, kw_only=True):
    """The whole file. Paths are absolute once `config_load` is done."""

    server: Server = Server()
    limits: Limits = Limits()
    log: Log = Log()
    capsules: Annotated[
        tuple[Capsule, ...], Meta(min_length=1, description="a [[capsule]] section or several")
    ] = field(name="capsule", default=(Capsule(),))


class Config(Sections, frozen=True, kw_only=True):
    """A checked configuration."""

    source: Path | None = None  # the file it was read from
