"""What is bound after a change: kept, added, given up."""

import contextlib
import errno
import selectors
import socket
import subprocess
import sys
from ipaddress import ip_network
from pathlib import Path

import pytest

from pad19.service.config.listen import Listen
from pad19.service.config.model import Config, Forwarder
from pad19.service.sockets import Bound, Unavailable, begin_listening, bind, close_others
from support.sockets import close, configured, forwarded


def rebound(stack: contextlib.ExitStack, config: Config, before: tuple[Bound, ...] = ()) -> tuple[Bound, ...]:
    """Bound until the test ends."""
    bound = bind(config, before=before)
    stack.callback(close, bound)
    begin_listening(bound, before)
    return bound


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


def is_taken_for_others(host: str, port: int) -> bool:
    """Whether another process, which starts as we do, finds the address taken."""
    program = (
        "import sys; from pad19.service.sockets import _tcp\n"
        "try: _tcp(sys.argv[1], int(sys.argv[2]), shared=False)\n"
        "except OSError as error: sys.exit(error.errno)"
    )
    done = subprocess.run([sys.executable, "-c", program, host, str(port)], check=False)
    assert done.returncode in {0, errno.EADDRINUSE}
    return done.returncode == errno.EADDRINUSE


def is_served(bound: tuple[Bound, ...], host: str, port: int) -> bool:
    """Whether a connection there comes to one of these sockets."""
    with (
        socket.create_connection((host, port), timeout=5) as client,
        selectors.DefaultSelector() as selector,
    ):
        client.sendall(b"x")  # it is not handed over before
        for entry in bound:
            selector.register(entry.socket, selectors.EVENT_READ, entry.socket)
        for key, _ in selector.select(5):
            with key.data.accept()[0] as server:
                return bool(server.getpeername() == client.getsockname())
    return False


TAKEN_OVER = [  # before, after; P is a port
    (["127.0.0.1:P"], ["127.0.0.1:P"]),
    (["127.0.0.1:0"], ["127.0.0.1:0"]),
    (["localhost:0"], ["localhost:0"]),
    (["[::1]:P", "127.0.0.1:P"], ["localhost:P"]),
    (["localhost:P"], ["127.0.0.1:P", "[::1]:P"]),
    ([":P"], ["0.0.0.0:P", "[::]:P"]),
    (["unix:D/a"], ["unix:D/a"]),
]


@pytest.mark.parametrize(("old", "new"), TAKEN_OVER)
def test_what_is_asked_for_again_is_taken_over(
    stack: contextlib.ExitStack, tmp_path: Path, old: list[str], new: list[str]
) -> None:
    port = free_port()
    before, after = (
        [text.replace("P", str(port)).replace("D", str(tmp_path)) for text in texts] for texts in (old, new)
    )
    first = rebound(stack, configured(*before))
    second = rebound(stack, configured(*after), first)
    assert {entry.socket for entry in second} == {entry.socket for entry in first}
    assert {entry.listen for entry in second} == {entry.listen for entry in first}
    close_others(first, second)
    assert all(entry.socket.fileno() >= 0 for entry in second)
    third = rebound(stack, configured(*after), second)
    assert [entry.socket for entry in third] == [entry.socket for entry in second]


def test_a_socket_whose_file_was_removed_is_made_again(stack: contextlib.ExitStack, tmp_path: Path) -> None:
    path = tmp_path / "a"
    config = configured(f"unix:{path}")
    first = rebound(stack, config)
    path.unlink()
    second = rebound(stack, config, first)
    assert second[0].socket is not first[0].socket
    close_others(first, second)
    with socket.socket(socket.AF_UNIX) as client:  # the first one has not taken the new file along
        client.connect(str(path))
    assert rebound(stack, config, second)[0].socket is second[0].socket


def test_one_of_two_addresses_is_added_and_removed(stack: contextlib.ExitStack) -> None:
    port = free_port()
    first = rebound(stack, configured(f"127.0.0.1:{port}"))
    second = rebound(stack, configured(f"localhost:{port}"), first)
    assert [entry.listen.host for entry in second] == ["::1", "127.0.0.1"]
    assert second[1].socket is first[0].socket
    assert is_served(second[:1], "::1", port)
    third = rebound(stack, configured(f"[::1]:{port}"), second)
    close_others(second, third)
    assert [entry.socket for entry in third] == [second[0].socket]
    assert first[0].socket.fileno() == -1


def test_what_is_no_longer_asked_for_stays_until_it_is_closed(
    stack: contextlib.ExitStack, tmp_path: Path
) -> None:
    first = rebound(stack, configured("127.0.0.1:0", f"unix:{tmp_path}/a"))
    second = rebound(stack, configured(f"unix:{tmp_path}/b"), first)
    assert is_served(first[:1], "127.0.0.1", first[0].listen.port)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
    close_others(first, second)
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", first[0].listen.port))


OVERLAPS = [
    ("127.0.0.1:P", "0.0.0.0:P", "127.0.0.1"),
    ("0.0.0.0:P", "127.0.0.1:P", "127.0.0.1"),
    ("[::1]:P", "[::]:P", "::1"),
    ("localhost:P", ":P", "127.0.0.1"),
    (":P", "localhost:P", "::1"),
]


@pytest.mark.parametrize(("old", "new", "host"), OVERLAPS)
def test_overlapping_addresses(stack: contextlib.ExitStack, old: str, new: str, host: str) -> None:
    port = free_port()
    narrow, wide = (text.replace("P", str(port)) for text in (old, new))
    bound = rebound(stack, configured(narrow))
    for text in (wide, narrow, wide):  # and back
        found = rebound(stack, configured(text), bound)
        assert is_taken_for_others(host, port)  # while there are both
        close_others(bound, found)
        bound = found
        assert is_served(bound, host, port)
        assert is_taken_for_others(host, port)
        with pytest.raises(Unavailable):
            bind(configured(text))


NARROWER = [("0.0.0.0:P", "127.0.0.1:P", "127.0.0.1"), ("[::]:P", "[::1]:P", "::1")]


@pytest.mark.parametrize(("old", "new", "host"), NARROWER)
def test_who_serves_goes_on_to_do_so_until_the_others_are_ready(
    stack: contextlib.ExitStack, old: str, new: str, host: str
) -> None:
    port = free_port()
    wide, narrow = (text.replace("P", str(port)) for text in (old, new))
    first = rebound(stack, configured(wide))
    second = bind(configured(narrow), before=first)
    stack.callback(close, second)
    assert is_served(first, host, port)
    assert is_taken_for_others(host, port)
    begin_listening(second, first)
    assert is_served(second, host, port)
    assert is_taken_for_others(host, port)
    close(second)  # it was in vain
    assert is_served(first, host, port)


def test_another_program_can_be_faster(stack: contextlib.ExitStack) -> None:
    first = rebound(stack, configured("127.0.0.1:0"))
    port = free_port()
    second = bind(configured(f"127.0.0.1:{port}"), before=first)
    stack.callback(close, second)
    with socket.create_server(("127.0.0.1", port)), pytest.raises(Unavailable) as refusal:
        begin_listening(second, first)
    [problem] = refusal.value.problems
    assert problem.startswith(f'server.listen: "127.0.0.1:{port}" cannot be listened on: another program has')


def test_a_change_that_is_not_possible_changes_nothing(stack: contextlib.ExitStack, tmp_path: Path) -> None:
    port = free_port()
    first = rebound(stack, configured(f"127.0.0.1:{port}", f"unix:{tmp_path}/a"))
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        config = configured(f"localhost:{port}", taken, f"unix:{tmp_path}/a", f"unix:{tmp_path}/b")
        with pytest.raises(Unavailable) as refusal:
            bind(config, before=first)
    assert len(refusal.value.problems) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert is_served(first[:1], "127.0.0.1", port)
    assert is_taken_for_others("127.0.0.1", port)
    assert not is_taken_for_others("::1", port)


def test_the_second_address_that_is_taken_leaves_the_first_one_alone(stack: contextlib.ExitStack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        first = rebound(stack, configured(f"[::1]:{port}"))
        with pytest.raises(Unavailable):
            bind(configured(f"localhost:{port}"), before=first)
    assert is_served(first, "::1", port)


@pytest.mark.parametrize("place", ["127.0.0.1:P", "unix:D/a"])
def test_an_address_that_becomes_a_forwarders(
    stack: contextlib.ExitStack, tmp_path: Path, place: str
) -> None:
    place = place.replace("P", str(free_port())).replace("D", str(tmp_path))
    direct, behind = configured(place), forwarded(place)
    first = rebound(stack, direct)
    second = rebound(stack, behind, first)
    third = rebound(stack, direct, second)
    assert second[0].socket is first[0].socket
    assert third[0].socket is first[0].socket
    assert [bound[0].forwarder for bound in (first, second, third)] == [None, behind.forwarders[0], None]


def test_port_0_is_another_one_for_forwarders(stack: contextlib.ExitStack) -> None:
    config = forwarded("127.0.0.1:0", direct=("127.0.0.1:0",))
    first = rebound(stack, config)
    second = rebound(stack, config, first)
    assert [entry.socket for entry in second] == [entry.socket for entry in first]


def test_a_forwarder_takes_over_with_other_networks(stack: contextlib.ExitStack) -> None:
    listen = Listen(host="127.0.0.1", port=free_port())
    old, new = (Forwarder(listen=listen, networks=(ip_network(text),)) for text in ("127.0.0.1", "::1"))
    first = rebound(stack, Config(forwarders=(old,)))
    second = rebound(stack, Config(forwarders=(new,)), first)
    assert second[0].socket is first[0].socket
    assert second[0].forwarder == new


def test_what_was_given_stays_whatever_is_configured(stack: contextlib.ExitStack, tmp_path: Path) -> None:
    given = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    port = given.getsockname()[1]
    first = bind(configured("127.0.0.1:0"), [given])
    forwarder = Forwarder(listen=Listen(host="127.0.0.1", port=port), networks=None)
    own = Forwarder(listen=Listen(path=tmp_path / "a"))
    second = rebound(stack, Config(forwarders=(forwarder, own)), first)
    assert [(entry.socket, entry.forwarder) for entry in second[:1]] == [(given, forwarder)]
    assert [(entry.listen.path, entry.forwarder) for entry in second[1:]] == [(tmp_path / "a", own)]
    third = rebound(stack, configured(":0"), second)
    assert [(entry.socket, entry.forwarder, entry.inherited) for entry in third] == [(given, None, True)]
    close_others(second, third)
    assert not [*tmp_path.iterdir()]
    assert is_served(third, "127.0.0.1", port)
