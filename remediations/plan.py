"""Plans as data for the journal, and as a difference for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from remediations import undo as undos
from remediations.decision import Plan
from remediations.journal.errors import JournalError
from remediations.model import Target
from remediations.step import CreateStep, GateStep, HttpStep, PatchStep, SqlStep, Step

KINDS: Mapping[type[Any], str] = {CreateStep: "create", HttpStep: "http", SqlStep: "sql", GateStep: "gate"}


def to_data(plan: Plan) -> dict[str, Any]:
    """The plan as JSON-able data; `from_data` gives an equal plan."""
    return {
        "action": plan.action,
        "target": {"namespace": plan.target.namespace, "kind": plan.target.kind, "name": plan.target.name},
        "operation_id": plan.operation_id,
        "summary": plan.summary,
        "steps": [_step_data(step) for step in plan.steps],
        "prior": _copy(plan.prior),
        "expected": _copy(plan.expected),
    } | ({} if plan.undo is None else {"undo": undos.to_data(plan.undo)})


def from_data(data: Mapping[str, Any]) -> Plan:
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
            undo=None if data.get("undo") is None else undos.from_data(data["undo"]),
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
