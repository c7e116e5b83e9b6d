"""deploy/Containerfile: what it says, and the image that it makes, run as the manual says."""

from __future__ import annotations

import json
import re
import shlex
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from pad19.cli import main
from support import container, podman
from support.manual import preformatted, shell_steps
from support.podman import Podman

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
PAGE = "hosting/containers.gmi"
PATIENCE = 20.0  # seconds until something that must happen counts as missing

pytestmark = [
    pytest.mark.machine,
    pytest.mark.timeout(900),  # seconds: a machine may have to be made first
]


# What it says


def instructions() -> list[tuple[str, str]]:
    lines = (DEPLOY / "Containerfile").read_text("utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#")).replace("\\\n", "")
    pairs = [line.partition(" ") for line in text.splitlines() if line]
    return [(name, rest) for name, _, rest in pairs]


def last(name: str) -> str:
    return [rest for found, rest in instructions() if found == name][-1]


def final_stage() -> list[tuple[str, str]]:
    found = instructions()
    return found[max(at for at, (name, _) in enumerate(found) if name == "FROM") :]


def test_it_is_not_root_who_serves() -> None:
    [user] = [rest for name, rest in final_stage() if name == "USER"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)  # a number, which Kubernetes can judge
    assert [name for name, _ in final_stage()].index("USER") > [name for name, _ in final_stage()].index(
        "RUN"
    )


def test_nothing_of_the_building_machine_gets_in() -> None:
    names = {name for name, _ in instructions()}
    assert "ADD" not in names
    assert [rest for name, rest in final_stage() if name == "COPY"] == ["--from=build /opt/pad19 /opt/pad19"]
    assert [rest for name, rest in instructions() if name == "ARG"] == [last("ARG")]  # none is for a secret
    ignored = (DEPLOY / "Containerfile.dockerignore").read_text().splitlines()
    lines = [line for line in ignored if not line.startswith("#")]
    assert lines == ["*", "!pyproject.toml", "!README.md", "!LICENSE", "!server", "**/__pycache__"]


def test_its_python_is_one_that_is_supported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    [version] = re.findall(r"python:(3\.\d+)-slim$", last("ARG"))
    assert f"Programming Language :: Python :: {version}" in project["classifiers"]


def test_what_a_runtime_has_to_know() -> None:
    assert last("EXPOSE") == "1965/tcp"
    assert last("STOPSIGNAL") == "SIGTERM"
    assert last("VOLUME") == "/var/lib/pad19"
    assert re.search(r"CMD pad19 get ", last("HEALTHCHECK"))


def test_its_command_is_one() -> None:
    """Exec form, so that signals arrive; and the flags exist."""
    words: list[str] = json.loads(last("ENTRYPOINT")) + json.loads(last("CMD"))
    assert words[:2] == ["pad19", "serve"]
    command = main.get_command(click.Context(main), "serve")
    assert command
    context = command.make_context("serve", words[2:])
    assert (context.params["folder"], context.params["certs"]) == (
        Path("/srv/capsule"),
        Path("/var/lib/pad19/certs"),
    )


# The image


@dataclass
class Image:
    podman: Podman
    base: str
    name: str
    checkout: Path

    def manual(self, text: str, capsule: Path) -> str:
        """Run commands of the page."""
        said = ""
        for line in text.splitlines():
            words = shlex.split(line.replace("~/capsule", str(capsule)).partition(" > ")[0])
            if words[1] == "run":
                words[-1] = self.name
                words[words.index("--publish") : words.index("--publish") + 2] = []  # there is no network
            said += self.podman(*words[1:])
        return said

    def wait_for(self, text: str) -> None:
        """Wait until the log has it."""
        end = time.monotonic() + PATIENCE
        while text not in (said := self.podman("logs", "pad19")):
            assert time.monotonic() < end, said
            time.sleep(0.05)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    if reason := podman.missing():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("podman")
    checkout = container.checkout(folder)
    (checkout / "certs").mkdir()
    (checkout / "certs/localhost.key").write_text("secret")
    with podman.podman(folder) as (command, base):
        yield Image(command, base, command.build(base, checkout, *build_options()), checkout)


def build_options() -> list[str]:
    """What the manual's command has besides a name, the file and the folder."""
    words = shlex.split(shell_steps(PAGE)["build the image"])
    for name in ("-t", "-f"):
        words[words.index(name) : words.index(name) + 2] = []
    assert (words[:2], words[-1]) == (["podman", "build"], ".")
    return words[2:-1]


@pytest.fixture
def image(built: Image) -> Iterator[Image]:
    """The image, and no container of it."""
    yield built
    built.podman("rm", "--force", "--ignore", "--time=0", "pad19")


@pytest.fixture
def capsule(tmp_path: Path) -> Path:
    [text] = [text for name, text in preformatted(PAGE) if name == "~/capsule/pad19.toml"]
    (tmp_path / "content").mkdir(parents=True)
    (tmp_path / "content/index.gmi").write_text("# Hello\n")
    (tmp_path / "pad19.toml").write_text(f"{text}\n")
    for path in (tmp_path, *tmp_path.parents[:3]):
        path.chmod(0o755)  # for user 1965, who runs in it
    return tmp_path


def test_it_serves_as_the_manual_says(image: Image, capsule: Path) -> None:
    left = shell_steps(PAGE)
    assert f"-f deploy/{DEPLOY.joinpath('Containerfile').name} ." in left.pop("build the image")
    image.manual(left.pop("run it"), capsule)
    image.wait_for("Listening on ")
    said = image.manual(left.pop("look"), capsule)
    assert "# Hello" in said
    assert "0 problems" in said
    image.podman("healthcheck", "run", "pad19")
    assert "generation 1" in image.podman("exec", "pad19", "pad19", "status", "/srv/capsule")

    # Who it is, and what it can write to.
    run = ("exec", "pad19", "sh", "-euc")
    assert image.podman(*run, "id -u; id -g").split() == ["1965", "1965"]
    assert "Read-only file system" in image.podman(*run, "! touch /opt/pad19/x /srv/capsule/x /tmp/x /x")
    assert re.search(r"^CapEff:\s+0+$", image.podman(*run, "cat /proc/self/status"), re.MULTILINE)
    assert image.podman(*run, "cd /var/lib/pad19/certs; ls; stat -c %a .").split() == [
        "example.org.crt",
        "example.org.key",
        "700",
    ]

    # Changes are noticed, and told.
    (capsule / "content/index.gmi").write_text("# Edited\n")
    assert "# Edited" in image.podman(*run, "pad19 get --connect localhost example.org")
    with (capsule / "pad19.toml").open("a") as file:
        file.write('lang = "de"\n')
    image.wait_for("reloaded: ")
    assert "lang=de" in image.podman(*run, "pad19 get --connect localhost example.org 2>&1")
    image.manual(left.pop("reload"), capsule)

    # Keys outlive the container.
    [key] = set(re.findall(r"public key +(sha256:\S+)", image.podman("logs", "pad19")))
    assert "example.org.key" in image.manual(left.pop("back up the keys"), capsule)
    start = time.monotonic()
    image.manual(left["stop, and make room for a new container"].splitlines()[0], capsule)
    assert time.monotonic() - start < PATIENCE / 2  # the signal arrived
    assert image.podman("inspect", "--format={{.State.ExitCode}}", "pad19").strip() == "0"
    assert "Traceback" not in image.podman("logs", "pad19")
    image.manual(left.pop("stop, and make room for a new container").splitlines()[1], capsule)
    image.manual(shell_steps(PAGE)["run it"], capsule)
    image.wait_for(key)
    assert left.keys() == {"a probe"}
    image.wait_for("Listening on ")
    image.podman("exec", "pad19", *shlex.split(left.pop("a probe")))


def test_a_folder_of_pages_will_do_and_a_host_that_is_not_served_is_ill(image: Image, capsule: Path) -> None:
    pages = capsule / "content"
    image.podman(
        "run", "--detach", "--name=pad19", "--read-only", f"--volume={pages}:/srv/capsule:ro",
        "--env=PAD19_HOST=elsewhere.example", image.name,
    )  # fmt: skip
    image.wait_for("Listening on ")
    assert "# Hello" in image.podman("exec", "pad19", "pad19", "get", "localhost")
    with pytest.raises(AssertionError, match="unhealthy"):
        image.podman("healthcheck", "run", "pad19")


def test_the_image_is_small_and_has_no_secrets(image: Image) -> None:
    sizes = [
        int(image.podman("image", "inspect", "--format={{.Size}}", name)) for name in (image.base, image.name)
    ]
    assert sizes[1] - sizes[0] < 50_000_000  # bytes
    files = image.podman("run", "--rm", "--entrypoint=find", image.name, "/opt", "/srv", "/var/lib/pad19")
    assert "/opt/pad19/bin/pad19" in files.split()
    assert [path for path in files.split() if path.endswith((".key", "/bin/pip"))] == []
    # Not in a layer that is thrown away, either.
    stage = image.podman.build(image.base, image.checkout, *build_options(), "--target=build")
    files = image.podman("run", "--rm", stage, "find", "/src")
    assert "/src/server/pad19/__init__.py" in files.split()
    assert [path for path in files.split() if path.startswith(("/src/certs", "/src/capsule"))] == []
