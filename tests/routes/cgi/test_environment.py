"""What a program is told: the variables of all peers, and nothing that can be taken for something else."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pad19.protocol.client import Client, Identity
from pad19.protocol.failure import NotFound
from pad19.protocol.request import parse_request
from pad19.protocol.upload import Upload
from pad19.routes.cgi.environment import ClientHash, Gateway, Mount, variables

DIGEST = "ab" * 32
KEY_DIGEST = "01" * 32
ADA = Identity(
    fingerprint=f"sha256:{DIGEST}",
    key_fingerprint=f"sha256:{KEY_DIGEST}",
    subject=(("CN", "Ada"), ("O", "Engines")),
    issuer=(("CN", "Babbage"),),
    serial_number=12345678901234567890,
    not_before=datetime(2021, 2, 7, 20, 17, 41, tzinfo=UTC),
    not_after=datetime(2031, 2, 7, 20, 17, 41, tzinfo=UTC),
)
NOW = datetime(2031, 2, 1, tzinfo=UTC)
ALWAYS = {
    "GATEWAY_INTERFACE": "CGI/1.1",
    "GEMINI_URL": "gemini://Example.org:1965/cgi-bin/a.py/x%20y?q%20r",
    "GEMINI_URL_PATH": "/cgi-bin/a.py/x%20y",
    "GEMINI_QUERY_STRING": "q%20r",
    "GEMINI_SEARCH_STRING": "q r",
    "GEMINI_DOCUMENT_ROOT": "/srv/content",
    "GEMINI_SCRIPT_FILENAME": "/srv/cgi-bin/a.py",
    "SCRIPT_PATH": "/srv/cgi-bin/a.py",
    "SCRIPT_NAME": "/cgi-bin/a.py",
    "PATH_INFO": "/x y",
    "PATH_TRANSLATED": "/srv/content/x y",
    "QUERY_STRING": "q%20r",
    "REQUEST_METHOD": "GET",
    "REMOTE_ADDR": "192.0.2.7",
    "REMOTE_HOST": "192.0.2.7",
    "REMOTE_PORT": "50000",
    "REMOTE_IDENT": "",
    "SERVER_NAME": "example.org",
    "HOSTNAME": "example.org",
    "SERVER_PORT": "1965",
    "SERVER_PROTOCOL": "GEMINI",
    "TLS_VERSION": "TLSv1.3",
    "TLS_CIPHER": "TLS_AES_128_GCM_SHA256",
    "TLS_CIPHER_STRENGTH": "128",
}
WITH_CERTIFICATE = {
    "AUTH_TYPE": "Certificate",
    "REMOTE_USER": "Ada",
    "REMOTE_IDENT": f"{DIGEST};{KEY_DIGEST}",
    "TLS_CLIENT_HASH": DIGEST,
    "TLS_CLIENT_HASH_B64": "q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=",
    "TLS_CLIENT_SUBJECT": "/CN=Ada/O=Engines",
    "TLS_CLIENT_SUBJECT_CN": "Ada",
    "TLS_CLIENT_ISSUER": "/CN=Babbage",
    "TLS_CLIENT_ISSUER_CN": "Babbage",
    "TLS_CLIENT_NOT_BEFORE": "2021-02-07T20:17:41Z",
    "TLS_CLIENT_NOT_AFTER": "2031-02-07T20:17:41Z",
    "TLS_CLIENT_REMAIN": "6",
    "TLS_CLIENT_SERIAL_NUMBER": "12345678901234567890",
    "TLS_CLIENT_AUTHORISED": "0",
}


def told(
    uri: str = "gemini://Example.org:1965/cgi-bin/a.py/x%20y?q%20r",
    certificate: Identity | None = None,
    client_hash: ClientHash = "hex",
    path_info: str = "/x y",
    script: str | None = "/srv/cgi-bin/a.py",
) -> dict[str, str]:
    client = Client("192.0.2.7", 50000, "example.org", "TLSv1.3", certificate, "TLS_AES_128_GCM_SHA256")
    return variables(
        parse_request(uri.encode(), client),
        Gateway(Path("/srv/content"), client_hash),
        NOW,
        script_name="/cgi-bin/a.py",
        path_info=path_info,
        script=script,
    )


def test_without_a_certificate() -> None:
    found = told()
    assert found.pop("SERVER_SOFTWARE").startswith("pad19/")
    assert found == ALWAYS


def test_with_a_certificate() -> None:
    found = told(certificate=ADA)
    assert found.pop("SERVER_SOFTWARE").startswith("pad19/")
    assert found == ALWAYS | WITH_CERTIFICATE


def test_as_jetforce_writes_them() -> None:
    found = told(certificate=ADA, client_hash="jetforce")
    assert found["TLS_CLIENT_HASH"] == f"SHA256:{DIGEST.upper()}"
    assert found["AUTH_TYPE"] == "CERTIFICATE"
    assert found["REMOTE_IDENT"] == f"{DIGEST};{KEY_DIGEST}"


QUERIES = [  # behind the path; QUERY_STRING, GEMINI_QUERY_STRING, GEMINI_SEARCH_STRING
    ("", "", None, None),
    ("?", "", "", ""),
    ("?a+b", "a+b", "a+b", "a+b"),
    ("?a=1&b=%20", "a=1&b=%20", "a=1&b=%20", None),
    ("?%3D", "%3D", "%3D", "="),
    ("?one%0Atwo", "one%0Atwo", "one%0Atwo", "one\ntwo"),
    ("?a%00b", "a%00b", "a%00b", "a\ufffdb"),
]


@pytest.mark.parametrize(("behind", "raw", "gemini", "search"), QUERIES)
def test_queries(behind: str, raw: str, gemini: str | None, search: str | None) -> None:
    found = told(f"gemini://example.org/cgi-bin/a.py{behind}")
    assert found["QUERY_STRING"] == raw
    assert found.get("GEMINI_QUERY_STRING") == gemini
    assert found.get("GEMINI_SEARCH_STRING") == search


def test_nameless_certificate_of_long_ago() -> None:
    early = datetime(999, 1, 1, tzinfo=UTC)
    found = told(certificate=replace(ADA, subject=(), issuer=(), not_before=early, not_after=early))
    assert found["REMOTE_USER"] == found["TLS_CLIENT_SUBJECT"] == found["TLS_CLIENT_ISSUER_CN"] == ""
    assert found["TLS_CLIENT_NOT_BEFORE"] == "0999-01-01T00:00:00Z"


def test_no_value_holds_a_nul() -> None:
    found = told(certificate=replace(ADA, subject=(("CN", "root\0.example"),)))
    assert found["REMOTE_USER"] == "root\ufffd.example"
    assert not any("\0" in value for value in found.values())


def test_what_is_not_there_is_not_named() -> None:
    found = told(path_info="", script=None)
    assert found["PATH_INFO"] == ""
    assert not {"PATH_TRANSLATED", "SCRIPT_PATH", "GEMINI_SCRIPT_FILENAME"} & found.keys()


BELOW = [
    ("/cgi-bin/", "/cgi-bin/a/b", ("a", "b")),
    ("/cgi-bin/", "/cgi-bin/", ("",)),
    ("/cgi-bin/", "/cgi-bin", ()),
    ("/cgi-bin/", "/cgi%2Dbin/a", ("a",)),
    ("/cgi-bin/", "/x/../cgi-bin/a", ("a",)),
    ("/a/b/", "/a/b/c", ("c",)),
    ("/", "/", ("",)),
    ("/", "/a", ("a",)),
]


@pytest.mark.parametrize(("prefix", "path", "segments"), BELOW)
def test_paths_below_a_prefix(prefix: str, path: str, segments: tuple[str, ...]) -> None:
    request = parse_request(f"gemini://localhost{path}".encode(), Client())
    assert Mount(prefix).below(request) == segments


@pytest.mark.parametrize(
    "path", ["/", "/cgi", "/cgi-bin2/a", "/x/cgi-bin/a", "/cgi-bin/..%2f..%2Fa", "/cgi-bin/a%2fb"]
)
def test_other_paths(path: str) -> None:
    request = parse_request(f"gemini://localhost{path}".encode(), Client())
    with pytest.raises(NotFound):
        Mount("/cgi-bin/").below(request)


@pytest.mark.parametrize("prefix", ["", "cgi-bin/", "/cgi-bin"])
def test_prefix_has_its_slashes(prefix: str) -> None:
    with pytest.raises(ValueError, match="begin and end with a slash"):
        Mount(prefix)


def of_upload(upload: Upload) -> dict[str, str]:
    request = parse_request(b"titan://example.org:1965/cgi-bin/a.py?q", Client())
    gateway = Gateway(Path("/srv/content"))
    arguments = {"script_name": "/cgi-bin/a.py", "path_info": "", "script": None}
    return variables(replace(request, upload=upload), gateway, NOW, **arguments)  # type: ignore[arg-type]  # as above


def test_an_upload() -> None:
    found = of_upload(Upload(5, "text/plain", "a word"))
    told = {
        "SERVER_PROTOCOL": "TITAN",
        "REQUEST_METHOD": "PUT",
        "TITAN_URL": "titan://example.org:1965/cgi-bin/a.py?q",
        "TITAN_URL_PATH": "/cgi-bin/a.py",
        "CONTENT_LENGTH": "5",
        "CONTENT_TYPE": "text/plain",
        "TITAN_TOKEN": "a word",
    }
    assert found.items() >= told.items()
    assert not {"TITAN_EDIT", "GEMINI_URL", "GEMINI_URL_PATH"} & found.keys()


def test_who_edits_comes_by_gemini_as_with_gmcapsule() -> None:
    found = of_upload(Upload(0, edit=True))
    told = {
        "SERVER_PROTOCOL": "GEMINI",
        "REQUEST_METHOD": "GET",
        "GEMINI_URL": "gemini://example.org:1965/cgi-bin/a.py?q",
        "GEMINI_URL_PATH": "/cgi-bin/a.py",
        "TITAN_EDIT": "1",
        "CONTENT_LENGTH": "0",
    }
    assert found.items() >= told.items()
    assert not {"TITAN_URL", "TITAN_URL_PATH", "TITAN_TOKEN", "CONTENT_TYPE"} & found.keys()
