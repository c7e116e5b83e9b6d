"""Where ``pad19 get`` keeps the public keys of the servers that it has visited."""

from pathlib import Path

from pad19.service.user_data import NoHomeFolder, user_data
from pad19.tls.known_hosts import KnownHostsError


def default_path() -> Path:
    """Where this user's file is (see `user_data`).

    Raises:
        KnownHostsError: The user has no home folder.
    """
    try:
        return user_data() / "known_hosts"
    except NoHomeFolder as error:
        raise KnownHostsError("You have no home folder; name a file with --known-hosts") from error
