"""The folder with the certificates of all hosts: which file is whose.

A host has ``HOST.crt`` and ``HOST.key``. Visitors' certificates may lie there, too.
"""

import re
from pathlib import Path

from cryptography import x509

from .certificate import CertificateError, is_visitors, normalize, unreadable


def files(host: str, folder: Path) -> tuple[Path, Path]:
    """Where the certificate and the key of a host are: ``_.example.org.crt``, ``2001:db8::1.key``."""
    name = normalize(host).strip("[]")
    if name.startswith("*."):
        name = f"_{name[1:]}"
    return folder / f"{name}.crt", folder / f"{name}.key"


def hosts_in(folder: Path) -> list[str]:
    """The hosts that have a certificate or a key in the folder, sorted; none if there is no folder.

    Raises:
        CertificateError: The folder cannot be read.
    """
    try:
        # A temporary file of a writer that died begins with a dot.
        names = {
            path.stem
            for path in folder.iterdir()
            if path.suffix in {".crt", ".key"}
            and not path.name.startswith(".")
            and not _is_visitors(path.with_suffix(".crt"))
        }
    except FileNotFoundError:
        return []
    except OSError as error:
        raise unreadable(folder, error) from error
    return sorted(map(_host_of, names))


def visitors_in(folder: Path) -> list[Path]:
    """The certificates in the folder that are for no host, sorted; none if there is no folder.

    Raises:
        CertificateError: The folder cannot be read.
    """
    try:
        return sorted(
            path
            for path in folder.iterdir()
            if path.suffix == ".crt" and not path.name.startswith(".") and _is_visitors(path)
        )
    except FileNotFoundError:
        return []
    except OSError as error:
        raise unreadable(folder, error) from error


def _host_of(stem: str) -> str:
    return f"[{stem}]" if ":" in stem else re.sub(r"^_\.", "*.", stem)


def _is_visitors(path: Path) -> bool:
    """Whether a certificate is for no host, going by its file's name or by its purposes."""
    try:
        if files(_host_of(path.stem), path.parent)[0] != path:
            return True
        return is_visitors(x509.load_pem_x509_certificates(path.read_bytes())[0])
    except CertificateError:
        return True
    except Exception:  # cryptography has several; what ails it is told when it is loaded
        return False
