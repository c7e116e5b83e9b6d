"""What serving needs from this machine: certificates, ports, a log. Nothing is made and nothing kept."""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import NoReturn

import trio
from msgspec.structs import replace

from pad19.service.config.capsule import Capsule
from pad19.service.config.hosts import default_host
from pad19.service.config.listen import Listen
from pad19.service.config.model import Config, ConfigError, Forwarder
from pad19.service.config.read import shown_path
from pad19.service.config.routes_folder import problem_beside_file
from pad19.service.folders import folder_problem, is_writable
from pad19.service.sockets import Unavailable, bind
from pad19.service.telemetry.status import read_message
from pad19.service.telemetry.status_socket import NotRunning, ask
from pad19.service.uploads import state_problem
from pad19.service.worker import shares_default
from pad19.tls.certificate import CertificateError, Credentials, load
from pad19.tls.certificate_folder import files
from pad19.tls.client import ConnectFailed, connect
from pad19.tls.context import client_context

PATIENCE = 3.0  # seconds for whoever listens where we would: it may be ourselves


@dataclass(slots=True)
class Readiness:
    """Sentences without a full stop."""

    problems: list[str] = field(default_factory=list)  # with these, nothing can be served
    warnings: list[str] = field(default_factory=list)  # with these, it can, but not well
    notes: list[str] = field(default_factory=list)


async def check_machine(config: Config) -> Readiness:
    """Look at everything that `pad19 serve` would open, load or make."""
    ready = Readiness()
    credentials = await trio.to_thread.run_sync(_check_certificates, config, ready)
    if problem := state_problem(config):
        ready.problems.append(problem)
    if warning := problem_beside_file(config):
        ready.warnings.append(warning)
    fingerprints = {entry.fingerprint for entry in credentials.values()}
    host = next(iter(credentials), "localhost").replace("*.", "www.", 1)
    served = await trio.to_thread.run_sync(_served, config)
    runs = bool(served)
    for part, addresses in _parts(config):
        problems = await trio.to_thread.run_sync(_bind_problems, part)
        places = ", ".join(map(str, addresses))
        if problems and _clash(addresses, served):
            ready.notes.append(f"pad19 runs already, on {places}")
        elif problems and part.forwarders:
            # Nobody is asked there: who waits for a PROXY header would complain of us.
            ready.problems += () if runs and not served else problems
        elif problems and await _is_ours(addresses, host, fingerprints):
            runs = True
            ready.notes.append(f"pad19 runs already, on {places}, with one of these certificates")
        else:
            ready.problems += problems
    if config.metrics and not _clash((config.metrics.listen,), served):
        ready.problems += await trio.to_thread.run_sync(_metrics_problems, config.metrics.listen, runs)
    sockets = [*config.addresses, *(forwarder.listen for forwarder in config.forwarders)]
    sockets += [config.metrics.listen] if config.metrics else []
    for listen in sockets:
        if listen.path and (problem := _unix_problem(listen.path, is_served=listen in served)):
            ready.problems.append(f'"{listen}" cannot be listened on: {problem}')
    if config.log.access not in {"-", "off"}:
        _check_log(Path(config.log.access), ready)
    return ready


def _served(config: Config) -> list[Listen]:
    """Where the pad19 listens that runs with this configuration, if it tells us. It is asked nowhere else."""
    subject = Path(os.path.abspath(config.source or config.capsules[0].content))
    try:
        found = json.loads(read_message(ask((subject,)))[0])
        return [Listen.parse(text) for text in (*found["addresses"], *found["metrics"])]
    except (NotRunning, OSError, ValueError, LookupError, TypeError):
        return []


def _clash(addresses: Iterable[Listen], served: Iterable[Listen]) -> bool:
    """Whether what is served stands in the way of one of the addresses, or is that."""
    return any(listen.clashes(other) for listen in addresses for other in served)


def _check_log(path: Path, ready: Readiness) -> None:
    if problem := _file_problem(path):
        ready.problems.append(f"log.access is {shown_path(path)}, but {problem}")
    elif path.is_fifo():  # to open it for a look would end who reads from it
        ready.notes.append(f"log.access is a FIFO, {shown_path(path)}, which needs a reader")


def _check_certificates(config: Config, ready: Readiness) -> dict[str, Credentials]:
    """Those that can be loaded, by host."""
    found: dict[str, Credentials] = {}
    problems: dict[str, None] = {}  # one file can serve several hosts
    warnings: dict[str, None] = {}
    default = default_host([host for capsule in config.capsules for host in capsule.hosts])
    for capsule in config.capsules:
        for host in capsule.hosts:
            if shares_default(capsule, host, default):
                continue
            try:
                paths = _paths(capsule, host, config)
                if paths is None:
                    ready.notes.append(f"a certificate for {host} will be made at the first start")
                    if problem := folder_problem(config.server.certs):
                        problems[f"server.certs is {shown_path(config.server.certs)}, but {problem}"] = None
                    continue
                found[host] = load(*paths, host=host, elsewhere=capsule.certificate is not None)
            except CertificateError as error:
                problems[str(error)] = None
            else:
                warnings |= dict.fromkeys(found[host].warnings)
    ready.problems += problems
    ready.warnings += warnings
    return found


def _paths(capsule: Capsule, host: str, config: Config) -> tuple[Path, Path] | None:
    """Where the certificate and the key are; None if they will be made."""
    if capsule.certificate is not None and capsule.key is not None:
        return capsule.certificate, capsule.key
    paths = files(host, config.server.certs)
    return paths if os.path.lexists(paths[0]) else None


def _parts(config: Config) -> Iterator[tuple[Config, tuple[Listen, ...]]]:
    """A configuration for each TCP address that can be had or not by itself."""
    server = config.server
    if server.listen is None and config.addresses:
        yield replace(config, forwarders=()), config.addresses
    for listen in server.listen or ():
        if not listen.path:
            yield replace(config, forwarders=(), server=replace(server, listen=(listen,))), (listen,)
    for forwarder in config.forwarders:
        if not forwarder.listen.path:
            yield _only(config, forwarder), (forwarder.listen,)


def _only(config: Config, forwarder: Forwarder) -> Config:
    return replace(config, forwarders=(forwarder,), server=replace(config.server, listen=None))


def _bind_problems(config: Config) -> tuple[str, ...]:
    try:
        for bound in bind(config):
            bound.close()
    except ConfigError as error:
        return error.problems
    return ()


async def _is_ours(addresses: tuple[Listen, ...], host: str, fingerprints: set[str]) -> bool:
    """Whether whoever listens there shows one of the certificates."""
    for listen in addresses:
        for address in listen.addresses:
            local = {"::": "::1", "0.0.0.0": "127.0.0.1"}.get(address, address)  # noqa: S104 - not to listen
            with trio.move_on_after(PATIENCE):
                try:
                    connection = await connect(host, listen.port, client_context(), via=(local, listen.port))
                except ConnectFailed:
                    continue
                async with connection:
                    if connection.server.fingerprint in fingerprints:
                        return True
    return False


def _metrics_problems(listen: Listen, runs: bool) -> tuple[str, ...]:
    """``runs``: pad19 does already, and so may be the one that has the address."""
    from pad19.service.telemetry.metrics import MetricsServer  # which few have

    # What has a path is looked at like all others, and not made.
    probe = Listen(host="localhost") if listen.path else listen
    try:
        MetricsServer(probe, _nothing_to_tell).stop()
    except Unavailable as error:
        return () if runs and _tells_metrics(listen) else error.problems
    except ConfigError as error:
        return error.problems
    return ()


def _nothing_to_tell() -> NoReturn:
    raise AssertionError("it was not started, so nobody can ask")


def _tells_metrics(listen: Listen) -> bool:
    """Whether pad19 answers there."""
    for address in listen.addresses:
        connection = HTTPConnection(address, listen.port, timeout=PATIENCE)
        try:
            connection.request("GET", "/")
            if (connection.getresponse().getheader("Server") or "").partition(" ")[0] == "pad19":
                return True
        except (OSError, HTTPException):
            continue
        finally:
            connection.close()
    return False


def _unix_problem(path: Path, *, is_served: bool) -> str | None:
    if is_served and not os.path.lexists(path):
        return "it was removed, though pad19 runs; reload that, which makes it again"
    if os.path.lexists(path) and not path.is_socket():
        return "a file is in its place; move that away, or choose another path"
    if not path.parent.is_dir() or not is_writable(path.parent):
        return "the folder must exist and be writable for pad19"
    return None


def _file_problem(path: Path) -> str | None:
    """Why a file cannot be appended to, nor be made."""
    if path.is_dir():
        return "that is a folder: name a file"
    if path.exists():
        return None if is_writable(path) else "it cannot be written: mend that, or name another"
    if not path.parent.is_dir():
        return "its folder does not exist: create that, or name another"
    return None if is_writable(path.parent) else "its folder cannot be written: mend that, or name another"
