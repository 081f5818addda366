"""Plans as data for the journal, and as a difference for people."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints
from zoneinfo import ZoneInfo

from remediations.core.model.alert import Target
from remediations.core.model.errors import JournalError
from remediations.core.model.facts import Fact
from remediations.core.model.plan import CreateStep, GateStep, HttpStep, PatchStep, Plan, SqlStep, Step
from remediations.core.model.undo import undo_from_data, undo_to_data

KINDS: Mapping[type[Any], str] = {CreateStep: "create", HttpStep: "http", SqlStep: "sql", GateStep: "gate"}


def plan_to_data(plan: Plan) -> dict[str, Any]:
    """The plan as JSON-able data; `plan_from_data` gives an equal plan."""
    return {
        "action": plan.action,
        "target": {"namespace": plan.target.namespace, "kind": plan.target.kind, "name": plan.target.name},
        "operation_id": plan.operation_id,
        "summary": plan.summary,
        "steps": [_step_data(step) for step in plan.steps],
        "prior": _copy(plan.prior),
        "expected": _copy(plan.expected),
    } | ({} if plan.undo is None else {"undo": undo_to_data(plan.undo)})


def plan_from_data(data: Mapping[str, Any]) -> Plan:
    """The plan that was stored; raises JournalError when it is none."""
    try:
        target = data["target"]
        return Plan(
            action=data["action"],
            target=Target(target["namespace"], target["kind"], target["name"]),
            operation_id=data["operation_id"],
            summary=data["summary"],
            steps=tuple(_step(item) for item in data["steps"]),
            prior=dict(data["prior"]),
            expected=dict(data["expected"]),
            undo=None if data.get("undo") is None else undo_from_data(data["undo"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise JournalError(f"the stored plan cannot be read: {error!r}") from error


def describe_difference(plan: Plan) -> str:
    """The plan for people: what each step writes where, each value with what it was before, if that is known."""
    lines = [plan.summary]
    for step in plan.steps:
        lines.append(f"  {_headline(step)}")
        if isinstance(step, PatchStep | CreateStep):
            lines += [f"    {line}" for line in _lines(step.body, plan.prior)]
    return "\n".join(lines)


def _step_data(step: Step) -> dict[str, Any]:
    """A step as JSON-able data. A patch carries no `kind`: so it was stored when there was nothing else."""
    data: dict[str, Any] = _copy({item.name: getattr(step, item.name) for item in fields(step)})
    return data if isinstance(step, PatchStep) else {"kind": KINDS[type(step)], **data}


def _step(data: Mapping[str, Any]) -> Step:
    """A step as it was stored; raises KeyError, TypeError or ValueError."""
    values = {name: value for name, value in data.items() if name != "kind"}
    kind = data.get("kind", "patch")
    if kind == "patch":
        return PatchStep(values["path"], values["patch"], dict(values["body"]), dict(values["done_if"]))
    if kind == "create":
        return CreateStep(**values)
    if kind == "http":
        return HttpStep(**values)
    if kind == "sql":
        return SqlStep(values["statement"], tuple(values["arguments"]))
    if kind == "gate":
        return GateStep(**{**values, "collectors": tuple(values["collectors"])})
    raise ValueError(f"a step of an unknown kind {kind!r}")


def _headline(step: Step) -> str:
    """What a step sends, and where to."""
    match step:
        case PatchStep():
            return f"PATCH {step.path} ({step.patch})"
        case CreateStep():
            return f"POST {step.path}"
        case HttpStep():
            return f"{step.method} {step.url}"
        case SqlStep():
            return f"SQL {step.statement} {json.dumps(step.arguments)}"
        case GateStep():
            return f"only if, within {step.timeout_seconds:g} s: {step.promql}"


def _lines(body: Mapping[str, Any], prior: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """One line for each value of a patch: preconditions with `if`, changes with `-` and `+`."""
    for name, value in body.items():
        here = f"{path}.{name}" if path else name
        if isinstance(value, Mapping):
            yield from _lines(value, prior, here)
        elif here in {"metadata.uid", "metadata.resourceVersion"}:
            yield f"if {here} = {json.dumps(value)}"
        else:
            before = _before(here, name, prior)
            if before is not None:
                yield f"- {here} = {json.dumps(before)}"
            yield f"+ {here} = {json.dumps(value)}"


def _before(path: str, name: str, prior: Mapping[str, Any]) -> Any:
    """The value that a patched field had; None when it had none or nobody noted it."""
    if ".annotations." not in path:
        return prior.get(name)
    return prior.get("template_operation_id" if path.startswith("spec.template.") else "operation_id")


def _copy(value: Mapping[str, Any]) -> Any:
    """The value as plain JSON types, sharing nothing with the plan."""
    return json.loads(json.dumps(value, default=dict))  # noqa: TID251 - what was written just now


VERSION_KEY = "resourceVersion"


def plan_hash(plan: Plan) -> str:
    """SHA-256 (hexadecimal) of everything in the plan but resourceVersions, which an approval names apart."""
    text = json.dumps(_without_versions(plan_to_data(plan)), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def resource_version(plan: Plan) -> str:
    """The resourceVersions that the plan's writes presume, joined by commas; empty when they presume none."""
    return ",".join(_versions(plan_to_data(plan)))


def _without_versions(value: Any) -> Any:
    """The value without the keys named resourceVersion."""
    if isinstance(value, Mapping):
        return {name: _without_versions(item) for name, item in value.items() if name != VERSION_KEY}
    if isinstance(value, list):
        return [_without_versions(item) for item in value]
    return value


def _versions(value: Any) -> list[str]:
    """Every resourceVersion in the value, in order."""
    if isinstance(value, Mapping):
        own = [str(value[VERSION_KEY])] if VERSION_KEY in value else []
        return own + [found for item in value.values() for found in _versions(item)]
    if isinstance(value, list):
        return [found for item in value for found in _versions(item)]
    return []


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
