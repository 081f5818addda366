"""Observations of the real product (tests/fixtures/product), and whether an answer has the observed shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[1] / "fixtures" / "product"
TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def read_facts(name: str) -> dict[str, Any]:
    """One file of facts."""
    document: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    return document


def differences(value: Any, shape: Any, path: str = "$") -> list[str]:
    """Where the value has another shape than was observed; empty when it has this one.

    A list of several shapes is "one of them", a list of one shape is a JSON list of it.
    """
    if isinstance(shape, str):
        return [] if _is_of(value, shape) else [f"{path}: {value!r} is no {shape}"]
    if isinstance(shape, dict):
        if not isinstance(value, dict) or value.keys() != shape.keys():
            keys = sorted(value) if isinstance(value, dict) else value
            return [f"{path}: {keys} instead of the keys {sorted(shape)}"]
        return [each for key in shape for each in differences(value[key], shape[key], f"{path}.{key}")]
    if len(shape) > 1:
        found = [differences(value, each, path) for each in shape]
        return [] if [] in found else found[-1]
    if not isinstance(value, list):
        return [f"{path}: {value!r} is no list"]
    return [each for item in value for each in differences(item, shape[0] if shape else {}, f"{path}[]")]


def _is_of(value: Any, shape: str) -> bool:
    """Whether a value is the text after `=`, or of one of the types."""
    if shape.startswith("="):
        return bool(value == shape[1:])
    allowed = {kind for word in shape.split("|") for kind in TYPES[word]}
    return type(value) in allowed
