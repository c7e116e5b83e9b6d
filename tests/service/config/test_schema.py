import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from pad19.service.config.load import load
from pad19.service.config.schema import PATH, as_text, generate

ROOT = Path(__file__).parents[3]
TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "boolean": (bool,), "integer": (int,),
    "number": (int, float),
}  # fmt: skip


def mistakes(value: Any, schema: dict[str, Any], key: str = "") -> list[str]:
    """The keys whose values the schema does not allow, by as much of JSON Schema as ours has."""
    if "anyOf" in schema and "properties" not in schema:
        ways = [mistakes(value, way, key) for way in schema["anyOf"]]
        return [] if [] in ways else ways[0]
    if not schema:
        return []  # anything
    if not isinstance(value, TYPES[schema["type"]]) or (
        isinstance(value, bool) and schema["type"] != "boolean"
    ):
        return [key]
    found: list[str] = []
    if isinstance(value, dict):
        known = schema.get("properties", {})
        found += [f"{key}.{name}" for name in schema.get("required", []) if name not in value]
        ways = [way["required"] for way in schema.get("anyOf", [])]
        found += [f"{key}.{ways[0][0]}"] if ways and not any({*way} <= {*value} for way in ways) else []
        for name, part in value.items():
            inner = known.get(name, schema["additionalProperties"])
            if inner is False or not re.search(schema.get("propertyNames", {}).get("pattern", ""), name):
                found.append(f"{key}.{name}")
            else:
                found += mistakes(part, inner, f"{key}.{name}")
    if isinstance(value, list):
        found += [wrong for part in value for wrong in mistakes(part, schema["items"], f"{key}[]")]
    within = True
    if isinstance(value, int | float):
        within = schema.get("minimum", value) <= value <= schema.get("maximum", value)
        within = within and value > schema.get("exclusiveMinimum", float("-inf"))
    elif isinstance(value, str | list | dict):
        within = schema.get("minItems", 0) <= len(value) <= schema.get("maxLength", len(value))
    if not within or value not in schema.get("enum", [value]):
        found.append(key)
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        found.append(key)
    return found


def test_the_file_is_current() -> None:
    assert PATH.read_text("utf-8") == as_text(), "renew it with python -m pad19.service.config.schema"
    assert json.loads(as_text()) == generate()


def test_it_is_printed_by_the_command() -> None:
    program = "from pad19.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "check", "--schema"], capture_output=True, text=True, check=True
    )
    assert done.stdout == as_text()


def test_every_key_is_described() -> None:
    def walk(schema: dict[str, Any], key: str) -> None:
        assert schema["description"][0].isupper() or not schema["description"][0].isalpha(), key
        if "items" in schema:
            walk(schema["items"], f"{key}[]")
        for name, inner in schema.get("properties", {}).items():
            walk(inner, f"{key}.{name}")

    walk(generate(), "")
    assert {"include", "server", "limits", "log", "capsule"} <= generate()["properties"].keys()


@pytest.mark.parametrize("path", ["capsule/pad19.toml", "deploy/pad19.toml"])
def test_the_files_that_are_shipped(path: str) -> None:
    assert mistakes(tomllib.loads((ROOT / path).read_text("utf-8")), generate()) == []


def test_defaults_and_examples_are_allowed() -> None:
    def walk(schema: dict[str, Any], key: str) -> int:
        shown = [*schema.get("examples", []), *([schema["default"]] if "default" in schema else [])]
        for value in shown:
            assert mistakes(value, schema, key) == []
        inner = {**schema.get("properties", {}), **({"[]": schema["items"]} if "items" in schema else {})}
        return len(shown) + sum(walk(part, f"{key}.{name}") for name, part in inner.items())

    assert walk(generate(), "") > 30


FILES = [  # text, the keys that are wrong
    ("", []),
    ("include = 'a'", []),
    ("include = ['a', 'b']", []),
    ("include = 1", [".include"]),
    ("[limit]", [".limit"]),
    ("[limits]\nstall_s = 0", [".limits.stall_s"]),
    ("[limits]\nstall_s = 0.5\ngrace_s = 0", []),
    ("[limits]\nconnections = true", [".limits.connections"]),
    ("[limits]\nconnections = 1.5", [".limits.connections"]),
    ("[log]\nformat = 'x'", [".log.format"]),
    ("[server]\nlisten = []", [".server.listen"]),
    ("[[capsule]]\nlang = 'en,'", [".capsule[].lang"]),
    ("[[capsule]]\nindex = ['a/b']", [".capsule[].index[]"]),
    ("[[capsule]]\nmimetypes = {foo = 'a/b'}", [".capsule[].mimetypes.foo"]),
    ("[[capsule]]\nsettings = {a = 1, b = [{c = 2.5}]}", []),
    ("[[capsule]]\nsettings = {'a b' = 1}", [".capsule[].settings.a b"]),
    ("[[capsule]]\ncgi = {'/cgi-bin' = 'a'}", [".capsule[].cgi./cgi-bin"]),
    ("[[capsule]]\ntexts = {44 = 'a'}", [".capsule[].texts.44"]),
    ("[[capsule]]\ntexts = {51 = 51}", [".capsule[].texts.51"]),
    ("[[capsule]]\ntexts = {51 = 'None at {path}', 62 = 'Old'}", []),
    ("[[capsule]]\nmimetypes = {'.foo' = 1}", [".capsule[].mimetypes..foo"]),
    ("[[capsule]]\n[[capsule.redirect]]\nfrom = '/a'", [".capsule[].redirect[].to"]),
    ("[[capsule]]\n[[capsule.redirect]]\nfrom = '/a'\nto = '/b'\npermanent = true", []),
]


@pytest.mark.parametrize(("text", "wrong"), FILES)
def test_what_it_finds(text: str, wrong: list[str], tmp_path: Path) -> None:
    assert mistakes(tomllib.loads(text), generate()) == wrong
    if not wrong and "'a" not in text:  # and what it allows is a configuration
        (tmp_path / "content").mkdir()
        (tmp_path / "pad19.toml").write_text(text)
        load(tmp_path / "pad19.toml")
