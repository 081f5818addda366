"""Scenario files as requests to the decision core: what a file does not say is as a repair needs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from remediations.core.decide import ACTIONS
from remediations.core.guard import GuardInput
from remediations.core.model.alert import Mode
from remediations.core.model.cluster import (
    Autoscaler,
    Budgets,
    CronJob,
    NewPods,
    ObjectChange,
    Pod,
    Template,
    TemplateSource,
)
from remediations.core.model.facts import ActionFacts, Approval, Fact, Facts, History, IdleSessions, Pause, ProcessStart
from remediations.core.model.remediation import State
from remediations.core.model.undo import Revert, Undo
from remediations.core.policies.ladder import rung_number
from remediations.core.policies.limits import ConnectionBudget, CustomGuard, HoldIf
from remediations.core.policies.matchers import parse_matchers
from remediations.core.policies.policy import Policy, PolicySet, Query, Rung, as_revert, at_rung, choose_target, matches
from remediations.core.policies.reader import parse_policies
from remediations.engine.reverts import judged_by
from remediations.shipped import read_policies
from tests.fakes import decisions as fakes
from tests.fakes.decisions import NOW

FOLDER = Path(__file__).parents[1] / "scenarios"
HOME = {"alertname": "ControlCoreAPIDown", "cluster": "production"}
SHIPPED = replace(parse_policies(read_policies(), "policies.yaml"), identity=parse_matchers('cluster="production"'))
WELL: dict[str, Any] = {"workload": {"replicas_ready": 3, "replicas_available": 3}}
"""Facts about a revert's target if the scenario names none."""
SCALED_BY = "0000"
"""Operation id of the scale-up that a revert takes back."""
OWNERS = {
    "replicas": fakes.a_workload().uid,
    "minReplicas": fakes.an_autoscaler().uid,
    "maxReplicas": fakes.an_autoscaler().uid,
    "minReplicaCount": fakes.a_scaled_object().uid,
    "maxReplicaCount": fakes.a_scaled_object().uid,
}
"""Field → uid of the object that holds it."""


@dataclass(frozen=True)
class Situation:
    """One entry of a scenario file."""

    name: str
    expect: str
    told: Mapping[str, Any]


def read_situations() -> list[Situation]:
    """Every entry of every file; an unknown word in one is an error."""
    found = []
    known = {"name", "labels", "facts", "history", "policy", "set", "remediation", "revert", "expect"}
    for path in sorted(FOLDER.glob("*.yaml")):
        for entry in yaml.safe_load(path.read_text(encoding="utf-8")):
            assert set(entry) <= known, (path, entry)
            found.append(Situation(entry["name"], entry["expect"], entry))
    return found


def requests_of(situation: Situation) -> list[GuardInput]:
    """One request for each shipped policy that takes the alert."""
    labels = HOME | situation.told.get("labels", {})
    return [_request(situation.told, policy, labels) for policy in SHIPPED.policies if matches(policy, labels)]


def _request(told: Mapping[str, Any], shipped: Policy, labels: Mapping[str, str]) -> GuardInput:
    policy = _policy(shipped, told.get("policy", {}))
    policy_set = _set(told.get("set", {}), policy)
    remediation = _remediation(told.get("remediation", {}), policy, labels)
    history = _history(told.get("history", {}), policy)
    due = at_rung(policy, rung_number(policy, history, remediation, NOW, policy_set.breaker.close_seconds))
    usual = WELL if "revert" in told else {}
    facts = _facts(usual | told.get("facts", {}), policy)
    if "revert" not in told:
        return GuardInput(remediation, due, policy_set, ACTIONS[due.action], facts, history, NOW)
    taking = _taking(told["revert"], policy)
    due = judged_by(as_revert(policy), remediation, taking)
    facts = replace(facts, taking_back=taking)
    return GuardInput(replace(remediation, policy=due.name), due, policy_set, ACTIONS[due.action], facts, history, NOW)


def _taking(told: Mapping[str, Any], policy: Policy) -> Revert:
    """A revert due for `age` seconds: one field of the owner with its number before and after the scale-up."""
    before, after = told["numbers"]
    undo = Undo(
        owner=told.get("owner", OWNERS[told["field"]]),
        field=told["field"],
        before=before,
        after=after,
        promql=str(policy.parameters["revert_if"]),
        collectors=tuple(policy.parameters["revert_collectors"]),
        after_seconds=float(policy.parameters["revert_after_seconds"]),
        give_up_seconds=float(policy.parameters["revert_give_up_seconds"]),
    )
    return Revert((undo,), (SCALED_BY,), NOW - told.get("age", 0))


def _policy(policy: Policy, told: Mapping[str, Any]) -> Policy:
    guards = (*policy.guards, *(CustomGuard(name, "q", HoldIf.NONEMPTY, "said so") for name in told.get("guards", ())))
    ladder = tuple(Rung(action) for action in told["ladder"]) if "ladder" in told else policy.ladder
    connections = ConnectionBudget(told["connections"], "limit", ("postgres",)) if "connections" in told else None
    schedule = (fakes.frozen(ends_at=NOW - 30),) if told.get("schedule") == "closed" else policy.schedule
    mode = Mode(told.get("mode", "auto"))
    return replace(
        policy,
        mode=mode,
        guards=guards,
        ladder=ladder,
        schedule=schedule,
        connections=connections or policy.connections,
    )


def _set(told: Mapping[str, Any], policy: Policy) -> PolicySet:
    freeze = (fakes.frozen(),) if told.get("freeze") else ()
    policies = tuple(policy if item.name == policy.name else item for item in SHIPPED.policies)
    locks = {name: Query(name, ("api",)) for name in told.get("locks", ())}
    return replace(SHIPPED, policies=policies, freeze=freeze, locks=locks)


def _remediation(told: Mapping[str, Any], policy: Policy, labels: Mapping[str, str]) -> Any:
    began = told.get("began")
    starts_at = "" if began is None else _moment(NOW - began)
    return fakes.a_remediation(
        policy=policy.name,
        target=choose_target(at_rung(policy, told.get("rung", 0)), labels),
        alert=fakes.an_alert(name=labels["alertname"], labels=labels, starts_at=starts_at),
        created_at=NOW - told.get("age", 5),
    )


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()


def _history(told: Mapping[str, Any], policy: Policy) -> History:
    writes = tuple(
        fakes.a_past_action(
            policy=policy.name,
            target=at_rung(policy, item.get("rung", 0)).targets[0],
            action=at_rung(policy, item.get("rung", 0)).action,
            written_at=NOW - item["age"],
            state=State(item.get("state", "succeeded")),
        )
        for item in told.get("writes", ())
    )
    arrivals = tuple(NOW - 60 * number / max(1, told.get("arrivals", 0)) for number in range(told.get("arrivals", 0)))
    no = None
    if "rejected_by" in told:
        no = Approval("0001", "", "", told["rejected_by"], NOW - 10, NOW + 890, is_approved=False)
    return History(writes, tuple(told.get("in_flight", ())), arrivals=arrivals, approval=no)


def _facts(told: dict[str, Any], policy: Policy) -> Facts:
    """The favourable facts with what the file says in their place."""
    dependencies = dict.fromkeys(policy.dependencies, True) | told.pop("dependencies", {})
    witnesses = {item.name: True for item in policy.witnesses} | told.pop("witnesses", {})
    changes: dict[str, Any] = {
        "dependencies": {name: _known(value) for name, value in dependencies.items()},
        "witnesses": {name: _known(value) for name, value in witnesses.items()},
        "sights": _sights(told),
        "custom": {item.name: _known(item.hold_if is HoldIf.EMPTY) for item in policy.guards},
    }
    for name, value in told.items():
        key = {"autoscaler": "autoscalers"}.get(name, name)
        changes[key] = READERS.get(name, _known)(value)
    return fakes.facts(**changes)


def _sights(told: dict[str, Any]) -> ActionFacts:
    """Action facts: one of two pods is sick, no backup runs, three sessions idle, no ScaledObject."""
    pods = told.pop("pods", [None, 300])
    job = told.pop("cron_job", {})
    idle = told.pop("idle", 3)
    scaled = told.pop("scaled_objects", [])
    return ActionFacts(
        pods=Fact(
            tuple(Pod(f"pod-{number}", f"uid-{number}", age is None, age) for number, age in enumerate(pods)),
            "scenario",
        ),
        cron_job=fakes.unknown("missing: cronjobs")
        if job is None
        else Fact(CronJob("uid-c", 1, **_fixed(job)), "scenario"),
        idle_sessions=_known(None if idle is None else IdleSessions(idle, 900.0)),
        scaled_objects=_known(None if scaled is None else tuple(fakes.a_scaled_object(**item) for item in scaled)),
    )


def _known(value: Any) -> Fact[Any]:
    return fakes.unknown() if value is None else Fact(value, "scenario")


def _fixed(told: Mapping[str, Any]) -> dict[str, Any]:
    """The same with tuples for YAML's lists."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in told.items()}


def _template(told: Mapping[str, Any]) -> Fact[Template]:
    sources = tuple(
        TemplateSource(item["name"], None if item["age"] is None else NOW - item["age"], "permission")
        for item in told.get("sources", ())
    )
    new_pods = NewPods(**_fixed(told.get("new_pods", {})))
    return Fact(Template(tuple(told.get("unpinned", ())), sources, new_pods), "scenario")


def _autoscalers(told: Mapping[str, Any]) -> list[Autoscaler]:
    """The given fact; none if the scenario does not mention it."""
    return [fakes.an_autoscaler(**told)] if told else []


READERS: dict[str, Any] = {
    "mutes": lambda value: _known(None if value is None else tuple(value)),
    "workload": lambda value: (
        fakes.unknown(value) if isinstance(value, str) else Fact(fakes.a_workload(**_fixed(value)), "w")
    ),
    "autoscaler": lambda value: _known(None if value is None else tuple(_autoscalers(value))),
    "budgets": lambda value: Fact(Budgets(value), "scenario"),
    "template": _template,
    "locks": lambda value: {name: _known(item) for name, item in value.items()},
    "custom": lambda value: {name: _known(item) for name, item in value.items()},
    "changes": lambda value: _known(
        None if value is None else tuple(ObjectChange(item["who"], item["what"], NOW - item["age"]) for item in value)
    ),
    "start": lambda value: Fact(ProcessStart(NOW - value["age"], value["silent_seconds"]), "scenario"),
    "pauses": lambda value: tuple(Pause(name, "sam", "asked to", None) for name in value),
    "has_orchestrator": bool,
}
"""Readers of facts that a file gives in another form than the value; `null` is unknown."""
