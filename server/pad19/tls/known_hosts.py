"""Which public key each server had when it was last visited: trust on first use (TOFU).

The file has a line for each host and port: ``example.org:1965 sha256:… 2125-06-30``, the last being
the day on which the certificate expires. Blank lines and those that begin with ``#`` are comments.
Any number of processes may write at once: the file is replaced as a whole, under a lock.
"""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from pad19.protocol.client import Identity

from .whole_file import written_beside

_HEAD = "# Servers that were visited: host:port, public key, expiry of the certificate."
_LINE = re.compile(r"(\S+:[0-9]+)[ \t]+(sha256:[0-9a-f]{64})[ \t]+([0-9]{4}-[0-9]{2}-[0-9]{2})")


class KnownHostsError(Exception):
    """The file cannot be used. The message is a sentence that names it."""


class KeyChanged(Exception):
    """A server has another key than it should have. The message is a sentence, without the mend."""


@dataclass(frozen=True, slots=True)
class _Entry:
    key: str  # "sha256:…" of the public key
    expires: date  # the last day on which another key is refused


@dataclass(frozen=True, slots=True)
class _Contents:
    lines: list[str]
    entries: dict[str, _Entry]  # by name; of two, the last counts
    positions: dict[str, int]  # of their lines
    broken: list[str]  # a sentence for each line that is none

    def put(self, name: str, entry: _Entry) -> None:
        line = f"{name} {entry.key} {entry.expires}"
        if name in self.positions:
            self.lines[self.positions[name]] = line
        else:
            self.lines.append(line)


class KnownHosts:
    """The file at ``path``, which is made when there is something to remember."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def check(
        self, name: str, server: Identity, now: datetime, *, trust: bool = False, must_remember: bool = False
    ) -> list[str]:
        """Compare a server, ``host:port``, with what is remembered, and remember it.

        ``now``: aware, UTC. ``trust``: take a new key as well. ``must_remember``: take none that cannot be
        written down. Returns what the user should know, in sentences. Blocks, as long as other processes
        write.

        Raises:
            KeyChanged: It has a new key although the certificate of the old one has not expired.
            KnownHostsError: The file cannot be read, or not written where it must be.
        """
        current = _Entry(server.key_fingerprint, server.not_after.date())
        contents = self._read()
        notes = contents.broken
        if contents.entries.get(name) == current:
            return notes
        note = self._judge(name, contents.entries.get(name), current, now, trust)
        try:
            with self._locked():
                contents = self._read()  # again: another process may have been quicker
                note = self._judge(name, contents.entries.get(name), current, now, trust)
                contents.put(name, current)
                self._write(contents.lines)
        except OSError as error:
            failure = f"{self._path} cannot be written ({error.strerror}), so {name} is not remembered"
            if must_remember and note:
                raise KnownHostsError(failure) from error
            notes.append(failure)
        return [*notes, note] if note else notes

    def _judge(self, name: str, known: _Entry | None, current: _Entry, now: datetime, trust: bool) -> str:
        """What to say of a server. Empty: nothing, its certificate was renewed with the same key."""
        if known is None:
            return f"First visit to {name}: its public key is {current.key}"
        if known.key == current.key:
            return ""
        if now.date() > known.expires:
            return (
                f"{name} has a new public key, {current.key}; "
                f"the certificate of the old one, {known.key}, expired on {known.expires}"
            )
        if trust:
            return f"{name} has a new public key, {current.key}, in place of {known.key}; it is trusted now"
        raise KeyChanged(
            f"{name} has the public key {current.key}, but {self._path} expects {known.key} "
            f"until {known.expires}: this may be another server"
        )

    def _read(self) -> _Contents:
        try:
            if self._path.exists() and not self._path.is_file():
                raise KnownHostsError(f"{self._path} is not a file")
            # A line that is not UTF-8 is broken, and must stay as it is.
            lines = self._path.read_bytes().decode("utf-8", "surrogateescape").split("\n")
        except FileNotFoundError:
            return _Contents([_HEAD], {}, {}, [])
        except OSError as error:
            raise KnownHostsError(f"{self._path} cannot be read ({error.strerror})") from error
        if not lines[-1]:
            lines.pop()
        contents = _Contents(lines, {}, {}, [])
        for index, line in enumerate(lines):
            text = line.strip()
            if not text or text.startswith("#"):
                continue
            try:
                name, entry = _parse(text)
            except ValueError:
                contents.broken.append(
                    f"{self._path}, line {index + 1} is skipped: it is not `host:port sha256:… date`"
                )
            else:
                contents.entries[name] = entry
                contents.positions[name] = index
        return contents

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes from writing. The lock file stays: removing it would race."""
        path = self._path.resolve()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _write(self, lines: list[str]) -> None:
        """Replace the file as a whole; one that a link leads to is replaced where it is."""
        path = self._path.resolve()
        data = "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")
        with written_beside(path, data, 0o600) as temporary:
            temporary.replace(path)


def _parse(line: str) -> tuple[str, _Entry]:
    match = _LINE.fullmatch(line)
    if match is None:
        raise ValueError(line)
    name, key, expires = match.groups()
    return name, _Entry(key, date.fromisoformat(expires))
