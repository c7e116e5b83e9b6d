import errno
import os
import re
import stat
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from pad19.protocol.client import Identity
from pad19.tls.known_hosts import KeyChanged, KnownHosts, KnownHostsError

NOW = datetime(2025, 6, 30, 12, tzinfo=UTC)
NAME = "a.test:1965"
HEAD = "# Servers that were visited: host:port, public key, expiry of the certificate.\n"


def fingerprint(letter: str) -> str:
    return f"sha256:{letter * 64}"


def server(letter: str, expires: date = date(2100, 1, 1)) -> Identity:
    not_after = datetime(expires.year, expires.month, expires.day, 23, 59, 59, tzinfo=UTC)
    return Identity(fingerprint("f"), fingerprint(letter), (), (), 1, NOW, not_after)


def line(letter: str, expires: str = "2100-01-01", name: str = NAME) -> str:
    return f"{name} {fingerprint(letter)} {expires}\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "known_hosts"


def check(path: Path, identity: Identity, name: str = NAME, *, trust: bool = False) -> list[str]:
    return KnownHosts(path).check(name, identity, NOW, trust=trust)


def test_the_first_visit_is_remembered(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "known_hosts"
    assert check(path, server("a")) == [f"First visit to {NAME}: its public key is {fingerprint('a')}"]
    assert path.read_text() == HEAD + line("a")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert {file.name for file in path.parent.iterdir()} == {"known_hosts", "known_hosts.lock"}
    assert check(path, server("a")) == []


ACCEPTED = [  # remembered, what the server has, trust, what is remembered then, what is said
    (line("a"), server("a"), False, line("a"), ""),
    (line("a"), server("a"), True, line("a"), ""),
    (line("a"), server("a", date(2200, 2, 3)), False, line("a", "2200-02-03"), ""),
    (line("a"), server("a", date(2001, 1, 1)), False, line("a", "2001-01-01"), ""),
    (line("a", "2025-06-29"), server("b"), False, line("b"), "has a new public key.*expired on 2025-06-29"),
    (line("a", "2100-01-01"), server("b"), True, line("b"), "has a new public key.*it is trusted now"),
    (
        line("b", name="a.test:1966"),
        server("a"),
        False,
        line("b", name="a.test:1966") + line("a"),
        "First visit",
    ),
    (
        line("b", name="b.a.test:1965"),
        server("a"),
        False,
        line("b", name="b.a.test:1965") + line("a"),
        "First visit",
    ),
    (line("b") + line("a"), server("a"), False, line("b") + line("a"), ""),
    (line("a").rstrip("\n"), server("a", date(2200, 2, 3)), False, line("a", "2200-02-03"), ""),
    (
        "# mine\n\n" + line("a", "2001-01-01") + "# end",
        server("b"),
        False,
        "# mine\n\n" + line("b") + "# end\n",
        "new",
    ),
    (line("a").replace(" ", "\t").replace("\n", "\r\n"), server("a"), False, None, ""),
    ("", server("a"), False, line("a"), "First visit"),
]


@pytest.mark.parametrize(("before", "identity", "trust", "after", "said"), ACCEPTED)
def test_accepted(
    path: Path, before: str, identity: Identity, trust: bool, after: str | None, said: str
) -> None:
    path.write_bytes(before.encode())
    notes = check(path, identity, trust=trust)
    assert path.read_bytes() == (before if after is None else after).encode()
    assert len(notes) == bool(said)
    assert re.search(said, "".join(notes))


@pytest.mark.parametrize("expires", ["2025-06-30", "2100-01-01", "9999-12-31"])
def test_a_changed_key_is_refused(path: Path, expires: str) -> None:
    path.write_text(line("a", expires))
    with pytest.raises(KeyChanged) as refused:
        check(path, server("b"))
    sentence = str(refused.value)
    for part in (NAME, fingerprint("a"), fingerprint("b"), str(path), expires):
        assert part in sentence
    assert path.read_text() == line("a", expires)


def test_hosts_with_colons(path: Path) -> None:
    check(path, server("a"), "[::1]:1965")
    assert check(path, server("a"), "[::1]:1965") == []
    with pytest.raises(KeyChanged):
        check(path, server("b"), "[::1]:1965")


BROKEN = [
    b"a.test:1965",
    b"a.test:1965 sha256:aaaa 2100-01-01",
    line("a").replace("sha256", "sha1").encode(),
    line("A").encode(),
    line("a", "2100-02-30").encode(),
    line("a", "soon").encode(),
    line("a", name="a.test").encode(),
    line("a").strip().encode() + b" more",
    b"\xff\xfe \x1b[2J",
]


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_line_is_reported_and_stays(path: Path, broken: bytes) -> None:
    broken = broken.rstrip(b"\n") + b"\n"
    path.write_bytes(b"# mine\n" + broken + line("b", name="b.test:1").encode())
    skipped, first = check(path, server("c"))
    assert skipped == f"{path}, line 2 is skipped: it is not `host:port sha256:… date`"
    assert first.startswith("First visit")
    assert path.read_bytes() == b"# mine\n" + broken + (line("b", name="b.test:1") + line("c")).encode()
    assert check(path, server("c")) == [skipped]


def test_a_link_stays_a_link(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere" / "hosts"
    target.parent.mkdir()
    path.symlink_to(target)
    check(path, server("a"))
    assert path.is_symlink()
    assert target.read_text() == HEAD + line("a")


def test_what_cannot_be_remembered_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "folder" / "known_hosts"
    (tmp_path / "folder").symlink_to("/proc/self/fdinfo")  # even root writes nothing here
    failure, first = check(path, server("a"))
    assert failure.startswith(f"{path} cannot be written (")
    assert failure.endswith(f"so {NAME} is not remembered")
    assert first.startswith("First visit")


def test_what_must_be_remembered_is_refused_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "known_hosts"
    (tmp_path / "folder").symlink_to("/proc/self/fdinfo")
    with pytest.raises(KnownHostsError, match=f"cannot be written .*, so {NAME} is not remembered"):
        KnownHosts(path).check(NAME, server("a"), NOW, must_remember=True)


def test_a_renewed_certificate_needs_no_writing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its key is the one that is known: all that is lost is the new date."""
    path.write_text(line("a"))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    [note] = KnownHosts(path).check(NAME, server("a", date(2200, 1, 1)), NOW, must_remember=True)
    assert note == f"{path} cannot be written (No space left on device), so {NAME} is not remembered"
    with pytest.raises(KnownHostsError):
        KnownHosts(path).check("b.test:1965", server("b"), NOW, must_remember=True)
    assert path.read_text() == line("a")


@pytest.mark.parametrize("kind", ["folder", "device", "loop", "below a file"])
def test_what_cannot_be_read_is_an_error(path: Path, kind: str) -> None:
    match kind:
        case "folder":
            path.mkdir()
        case "device":
            path = Path(os.devnull)
        case "loop":
            path.symlink_to(path)
        case _:
            path.touch()
            path /= "known_hosts"
    with pytest.raises(KnownHostsError, match=r"is not a file|cannot be read \("):
        check(path, server("a"))


VISIT_MANY = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from pad19.tls.known_hosts import KnownHosts
from pad19.protocol.client import Identity

now = datetime(2025, 6, 30, tzinfo=UTC)
server = Identity("sha256:" + "f" * 64, "sha256:" + "a" * 64, (), (), 1, now, now)
for number in range(int(sys.argv[2]), int(sys.argv[2]) + 20):
    KnownHosts(Path(sys.argv[1])).check(f"{number}.test:1965", server, now)
"""


def test_processes_lose_no_entry_of_each_other(path: Path) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", VISIT_MANY, str(path), str(first)])
        for first in range(0, 80, 20)
    ]
    assert [process.wait() for process in processes] == [0] * 4
    names = [text.split()[0] for text in path.read_text().splitlines()[1:]]
    assert sorted(names) == sorted(f"{number}.test:1965" for number in range(80))
