"""Listening sockets, bound as the configuration says."""

import errno
import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from .config.listen import Listen
from .config.model import Config, ConfigError, Forwarder
from .unix_listener import identity, listen_at

BACKLOG = 1024  # connections that wait in the kernel, for example while descriptors are short
# The kernel keeps a connection to itself until the client has said something: one wake-up less. What
# stays silent is handed over after about a second, and then meets the handshake deadline.
DEFER_ACCEPT = 1  # seconds
# It is the same error, and with RestrictAddressFamilies= in a unit the machine has them all.
NO_FAMILY = "this machine, or the sandbox around pad19, has no such kind of address"
_NO_FAMILY = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}
_PORT_TRIES = 10  # for a port that is free in both families, where the kernel picks it


class Unavailable(ConfigError):
    """Addresses cannot be had, which can be otherwise the next time."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A listening socket; ``listen`` has its real port, where 0 was asked for."""

    listen: Listen
    socket: socket.socket
    forwarder: Forwarder | None = None  # who connects, if not clients by themselves
    inherited: bool = False  # another process made it, and its path
    asked: Listen | None = None  # as the configuration has it; None: systemd decided
    file: tuple[int, int] | None = None  # its own at its path, see `identity`

    @property
    def is_reachable(self) -> bool:
        """Whether its path, if it has one that we made, leads to it still."""
        return self.listen.path is None or self.inherited or identity(self.listen.path) == self.file

    def close(self) -> None:
        """Stop listening. Closing twice is fine."""
        # The path first: once the socket is closed, somebody else may listen at that path already.
        if self.file is not None and self.is_reachable and self.socket.fileno() >= 0 and self.listen.path:
            with suppress(OSError):  # what stays behind is stale, and replaced at the next start
                self.listen.path.unlink()
        self.socket.close()


def bind(
    config: Config, given: Sequence[socket.socket] = (), before: Sequence[Bound] = ()
) -> tuple[Bound, ...]:
    """Bind everything that the configuration names, or nothing.

    Clients wait in these sockets from now on. Not so where there was something ``before``, which goes on for
    now: the kernel would prefer "127.0.0.1:1965" to the "0.0.0.0:1965" that is served, so such addresses are
    bound, and `begin_listening` does the rest when somebody is there to serve them.

    Args:
        config: What to listen on.
        given: Sockets that listen already. A forwarder's address among them is that forwarder's; the
            others stand in the place of `server.listen`.
        before: What was bound for an earlier configuration. What both name is taken over, and so is
            what was given then; the rest is left alone.

    Raises:
        Unavailable: An address cannot be had. One sentence for each.
    """
    inherited = [_inherit(sock, config) for sock in given]
    inherited += [
        replace(entry, forwarder=_forwarder(entry.listen, config)) for entry in before if entry.inherited
    ]
    bound = [*inherited]
    problems: list[str] = []
    with ports_shared(entry.socket for entry in before):
        for listen in () if inherited else config.addresses:
            try:
                bound += _taken_over(listen, None, before) or _bind(
                    listen, None, before, optional=config.server.listen is None
                )
            except OSError as error:
                problems.append(_problem("server.listen", listen, error))
        taken = {entry.forwarder for entry in inherited}
        for forwarder in config.forwarders:
            if forwarder in taken:
                continue
            try:
                bound += _taken_over(forwarder.listen, forwarder, before) or _bind(
                    forwarder.listen, forwarder, before, optional=False
                )
            except OSError as error:
                problems.append(_problem("forwarder.listen", forwarder.listen, error))
    if not bound and not problems:
        problems.append("server.listen: this machine has neither IPv4 nor IPv6; name an address that it has")
    if problems:
        close_others(bound, before)
        raise Unavailable(tuple(problems))
    return tuple(bound)


def begin_listening(sockets: Sequence[Bound], before: Sequence[Bound]) -> None:
    """Listen on those that `bind` has only bound, because of what was ``before``.

    Raises:
        Unavailable: Another program listens there by now. One sentence for each.
    """
    listening = [entry.socket for entry in before]
    problems: list[str] = []
    for entry in sockets:
        if entry.socket in listening or entry.listen.path is not None:
            continue
        try:
            with ports_shared((*listening, entry.socket)):
                entry.socket.listen(BACKLOG)
        except OSError as error:
            key = "forwarder.listen" if entry.forwarder else "server.listen"
            problems.append(_problem(key, entry.asked or entry.listen, error))
    if problems:
        raise Unavailable(tuple(problems))


def close_others(sockets: Sequence[Bound], kept: Sequence[Bound]) -> None:
    """Close those that are not among ``kept``, by whatever configuration."""
    open_still = {entry.socket for entry in kept}
    for entry in sockets:
        if entry.socket not in open_still:
            entry.close()


@contextmanager
def ports_shared(before: Iterable[socket.socket]) -> Iterator[None]:
    """Let "0.0.0.0:1965" be bound while "127.0.0.1:1965" is in use still, by us and for a moment only.

    Otherwise nobody could: a second pad19 must find the port taken.
    """
    sockets = [sock for sock in before if sock.family != socket.AF_UNIX]
    for sock in sockets:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        yield
    finally:
        for sock in sockets:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0)


def _taken_over(listen: Listen, forwarder: Forwarder | None, before: Sequence[Bound]) -> list[Bound]:
    """What was bound under the same name. Port 0 may be both a forwarder's and not: another one each time."""
    return [
        replace(entry, forwarder=forwarder)
        for entry in before
        if entry.asked == listen
        and entry.is_reachable  # whoever has removed the file gets another one
        and (listen.path is not None or (entry.forwarder is None) == (forwarder is None))
    ]


def _forwarder(listen: Listen, config: Config) -> Forwarder | None:
    return next((entry for entry in config.forwarders if entry.listen.has(listen)), None)


def _inherit(sock: socket.socket, config: Config) -> Bound:
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        # Bytes are a name in the abstract namespace, which is written with "@".
        listen = Listen(path=Path(name if isinstance(name, str) else f"@{os.fsdecode(name[1:])}"))
    else:
        listen = Listen(host=name[0], port=name[1])
    _set_options(sock)
    return Bound(listen, sock, _forwarder(listen, config), inherited=True)


def _bind(
    listen: Listen, forwarder: Forwarder | None, before: Sequence[Bound], *, optional: bool
) -> list[Bound]:
    if listen.path is not None:
        # A forwarder runs as another user, and the folder's mode says who gets here.
        sock = listen_at(listen.path, 0o666, BACKLOG)
        return [Bound(listen, sock, forwarder, asked=listen, file=identity(listen.path))]
    tries = 1 if listen.port else _PORT_TRIES
    while True:
        tries -= 1
        try:
            return _bind_addresses(listen, forwarder, before, optional=optional)
        except OSError as error:
            # The port that was free in one family can be taken in the other one.
            if error.errno != errno.EADDRINUSE or not tries:
                raise


def _bind_addresses(
    listen: Listen, forwarder: Forwarder | None, before: Sequence[Bound], *, optional: bool
) -> list[Bound]:
    bound: list[Bound] = []
    port = listen.port
    missing: OSError | None = None
    try:
        for address in listen.addresses:
            place = Listen(host=address, port=port)
            # Under another name: of two sockets at one address each would get some of the clients.
            if taken := [entry for entry in before if entry.listen == place and not entry.inherited]:
                bound += [replace(entry, forwarder=forwarder, asked=listen) for entry in taken]
                continue
            try:
                sock = _tcp(address, port, shared=bool(before))
            except OSError as error:
                if error.errno not in _NO_FAMILY:
                    raise
                missing = error  # a machine with one of IPv4 and IPv6 is fine
            else:
                port = sock.getsockname()[1]
                bound.append(Bound(Listen(host=address, port=port), sock, forwarder, asked=listen))
    except BaseException:
        close_others(bound, before)
        raise
    if missing and not bound and not optional:
        raise missing  # its operator asked for this one
    return bound


def _tcp(address: str, port: int, *, shared: bool) -> socket.socket:
    """It listens, unless the port may be ``shared`` with what does already."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # Each family has its own socket: no "::ffff:192.0.2.1" in logs and limits.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, shared)
        sock.bind((address, port))
        if shared:
            _set_options(sock)
        else:
            listen_on(sock)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0)
    except BaseException:
        sock.close()
        raise
    return sock


def listen_on(sock: socket.socket) -> None:
    """Listen, with the options that connections inherit."""
    _set_options(sock)
    sock.listen(BACKLOG)


def _set_options(sock: socket.socket) -> None:
    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_DEFER_ACCEPT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, DEFER_ACCEPT)
    sock.setblocking(False)


def _problem(key: str, listen: Listen, error: OSError) -> str:
    start = f'{key}: "{listen}" cannot be listened on'
    other = "choose another"
    if key == "server.listen":
        other += ", for example with --listen localhost:1966"
    match error.errno:
        case errno.EADDRINUSE if listen.path is not None and not listen.path.is_socket():
            return f"{start}: a file is in its place; move that away, or choose another path"
        case errno.EADDRINUSE:
            return f"{start}: another program has it; stop that one, or {other}"
        case errno.EACCES if listen.path is None:
            return f"{start}: ports below 1024 need the capability CAP_NET_BIND_SERVICE; choose one above"
        case errno.EADDRNOTAVAIL:
            return f"{start}: this machine does not have that address; choose one that `ip address` shows"
        case errno.EAFNOSUPPORT:
            return f"{start}: {NO_FAMILY}; leave it out, or have a socket unit of systemd listen there"
        case errno.ENOENT | errno.ENOTDIR | errno.EACCES | errno.EPERM | errno.EROFS:
            return f"{start}: {error.strerror}; the folder must exist and be writable for pad19"
        case _:
            return f"{start}: {error.strerror}; {other}"
