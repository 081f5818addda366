"""Plans as data for the journal, and as a difference for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from remediations.journal.port import JournalError
from remediations.model import Plan, Step, Target


def to_data(plan: Plan) -> dict[str, Any]:
    """The plan as JSON-able data; `from_data` gives an equal plan."""
    return {
        "action": plan.action,
        "target": {"namespace": plan.target.namespace, "kind": plan.target.kind, "name": plan.target.name},
        "operation_id": plan.operation_id,
        "summary": plan.summary,
        "steps": [
            {"path": step.path, "patch": step.patch, "body": _copy(step.body), "done_if": dict(step.done_if)}
            for step in plan.steps
        ],
        "prior": _copy(plan.prior),
        "expected": _copy(plan.expected),
    }


def from_data(data: Mapping[str, Any]) -> Plan:
    """The plan that was stored; raises JournalError when it is none."""
    try:
        target = data["target"]
        return Plan(
            action=data["action"],
            target=Target(target["namespace"], target["kind"], target["name"]),
            operation_id=data["operation_id"],
            summary=data["summary"],
            steps=tuple(
                Step(step["path"], step["patch"], dict(step["body"]), dict(step["done_if"])) for step in data["steps"]
            ),
            prior=dict(data["prior"]),
            expected=dict(data["expected"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise JournalError(f"the stored plan cannot be read: {error!r}") from error


def describe_difference(plan: Plan) -> str:
    """The plan for people: what each step writes where, each value with what it was before, if that is known."""
    lines = [plan.summary]
    for step in plan.steps:
        lines.append(f"  PATCH {step.path} ({step.patch})")
        lines += [f"    {line}" for line in _lines(step.body, plan.prior)]
    return "\n".join(lines)


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
    return json.loads(json.dumps(value, default=dict))
