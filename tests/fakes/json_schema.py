"""Holds a value to a JSON Schema: the keywords that this project's schemas use, and an error for every other one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

TYPES: Mapping[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
}
SILENT = frozenset({"$schema", "$defs", "title", "description", "default", "then"})


def find_faults(schema: Any, value: Any) -> list[str]:
    """Every keyword that the value breaks, with the place; draft 2020-12."""
    return list(_faults(schema, value, schema, "$"))


def _faults(schema: Any, value: Any, root: Any, path: str) -> Iterator[str]:
    if isinstance(schema, bool):
        if not schema:
            yield f"{path}: must not be here"
        return
    for keyword, wanted in schema.items():
        if keyword not in SILENT:
            yield from KEYWORDS[keyword](wanted, value, _Place(schema, root, path))


class _Place:
    """The path of a keyword, and the path of its value."""

    def __init__(self, schema: Any, root: Any, path: str) -> None:
        self.schema, self.root, self.path = schema, root, path

    def below(self, schema: Any, value: Any, name: object = "") -> Iterator[str]:
        yield from _faults(schema, value, self.root, f"{self.path}{name}")

    def holds(self, schema: Any, value: Any) -> bool:
        return not any(self.below(schema, value))

    def unless(self, is_right: bool, what: str) -> Iterator[str]:  # noqa: FBT001 - read aloud: unless right
        if not is_right:
            yield f"{self.path}: {what}"


Faults = Iterator[str]


def _type(wanted: Any, value: Any, place: _Place) -> Faults:
    names = wanted if isinstance(wanted, list) else [wanted]
    yield from place.unless(any(TYPES[name](value) for name in names), f"is no {wanted}")


def _ref(wanted: Any, value: Any, place: _Place) -> Faults:
    yield from place.below(place.root["$defs"][wanted.removeprefix("#/$defs/")], value)


def _enum(wanted: Any, value: Any, place: _Place) -> Faults:
    yield from place.unless(any(_same(item, value) for item in wanted), f"is none of {wanted}")


def _same(one: Any, other: Any) -> bool:
    """Equal as JSON sees it, where true is not 1."""
    return isinstance(one, bool) is isinstance(other, bool) and bool(one == other)


def _const(wanted: Any, value: Any, place: _Place) -> Faults:
    yield from place.unless(_same(wanted, value), f"is not {wanted}")


def _properties(wanted: Any, value: Any, place: _Place) -> Faults:
    for name in value.keys() & wanted.keys() if isinstance(value, dict) else ():
        yield from place.below(wanted[name], value[name], f".{name}")


def _additional(wanted: Any, value: Any, place: _Place) -> Faults:
    for name in value.keys() - place.schema.get("properties", {}).keys() if isinstance(value, dict) else ():
        yield from place.below(wanted, value[name], f".{name}")


def _names(wanted: Any, value: Any, place: _Place) -> Faults:
    for name in value if isinstance(value, dict) else ():
        yield from place.below(wanted, name, f".{name}")


def _required(wanted: Any, value: Any, place: _Place) -> Faults:
    for name in wanted if isinstance(value, dict) else ():
        yield from place.unless(name in value, f"{name} is required")


def _items(wanted: Any, value: Any, place: _Place) -> Faults:
    for index, item in enumerate(value if isinstance(value, list) else ()):
        yield from place.below(wanted, item, f"[{index}]")


def _unique(wanted: Any, value: Any, place: _Place) -> Faults:
    if wanted and isinstance(value, list):
        twice = any(_same(item, other) for index, item in enumerate(value) for other in value[:index])
        yield from place.unless(not twice, "has something twice")


def _least_items(wanted: Any, value: Any, place: _Place) -> Faults:
    yield from place.unless(not isinstance(value, list) or len(value) >= wanted, f"has less than {wanted}")


def _contains(wanted: Any, value: Any, place: _Place) -> Faults:
    is_right = not isinstance(value, list) or any(place.holds(wanted, item) for item in value)
    yield from place.unless(is_right, "contains none")


def _pattern(wanted: Any, value: Any, place: _Place) -> Faults:
    is_right = not isinstance(value, str) or re.search(wanted.replace("$", r"\Z"), value) is not None
    yield from place.unless(is_right, f"does not match {wanted}")


def _longest(wanted: Any, value: Any, place: _Place) -> Faults:
    yield from place.unless(not isinstance(value, str) or len(value) <= wanted, f"is longer than {wanted}")


def _minimum(wanted: Any, value: Any, place: _Place) -> Faults:
    yield from place.unless(not TYPES["number"](value) or value >= wanted, f"is below {wanted}")


def _maximum(wanted: Any, value: Any, place: _Place) -> Faults:
    yield from place.unless(not TYPES["number"](value) or value <= wanted, f"is above {wanted}")


def _if(wanted: Any, value: Any, place: _Place) -> Faults:
    if place.holds(wanted, value):
        yield from place.below(place.schema.get("then", True), value)


def _all(wanted: Any, value: Any, place: _Place) -> Faults:
    for part in wanted:
        yield from place.below(part, value)


def _any(wanted: Any, value: Any, place: _Place) -> Faults:
    yield from place.unless(any(place.holds(part, value) for part in wanted), "fits none of several")


def _one(wanted: Any, value: Any, place: _Place) -> Faults:
    yield from place.unless(sum(place.holds(part, value) for part in wanted) == 1, "must fit exactly one of several")


def _not(wanted: Any, value: Any, place: _Place) -> Faults:
    yield from place.unless(not place.holds(wanted, value), "is what it must not be")


KEYWORDS: Mapping[str, Callable[[Any, Any, _Place], Faults]] = {
    "type": _type,
    "$ref": _ref,
    "enum": _enum,
    "const": _const,
    "properties": _properties,
    "additionalProperties": _additional,
    "propertyNames": _names,
    "required": _required,
    "items": _items,
    "uniqueItems": _unique,
    "minItems": _least_items,
    "contains": _contains,
    "pattern": _pattern,
    "maxLength": _longest,
    "minimum": _minimum,
    "maximum": _maximum,
    "if": _if,
    "allOf": _all,
    "anyOf": _any,
    "oneOf": _one,
    "not": _not,
}
