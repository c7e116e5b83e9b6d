"""From a request to the handler that answers it: scheme, port, host, capsule."""

from collections.abc import Awaitable, Callable, Collection, Mapping

from pad19.protocol.failure import ProxyRequestRefused
from pad19.protocol.request import Request
from pad19.protocol.response import Response

Handler = Callable[[Request], Awaitable[Response]]


class Router:
    """Knows the capsules by host; ``*.example.org`` stands for exactly one label more."""

    def __init__(self, capsules: Mapping[str, Handler], uploads: Collection[str] = ()) -> None:
        """``uploads``: the hosts, as in ``capsules``, whose handlers take Titan requests, too."""
        self._exact = {host: handler for host, handler in capsules.items() if not host.startswith("*.")}
        self._takers = {id(capsules[host]) for host in uploads}
        self._wild = {host[1:]: handler for host, handler in capsules.items() if host.startswith("*.")}

    def handler(self, request: Request, port: int | None) -> Handler:
        """Who answers. ``port``: the one that was connected to; None: any port will do.

        Raises:
            ProxyRequestRefused: Another scheme, port or host than is served here, or a host other
                than the one that the client named in the handshake, if it named one.
        """
        is_upload = request.scheme == "titan"
        if not is_upload and request.scheme != "gemini":
            raise ProxyRequestRefused(f"{request.scheme} is not served here")
        if port is not None and request.port != port:
            raise ProxyRequestRefused("this port is not served here")
        host = request.host
        server_name = request.client.server_name
        # Addresses are no server names (RFC 6066, section 3): only a name that was sent can disagree.
        if server_name is not None and server_name != host and server_name != host.strip("[]"):
            raise ProxyRequestRefused("the TLS server name and the host of the URI differ")
        found = self._exact.get(host)
        if found is None and self._wild:
            found = self._wild.get(host[host.find(".") :])
        if found is None:
            raise ProxyRequestRefused("this host is not served here")
        if is_upload and id(found) not in self._takers:
            raise ProxyRequestRefused("titan is not served here")
        return found
