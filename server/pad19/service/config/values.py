"""The kinds of values in ``pad19.toml``: how one is read, and what is said of a wrong one."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_interface, ip_network
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from pad19.content.mimetype import normalize
from pad19.dispatch import texts
from pad19.dispatch.proxying.paths import parse_upstream
from pad19.dispatch.zones import fingerprints
from pad19.dispatch.zones.paths import parse_path
from pad19.protocol import rate
from pad19.protocol.pattern import Pattern, Template
from pad19.protocol.status import Status
from pad19.protocol.uri import URI

from .hosts import read_host
from .listen import Listen


@dataclass(frozen=True, slots=True)
class Reads:
    """How a string becomes a value: ``read(text, folder of the file)``.

    It raises ValueError; its message, if any, is a better "must ..." than the description.
    ``environment``: variables are expanded first. That is for what differs from machine to machine,
    and never for what clients are shown.
    """

    read: Callable[[str, Path], object]
    environment: bool = False


_TYPE_PATTERN = re.compile(r"\*/\*|[\w!#$&^.+\-]+/(?:\*|[\w!#$&^.+\-]+)", re.ASCII)


class OneOrMore:
    """Marks a list of strings that may also be one string."""


@dataclass(frozen=True, slots=True)
class Who:
    """An item of a list of people: who may, or who may not."""

    kind: str  # "everybody", "any", "file", "ca", "fingerprint" or "name"
    value: str = ""  # of the last four: an absolute path, a fingerprint as `Identity` has it, or a name


@dataclass(frozen=True, slots=True)
class Token:
    """Where a password for uploads comes from."""

    kind: str  # "text", or "file": with one on each line
    value: str = field(repr=False)  # the password itself, or an absolute path


def _path(text: str, folder: Path) -> Path:
    _check_path(text)
    return folder / text


def _check_path(text: str) -> None:
    if not text or "\0" in text:
        raise ValueError
    if text.partition("/")[0] == "~":
        raise ValueError("must not begin with ~, which is not expanded here; ${HOME} is")


def read_log_target(text: str, folder: Path) -> str:
    return text if text in {"-", "off"} else str(_path(text, folder))


def _mimetype(text: str, _folder: Path) -> str:
    return normalize(text)


def _network(text: str, _folder: Path) -> IPv4Network | IPv6Network:
    if "%" in text:
        raise ValueError
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise ValueError from None  # the description says it better
    if ip_interface(text).ip != network.network_address:
        raise ValueError(f'must begin with the first address, as "{network}" does')
    return network


def _pattern(text: str, _folder: Path) -> str:
    return Pattern.parse(text).text


def read_target(text: str, _folder: Path) -> str:
    return Template.parse(text).text


def read_inner_path(text: str, _folder: Path) -> str:
    if Template.parse(text).authority:
        raise ValueError("must be a path, since a rewrite stays in its capsule")
    return text


def read_zone_path(text: str, _folder: Path) -> str:
    parse_path(text)
    return text


def _fingerprint(text: str, _folder: Path) -> str:
    return fingerprints.normalize(text)


def _who(text: str, folder: Path) -> Who:
    if text in {"everybody", "any"}:
        return Who(text)
    kind, _, path = text.partition(":")
    if path and kind in {"file", "ca"}:
        return Who(kind, str(_path(path, folder)))
    try:
        return Who("fingerprint", fingerprints.normalize(text))
    except ValueError:
        if not fingerprints.is_name(text):
            raise ValueError from None  # the description says more
    return Who("name", text)


def _who_not(text: str, folder: Path) -> Who:
    who = _who(text, folder)
    if who.kind in {"everybody", "any"}:
        raise ValueError("must name people, since allow = [] keeps out everybody")
    if who.kind == "ca":
        raise ValueError
    return who


def _token(text: str, folder: Path) -> Token:
    kind, _, path = text.partition(":")
    if path and kind == "file":
        return Token(kind, str(_path(path, folder)))
    return Token("text", text)


def _type_pattern(text: str, _folder: Path) -> str:
    if not _TYPE_PATTERN.fullmatch(text):
        raise ValueError
    return text.lower()


def read_glob(text: str, _folder: Path) -> str:
    _check_path(text)
    if "**" in text:  # which would mean no more than "*": folders of any depth cannot be watched cheaply
        raise ValueError("must name folders of each depth by themselves, without **")
    return text


def _failure_status(text: str, _folder: Path) -> Status:
    if text == str(int(Status.SLOW_DOWN)):
        raise ValueError("must not be 44, whose text is the number of seconds to wait")
    status = next((status for status in texts.STATUSES if text == str(int(status))), None)
    if status is None:
        raise ValueError
    return status


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
Rate = Annotated[
    rate.Rate,
    Meta(description=rate.DESCRIPTION, examples=["60/10s"]),
    Reads(lambda text, _: rate.Rate.parse(text)),
]
FilePath = Annotated[Path, Meta(description="a path that is not empty"), Reads(_path, environment=True)]
Host = Annotated[
    str,
    Meta(description="a host name or an IP address without scheme, port and path", examples=["example.org"]),
    Reads(_host, environment=True),
]
Address = Annotated[
    Listen,
    Meta(description='an address and a port, or "unix:" and a path', examples=["localhost:1966"]),
    Reads(lambda text, folder: Listen.parse(text, folder), environment=True),
]
# An exabyte is more than there is.
Size = Annotated[int, Meta(ge=1, le=2**60, description="a number of bytes, 1 or more")]
Types = Annotated[
    tuple[
        Annotated[
            str,
            Meta(description='a MIME type without parameters, such as "text/gemini" or "text/*"'),
            Reads(_type_pattern),
        ],
        ...,
    ],
    OneOrMore,
    Meta(description='a MIME type such as "text/*", or a list of them', examples=[["text/*"]]),
]
Tokens = Annotated[
    tuple[
        Annotated[
            Token, Meta(description='a password, or "file:" and a path'), Reads(_token, environment=True)
        ],
        ...,
    ],
    OneOrMore,
    Meta(description='a password, "file:" and a path, or a list of them', examples=["a long password"]),
]
Network = Annotated[
    IPv4Network | IPv6Network,
    Meta(description='an IP address or a network such as "10.0.0.0/8"'),
    Reads(_network, environment=True),
]
# "$(?!\n)": Python's "$" alone would let a newline through; JSON Schema knows no "\Z".
FileName = Annotated[
    str, Meta(pattern=r"^(?!\.{1,2}$)[^/\x00-\x1f]+$(?!\n)", description="the name of a file without slashes")
]
Suffix = Annotated[str, Meta(pattern=r"^\.[^/\s]+$(?!\n)", description="a file's ending with its dot")]
Mimetype = Annotated[str, Meta(description="a MIME type"), Reads(_mimetype)]
PathPattern = Annotated[
    str, Meta(description="a path, maybe with captures", examples=["/old/{rest:path}"]), Reads(_pattern)
]
FailureStatus = Annotated[
    Status,
    Meta(
        pattern=r"^(?:4[0-3]|5[0-3]|59|6[0-2])$(?!\n)",
        description="a status of failures: 40 to 43, 50 to 53, 59 or 60 to 62",
    ),
    Reads(_failure_status),
]
FailureText = Annotated[
    str,
    Meta(description="a line of text that is not empty"),
    Reads(lambda text, _: texts.parse(text)),
]
Prefix = Annotated[
    str,
    Meta(
        pattern=r"^/(?:[^/?#%\x00-\x20\x7f]+/)*$(?!\n)",
        description='a path that begins and ends with a slash, without blanks, "%", "?" and "#", such as '
        '"/cgi-bin/"',
    ),
]
SettingName = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$(?!\n)", description="a name")]
VariableName = Annotated[
    str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$(?!\n)", description="the name of an environment variable")
]


def _upstream(text: str, _folder: Path) -> URI:
    try:
        return parse_upstream(text)
    except ValueError as error:
        raise ValueError(f"must {error}") from None


Upstream = Annotated[
    URI,
    Meta(description="a gemini:// URI of a host or a folder", examples=["gemini://127.0.0.1:1966/"]),
    Reads(_upstream, environment=True),
]
RoutesName = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z_][\w.-]*(?::[A-Za-z_][\w.]*)?$(?!\n)",
        description='"package.module:routes", or the name of an entry point',
    ),
]
Line = Annotated[
    str, Meta(pattern=r"^[^\x00-\x1f\x7f]*$(?!\n)", description="a line of text", max_length=4096)
]
TAG = r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*"  # the shape of BCP 47, not its registry
PersonName = Annotated[
    str,
    Meta(
        pattern=rf"^(?!(?:any|everybody)$){fingerprints.NAME_FORM}$(?!\n)",
        description=f'a name of at most {fingerprints.MAX_NAME} characters, without : and #, not "any" or '
        '"everybody"',
    ),
]
EXAMPLE_FINGERPRINT = "sha256:ceab610748df27f073c2e6566f3c6d6e1b3a23454a6b7c8bc0f0ff9db4b2e081"
Fingerprints = Annotated[
    tuple[
        Annotated[str, Meta(description=fingerprints.DESCRIPTION), Reads(_fingerprint)],
        ...,
    ],
    OneOrMore,
    Meta(description=f"{fingerprints.DESCRIPTION}, or a list of them"),
]
_PEOPLE = 'a fingerprint, a name from capsule.people, "file:" and a path'
Visitors = Annotated[
    tuple[
        Annotated[
            Who,
            Meta(description=f'"any", "everybody", {_PEOPLE}, or "ca:" and a path'),
            Reads(_who, environment=True),
        ],
        ...,
    ],
    OneOrMore,
    Meta(description='"any", "everybody", or a list of people', examples=["any"]),
]
Unwanted = Annotated[
    tuple[
        Annotated[
            Who, Meta(description=_PEOPLE.replace(', "file', ', or "file')), Reads(_who_not, environment=True)
        ],
        ...,
    ],
    OneOrMore,
    Meta(description="a list of people", examples=[[EXAMPLE_FINGERPRINT]]),
]
