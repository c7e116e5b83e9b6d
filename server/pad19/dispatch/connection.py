"""One connection from the first byte to its line in the log.

handshake -> request line -> handler -> header and body -> close_notify -> record. Each step has its
deadline. Whatever goes wrong ends in a header where the client can still read one, and in exactly
one record in any case.
"""

import logging
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime

import trio

from pad19.protocol.client import Client
from pad19.protocol.failure import CertificateNotValid, Failure, ServerUnavailable, SlowDown, TemporaryFailure
from pad19.protocol.request import MAX_URI, Request, RequestReader
from pad19.protocol.response import BrokenBody, Reply, Response, Stream, header
from pad19.protocol.titan import receive, without_token
from pad19.routes.mistakes import NO_THREAD, is_want_of_threads, parted
from pad19.tls.context import Contexts
from pad19.tls.errors import CutOff, HandshakeFailed, Truncated
from pad19.tls.stream import TLSStream

from .incoming import Incoming
from .limits.admission import Admission, NoRoom
from .presence import ClientLeft, Presence
from .record import Record
from .router import Router
from .texts import worded
from .timekeeper import Timekeeper

LOGGER = logging.getLogger("pad19.dispatch")

# Making the tickets of one session costs 20 us, a tenth of a handshake, and few clients ever use them.
# With so many connections open only every eighth client gets some; they can be used more than once.
BUSY = 4
TICKETS_EVERY = 8
AT_ONCE = 16  # chunks of a body that are sent in a row, if neither it nor the client has us wait
LINE = MAX_URI + 2  # bytes; a whole request line, and no buffer for more


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds that a client may take. When it stops reading is the socket's business."""

    handshake: float = 10.0
    request: float = 10.0  # from the end of the handshake to CRLF
    upload: float = 30.0  # that an upload may fall behind its lowest rate


class Connections:
    """Serves connections, all with the same contexts, capsules and limits."""

    def __init__(
        self,
        contexts: Contexts,
        router: Router,
        admission: Admission,
        deadlines: Deadlines,
        log: Callable[[Record], None],
        presence: Presence | None = None,
        *,
        trusted: bool = False,
    ) -> None:
        """``presence`` is told of clients; handlers ask it. ``trusted``: see `Admission.enter`."""
        self._contexts = contexts
        self._router = router
        self._admission = admission
        self._handshake_time = Timekeeper(deadlines.handshake)
        self._request_time = Timekeeper(deadlines.request)
        self._upload_patience = deadlines.upload
        self._log = log
        self._trusted = trusted
        self._presence = presence or Presence()
        self._handshakes = 0

    async def keep_time(self) -> None:
        """End connections that miss a deadline, until cancelled. To be run while `serve` is."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._handshake_time.run)
            nursery.start_soon(self._request_time.run)

    async def serve(
        self, transport: trio.abc.Stream, address: str, client_port: int = 0, port: int | None = None
    ) -> None:
        """Serve one client and close. Whatever happens stays in here.

        ``address`` and ``client_port`` are the client's ("" for a UNIX socket); ``port`` is the one
        it connected to, or None if any port in a URI will do.
        """
        record = Record(address=address, started=time.time())
        begin = time.perf_counter()
        ticket = stream = None
        try:
            ticket = self._admission.enter(address, trusted=self._trusted)
            stream = TLSStream(transport, self._contexts.default)
            await self._converse(stream, record, ticket.refusal, client_port, port)
        except NoRoom:
            record.reason = "no room"
        except trio.BrokenResourceError as error:
            record.reason = record.reason or f"client left: {error}"
        except trio.Cancelled:
            record.reason = record.reason or "server stopped"
            raise
        except MemoryError:
            LOGGER.error("a connection failed: there is no memory left")  # noqa: TRY400 - nobody's bug
            record.reason = "internal error"
        except BaseException as error:
            stop, mistake = parted(error)
            if mistake is not None:
                LOGGER.exception("a connection failed", exc_info=mistake)
                record.reason = "internal error"
            if stop is not None:
                raise stop from None
        finally:
            if ticket is not None:
                self._admission.leave(ticket)
            record.duration = time.perf_counter() - begin
            self._log(record)
            if stream is None or not stream.closed:
                await trio.aclose_forcefully(transport)

    async def _converse(
        self, stream: TLSStream, record: Record, refusal: Failure | None, client_port: int, port: int | None
    ) -> None:
        if not await self._shake_hands(stream, record):
            return
        identity = stream.identity
        record.tls_version = stream.version
        record.fingerprint = identity.fingerprint if identity else None
        client = Client(
            record.address, client_port, stream.server_name, record.tls_version, identity, stream.cipher
        )
        reader = RequestReader(client)
        # Who is refused need not wait for the request to be read.
        request = (
            await self._read_request(stream, reader, record) if refusal is None else _reply(refusal, record)
        )
        if request is not None:
            self._presence.arrived(client, stream.descriptor)
            try:
                await self._answer(stream, record, request, client, port, reader.rest)
            finally:
                self._presence.gone(client)

    async def _shake_hands(self, stream: TLSStream, record: Record) -> bool:
        self._handshake_time.begin(stream)
        try:
            await stream.do_handshake(tickets=self._gives_tickets())
        except HandshakeFailed as error:
            record.reason = f"handshake failed: {error}"
        except trio.ClosedResourceError:
            pass  # by the timekeeper
        finally:
            if not self._handshake_time.done(stream):
                record.reason = "handshake timeout"
        return not record.reason

    def _gives_tickets(self) -> bool:
        self._handshakes += 1
        return self._admission.total < BUSY or self._handshakes % TICKETS_EVERY == 0

    async def _read_request(
        self, stream: TLSStream, reader: RequestReader, record: Record
    ) -> Request | Reply | None:
        """The request; the answer to one that is none; or None if the client went away or is late."""
        waited = False
        try:
            # It often comes with the end of the handshake, and then needs no time of its own.
            data = stream.decrypt(LINE)
            if data is None:
                waited = True
                self._request_time.begin(stream)
                if record.tls_version == "TLSv1.2":
                    await stream.acknowledge()
                data = await stream.read(LINE)
            while data:
                request = reader.receive(data)
                if request is not None:
                    record.request = request.uri
                    return request
                data = await stream.read(LINE)
        except Failure as failure:
            return _reply(failure, record)
        except Truncated:
            data = b""
        except trio.ClosedResourceError:
            data = b""  # by the timekeeper
        finally:
            if waited and not self._request_time.done(stream):
                record.reason = "request timeout"
            if not record.request:
                record.request = without_token(reader.received.decode("utf-8", "surrogateescape"))
        record.reason = record.reason or "closed before CRLF"
        return None

    async def _answer(
        self,
        stream: TLSStream,
        record: Record,
        request: Request | Reply,
        client: Client,
        port: int | None,
        rest: bytes,
    ) -> None:
        """``rest``: what has been read behind the line."""
        incoming: Incoming | None = None
        if isinstance(request, Reply):
            response: Response = request
        else:
            if request.scheme == "titan":
                record.request = without_token(record.request)  # it is shown in more places than one
                incoming = Incoming(stream, rest, record, self._upload_patience)
            try:
                response = await self._respond(request, port, incoming)
            except Failure as failure:
                response = Reply(failure.status, str(failure))
            if isinstance(response, Reply) and response.note:
                record.reason = response.note
        # More input is to come if the line was not read to its end, or if a body follows it.
        drain = isinstance(request, Reply) or (
            request.scheme != "gemini" and not (incoming is not None and incoming.is_over)
        )
        body = response.body
        try:
            response, head = self._head(response, record)
            if isinstance(response.body, bytes):
                try:
                    await stream.finish(head + response.body, drain=drain)
                except (CutOff, trio.Cancelled):
                    record.status = int(response.status)  # the header was in the part that is out
                    raise
                record.status = int(response.status)
                record.bytes_sent = len(response.body)
            else:
                await stream.write(head)
                record.status = int(response.status)
                await self._stream(stream, record, response.body, client)
        finally:
            if not isinstance(body, bytes):
                with trio.CancelScope(shield=True):
                    await body.aclose()

    async def _respond(self, request: Request, port: int | None, incoming: Incoming | None) -> Response:
        handler = self._router.handler(request, port)
        certificate = request.client.certificate
        if certificate and (problem := certificate.problem(datetime.now(UTC))):
            return worded(CertificateNotValid(problem), handler, request)
        if incoming is not None:
            request = receive(request, incoming.of_size)
        try:
            return await handler(request)
        except BaseException as error:
            if isinstance(error, (Failure, ClientLeft)) or parted(error)[0] is not None:
                raise
            if is_want_of_threads(error):
                LOGGER.error("%r: %s", request.uri, NO_THREAD)  # noqa: TRY400 - nobody's bug
                raise ServerUnavailable("the system is busy, try again") from error
            LOGGER.exception("%r: the handler failed", request.uri)
            raise TemporaryFailure("internal error") from error

    def _head(self, response: Response, record: Record) -> tuple[Response, bytes]:
        """The header, and the response that it belongs to: another one if no header can be written."""
        try:
            return response, header(response.status, response.meta)
        except ValueError as error:
            LOGGER.error("%r: the handler's answer cannot be sent: %s", record.request, error)  # noqa: TRY400
            failure = TemporaryFailure("internal error")
            return Reply(failure.status, ""), header(failure.status, str(failure))

    async def _stream(self, stream: TLSStream, record: Record, body: Stream, client: Client) -> None:
        is_stored = getattr(body, "is_stored", False)
        try:
            with nullcontext() if is_stored else self._presence.attend(client):
                chunks = 0
                async for chunk in body:
                    await stream.write(chunk)
                    record.bytes_sent += len(chunk)
                    chunks += 1
                    if chunks % AT_ONCE == 0:  # a loop without await must not keep us from others
                        await trio.lowlevel.checkpoint()
        except trio.BrokenResourceError:
            raise
        except BrokenBody as error:
            record.reason = f"body broke off: {error}"
            LOGGER.warning("%r: the body broke off: %s", record.request, error)
        except BaseException as error:
            if parted(error)[0] is not None:
                raise
            record.reason = f"body broke off: {type(error).__name__}"
            LOGGER.exception("%r: the body broke off", record.request)
        else:
            await stream.finish()
        # Otherwise it stays open here and is closed without close_notify: the truncation shows.


def _reply(failure: Failure, record: Record) -> Reply:
    """The answer to what never reaches a handler. Not kept as an exception: its traceback holds us."""
    record.reason = "rate limit" if isinstance(failure, SlowDown) else str(failure)
    return Reply(failure.status, str(failure))
