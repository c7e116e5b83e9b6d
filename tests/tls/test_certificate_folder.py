from pathlib import Path

import pytest

from pad19.tls.certificate import CertificateError, normalize
from pad19.tls.certificate_folder import files, hosts_in, visitors_in
from pad19.tls.making import make, make_client


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("example.org", "example.org"),
        ("EXAMPLE.org.", "example.org"),
        ("*.example.org", "_.example.org"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("[2001:DB8::0:1]", "2001:db8::1"),
        ("::1", "::1"),
        ("192.0.2.1", "192.0.2.1"),
        ("localhost", "localhost"),
    ],
)
def test_names_of_files(host: str, name: str) -> None:
    folder = Path("certs")
    assert files(host, folder) == (folder / f"{name}.crt", folder / f"{name}.key")


@pytest.mark.parametrize(
    "host", ["", "*", "*.", "a b", "../etc/passwd", "a/b", "..", "[::g]", "*.*.a", "a\n"]
)
def test_no_host_is_no_file(host: str) -> None:
    with pytest.raises(CertificateError, match="cannot have a certificate"):
        files(host, Path("certs"))


def test_hosts_in_a_folder(tmp_path: Path) -> None:
    for name in ["b.example.crt", "b.example.key", "a.example.crt", "_.a.example.key", "2001:db8::1.crt"]:
        tmp_path.joinpath(name).touch()
    for other in ["README", ".gitignore", ".0a1b.crt", "b.example.pem"]:
        tmp_path.joinpath(other).touch()
    hosts = hosts_in(tmp_path)
    assert hosts == ["*.a.example", "[2001:db8::1]", "a.example", "b.example"]
    assert [normalize(host) for host in hosts] == hosts
    assert hosts_in(tmp_path / "missing") == []
    with pytest.raises(CertificateError, match="README cannot be read"):
        hosts_in(tmp_path / "README")


def test_visitors_in_a_folder(tmp_path: Path) -> None:
    make("example.org", tmp_path)
    for name in ("ada", "Eve-X", "two words"):
        make_client(name, tmp_path / f"{name}.crt", tmp_path / f"{name}.key")
    for odd in ("Broken.crt", "broken.crt", "Alone.key", "alone.key", ".hidden.crt"):
        (tmp_path / odd).touch()
    assert hosts_in(tmp_path) == ["alone", "broken", "example.org"]
    odd_names = ["Broken.crt", "Eve-X.crt", "ada.crt", "two words.crt"]
    assert visitors_in(tmp_path) == [tmp_path / name for name in odd_names]
    assert visitors_in(tmp_path / "missing") == []
    with pytest.raises(CertificateError, match=r"ada\.crt cannot be read"):
        visitors_in(tmp_path / "ada.crt")
