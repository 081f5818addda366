"""Makes an OPAL client load policies and data again."""

from __future__ import annotations

from dataclasses import dataclass

from remediations.core.action import ActionInput, action
from remediations.core.fields import Flag, PolicySection, Url
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.plan import HttpStep, Plan

POLICIES, DATA = "policy-updater/trigger", "data-updater/trigger"


@dataclass(frozen=True, slots=True)
class PolicyUpdateParameters(PolicySection):
    """The action's settings."""

    url: Url
    """Base URL of the OPAL client; no other address is called."""
    with_data: Flag = True
    """Whether the data is loaded again too."""


@action(
    kinds=("OpalClient",),
    effects=frozenset(),
    refusals=frozenset(),
    rbac=(),
    parameters=PolicyUpdateParameters,
)
def plan(request: ActionInput) -> Plan | GuardOutcome:
    """Calls the OPAL client's triggers: first for the policies, then for their data.

    The client fetches its policies and data again and replaces the old ones at once; nothing is unloaded meanwhile
    (OPAL, "Policy updater" and "Data updater" API). The product's own sync endpoints are never called: they write rows
    that break its audit log.

    Undo: none; what was loaded is what the server publishes.
    """
    base = str(request.parameters["url"]).rstrip("/")
    paths = (POLICIES, DATA) if request.parameters["with_data"] else (POLICIES,)
    target = request.target
    return Plan(
        action="trigger_policy_update",
        target=target,
        operation_id=request.operation_id,
        summary=f"make OPAL client {target.namespace}/{target.name} load again: {', '.join(paths)}",
        steps=tuple(HttpStep("POST", f"{base}/{path}") for path in paths),
        prior={},
        expected={"effect": "called"},
    )
