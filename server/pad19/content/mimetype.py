"""File names to MIME types, with charset and lang (gemtext specification, section "Parameters").

The table is our own: the standard one lacks .gmi, .md and .webp, differs between machines, and
splits ``.tar.gz`` into a type and an encoding, which Gemini has no place for. What people want to
read in their client is text/*, even where a registered application/* type exists.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType

MAX_MIMETYPE = 500  # bytes; a type and a list of parameters together fit into a header's 1024
UNKNOWN = "application/octet-stream"

_TYPES = {
    "text/gemini": "gmi gemini",
    "text/plain": "txt text log conf cfg ini toml yaml yml rst org adoc asc pem pub lisp el scm vim nix",
    "text/markdown": "md markdown",
    "text/html": "html htm",
    "text/css": "css",
    "text/csv": "csv",
    "text/tab-separated-values": "tsv",
    "text/calendar": "ics",
    "text/vcard": "vcf",
    "text/vtt": "vtt",
    "text/xml": "xml xsl xsd",
    "text/javascript": "js mjs cjs",
    "text/x-typescript": "ts tsx",
    "text/x-python": "py pyi",
    "text/x-c": "c h",
    "text/x-c++": "cc cpp cxx hh hpp hxx",
    "text/x-csharp": "cs",
    "text/x-diff": "diff patch",
    "text/x-elixir": "ex exs",
    "text/x-erlang": "erl hrl",
    "text/x-go": "go",
    "text/x-haskell": "hs",
    "text/x-java": "java",
    "text/x-kotlin": "kt kts",
    "text/x-lua": "lua",
    "text/x-nim": "nim",
    "text/x-ocaml": "ml mli",
    "text/x-pascal": "pas",
    "text/x-perl": "pl pm",
    "text/x-php": "php",
    "text/x-ruby": "rb",
    "text/x-rust": "rs",
    "text/x-scala": "scala",
    "text/x-shellscript": "sh bash zsh fish",
    "text/x-sql": "sql",
    "text/x-swift": "swift",
    "text/x-tcl": "tcl",
    "text/x-tex": "tex sty bib",
    "text/x-zig": "zig",
    "application/atom+xml": "atom",
    "application/rss+xml": "rss",
    "application/feed+json": "jsonfeed",
    "application/json": "json",
    "application/geo+json": "geojson",
    "application/xhtml+xml": "xhtml",
    "application/pdf": "pdf",
    "application/postscript": "ps eps",
    "application/rtf": "rtf",
    "application/epub+zip": "epub",
    "application/gpub+zip": "gpub",
    "application/x-mobipocket-ebook": "mobi",
    "image/vnd.djvu": "djvu djv",
    "application/vnd.oasis.opendocument.text": "odt",
    "application/vnd.oasis.opendocument.spreadsheet": "ods",
    "application/vnd.oasis.opendocument.presentation": "odp",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
    "application/pgp-signature": "sig",
    "application/wasm": "wasm",
    "application/java-archive": "jar",
    "application/vnd.android.package-archive": "apk",
    "application/vnd.debian.binary-package": "deb",
    "application/x-rpm": "rpm",
    "application/x-bittorrent": "torrent",
    "application/vnd.sqlite3": "sqlite sqlite3",
    "application/zip": "zip",
    "application/gzip": "gz tgz",
    "application/zstd": "zst",
    "application/x-xz": "xz txz",
    "application/x-bzip2": "bz2 tbz2",
    "application/x-7z-compressed": "7z",
    "application/x-tar": "tar",
    "image/png": "png",
    "image/apng": "apng",
    "image/jpeg": "jpg jpeg",
    "image/gif": "gif",
    "image/webp": "webp",
    "image/avif": "avif",
    "image/heic": "heic",
    "image/jxl": "jxl",
    "image/svg+xml": "svg",
    "image/bmp": "bmp",
    "image/tiff": "tif tiff",
    "image/vnd.microsoft.icon": "ico",
    "audio/ogg": "ogg oga opus spx",
    "audio/flac": "flac",
    "audio/mpeg": "mp3",
    "audio/mp4": "m4a",
    "audio/aac": "aac",
    "audio/midi": "mid midi",
    "audio/mod": "mod xm s3m",
    "audio/wav": "wav",
    "audio/aiff": "aif aiff",
    "audio/x-mpegurl": "m3u m3u8",
    "video/mp4": "mp4 m4v",
    "video/ogg": "ogv",
    "video/webm": "webm",
    "video/matroska": "mkv",
    "video/quicktime": "mov",
    "video/mpeg": "mpg mpeg",
    "video/x-msvideo": "avi",
    "font/otf": "otf",
    "font/ttf": "ttf",
    "font/collection": "ttc",
    "font/woff": "woff",
    "font/woff2": "woff2",
}
_EXTENSIONS = {extension: mimetype for mimetype, known in _TYPES.items() for extension in known.split()}
# Names without an extension that are read by people.
_PLAIN = (
    "authors changelog changes containerfile contributing contributors copying copyright credits "
    "dockerfile gemfile history install justfile licence license maintainers makefile news notice "
    "procfile rakefile readme thanks todo vagrantfile version"
)
_NAMES = dict.fromkeys(_PLAIN.split(), "text/plain")

_NAME = r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+\-]{0,126}"  # RFC 6838, section 4.2
_TYPE = re.compile(rf"{_NAME}/{_NAME}")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]+")
# RFC 9110, section 5.6.6, but a bare value may hold what should be quoted: v0.16 had "lang=en,fr".
# A "*+" gives no blank back: with "*", many of them before something else took quadratic time.
_PARAMETER = re.compile(
    rf"[ \t]*;[ \t]*+(?:({_TOKEN.pattern})="
    r'(?:"((?:[ !#-\[\]-~]|\\[ -~])*)"|([!#-:<-~]+)))?(?=[ \t]*(?:;|\Z))'
)
_CHARSET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+\-]{0,39}")  # RFC 2978, section 2.3
_LANGUAGE = re.compile(r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*")  # the shape of RFC 5646
_EXTENSION = re.compile(r"[^\x00-\x20\x7f-\x9f/]+")


class MimeTypes:
    """The types of a capsule's files.

    Args:
        overrides: Extensions (``"cpp"``, ``".cpp"``, ``"tar.gz"``) or whole names to types. A
            parameter that such a type brings along stays as it is.
        lang: One language tag, or several separated by commas, for every text/gemini.
        charset: For every text/*.

    Raises:
        ValueError: One of them is malformed; the message names it.
    """

    def __init__(
        self,
        overrides: Mapping[str, str] = MappingProxyType({}),
        *,
        lang: str | None = None,
        charset: str | None = None,
    ) -> None:
        lang = None if lang is None else _check_lang(lang)
        if charset is not None and not _CHARSET.fullmatch(charset):
            raise ValueError(f"charset {charset!r} is not the name of a charset")

        def complete(mimetype: str) -> str:
            kind, parameters = _parse(mimetype)
            if charset is not None and kind.startswith("text/"):
                parameters.setdefault("charset", charset)
            if lang is not None and kind == "text/gemini":
                parameters.setdefault("lang", lang)
            return _write(kind, parameters)

        # Every answer is made here, so that asking is looking up.
        known = {mimetype: complete(mimetype) for mimetype in _TYPES}
        self._names = {name: known[mimetype] for name, mimetype in _NAMES.items()}
        self._extensions = {extension: known[mimetype] for extension, mimetype in _EXTENSIONS.items()}
        for key, mimetype in _check_keys(overrides).items():
            try:
                self._names[key] = self._extensions[key] = complete(mimetype)
            except ValueError as error:
                raise ValueError(f"the type of {key!r}: {error}") from None

    def of(self, name: str, parameters: str | None = None) -> str:
        """The full type of a file by the last segment of its path: ``text/gemini; lang=en``.

        ``parameters``, as a sidecar file has them, replace those of the same name; ``""`` is for no
        parameters at all.

        Raises:
            ValueError: The parameters are malformed.
        """
        mimetype = self._look_up(name.lower())
        if parameters is None:
            return mimetype
        return with_parameters(mimetype, parameters) if parameters else mimetype.partition(";")[0]

    def _look_up(self, name: str) -> str:
        if found := self._names.get(name):
            return found
        _, dot, extension = name.partition(".")
        while dot:  # from the longest extension to the shortest
            if found := self._extensions.get(extension):
                return found
            _, dot, extension = extension.partition(".")
        return UNKNOWN


def normalize(mimetype: str) -> str:
    """A full MIME type as it is written: ``Text/Plain;CHARSET="utf-8"`` is ``text/plain; charset=utf-8``.

    Raises:
        ValueError: It is not a MIME type, or longer than `MAX_MIMETYPE`.
    """
    return _write(*_parse(mimetype))


def normalize_parameters(parameters: str) -> str:
    """Parameters without their type, as they are written: ``; lang=en; charset=us-ascii``.

    Raises:
        ValueError: They are malformed, do not begin with ``;``, or are longer than `MAX_MIMETYPE`.
    """
    return _write("", _parse_parameters(parameters))


def with_parameters(mimetype: str, parameters: str) -> str:
    """Add parameters (``;lang=en ;charset=us-ascii``) to a type; one of the same name is replaced.

    Raises:
        ValueError: Either is malformed.
    """
    kind, present = _parse(mimetype)
    # Two accepted parts fit into a header, so their sum is not measured again.
    return _join(kind, present | _parse_parameters(parameters))


def _parse(mimetype: str) -> tuple[str, dict[str, str]]:
    kind, semicolon, parameters = mimetype.partition(";")
    kind = kind.strip(" \t")
    if not _TYPE.fullmatch(kind):
        raise ValueError(f"{mimetype[:100]!r} is not a MIME type")
    return kind.lower(), _parse_parameters(semicolon + parameters)


def _parse_parameters(text: str) -> dict[str, str]:
    """Names (lower case) to values (without quotes). Empty ones (``;;``) are skipped."""
    text = text.strip(" \t")
    parameters: dict[str, str] = {}
    position = 0
    while position < len(text):
        match = _PARAMETER.match(text, position)
        if match is None:
            raise ValueError(f"{text[position : position + 100]!r} is not a list of parameters")
        name, quoted, bare = match.groups()
        if name:
            parameters[name.lower()] = re.sub(r"\\(.)", r"\1", quoted) if bare is None else bare
        position = match.end()
    return parameters


def _write(kind: str, parameters: dict[str, str]) -> str:
    written = _join(kind, parameters)
    if len(written) > MAX_MIMETYPE:
        raise ValueError(f"{written[:50]!r}... is longer than {MAX_MIMETYPE} bytes")
    return written


def _join(kind: str, parameters: dict[str, str]) -> str:
    return kind + "".join(f"; {name}={_quote(value)}" for name, value in parameters.items())


def _quote(value: str) -> str:
    # A comma needs quotes too: lang="en,fr" (gemtext specification, section "Parameters").
    return value if _TOKEN.fullmatch(value) else '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'


def _check_lang(lang: str) -> str:
    tags = [tag.strip(" ") for tag in lang.split(",")]
    if not all(map(_LANGUAGE.fullmatch, tags)):
        raise ValueError(f"lang {lang!r} is not a list of language tags like 'en' or 'de,fr-CA'")
    return ",".join(tags)


def _check_keys(overrides: Mapping[str, str]) -> dict[str, str]:
    checked: dict[str, str] = {}
    for name, mimetype in overrides.items():
        key = name.removeprefix(".").lower()
        if not _EXTENSION.fullmatch(key):
            raise ValueError(f"{name!r} is neither an extension nor a file name")
        if key in checked:
            raise ValueError(f"{name!r} is given twice")
        checked[key] = mimetype
    return checked
