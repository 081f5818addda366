"""The steps of a plan: the executor sends exactly these, each complete.

A patch and a creation leave a mark on an object, so reading the object shows whether they arrived. A call and a
statement leave none: their start is journalled before they are sent, and a started one is never sent again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from remediations.core.model.alert import Target
from remediations.core.model.reasons import HoldReason
from remediations.core.model.undo import Undo

BUDGETS = "budgets"
"""Key of `Plan.expected`: names of the PodDisruptionBudgets of the ready pods that the plan may stop."""


class StepRecord(msgspec.Struct, frozen=True, tag_field="kind", forbid_unknown_fields=True):
    """A step, stored with its `kind`. msgspec reads a union by such a tag from structs only, not from dataclasses."""


class PatchStep(StepRecord, frozen=True, tag="patch"):
    """One PATCH to the Kubernetes API."""

    path: str
    """API path of the object, e.g. /apis/apps/v1/namespaces/NS/deployments/NAME."""
    patch: str
    """`strategic` or `merge`."""
    body: Mapping[str, Any]
    """The patch; contains metadata.uid and metadata.resourceVersion as preconditions, and the operation id."""
    done_if: Mapping[str, str]
    """Annotation → value which, if found on the object, means that this step is done.

    Empty if annotations cannot be written (/scale): then the values of `body.spec` are compared, which are absolute."""


class CreateStep(StepRecord, frozen=True, tag="create"):
    """One POST to the Kubernetes API: an object with a name derived from the operation id, or an eviction."""

    path: str
    """API path of the collection or subresource, e.g. …/pods/NAME/eviction."""
    body: Mapping[str, Any]
    look_path: str
    """API path of the object that shows whether the step is done."""
    done_if: Mapping[str, str] = msgspec.field(default_factory=dict)
    """Annotation → value which, if found on the object at `look_path`, means that the step is done."""
    gone_uid: str = ""
    """If not empty: done when the object at `look_path` with this uid is gone or terminating."""
    template_path: str = ""
    """If not empty: the CronJob whose job template is inserted when the step is sent, so that no plan contains it."""
    template_uid: str = ""
    template_generation: int = 0
    """With the uid: identifies the template that the decision was based on."""


class HttpStep(StepRecord, frozen=True, tag="http"):
    """One HTTP call without a body; its URL comes from the policy, its key from the settings, by origin."""

    method: str
    url: str


class SqlStep(StepRecord, frozen=True, tag="sql"):
    """One statement that calls a SECURITY DEFINER function; the function selects the rows."""

    statement: str
    arguments: tuple[float | int | str, ...] = ()


class GateStep(StepRecord, frozen=True, tag="gate"):
    """No write: a query that must be true, on data collected after the previous step, before the next steps."""

    promql: str
    collectors: tuple[str, ...]
    max_age_seconds: float
    timeout_seconds: float
    """Seconds from the previous step; afterwards the rest of the plan is dropped."""


Step = PatchStep | CreateStep | HttpStep | SqlStep | GateStep


def leaves_no_mark(step: Step) -> bool:
    """Whether it cannot be found out later that the step was sent."""
    return isinstance(step, HttpStep | SqlStep)


def starts_pods(step: Step) -> bool:
    """Whether the step changes or creates a template from which new pods start."""
    if isinstance(step, CreateStep):
        return bool(step.template_path)
    return isinstance(step, PatchStep) and "template" in (step.body.get("spec") or {})


def namespace_of(path: str) -> str:
    """The API path of the namespace of the object at a path."""
    parts = path.split("/")
    return f"/api/v1/namespaces/{parts[parts.index('namespaces') + 1]}"


@dataclass(frozen=True, slots=True)
class Plan:
    """The complete plan, made before anything is sent."""

    action: str
    target: Target
    operation_id: str
    summary: str
    """One sentence for people."""
    steps: tuple[Step, ...]
    prior: Mapping[str, Any]
    """The values that the steps change, as they were: needed for an undo."""
    expected: Mapping[str, Any]
    """The values after the steps, for verification."""
    undo: Undo | None = None
    """The undo of the steps; None if there is none."""


class SendResult(StrEnum):
    """The result of sending a step or a plan."""

    DONE = "done"
    """Every step was accepted."""
    ALREADY_DONE = "already_done"
    """An earlier process had sent it: the object carries the operation id, or the journal has its start."""
    CHANGED = "changed"
    """The object changed since the decision; nothing of the refused step was stored."""
    REFUSED = "refused"
    """The server refuses it until a person changes something (rights, admission, validation)."""
    HELD = "held"
    """The server refuses it for now, for the reason in `Sent.hold`; nothing was changed."""
    UNKNOWN = "unknown"
    """No answer: it may or may not have arrived."""
    WAITING = "waiting"
    """A check between two steps is not true yet; the rest is sent when it is."""
    STOPPED = "stopped"
    """A check between two steps did not become true in time; the rest is never sent."""


@dataclass(frozen=True, slots=True)
class SendOutcome:
    """The result of sending, for the journal."""

    result: SendResult
    detail: str = ""
    generation: int | None = None
    """metadata.generation of the last object written, as the server returned it."""
    hold: HoldReason | None = None
    was_sent: bool = True
    """False: the write was never sent, because something that it needs is missing or its dry run was refused."""
    warnings: tuple[str, ...] = ()
    """Warnings of the API server besides its answer."""
