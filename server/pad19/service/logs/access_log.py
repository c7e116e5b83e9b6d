r"""A `Record` as one line of text: ``common``, ``combined`` or ``json``.

    common    192.0.2.0 - - [23/Nov/2026:05:08:21 +0000] "gemini://a.test/" 20 1516
    combined  192.0.2.0 - - [23/Nov/2026:05:08:21 +0000] "gemini://a.test/" 20 1516 12.3 TLSv1.3 - "-"
    json      {"time":"2026-11-23T05:08:21.375Z","address":"192.0.2.0","request":"gemini://a.test/",...}

The time is that of the connection. ``common`` is what log analysers know, with the status ``-`` when
no header was sent, and with the reason as one more quoted field when there is one. ``combined`` always
adds the duration in milliseconds, the TLS version, the fingerprint of the client certificate and the
reason. Between quotes, a stranger's text has quotes, backslashes, controls and what changes the
direction of text as ``\xNN`` (below U+0080, and bytes that are not UTF-8), ``\uNNNN`` or
``\UNNNNNNNN``, so a field ends at the next quote and a line at the next newline.
"""

import re
import time
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from json.encoder import encode_basestring_ascii
from typing import Literal

from pad19.dispatch.record import Record
from pad19.protocol.address import parse_address
from pad19.protocol.titan import without_token

MAX_TEXT = 1024  # characters of a request line or reason, before escaping
CACHED_ADDRESSES = 4096  # strings of some 100 bytes each

Addresses = Literal["full", "truncated", "off"]
Format = Literal["common", "combined", "json"]

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_SURROGATES = re.compile(r"[\ud800-\udfff]")
# Controls, quotes and backslashes; line separators; what is invisible or turns text around (the Trojan
# Source attack, U+202E and others); surrogates, which no encoding takes; invisible tags.
_UNSAFE = re.compile(
    r'[\x00-\x1f"\\\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff'
    r"\ufff0-\uffff\U000e0000-\U000e0fff]"
)


def formatter(style: Format, addresses: Addresses) -> Callable[[Record], str]:
    """The function that writes lines, without their newline. They never hold another one."""
    return {"common": _common, "combined": _combined, "json": _json}[style](_ADDRESSES[addresses])


def _common(shorten: Callable[[str], str]) -> Callable[[Record], str]:
    def line(record: Record) -> str:
        text = _start(record, shorten)
        return f'{text} "{_quoted(record.reason)}"' if record.reason else text

    return line


def _combined(shorten: Callable[[str], str]) -> Callable[[Record], str]:
    def line(record: Record) -> str:
        return (
            f"{_start(record, shorten)} {record.duration * 1000:.1f} {record.tls_version or '-'} "
            f'{record.fingerprint or "-"} "{_quoted(record.reason or "-")}"'
        )

    return line


def _json(shorten: Callable[[str], str]) -> Callable[[Record], str]:
    def line(record: Record) -> str:
        second = int(record.started)
        return (
            f'{{"time":"{_iso_second(second)}.{int((record.started - second) * 1000):03d}Z"'
            f',"address":"{shorten(record.address)}"'
            f',"request":{_json_string(record.request)}'
            f',"status":{"null" if record.status is None else int(record.status)}'
            f',"bytes":{record.bytes_sent}'
            f',"duration_ms":{record.duration * 1000:.1f}'
            f',"tls":{_json_string(record.tls_version)}'
            f',"fingerprint":{"null" if record.fingerprint is None else _json_string(record.fingerprint)}'
            f',"reason":{_json_string(record.reason)}}}'
        )

    return line


def _start(record: Record, shorten: Callable[[str], str]) -> str:
    status = "-" if record.status is None else int(record.status)
    return (
        f"{shorten(record.address)} - - {_ncsa_second(int(record.started))} "
        f'"{_quoted(record.request)}" {status} {record.bytes_sent}'
    )


# A connection may end long after others that began later: a few seconds are in use at a time.
@lru_cache(maxsize=64)
def _ncsa_second(second: int) -> str:
    # Not strftime(): the names of months are English whatever the locale.
    at = time.gmtime(second)
    month = _MONTHS[at.tm_mon - 1]
    return f"[{at.tm_mday:02d}/{month}/{at.tm_year}:{at.tm_hour:02d}:{at.tm_min:02d}:{at.tm_sec:02d} +0000]"


@lru_cache(maxsize=64)
def _iso_second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def _tidy(text: str) -> str:
    """Without what must not be kept, and not too long."""
    if ";" in text:
        text = without_token(text)
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}..."


def printable(text: str) -> str:
    """A stranger's text that can play no tricks with a terminal."""
    return _quoted(text)


def _quoted(text: str) -> str:
    text = _tidy(text)
    return _UNSAFE.sub(_escape, text) if _UNSAFE.search(text) else text


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"  # the byte that "surrogateescape" could not decode
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _json_string(text: str) -> str:
    # Many parsers refuse lone surrogates even as \uNNNN, so these become text here too.
    text = _SURROGATES.sub(_escape, _tidy(text))
    return encode_basestring_ascii(text).replace("\x7f", "\\u007f")


@lru_cache(maxsize=CACHED_ADDRESSES)
def _full(address: str) -> str:
    return _parsed(address, 32, 128)


@lru_cache(maxsize=CACHED_ADDRESSES)
def _truncated(address: str) -> str:
    """/24 and /48: about one provider's customer line, not one machine. Loopback is nobody's secret."""
    return _parsed(address, 24, 48)


def _parsed(address: str, length4: int, length6: int) -> str:
    if not address:
        return "unix"
    try:
        ip = parse_address(address)
    except ValueError:
        return "-"  # whatever it was, it will not forge a field
    if ip.is_loopback:
        return str(ip)
    network: IPv4Network | IPv6Network = ip_network(
        (ip, length4 if ip.version == 4 else length6), strict=False
    )
    return str(network.network_address)


def _off(_address: str) -> str:
    return "-"


_ADDRESSES: dict[str, Callable[[str], str]] = {"full": _full, "truncated": _truncated, "off": _off}
