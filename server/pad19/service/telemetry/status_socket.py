"""How a running server is asked for its status: a UNIX socket that tells it to whoever connects.

Nothing is read from it, so there is nothing to get wrong: connect, read to the end. Its name is made
of the configuration's path, so that `pad19 status` finds the server that was started with the same
arguments, also while the configuration is broken. Who may connect is a matter of the folder and the
socket, which are the user's own.
"""

import errno
import logging
import os
import selectors
import socket
import stat
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from pad19.service.config.read import shown_path
from pad19.service.config.toml_file import FILE_NAME
from pad19.service.descriptors import Spare
from pad19.service.unix_listener import UnixListener

LOGGER = logging.getLogger("pad19.service")

SYSTEM_FOLDER = Path("/run/pad19")  # what systemd makes for deploy/pad19.service
USERS_FOLDER = Path("/run/user")  # where systemd has a runtime folder for each user, by number
TEMPORARY_FOLDERS = ("/tmp", "/var/tmp")  # noqa: S108 - where those have theirs who may not write elsewhere
MAX_CLIENTS = 8  # that have not read all of it yet; one more, and the oldest is given up
MAX_ANSWER = 64 * 1024 * 1024  # bytes; more is not from pad19
PATIENCE = 5.0  # seconds that a server may take to answer
_NOBODY = {errno.ENOENT, errno.ENOTDIR, errno.ECONNREFUSED, None}  # None: the path is too long to be one


class NotRunning(Exception):
    """There is no status to be had. The message is one sentence."""


# Names


def subjects(folder: Path, config: Path | None = None) -> tuple[Path, ...]:
    """What the arguments of `config.load.resolve` name, absolute: the likeliest first.

    A server is called by the first one. Somebody who looks for it tries all, since the file may have
    come or gone in the meantime.

    Raises:
        OSError: The working directory is gone.
    """
    if config is not None:
        return (_absolute(config),)
    found = (_absolute(folder / FILE_NAME), _absolute(folder))
    return found if os.path.lexists(found[0]) else found[::-1]


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # without ".." and unlike resolve() with links as they are


def _name(subject: Path) -> str:
    # hashlib brings all of OpenSSL along, 4 MB of a process that has 20. This is the part that is needed,
    # taken as the standard library's random takes it.
    try:
        module = import_module("_sha2" if sys.version_info >= (3, 12) else "_sha256")
    except ImportError:  # a Python that was built without them
        module = import_module("hashlib")
    return f"{module.sha256(os.fsencode(subject)).hexdigest()[:16]}.sock"


def _folders() -> Iterator[tuple[Path, bool]]:
    """Where sockets may be, the best place first, and whether the folder is somebody else's to make."""
    given = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]  # systemd.exec(5): may be several
    if given.startswith("/"):
        yield Path(given), True
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime.startswith("/"):  # else the specification has it ignored
        yield Path(runtime) / "pad19", False
    import tempfile  # 0.7 MB, which a service need not have: it has taken one of the others

    with suppress(FileNotFoundError):  # there is none that can be written to
        yield Path(tempfile.gettempdir()) / f"pad19-{os.geteuid()}", False


def _problem(folder: Path, owner: int | None = None) -> str | None:
    """Why a folder that its owner makes cannot be trusted: others could have put something there."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != (os.geteuid() if owner is None else owner):
        return "it is somebody else's"
    if found.st_mode & 0o077:
        return "others may enter it"
    return None


# The server's side


class StatusSocket:
    """Tells the status to whoever connects. To be watched for input by the loop that owns it.

    A client that reads slowly is served piece by piece, and one that does not read is given up when
    its place is wanted: nothing here ever waits.
    """

    def __init__(self, listener: UnixListener) -> None:
        self._listener = listener
        self._waiting: dict[socket.socket, memoryview] = {}  # what clients have not taken yet; oldest first
        # A selector inside of the owner's: its descriptor is readable when any of ours is ready.
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener.socket, selectors.EVENT_READ)
        self._spare = Spare()

    def fileno(self) -> int:
        """Of what to wait for."""
        return self._selector.fileno()

    def answer(self, text: Callable[[], str]) -> None:
        """Do what can be done now. ``text`` is called if somebody asks; what it raises goes on from here."""
        for key, _ in self._selector.select(0):
            if key.fileobj is self._listener.socket:
                self._accept(text)
            elif isinstance(key.fileobj, socket.socket):
                self._send(key.fileobj)

    def _accept(self, text: Callable[[], str]) -> None:
        try:
            client, _ = self._listener.socket.accept()
        except OSError as error:  # it left again, for example
            if error.errno in {errno.EMFILE, errno.ENFILE}:
                self._spare.turn_away(self._listener.socket)
            return
        try:
            client.setblocking(False)
            if len(self._waiting) == MAX_CLIENTS:
                self._drop(next(iter(self._waiting)))
            answer = memoryview(text().encode("utf-8", "backslashreplace"))
            self._selector.register(client, selectors.EVENT_WRITE)
        except BaseException:
            client.close()
            raise
        self._waiting[client] = answer
        self._send(client)

    def _send(self, client: socket.socket) -> None:
        left = self._waiting.get(client)
        if left is None:  # it was given up in this very round
            return
        try:
            while left:
                left = left[client.send(left) :]
        except BlockingIOError:
            self._waiting[client] = left
        except OSError:
            self._drop(client)
        else:
            self._drop(client)

    def _drop(self, client: socket.socket) -> None:
        del self._waiting[client]
        self._selector.unregister(client)
        client.close()

    def close(self) -> None:
        """Stop, and leave nothing behind. Closing twice is fine."""
        for client in [*self._waiting]:
            self._drop(client)
        self._selector.close()
        self._listener.close()
        self._spare.close()


def open_socket(subject: Path) -> StatusSocket | None:
    """Listen where `ask` will look for the server of ``subject``, see `subjects`.

    None, after a warning: there is no place for it, or another server has it. That is no reason not
    to serve.
    """
    reasons: list[str] = []
    for folder, given in _folders():
        path = folder / _name(subject)
        try:
            if not given:
                folder.mkdir(mode=0o700, exist_ok=True)
                if reason := _problem(folder):
                    reasons.append(f"{shown_path(folder)} cannot be used, because {reason}")
                    continue
            return StatusSocket(UnixListener.bind(path, 0o600))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                reasons = [f"another pad19 serves {shown_path(subject)}, and is the one that it shows"]
                break
            reasons.append(f"{shown_path(folder)} cannot be used ({error.strerror or error})")
    reasons = reasons or ["there is no folder that sockets can be made in; name one in RUNTIME_DIRECTORY"]
    LOGGER.warning("`pad19 status` will not work: %s", "; ".join(reasons))
    return None


# The other side


def ask(subjects: tuple[Path, ...], whose: Callable[[int], None] = lambda _: None) -> str:
    """What the running server of one of the ``subjects`` tells.

    ``whose``: told whom it belongs to, if that is another user than this one and the system's: anybody
    can claim to serve something, and root should know who does.

    Raises:
        NotRunning: There is none, or it does not answer.
    """
    refused: list[str] = []
    for subject in subjects:
        for path, owner in _places(subject):
            try:
                text = _read(path, owner)
            except TimeoutError:
                refused.append(f"pad19 runs but did not answer in {PATIENCE:g} s: look into its log")
            except PermissionError:
                refused.append(
                    f"{shown_path(path)} is not for you: ask as root, or as the user who runs pad19"
                )
            except OSError as error:
                if error.errno not in _NOBODY:
                    refused.append(
                        f"{shown_path(path)} cannot be read ({error.strerror}): look into pad19's log"
                    )
            else:
                if owner is not None:
                    whose(owner)
                return text
    if refused:
        raise NotRunning(refused[0])
    shown = shown_path(subjects[0])
    mend = "name the DIR or the --config that it has"
    if os.geteuid() == 0:
        raise NotRunning(f"no pad19 runs for {shown}: {mend}")
    raise NotRunning(f"no pad19 that you may ask runs for {shown}: {mend}, or ask as the user who runs it")


def _places(subject: Path) -> Iterator[tuple[Path, int | None]]:
    """Where the socket of a server may be, and whose it must be. None: nobody else can have put it there."""
    name = _name(subject)
    yield from ((folder / name, None) for folder, given in _folders() if given or _is_own(folder))
    yield SYSTEM_FOLDER / name, None
    if os.geteuid() == 0:
        yield from ((folder / name, owner) for folder, owner in _folders_of_others())


def _folders_of_others() -> Iterator[tuple[Path, int]]:
    """Where `_folders` sends other users, and who they are."""
    import tempfile

    temporary = {*TEMPORARY_FOLDERS}
    with suppress(FileNotFoundError):
        temporary.add(tempfile.gettempdir())
    named = {(path, path.parent.name) for path in USERS_FOLDER.glob("*/pad19")}
    for folder in temporary:
        named |= {(path, path.name.partition("-")[2]) for path in Path(folder).glob("pad19-*")}
    for path, number in sorted(named):
        if number.isascii() and number.isdigit() and int(number) and _is_own(path, int(number)):
            yield path, int(number)


def _is_own(folder: Path, owner: int | None = None) -> bool:
    """Whether nobody else could have put a socket there, to show us something else."""
    try:
        return _problem(folder, owner) is None
    except OSError:
        return False


def _read(path: Path, owner: int | None) -> str:
    parts: list[bytes] = []
    left = MAX_ANSWER
    end = time.monotonic() + PATIENCE
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(os.fspath(path))
        if owner is not None and _listener(sock) != owner:  # a link to somebody else's socket
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        while left > 0 and (data := sock.recv(65536)):
            parts.append(data)
            left -= len(data)
            sock.settimeout(max(end - time.monotonic(), 0.001))  # for all of it, whoever it is
    if not parts:
        raise ConnectionResetError(errno.ECONNRESET, "it closed the connection")
    return b"".join(parts).decode("utf-8", "replace")


def _listener(sock: socket.socket) -> int | None:
    """The user who listens at the other end (unix(7)); None where the system does not tell."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    credentials = struct.Struct("3i")  # process, user, group
    _, user, _ = credentials.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, credentials.size))
    return int(user)
