"""``[[capsule]]`` of ``pad19.toml`` and what stands below it. See `model` for how to add a key."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta, Struct, field

from .values import (
    EXAMPLE_FINGERPRINT,
    TAG,
    Address,
    Count,
    FailureStatus,
    FailureText,
    FileName,
    FilePath,
    Fingerprints,
    Host,
    Mimetype,
    PathPattern,
    PersonName,
    Prefix,
    Reads,
    RoutesName,
    Seconds,
    SettingName,
    Size,
    Suffix,
    Switch,
    Tokens,
    Types,
    Unwanted,
    Upstream,
    Visitors,
    read_inner_path,
    read_target,
    read_zone_path,
)


class Redirect(Struct, frozen=True, kw_only=True):
    """``[[capsule.redirect]]``: paths that have moved."""

    pattern: PathPattern = field(name="from")
    target: Annotated[
        str,
        Meta(description="a path or a gemini:// URI", examples=["/new/{rest}"]),
        Reads(read_target),
    ] = field(name="to")
    permanent: Switch = False
    # The same as a number: 31 is permanent. None: as ``permanent`` says.
    status: Annotated[Literal[30, 31], Meta(description="30 or 31", examples=[31])] | None = None

    @property
    def is_permanent(self) -> bool:
        """As one of the two says; they do not contradict each other in what was checked."""
        return self.permanent or self.status == 31


class Rewrite(Struct, frozen=True, kw_only=True):
    """``[[capsule.rewrite]]``: paths that are answered as if another one had been asked for."""

    pattern: PathPattern = field(name="from")
    target: Annotated[str, Meta(description="a path", examples=["/new/{rest}"]), Reads(read_inner_path)] = (
        field(name="to")
    )


class Gone(Struct, frozen=True, kw_only=True):
    """``[[capsule.gone]]``: paths that will not come back, or not for now."""

    pattern: PathPattern = field(name="from")
    text: Annotated[
        str,
        Meta(
            pattern=r"^[^\x00-\x1f\x7f-\x9f]*$(?!\n)",
            max_length=500,
            description="a line of at most 500 characters",
            examples=["This was a long time ago."],
        ),
    ] = ""  # then the client is told what the status means, such as "gone"
    status: Annotated[
        Literal[40, 41, 50, 51, 52], Meta(description="40, 41, 50, 51 or 52", examples=[41])
    ] = 52


class Zone(Struct, frozen=True, kw_only=True):
    """``[[capsule.zone]]``: who may read below a path, and who may upload there."""

    path: Annotated[str, Meta(description="a path", examples=["/members/"]), Reads(read_zone_path)]
    allow: Visitors | None = None  # who may read; None: everybody; empty: nobody
    write: Visitors = ()  # who may upload
    deny: Unwanted = ()  # who may do neither, whatever the other two say
    token: Tokens = ()  # who has one may upload
    # Of uploads; None: as in [capsule.titan].
    max_size: Annotated[Size, Meta(examples=[1_048_576])] | None = None
    types: Types | None = None
    quota: Annotated[Size, Meta(examples=[104_857_600])] | None = None  # of this zone, besides the capsule's

    # A path alone may be a zone that somebody forgot to finish.
    one_of: ClassVar[tuple[str, ...]] = ("allow", "write", "token", "deny")


class Titan(Struct, frozen=True, kw_only=True):
    """``[capsule.titan]``: uploads."""

    token: Tokens = ()  # who has one may upload to what lies in no zone
    max_size: Annotated[Size, Meta(examples=[10_485_760])] = 10 * 1024 * 1024  # bytes of one upload
    types: Types = ("text/*",)
    quota: Annotated[Size, Meta(examples=[1_073_741_824])] | None = None  # bytes of all content
    delete: Switch = False
    folders: Switch = False  # make those that are missing
    keep: Annotated[int, Meta(ge=0, le=1000, description="a whole number from 0 to 1000", examples=[5])] = (
        0  # previous versions of each file
    )


class Proxy(Struct, frozen=True, kw_only=True):
    """``[[capsule.proxy]]``: paths that another Gemini server answers."""

    path: Annotated[Prefix, Meta(examples=["/astro/"])]
    to: Upstream
    host: Annotated[Literal["to", "keep"], Meta(description='"to" or "keep"', examples=["keep"])] = "to"
    pin: Annotated[
        Fingerprints, Meta(examples=[[EXAMPLE_FINGERPRINT]])
    ] = ()  # none: as it was the first time
    certificate: Annotated[FilePath, Meta(examples=["proxy.crt"])] | None = None  # with key, or neither
    key: Annotated[FilePath, Meta(examples=["proxy.key"])] | None = None
    proxy_protocol: Switch = False  # tell who asks, by version 2 of it
    trust_eof: Switch = False  # take an end without close_notify for the end
    connections: Annotated[Count, Meta(examples=[64])] = 64  # at once, in each worker
    connect_s: Seconds = 10.0
    header_s: Annotated[Seconds, Meta(examples=[30])] = 30.0
    stall_s: Annotated[Seconds, Meta(examples=[30])] = 30.0


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
                pattern=rf"^{TAG}(?:,{TAG})*$(?!\n)",
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
    texts: Annotated[
        dict[FailureStatus, FailureText],
        Meta(description="a table of statuses and texts", examples=[{"51": "There is nothing at {path}."}]),
    ] = field(default_factory=dict)  # for visitors who do not get what they asked for
    index: Annotated[
        tuple[FileName, ...], Meta(description="a list of file names", examples=[["index.gmi"]])
    ] = ("index.gmi", "index.gemini")
    listing: Switch = False
    hidden: Switch = False  # serve dotfiles; never .meta
    mimetypes: Annotated[
        dict[Suffix, Mimetype],
        Meta(description="a table of file endings and MIME types", examples=[{".foo": "text/x-foo"}]),
    ] = field(default_factory=dict)
    routes: Annotated[FilePath, Meta(examples=["routes"])] | None = None
    mount: Annotated[
        dict[Prefix, RoutesName],
        Meta(description="a table of paths and routes", examples=[{"/wiki/": "package.module:routes"}]),
    ] = field(default_factory=dict)
    settings: Annotated[
        dict[SettingName, Any],
        Meta(description="a table of whatever routes want", examples=[{"title": "A capsule"}]),
    ] = field(default_factory=dict)
    cgi: Annotated[
        dict[Prefix, FilePath],
        Meta(description="a table of paths and folders", examples=[{"/cgi-bin/": "cgi-bin"}]),
    ] = field(default_factory=dict)
    scgi: Annotated[
        dict[Prefix, Address],
        Meta(description="a table of paths and addresses", examples=[{"/app/": "unix:/run/app.sock"}]),
    ] = field(default_factory=dict)
    proxies: Annotated[
        tuple[Proxy, ...],
        Meta(
            description="a [[capsule.proxy]] section or several",
            examples=[[{"path": "/astro/", "to": "gemini://127.0.0.1:1966/"}]],
        ),
    ] = field(name="proxy", default=())
    client_hash: Annotated[
        Literal["hex", "jetforce"], Meta(description='"hex" or "jetforce"', examples=["hex"])
    ] = "hex"  # the form of TLS_CLIENT_HASH
    certificate: Annotated[FilePath, Meta(examples=["fullchain.pem"])] | None = None  # with key, or neither
    key: Annotated[FilePath, Meta(examples=["privkey.pem"])] | None = None
    people: Annotated[
        dict[PersonName, Fingerprints],
        Meta(
            description="a table of names and fingerprints",
            examples=[{"ada": EXAMPLE_FINGERPRINT.removeprefix("sha256:")}],  # short enough for a message
        ),
    ] = field(default_factory=dict)
    redirects: Annotated[
        tuple[Redirect, ...],
        Meta(
            description="a [[capsule.redirect]] section or several",
            examples=[[{"from": "/old/{rest:path}", "to": "/new/{rest}"}]],
        ),
    ] = field(name="redirect", default=())
    rewrites: Annotated[
        tuple[Rewrite, ...],
        Meta(
            description="a [[capsule.rewrite]] section or several",
            examples=[[{"from": "/about", "to": "/about.gmi"}]],
        ),
    ] = field(name="rewrite", default=())
    gone: Annotated[
        tuple[Gone, ...],
        Meta(
            description="a [[capsule.gone]] section or several", examples=[[{"from": "/attic/{rest:path}"}]]
        ),
    ] = ()
    zones: Annotated[
        tuple[Zone, ...],
        Meta(
            description="a [[capsule.zone]] section or several",
            examples=[[{"path": "/members/", "allow": "any"}]],
        ),
    ] = field(name="zone", default=())
    titan: Titan | None = None  # None: nothing can be uploaded
