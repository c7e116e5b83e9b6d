"""The JSON Schema of ``pad19.toml``, made from the model, so that editors complete and check the file.

``pad19.schema.json`` beside this module is what it says; ``python -m pad19.service.config.schema`` renews it.
"""

import json
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from msgspec import NODEFAULT, Struct
from msgspec.structs import FieldInfo, fields

from .model import Sections
from .read import Rule, is_struct

PATH = Path(__file__).with_name("pad19.schema.json")

_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}


def generate() -> dict[str, Any]:
    """The schema, as JSON has it (draft 7, which editors know best)."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "pad19.toml",
        "description": "The configuration of pad19, a Gemini server.",
        **_table(Sections),
    }


def as_text() -> str:
    """The schema as it is written to a file."""
    return json.dumps(generate(), indent=2, ensure_ascii=False) + "\n"


def _table(kind: type[Struct]) -> dict[str, Any]:
    known = fields(kind)
    table: dict[str, Any] = {
        "type": "object",
        "properties": {info.encode_name: _field(info) for info in known},
        "additionalProperties": False,
    }
    if required := [info.encode_name for info in known if info.required]:
        table["required"] = required
    if one_of := getattr(kind, "one_of", ()):
        table["anyOf"] = [{"required": [name]} for name in one_of]
    return table


def _field(info: FieldInfo) -> dict[str, Any]:
    rule = Rule.of(info.type)
    schema = _value(info.type)
    if is_struct(rule.kind) and not rule.reads:
        return schema
    if rule.example is not None:
        schema["examples"] = [rule.example]
    default = _plain(info.default)
    if default is not None:
        schema["default"] = default
    return schema


def _value(annotation: Any) -> dict[str, Any]:
    rule = Rule.of(annotation)
    if rule.kind is Any:
        return {}
    if is_struct(rule.kind) and not rule.reads:
        text = (rule.kind.__doc__ or "").partition("\n")[0].replace("``", "")
        return {"description": text, **_table(rule.kind)}
    schema = {"description": rule.description[0].upper() + rule.description[1:], **_shape(rule)}
    for meta in rule.metas:
        schema |= {
            name: value
            for name, value in {
                "exclusiveMinimum": meta.gt,
                "minimum": meta.ge,
                "maximum": meta.le,
                "pattern": meta.pattern,
                "minItems" if schema["type"] == "array" else "minLength": meta.min_length,
                "maxLength": meta.max_length,
            }.items()
            if value is not None
        }
    if rule.one_or_more:
        single = {"type": "string"}
        inner = {name: schema.pop(name) for name in [*schema] if name != "description"}
        return {"description": schema["description"], "anyOf": [single, inner]}
    return schema


def _shape(rule: Rule) -> dict[str, Any]:
    kind = rule.kind
    if rule.reads:
        return {"type": "string"}
    if get_origin(kind) is tuple:
        return {"type": "array", "items": _value(get_args(kind)[0])}
    if get_origin(kind) is dict:
        names, values = get_args(kind)
        pattern = next(meta.pattern for meta in Rule.of(names).metas if meta.pattern)
        return {
            "type": "object",
            "propertyNames": {"pattern": pattern},
            "additionalProperties": _value(values),
        }
    if get_origin(kind) is Literal:
        values = [*get_args(kind)]
        return {"type": _TYPES[type(values[0])], "enum": values}
    return {"type": _TYPES[kind]}


def _plain(default: Any) -> Any:
    """A default as TOML would have it; None if there is none, or nothing to say."""
    if default is NODEFAULT or default in (None, ()):
        return None
    if isinstance(default, Path):
        return str(default)
    if isinstance(default, tuple):
        items = [_plain(item) for item in default]
        return None if None in items else items
    if isinstance(default, float) and default.is_integer():
        return int(default)
    return default if isinstance(default, (bool, int, float, str)) else None


if __name__ == "__main__":
    PATH.write_text(as_text(), "utf-8")
