"""Has an OPAL client load policies and data again."""

from __future__ import annotations

from remediations.core.action import ActionInput, Parameter, ParameterKind, action
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.plan import HttpStep, Plan
from remediations.core.yaml_node import Range

UNLIMITED = Range(0, 0)
POLICIES, DATA = "policy-updater/trigger", "data-updater/trigger"


@action(
    kinds=("OpalClient",),
    effects=frozenset(),
    refusals=frozenset(),
    rbac=(),
    parameters=(
        Parameter("url", UNLIMITED, "Base URL of the OPAL client; nothing else is called.", kind=ParameterKind.URL),
        Parameter("with_data", UNLIMITED, "Whether the data is loaded again too.", True, ParameterKind.FLAG),
    ),
)
def plan(request: ActionInput) -> Plan | GuardOutcome:
    """Calls the OPAL client's triggers: first the policies, then the data that they are judged with.

    The client fetches again what it is entitled to and swaps it in; nothing is unloaded meanwhile (OPAL, "Policy
    updater" and "Data updater" API). The product's own sync endpoints are never called: they write rows that break its
    audit log.

    Undo: none; what was loaded is what the server publishes.
    """
    base = str(request.parameters["url"]).rstrip("/")
    paths = (POLICIES, DATA) if request.parameters["with_data"] else (POLICIES,)
    target = request.target
    return Plan(
        action="trigger_policy_update",
        target=target,
        operation_id=request.operation_id,
        summary=f"have OPAL client {target.namespace}/{target.name} load again: {', '.join(paths)}",
        steps=tuple(HttpStep("POST", f"{base}/{path}") for path in paths),
        prior={},
        expected={"effect": "called"},
    )
