"""Makes immutable values of the model from plain data again, by the annotations of their classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints
from zoneinfo import ZoneInfo

from remediations.model import Fact

PLAIN = (bool, int, float, str)


class RebuildError(ValueError):
    """The data is no value of the type; the message begins with the place."""


def rebuild(kind: Any, data: Any, path: str = "$", values: Any = None) -> Any:
    """The value of this type; raises RebuildError that names the place. `values` stands for a generic's parameter."""
    origin = get_origin(kind) or kind
    if kind is Any or (isinstance(kind, TypeVar) and values is None):
        return data
    if isinstance(kind, TypeVar):
        return rebuild(values, data, path)
    return _rebuild_known(kind, origin, data, path, values)


def _rebuild_known(kind: Any, origin: Any, data: Any, path: str, values: Any) -> Any:
    """The value of a type that is no parameter."""
    if origin in {Union, UnionType}:
        return _optional(kind, data, path, values)
    if origin in PLAIN:
        return _plain(origin, data, path)
    if isinstance(origin, type) and issubclass(origin, Enum | ZoneInfo):
        return _named(origin, data, path)
    if is_dataclass(origin) and isinstance(origin, type):
        return _object(kind, origin, data, path)
    return _collection(kind, origin, data, path)


def _optional(kind: Any, data: Any, path: str, values: Any) -> Any:
    """A value or None."""
    inner = [item for item in get_args(kind) if item is not type(None)]
    if data is None and len(inner) < len(get_args(kind)):
        return None
    if len(inner) != 1:
        raise RebuildError(f"{path}: cannot be told apart")
    return rebuild(inner[0], data, path, values)


def _plain(kind: type, data: Any, path: str) -> Any:
    """A number, a string or a boolean."""
    if kind is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if type(data) is not kind:
        raise RebuildError(f"{path}: expected {kind.__name__}")
    return data


def _named(kind: Any, data: Any, path: str) -> Any:
    """A member of a closed set, or a time zone."""
    try:
        return kind(data)
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise RebuildError(f"{path}: {error}") from error


def _object(kind: Any, origin: type, data: Any, path: str) -> Any:
    """A dataclass; fields that are left out keep their defaults."""
    if not isinstance(data, Mapping):
        raise RebuildError(f"{path}: expected an object")
    hints, arguments = _hints(origin), get_args(kind)
    known = {item.name for item in fields(origin)}
    unknown = set(data) - known
    if unknown:
        raise RebuildError(f"{path}: unknown field {min(unknown)!r}")
    values = arguments[0] if arguments else None
    built = {name: rebuild(hints[name], item, f"{path}.{name}", values) for name, item in data.items()}
    try:
        return origin(**built)
    except TypeError as error:
        raise RebuildError(f"{path}: {error}") from error


def _collection(kind: Any, origin: Any, data: Any, path: str) -> Any:
    """A tuple, a set or a mapping."""
    arguments = get_args(kind)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(data, Mapping):
            raise RebuildError(f"{path}: expected an object")
        return {name: rebuild(arguments[1], item, f"{path}.{name}") for name, item in data.items()}
    if not isinstance(data, list | tuple):
        raise RebuildError(f"{path}: expected a list")
    if issubclass(origin, AbstractSet):
        return frozenset(rebuild(arguments[0], item, f"{path}[]") for item in data)
    if issubclass(origin, Sequence):
        return tuple(rebuild(arguments[0], item, f"{path}[{number}]") for number, item in enumerate(data))
    raise RebuildError(f"{path}: a type that cannot be stored")


@cache
def _hints(kind: type) -> dict[str, Any]:
    """The annotations of a class as types; some name Fact without importing it at run time."""
    return get_type_hints(kind, localns={"Fact": Fact})
