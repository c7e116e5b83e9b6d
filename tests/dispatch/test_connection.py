"""What happens around requests: deadlines, certificates, refusals, broken handlers."""

import contextlib
import gc
import logging
import ssl
from pathlib import Path

import pytest
import trio
from OpenSSL import SSL
from trio.testing import MockClock, memory_stream_pair

from dispatch.answering import ASK, Make, hello, recorded, server
from pad19.dispatch.connection import BUSY, TICKETS_EVERY, Deadlines
from pad19.dispatch.limits.admission import REFUSALS
from pad19.protocol.failure import CertificateFailure, Failure, Gone, SlowDown
from pad19.protocol.request import Request
from pad19.protocol.response import Input, Redirect, Reply, Response, SensitiveInput, Success
from pad19.protocol.status import Status
from pad19.tls.context import client_context
from pad19.tls.identity import identify
from pad19.tls.stream import TLSStream
from support.server import (
    Server,
    ask,
    ask_in_memory,
    connect,
    keeping_time,
    listening,
    read_all,
    stdlib_context,
)
from support.tls import Pair, self_signed


def raising(error: BaseException) -> Make:
    def make(_: Request) -> Response:
        raise error

    return make


# What handlers answer


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (hello, b"20 text/gemini\r\n# Hello\n"),
        (lambda _: Input("Your name?"), b"10 Your name?\r\n"),
        (
            lambda _: SensitiveInput("Word?\r\n20 a/b\r\n\r\nforged"),
            b"11 Word? 20 a/b forged\r\n",
        ),
        (lambda _: Redirect("/there"), b"30 /there\r\n"),
        (lambda _: Redirect("/thére", permanent=True), b"31 /th%C3%A9re\r\n"),
        (lambda r: Success(f"{r.query!r}".encode(), "text/plain"), b"20 text/plain\r\nNone"),
        (raising(Gone("it was here")), b"52 it was here\r\n"),
        (raising(SlowDown(12)), b"44 12\r\n"),
        (raising(Failure("not now")), b"40 not now\r\n"),  # of no kind in particular
        (raising(CertificateFailure()), b"60 client certificate required\r\n"),
    ],
)
async def test_answers(make: Make, expected: bytes) -> None:
    answer = await ask_in_memory(server(make), [ASK])
    assert answer.received == expected
    assert answer.clean


@pytest.mark.parametrize(
    "make",
    [
        raising(ValueError("secret detail")),
        raising(SystemExit("secret detail")),
        lambda _: Redirect("/a\r\n20 text/plain"),
        lambda _: Redirect(""),
        lambda _: Success(b"x", "text/plain\r\nx"),
    ],
)
async def test_a_broken_handler_tells_the_log_and_not_the_client(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    there = server(make)
    answer = await ask_in_memory(there, [ASK])
    assert answer.received == b"40 internal error\r\n"
    assert answer.clean
    assert [entry.levelno for entry in caplog.records] == [logging.ERROR]
    assert [record.status for record in there.records] == [40]


async def test_what_a_handler_notes_is_for_the_log() -> None:
    there = server(lambda _: Reply(Status.SUCCESS, "text/gemini", b"# Hello\n", note="not what it seems"))
    assert (await ask_in_memory(there, [ASK])).received == b"20 text/gemini\r\n# Hello\n"
    assert [(record.status, record.reason) for record in there.records] == [(20, "not what it seems")]


# Deadlines, to the second


async def test_one_byte_a_second_does_not_renew_the_deadline(autojump_clock: MockClock) -> None:
    there = server(hello, deadlines=Deadlines(request=7))
    ours, theirs = memory_stream_pair()
    async with keeping_time(there), trio.open_nursery() as nursery:
        nursery.start_soon(there.connections.serve, theirs, "192.0.2.1", 1, 1965)
        client = TLSStream(ours, client_context(), server_side=False, server_name="localhost")
        await client.do_handshake()
        start = trio.current_time()
        with contextlib.suppress(trio.BrokenResourceError):
            for byte in ASK:
                await client.send_all(bytes([byte]))
                await trio.sleep(1)
        assert trio.current_time() - start == 7
    assert there.records[0].reason == "request timeout"
    assert there.records[0].request == "gemini:"


async def test_a_slow_handler_is_not_the_clients_fault(autojump_clock: MockClock) -> None:
    async def slow(_: Request) -> Response:
        await trio.sleep(100)
        return hello(_)

    answer = await ask_in_memory(Server({"localhost": slow}, deadlines=Deadlines(1, 1)), [ASK])
    assert answer.status == 20


# Client certificates


@pytest.mark.parametrize(
    ("pair", "name"), [(self_signed("Ada"), "Ada"), (self_signed(None), None)], ids=["named", "nameless"]
)
async def test_what_a_handler_knows_of_a_certificate(pair: Pair, name: str | None) -> None:
    seen = []

    def look(request: Request) -> Response:
        seen.append(request.client)
        return Success(b"")

    there = server(look)
    await ask_in_memory(there, [ASK], certificate=pair)
    [client] = seen
    assert client.certificate == identify(pair.certificate)
    assert client.certificate.common_name == name
    assert client.fingerprint == there.records[0].fingerprint == client.certificate.fingerprint


async def test_what_a_handler_knows_of_its_client() -> None:
    seen = []

    def look(request: Request) -> Response:
        seen.append(request.client)
        return Success(b"")

    await ask_in_memory(server(look), [ASK], address="192.0.2.7", server_name="LocalHost")
    [client] = seen
    assert (client.address, client.port, client.server_name) == ("192.0.2.7", 50000, "localhost")
    assert (client.tls_version, client.certificate, client.fingerprint) == ("TLSv1.3", None, None)


# Refusals


async def test_when_full_the_answer_is_41_without_waiting_for_the_request() -> None:
    there = server(hello, connections_limit=1)
    ticket = there.admission.enter("192.0.2.1")
    answer = await ask_in_memory(there, [])
    assert answer.received == b"41 the server is full, try again in a minute\r\n"
    assert answer.clean
    there.admission.leave(ticket)
    assert (await ask_in_memory(there, [ASK])).status == 20
    assert there.admission.total == 0


async def test_too_many_from_one_address() -> None:
    there = server(hello, per_address=1)
    there.admission.enter("192.0.2.1")
    assert (await ask_in_memory(there, [], address="192.0.2.1")).status == 41
    assert (await ask_in_memory(there, [ASK], address="192.0.2.2")).status == 20


async def test_no_room_even_to_be_refused() -> None:
    there = server(hello, connections_limit=0)
    tickets = [there.admission.enter(f"192.0.2.{i}") for i in range(REFUSALS)]
    async with listening(there) as address:
        with pytest.raises(trio.BrokenResourceError):
            await ask(address, ASK)
        await recorded(there)
    assert [(record.status, record.reason) for record in there.records] == [(None, "no room")]
    assert there.admission.total == len(tickets)


@pytest.mark.parametrize("size", [100, 2_000, 4_000, 12_000])
@pytest.mark.parametrize("full", [False, True])
async def test_a_large_client_certificate(size: int, full: bool, tmp_path: Path) -> None:
    """The tickets in front of the answer hold the certificate, twice; the request comes along with it."""
    pair = self_signed("x", padding=size)
    pem = tmp_path / "large.pem"
    pem.write_bytes(pair.key_pem + pair.certificate_pem)
    there = server(hello, connections_limit=0 if full else 10)
    async with listening(there) as address:
        transport = await trio.open_tcp_stream(*address)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = stdlib_context(certificate=pem).wrap_bio(incoming, outgoing, server_hostname="localhost")
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await transport.send_all(outgoing.read())
                incoming.write(await transport.receive_some())
        tls.write(ASK)
        await transport.send_all(outgoing.read())  # Finished and request in one segment
        received = b""
        clean = False
        while not clean and (data := await transport.receive_some()):
            incoming.write(data)
            with contextlib.suppress(ssl.SSLWantReadError):
                while chunk := tls.read(65536):
                    received += chunk
                clean = True
        await transport.aclose()
    assert received.startswith(b"41 " if full else b"20 text/gemini\r\n# Hello\n")
    assert clean


async def test_nothing_of_a_connection_is_left_in_cycles() -> None:
    """The collector runs rarely: what waits for it is memory."""

    def connections() -> int:
        return sum(isinstance(found, SSL.Connection) for found in gc.get_objects())

    there = server(hello, per_address=1)
    gc.collect()
    before = connections()
    gc.disable()
    try:
        for request in (ASK, b"gemini://localhost/../\r\n", b"nonsense\r\n", b"http://a/\r\n"):
            await ask_in_memory(there, [request])
        ticket = there.admission.enter("192.0.2.1")
        await ask_in_memory(there, [], address="192.0.2.1")
        there.admission.leave(ticket)
        assert connections() == before
    finally:
        gc.enable()


async def test_a_refused_titan_upload_gets_its_answer_and_leaves_no_token_in_the_log() -> None:
    there = server(hello)
    async with listening(there) as address:
        stream = await connect(address)
        upload = b"titan://localhost/a;size=1000000;token=hunter2\r\n" + bytes(1_000_000)
        await stream.send_all(upload)
        answer = await read_all(stream)
        await trio.aclose_forcefully(stream)
    assert answer.received == b"53 titan is not served here\r\n"
    assert answer.clean
    assert len(there.records) == 1


# Real TLS


async def test_five_slow_clients_stop_nobody() -> None:
    """GmCapsule stops for everybody then."""
    there = server(hello)
    async with listening(there) as address:
        slow = [await connect(address) for _ in range(50)]
        for stream in slow:
            await stream.send_all(b"gemini://loc")
        with trio.fail_after(5):
            for _ in range(20):
                assert (await ask(address, ASK)).status == 20
        for stream in slow:
            await stream.send_all(b"alhost/\r\n")
            assert (await read_all(stream)).status == 20
            await trio.aclose_forcefully(stream)
    assert len(there.records) == 70
    assert there.admission.total == 0


async def test_an_error_of_our_own_stays_in_its_connection(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    there = server(hello)
    monkeypatch.setattr("pad19.dispatch.connection.RequestReader.receive", lambda *_: int("no number"))
    answer = await ask_in_memory(there, [ASK])
    assert answer.received == b""
    assert not answer.clean
    assert there.records[0].reason == "internal error"
    assert "no number" in caplog.text
    monkeypatch.undo()
    assert (await ask_in_memory(there, [ASK])).status == 20


def test_a_busy_server_gives_tickets_to_one_client_in_eight() -> None:
    """Making them costs a tenth of a handshake, and they can be used more than once."""
    there = server(hello)
    assert all(there.connections._gives_tickets() for _ in range(100))
    others = [there.admission.enter("192.0.2.1") for _ in range(BUSY)]
    assert sum(there.connections._gives_tickets() for _ in range(10 * TICKETS_EVERY)) == 10
    there.admission.leave(others[0])
    assert there.connections._gives_tickets()
