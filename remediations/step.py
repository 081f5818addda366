"""The writes that a plan is made of: what the executor sends is exactly one of these, complete.

A patch and a creation leave a mark on an object, so a look tells whether they arrived. A call and a statement leave
none: their beginning is journalled before they are sent, and what has begun is never sent again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class PatchStep:
    """One PATCH to the Kubernetes API."""

    path: str
    """API path of the object, e.g. /apis/apps/v1/namespaces/NS/deployments/NAME."""
    patch: str
    """`strategic` or `merge`."""
    body: Mapping[str, Any]
    """The patch; carries metadata.uid and metadata.resourceVersion as preconditions, and the operation id."""
    done_if: Mapping[str, str]
    """Annotation → value which, found on the object, says that this step has already been done.

    Empty where annotations cannot be written (/scale): then the values of `body.spec`, which are absolute, say so.
    """


@dataclass(frozen=True, slots=True)
class CreateStep:
    """One POST to the Kubernetes API: an object with a name that follows from the operation id, or an eviction."""

    path: str
    """API path of the collection or subresource, e.g. …/pods/NAME/eviction."""
    body: Mapping[str, Any]
    look_path: str
    """API path of the object that tells whether the step has been done."""
    done_if: Mapping[str, str] = field(default_factory=dict)
    """Annotation → value which, found on the object at `look_path`, says that it is done."""
    gone_uid: str = ""
    """Not empty: done when the object at `look_path` with this uid is gone or on its way out."""
    template_path: str = ""
    """Not empty: the CronJob whose job template is filled in when the step is sent, so that no plan holds it."""
    template_uid: str = ""
    template_generation: int = 0
    """With the uid: which template was judged."""


@dataclass(frozen=True, slots=True)
class HttpStep:
    """One HTTP call without a body; its URL comes from the policy, its key from the settings, by origin."""

    method: str
    url: str


@dataclass(frozen=True, slots=True)
class SqlStep:
    """One statement that calls a SECURITY DEFINER function; the function holds the predicate."""

    statement: str
    arguments: tuple[float | int | str, ...] = ()


@dataclass(frozen=True, slots=True)
class GateStep:
    """No write: what must be found true, by data collected after the step before, so that the next ones are sent."""

    promql: str
    collectors: tuple[str, ...]
    max_age_seconds: float
    timeout_seconds: float
    """Seconds from the step before after which the rest of the plan is given up."""


Step = PatchStep | CreateStep | HttpStep | SqlStep | GateStep


def leaves_no_mark(step: Step) -> bool:
    """Whether nobody can find out later that the step was sent."""
    return isinstance(step, HttpStep | SqlStep)


def starts_pods(step: Step) -> bool:
    """Whether new pods follow from a template that the step changes or brings."""
    if isinstance(step, CreateStep):
        return bool(step.template_path)
    return isinstance(step, PatchStep) and "template" in (step.body.get("spec") or {})


def namespace_of(path: str) -> str:
    """The API path of the namespace that the object at a path lies in."""
    parts = path.split("/")
    return f"/api/v1/namespaces/{parts[parts.index('namespaces') + 1]}"
