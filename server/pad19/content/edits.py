"""Who has asked for which text to edit it, and what it was then.

So an upload by the same person can be refused if somebody else has changed the text since. It is a notice,
not a lock: nobody is kept from anything by someone who edits, and forgets it.
"""

import logging
from hashlib import sha256
from typing import Any

from pad19.protocol.failure import TemporaryFailure
from pad19.protocol.request import Request
from pad19.store.interface import Store, StoreError

LOGGER = logging.getLogger("pad19.content")

LIFETIME = 86_400.0  # seconds that an edit may take


class Edits:
    """Remembers digests in a store, which all workers share."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def remember(self, request: Request, digest: str) -> None:
        """What whoever sends this request knows of the path now. ``""``: that nothing is there.

        Raises:
            TemporaryFailure: The store cannot be used.
        """
        try:
            await self._store.set(_key(request), digest, expires_in=LIFETIME)
        except StoreError as error:
            raise _unusable(error) from error

    async def recall(self, request: Request) -> str | None:
        """What they knew, if they have asked for it.

        Raises:
            TemporaryFailure: The store cannot be used.
        """
        try:
            digest: Any = await self._store.get(_key(request))
        except StoreError as error:
            raise _unusable(error) from error
        return None if digest is None else str(digest)


def _key(request: Request) -> str:
    """By the certificate's key, or by the address, which some people share."""
    client = request.client
    who = client.certificate.key_fingerprint if client.certificate else client.address
    return sha256(f"{who}\0{request.path}".encode()).hexdigest()


def _unusable(error: StoreError) -> TemporaryFailure:
    LOGGER.error("%s", error)
    return TemporaryFailure("edits cannot be remembered now")
