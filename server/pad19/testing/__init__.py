"""Routes without a server: a client that runs requests in process.

With trio (pytest-trio runs ``async def`` tests)::

    async def test_sign() -> None:
        async with Client(routes) as client:
            response = await client.get("/sign?Ada")
            assert (response.status, response.meta) == (30, "/")

And without::

    def test_sign() -> None:
        with SyncClient(routes) as client:
            assert client.get("/sign?Ada").status == 30

What a response says is what the test sees: a redirect is followed only if the test says so.

The pytest plugin `pad19.pytest_plugin` has clients for the capsule that a test belongs to.
"""

from .answer import Answer
from .certificates import identity
from .clients import Client, SyncClient

__all__ = ["Answer", "Client", "SyncClient", "identity"]
