"""The parts of a policy file besides actions: read completely, or refused with the fault's path."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from chassis.errors import ConfigError
from remediations.core.model.alert import Mode, Target
from remediations.core.policies.limits import (
    BreakerLimit,
    ConnectionBudget,
    Consent,
    CustomGuard,
    HoldIf,
    Limit,
    LimitScope,
    StormLimit,
)
from remediations.core.policies.policy import PolicySet
from remediations.core.policies.reader import closure, parse_policies

QUERY = {"promql": "x", "collectors": ["api"]}
WINDOW = {"name": "night", "timezone": "Europe/Berlin", "cron": "0 22 * * *", "duration_seconds": 28800}
POLICY = {
    "name": "restart-api",
    "action": "restart_workload",
    "targets": [{"namespace": "n", "kind": "Deployment", "name": "api"}],
    "condition": QUERY,
    "verify": QUERY | {"promql": "y"},
    "witnesses": [{"name": "pods", "kind": "pods_ready"}],
}


POLICY_FAULTS = [
    ({"freeze": [WINDOW | {"timezone": "Mars/Olympus"}]}, "freeze[0].timezone: is not a time zone"),
    ({"freeze": [WINDOW | {"cron": "* *"}]}, "freeze[0].cron: expected five fields"),
    ({"freeze": [{"name": "x", "timezone": "UTC"}]}, "freeze[0]: expected name and timezone, and either cron"),
    ({"freeze": [WINDOW | {"from": "2026-01-01"}]}, "freeze[0]: expected name and timezone"),
    (
        {"freeze": [{"name": "x", "timezone": "UTC", "from": "2026-01-02", "to": "2026-01-01"}]},
        "freeze[0]: ends before",
    ),
    ({"guards": [{"name": "a", "promql": "q", "hold_if": "empty", "reason": "r"}]}, "guards[0]: needs either"),
    ({"guards": [{"name": "a"}]}, "guards[0].hold_if: is required"),
    ({"accept": ["everything"]}, "accept[0]: 'everything' is not allowed"),
    ({"connections": {"per_replica": 0, "limit": "x", "collectors": ["a"]}}, "connections.per_replica: must be"),
    ({"connections": {}}, "connections.limit: is required"),
    ({"ladder": []}, "ladder: must not be empty"),
    ({"ladder": [{"parameters": {}}]}, "ladder[0].action: is required"),
    ({"mode": "approve"}, "identity: is required, because these policies are approve or auto"),
]


TOP_FAULTS = [
    ({"version": 2}, "version: this program reads version 1"),
    ({"budgets": [{"scope": "moon", "most": 1, "seconds": 1}]}, "budgets[0].scope: 'moon' is not allowed"),
    ({"budgets": [{"scope": "target"}]}, "budgets[0].most: is required"),
    ({"storm": {"alerts": 1}}, "storm.alerts: must be between"),
    ({"graph": {"api": ["database"]}}, "graph.api: 'api' is not allowed"),
    ({"dependencies": {"a": QUERY, "b": QUERY}, "graph": {"a": ["b"], "b": ["a"]}}, "graph.a: depends on itself"),
    ({"locks": {"Backup!": QUERY}}, "locks.Backup!: 'Backup!' is not a name"),
]


def parse(top: dict[str, Any] | None = None, **policy: Any) -> PolicySet:
    document = {"policies": [POLICY | policy], **(top or {})}
    return parse_policies(yaml.safe_dump(document), "p.yaml")


def faults(top: dict[str, Any] | None = None, **policy: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(top, **policy)
    return [str(fault) for fault in caught.value.faults]


def test_sections_of_the_file_are_read():
    found = parse(
        {
            "version": 1,
            "freeze": [WINDOW],
            "locks": {"backup": QUERY},
            "budgets": [{"scope": "target", "most": 3, "seconds": 3600}],
            "storm": {"alerts": 20, "window_seconds": 60, "cooldown_seconds": 600},
            "breaker": {"failures": 2, "close_seconds": 3600},
        }
    )
    assert found.freeze[0].zone.key == "Europe/Berlin"
    assert found.budgets == (Limit(LimitScope.TARGET, 3, 3600),)
    assert found.storm == StormLimit(20, 60, 600)
    assert found.breaker == BreakerLimit(2, 3600)
    assert set(found.locks) == {"backup"}


def test_sections_of_a_policy_are_read():
    (policy,) = parse(
        {"identity": ['cluster="a"']},
        mode="approve",
        schedule=[WINDOW],
        freeze=[{"name": "sale", "timezone": "UTC", "from": "2026-11-27T00:00", "to": "2026-11-30T00:00"}],
        guards=[
            {"name": "room", "promql": "full", "hold_if": "nonempty", "reason": "no room", "freshness": "max(t)"},
            {"name": "load", "promql": "low", "hold_if": "empty", "reason": "busy", "collectors": ["api"]},
        ],
        accept=["unpinned_image"],
        connections={"per_replica": 15, "limit": "max(c)", "collectors": ["postgres"], "share": 0.5},
        ladder=[{"action": "restart_workload", "targets": [{"namespace": "n", "kind": "Deployment", "name": "opal"}]}],
        human_quiet_seconds=0,
    ).policies
    assert policy.mode is Mode.APPROVE
    assert policy.guards[0] == CustomGuard("room", "full", HoldIf.NONEMPTY, "no room", (), "max(t)")
    assert policy.accept == {Consent.UNPINNED_IMAGE}
    assert policy.connections == ConnectionBudget(15, "max(c)", ("postgres",), share=0.5)
    assert policy.ladder[0].targets == (Target("n", "Deployment", "opal"),)
    assert (policy.human_quiet_seconds, policy.change_quiet_seconds) == (0, 900)
    assert policy.freeze[0].ends_at - policy.freeze[0].begins_at == 3 * 86400


@pytest.mark.parametrize(("policy", "fault"), POLICY_FAULTS)
def test_fault_in_a_policy_is_reported_with_its_path(policy, fault):
    found = faults(**policy)
    assert [text for text in found if fault in text], found


@pytest.mark.parametrize(("top", "fault"), TOP_FAULTS)
def test_fault_at_the_top_is_reported_with_its_path(top, fault):
    found = faults(top)
    assert [text for text in found if fault in text], found


def test_guards_of_one_name_are_refused():
    guard = {"name": "a", "promql": "q", "hold_if": "empty", "reason": "r", "freshness": "t"}
    assert any("the name 'a' is used 2 times" in text for text in faults(guards=[guard, guard]))


def test_policy_waits_for_what_its_dependencies_stand_on():
    top = {"dependencies": {"api": QUERY, "database": QUERY, "redis": QUERY}, "graph": {"api": ["database"]}}
    (policy,) = parse(top, dependencies=["api"]).policies
    assert policy.dependencies == ("api", "database")
    assert closure(("a", "b"), {"a": ("c",), "b": ("c",)}) == ("a", "b", "c")
