"""How TLS is spoken: one context per host, chosen by SNI, each built whole before its first use."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from OpenSSL import SSL

from pad19.protocol.uri import wildcard_of

if TYPE_CHECKING:
    from .certificate import Credentials

# AES-128 first: every machine of the last decade has it in hardware, and it is strong enough.
_TLS13_CIPHERS = b"TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384"
_TLS12_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20"
_MODE_ENABLE_PARTIAL_WRITE = 0x1  # pyOpenSSL sets it: one call per record instead of one per batch
_MODE_RELEASE_BUFFERS = 0x10  # an idle connection holds 16 to 32 KiB less


def _context(method: int) -> SSL.Context:
    context = SSL.Context(method)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_tls13_ciphersuites(_TLS13_CIPHERS)
    context.set_cipher_list(_TLS12_CIPHERS)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE)
    context.clear_mode(_MODE_ENABLE_PARTIAL_WRITE)
    context.set_mode(_MODE_RELEASE_BUFFERS)
    return context


def _accept_any(*_: object) -> bool:
    # Who may do what is decided per URI, with 60, 61 and 62; the handshake takes everybody.
    return True


def server_context(credentials: "Credentials") -> SSL.Context:
    """A context that serves one certificate and asks clients for theirs without demanding one."""
    context = _context(SSL.TLS_SERVER_METHOD)
    _use(context, credentials)
    context.set_verify(SSL.VERIFY_PEER, _accept_any)
    # Nobody looks at a client's chain. Checking one of 74 certificates with odd RSA keys took 0.4 s.
    context.set_verify_depth(0)
    # Resumption: tickets carry the client's certificate, so nothing is kept here. Without an id
    # OpenSSL refuses to resume a session with a client certificate. Early data stays off.
    context.set_session_id(b"pad19")
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    return context


def client_context(credentials: "Credentials | None" = None) -> SSL.Context:
    """A context that trusts nobody and refuses nobody: the caller compares fingerprints (TOFU)."""
    context = _context(SSL.TLS_CLIENT_METHOD)
    context.set_verify(SSL.VERIFY_NONE, _accept_any)
    if credentials is not None:
        _use(context, credentials)
    return context


def _use(context: SSL.Context, credentials: "Credentials") -> None:
    context.use_certificate(credentials.certificate)
    for certificate in credentials.chain:
        context.add_extra_chain_cert(certificate)
    context.use_privatekey(credentials.private_key)


class Contexts:
    """The contexts of all hosts; `default` is where every handshake starts."""

    def __init__(self, credentials: "Mapping[str, Credentials]") -> None:
        """``credentials`` by host; ``*.example.org`` stands for one label. The first is the default."""
        built = {entry.certificate: server_context(entry) for entry in credentials.values()}
        self._by_host = {host: built[entry.certificate] for host, entry in credentials.items()}
        self.default = next(iter(self._by_host.values()))
        if len(built) > 1:  # with one certificate there is nothing to choose, and no callback to pay
            self.default.set_tlsext_servername_callback(self._choose)

    def _choose(self, connection: SSL.Connection) -> None:
        name = connection.get_servername()
        if name and (context := self.find(name.decode("ascii", "replace"))):
            connection.set_context(context)

    def find(self, server_name: str) -> SSL.Context | None:
        """The context for an SNI name, or None."""
        name = server_name.lower().removesuffix(".")
        return self._by_host.get(name) or self._by_host.get(wildcard_of(name))
