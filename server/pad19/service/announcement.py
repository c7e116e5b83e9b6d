"""What a server says when it starts: what it serves, where, and with which certificates."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from pad19.protocol.request import DEFAULT_PORT
from pad19.protocol.uri import display_host

from .config.model import Config
from .config.toml_file import FILE_NAME
from .handover import Shown
from .logs import messages
from .sockets import Bound


def announce(config: Config, certificates: Sequence[Shown], sockets: Sequence[Bound]) -> None:
    """Say it on standard error: standard output belongs to the access log."""
    suffix = _port(sockets)
    shown = {entry.host: entry for entry in certificates}
    for capsule in config.capsules:
        messages.say(f"Serving {capsule.content}")
        if config.source is None:
            messages.say(f"  ({_without_file(capsule.content)})")
        for host in capsule.hosts:
            certificate = shown[host]
            until = datetime.fromtimestamp(certificate.not_after, UTC)
            state = "made just now, " if certificate.is_new else ""
            messages.say(f"  gemini://{display_host(host)}{suffix}/")
            messages.say(f"    certificate  {certificate.fingerprint} ({state}valid until {until:%Y-%m-%d})")
            messages.say(f"    public key   {certificate.key_fingerprint}")
    places = [str(bound.listen) for bound in sockets if not bound.forwarder]
    places += [f"{bound.listen} (for forwarders)" for bound in sockets if bound.forwarder]
    if config.log.access not in {"-", "off"}:
        messages.say(f"The access log goes to {config.log.access}.")
    messages.say(f"Listening on {', '.join(places)}. Stop with Ctrl-C.")


def _without_file(folder: Path) -> str:
    """Why a folder is served as it is. Newcomers name that of the pages, and miss the rest."""
    said = f"no {FILE_NAME} in {folder}, so the folder itself is the content"
    above = folder.parent / FILE_NAME
    return f"{said}; {above} is not looked at" if os.path.lexists(above) else said


def first_uri(config: Config, sockets: Sequence[Bound]) -> str:
    """One that can be asked for."""
    host = config.capsules[0].hosts[0].replace("*.", "www.", 1)
    return f"gemini://{display_host(host)}{_port(sockets)}/"


def status_line(config: Config, sockets: Sequence[Bound]) -> str:
    """The same in one line, for ``systemctl status`` and the log."""
    hosts = [host for capsule in config.capsules for host in capsule.hosts]
    return f"Serving {', '.join(hosts)} on {', '.join(str(bound.listen) for bound in sockets)}"


def _port(sockets: Sequence[Bound]) -> str:
    """What a URI needs behind the host."""
    ports = [bound.listen.port for bound in sockets if not bound.forwarder and bound.listen.path is None]
    return "" if not ports or DEFAULT_PORT in ports else f":{ports[0]}"
