"""Plans as data for the journal, and as a difference for people."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from remediations.core.codec import read_stored, to_data
from remediations.core.model.errors import JournalError
from remediations.core.model.plan import CreateStep, GateStep, HttpStep, PatchStep, Plan, SqlStep, Step
from remediations.core.model.remediation import Remediation

KIND, PATCH = "kind", "patch"
VERSION_KEY = "resourceVersion"


def plan_to_data(plan: Plan) -> dict[str, Any]:
    """The plan as JSON-able data; `plan_from_data` gives an equal plan.

    Approvals name the hash of this form, so it never changes: a patch has no `kind`, and a plan without an undo has no
    `undo`.
    """
    data: dict[str, Any] = to_data(plan)
    data["steps"] = [dict(item for item in step.items() if item != (KIND, PATCH)) for step in data["steps"]]
    if data["undo"] is None:
        del data["undo"]
    return data


def plan_from_data(data: Any, remediation_id: str) -> Plan:
    """The plan that was stored with a remediation; raises DamagedRecordError if it is invalid."""
    whole = data
    if isinstance(data, Mapping) and isinstance(data.get("steps"), list | tuple):
        steps = [{KIND: PATCH, **step} if isinstance(step, Mapping) else step for step in data["steps"]]
        whole = {**data, "steps": steps}
    return read_stored(Plan, whole, "remediation", remediation_id, "plan")


def read_plan(remediation: Remediation) -> Plan:
    """The plan of a remediation; raises JournalError if it is missing or unreadable."""
    if remediation.plan is None:
        raise JournalError(f"remediation {remediation.id} has no plan")
    return plan_from_data(remediation.plan, remediation.id)


def describe_difference(plan: Plan) -> str:
    """The plan for people: what each step writes and where, each value with its previous one, if known."""
    lines = [plan.summary]
    for step in plan.steps:
        lines.append(f"  {_headline(step)}")
        if isinstance(step, PatchStep | CreateStep):
            lines += [f"    {line}" for line in _lines(step.body, plan.prior)]
    return "\n".join(lines)


def _headline(step: Step) -> str:
    """What a step sends, and where."""
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
    """The value that a patched field had; None if it had none or it was not recorded."""
    if ".annotations." not in path:
        return prior.get(name)
    return prior.get("template_operation_id" if path.startswith("spec.template.") else "operation_id")


def plan_hash(plan: Plan) -> str:
    """SHA-256 (hexadecimal) of everything in the plan but resourceVersions, which an approval names separately."""
    text = json.dumps(_without_versions(plan_to_data(plan)), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def resource_version(plan: Plan) -> str:
    """The resourceVersions that the plan's writes require, joined by commas; empty without any."""
    return ",".join(_versions(plan_to_data(plan)))


def _without_versions(value: Any) -> Any:
    """The value without the keys named resourceVersion."""
    if isinstance(value, Mapping):
        return {name: _without_versions(item) for name, item in value.items() if name != VERSION_KEY}
    if isinstance(value, list | tuple):
        return [_without_versions(item) for item in value]
    return value


def _versions(value: Any) -> list[str]:
    """Every resourceVersion in the value, in order."""
    if isinstance(value, Mapping):
        own = [str(value[VERSION_KEY])] if VERSION_KEY in value else []
        return own + [found for item in value.values() for found in _versions(item)]
    if isinstance(value, list | tuple):
        return [found for item in value for found in _versions(item)]
    return []
