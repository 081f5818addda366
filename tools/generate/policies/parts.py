"""The small words of JSON Schema that the policy file's schema is made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from typing import Any

from remediations.core.policies import reader, sections
from remediations.core.yaml_node import MAX_TEXT, Range
from tools.generate.policies.words import WORDS

Schema = dict[str, Any]


def closed(section: str, origin: type | None, parts: Mapping[str, Schema], required: Iterable[str]) -> Schema:
    """A mapping that allows these keys only, each with its sentence and the default that the code has for it."""
    defaults = {} if origin is None else _defaults(origin)
    properties = {
        name: {**part, "description": WORDS[section][name]} | ({"default": defaults[name]} if name in defaults else {})
        for name, part in parts.items()
    }
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return schema | ({"required": list(required)} if required else {})


def _defaults(origin: Any) -> dict[str, Any]:
    """The plain defaults of a dataclass; what is made by a factory or is None says itself in words."""
    given = {item.name: item.default for item in fields(origin) if item.default is not MISSING}
    return {name: as_json(value) for name, value in given.items() if isinstance(value, int | float | str) and value}


def as_json(value: Any) -> Any:
    """A default as JSON writes it."""
    if isinstance(value, tuple | frozenset):
        return list(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return str(value) if isinstance(value, str) else value


def refer(name: str) -> Schema:
    """What the definition of this name says."""
    return {"$ref": f"#/$defs/{name}"}


def array(items: Schema, *, least: int = 0, is_unique: bool = False) -> Schema:
    """A list."""
    schema: Schema = {"type": "array", "items": items}
    return schema | ({"minItems": least} if least else {}) | ({"uniqueItems": True} if is_unique else {})


def mapping(value: Schema) -> Schema:
    """A mapping whose keys are names."""
    return {"type": "object", "propertyNames": name_text(), "additionalProperties": value}


def text() -> Schema:
    """A string that says something."""
    return {"type": "string", "pattern": r"\S", "maxLength": MAX_TEXT}


def whole(pattern: str) -> Schema:
    """A string that looks like this from end to end."""
    return {"type": "string", "pattern": f"^(?:{pattern})$", "maxLength": MAX_TEXT}


def name_text() -> Schema:
    """A name."""
    return whole(sections.NAME.pattern)


def url_text() -> Schema:
    """A URL without credentials."""
    return whole(reader.URL.pattern)


def integer(limits: Range) -> Schema:
    """A whole number within limits."""
    return {"type": "integer", "minimum": as_json(limits.least), "maximum": as_json(limits.most)}


def number(name: str) -> Schema:
    """A number within the limits that its name has everywhere."""
    limits = sections.NUMBERS[name]
    return {"type": "number", "minimum": as_json(limits.least), "maximum": as_json(limits.most)}
