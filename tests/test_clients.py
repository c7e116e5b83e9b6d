"""Clients of other hands, over the wire.

Each runs in a process of its own, where what it leaves open and what it remembers stay.
"""

import re
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pad19.tls.making import make_client
from support.clients import run_client
from support.process import PATIENCE, Serving, connect_tls, gemini, read_rest, serving
from support.server import stdlib_context

PAGE = "# Café\n\n=> docs The manual\n"

# Gemini's clients, as programs: the URI, a folder for what they remember, and maybe a certificate and its key
# go in, and JSON comes out.
IGNITION = """
import ignition, json, sys
import cryptography.hazmat.primitives.serialization  # ignition uses it and forgets to import it
uri, folder, *certificate = sys.argv[1:]
ignition.set_default_hosts_file(folder + "/known_hosts")
options = {"timeout": 5, "ca_cert": tuple(certificate) or None}
answers = [ignition.request(uri, **options)]
while answers[-1].status[0] == "3":
    answers.append(ignition.request(answers[-1].data(), referer=answers[-1].url, **options))
print(json.dumps({
    "statuses": [answer.status for answer in answers],
    "meta": answers[-1].meta,
    "body": (answers[-1].raw_body or b"").decode(),
}))
"""
AGUNUA = """
import json, sys
from Agunua import GeminiUri
uri, folder, *certificate = sys.argv[1:]
options = dict(zip(("clientcert", "clientkey"), certificate))
statuses = [GeminiUri(uri, insecure=True, tofu=folder, **options).status_code]
answer = GeminiUri(uri, insecure=True, tofu=folder, get_content=True, follow_redirect=True, **options)
assert answer.network_success, answer.error
if answer.status_code != statuses[0]:
    statuses.append(answer.status_code)
print(json.dumps({
    "statuses": statuses,
    "meta": answer.meta,
    "body": (answer.payload or "").replace("\\r\\n", "\\n"),
}))
"""
NOT_ON_3_13 = pytest.mark.skipif(sys.version_info >= (3, 13), reason="ignition-gemini refuses Python 3.13")
CLIENTS = pytest.mark.parametrize(
    "client",
    [pytest.param(IGNITION, id="ignition", marks=NOT_ON_3_13), pytest.param(AGUNUA, id="agunua")],
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("capsule")
    (folder / "content/docs").mkdir(parents=True)
    (folder / "content/index.gmi").write_text(PAGE)
    (folder / "content/docs/index.gmi").write_text("# Manual\n")
    (folder / "content/large.bin").write_bytes(bytes(3_000_000))
    (folder / "pad19.toml").write_text(
        "[server]\nlisten = ['localhost:0']\n[log]\nformat = 'json'\n[[capsule]]\nlang = 'en'\n"
    )
    with serving(folder, home=folder) as server:
        yield server


@CLIENTS
def test_a_page(client: str, server: Serving, tmp_path: Path) -> None:
    answer = run_client(client, tmp_path, gemini(server.address), tmp_path)
    assert answer["statuses"] == ["20"]
    assert answer["meta"] == "text/gemini; lang=en"
    # Agunua keeps what follows the last line as one more.
    assert answer["body"].rstrip("\n") == PAGE.rstrip("\n")
    again = run_client(client, tmp_path, gemini(server.address), tmp_path)
    assert again == answer  # the certificate is still the one they remember


@CLIENTS
def test_a_redirect(client: str, server: Serving, tmp_path: Path) -> None:
    answer = run_client(client, tmp_path, gemini(server.address, "/docs"), tmp_path)
    assert answer["statuses"] == ["31", "20"]
    assert answer["body"].rstrip("\n") == "# Manual"


@CLIENTS
def test_not_found(client: str, server: Serving, tmp_path: Path) -> None:
    answer = run_client(client, tmp_path, gemini(server.address, "/nope"), tmp_path)
    assert answer["statuses"] == ["51"]
    assert answer["meta"]


@CLIENTS
def test_a_client_certificate(client: str, server: Serving, tmp_path: Path) -> None:
    certificate, key = tmp_path / "ada.crt", tmp_path / "ada.key"
    identity = make_client("Ada", certificate, key)
    path = f"/nope/{'i' if client == IGNITION else 'a'}"
    answer = run_client(client, tmp_path, gemini(server.address, path), tmp_path, certificate, key)
    assert answer["statuses"] == ["51"]
    record = server.records_until(gemini(server.address, path))[-1]
    assert record["fingerprint"] == identity.fingerprint


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_pythons_ssl(version: ssl.TLSVersion, server: Serving) -> None:
    for address in server.addresses:
        with connect_tls(address, stdlib_context(version)) as stream:
            assert stream.version() == version.name.replace("_", ".")
            stream.sendall(f"{gemini(address, '/large.bin')}\r\n".encode())
            answer = read_rest(stream)
            assert answer.clean
            assert answer.body == bytes(3_000_000)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_resumption(version: ssl.TLSVersion, server: Serving, tmp_path: Path) -> None:
    identity = make_client("Ada", tmp_path / "ada.crt", tmp_path / "ada.key")
    context = stdlib_context(version)
    context.load_cert_chain(tmp_path / "ada.crt", tmp_path / "ada.key")
    uri = gemini(server.address, f"/{version.name}")
    session = None
    for reused in (False, True):
        with connect_tls(server.address, context, session=session) as stream:
            assert stream.session_reused == reused
            stream.sendall(f"{uri}\r\n".encode())
            assert read_rest(stream).status == 51
            session = stream.session
    records = [record for record in server.records_until(uri, count=2) if record["request"] == uri]
    assert [record["fingerprint"] for record in records] == [identity.fingerprint] * 2


DELAYED = 0.04  # seconds that Linux puts an acknowledgement off, if it does


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_resumption_with_nagles_algorithm(version: ssl.TLSVersion, server: Serving) -> None:
    """Python's sockets have it on. The shortest of several times, since others may have the processor."""
    context = stdlib_context(version)
    request = f"{gemini(server.address)}\r\n".encode()
    session, times = None, []
    for _ in range(8):
        with connect_tls(server.address, context, session=session) as stream:
            assert stream.session_reused == (session is not None)
            start = time.perf_counter()
            stream.sendall(request)
            assert read_rest(stream).status == 20
            times.append(time.perf_counter() - start)
            session = stream.session
    assert min(times[1:]) < DELAYED / 2


OPENSSL = shutil.which("openssl")


@pytest.mark.skipif(OPENSSL is None, reason="the openssl command is not installed")
@pytest.mark.parametrize(
    ("flag", "version"), [("-tls1", None), ("-tls1_1", None), ("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")]
)
def test_openssl(flag: str, version: str | None, server: Serving) -> None:
    host, port = server.addresses[1]
    done = subprocess.run(
        # Level 0, for otherwise OpenSSL itself refuses the old versions.
        [
            str(OPENSSL), "s_client", "-connect", f"{host}:{port}", "-servername", "localhost", "-ign_eof",
            flag, "-cipher", "DEFAULT:@SECLEVEL=0",
        ],
        input=f"{gemini((host, port))}\r\n".encode(),
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )  # fmt: skip
    output = (done.stdout + done.stderr).decode()
    if "unknown option" in output.lower() or "no protocols available" in output:
        pytest.skip(f"this openssl cannot do {flag}")
    if version is None:
        assert "alert protocol version" in output  # the server said so
        assert "20 text/gemini" not in output
    else:
        assert f"20 text/gemini; lang=en\r\n{PAGE}".encode() in done.stdout
        assert re.search(rf"\b{re.escape(version)}\b", output)
