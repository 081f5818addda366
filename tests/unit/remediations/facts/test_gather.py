"""The facts around a fault: silences, locks, a policy's own queries, the connection limit, pods.

Unanswered is unknown.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from chassis.errors import Reason, TransientError
from remediations.commands.connections import asking
from remediations.core.decide import ACTIONS
from remediations.core.model.alert import Mode
from remediations.core.model.plan import Plan
from remediations.core.policies.limits import ConnectionBudget, CustomGuard, HoldIf
from remediations.core.policies.policy import Query
from remediations.engine.context import prove_nothing
from remediations.facts.gather import gather as gather_all
from remediations.facts.gather import gather_facts
from remediations.facts.kubernetes.reader import ClusterReader
from remediations.facts.sources import FactSources
from tests.fakes.clock import ManualClock
from tests.fakes.decisions import API, NOW, a_policy_set, a_remediation, an_alert, ask, restart_policy
from tests.fakes.facts import sources_of
from tests.fakes.kubernetes import AUTOSCALER, BUDGET, DEPLOYMENT, NAME, NAMESPACE, PODS, FakeCluster, a_cluster
from tests.fakes.prometheus import FakePrometheus, FakeWeb

POLICY = restart_policy(
    connections=ConnectionBudget(15, "limit", ("postgres",)),
    guards=(CustomGuard("room", "full", HoldIf.NONEMPTY, "no room", freshness="t"),),
    dependencies=(),
)

EVICTING = replace(POLICY, action="evict_pod", parameters={"unready_seconds": 120})
CORE = f"/api/v1/namespaces/{NAMESPACE}"
SETTINGS, HIDDEN = f"{CORE}/configmaps/settings", f"{CORE}/secrets/hidden"
READ = {
    DEPLOYMENT, PODS, SETTINGS, HIDDEN, f"{CORE}/limitranges", f"{CORE}/resourcequotas",
    AUTOSCALER.rpartition("/")[0], BUDGET.rpartition("/")[0],
}  # fmt: skip
"""The sources of the facts for an eviction."""


class Am:
    """An Alertmanager that says one thing, or fails."""

    url = "http://am"

    def __init__(self, answer) -> None:
        self.answer = answer

    async def mutes(self, _alert):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def gather(alertmanager=None, *, answers=None, numbers=None):
    prometheus = FakePrometheus(ManualClock(), answers or {}, numbers=numbers or {})
    sources = FactSources(prometheus, FakeWeb(), ClusterReader(a_cluster(), 1.0), 0.5, alertmanager=alertmanager)
    policy_set = replace(a_policy_set(POLICY), locks={"backup": Query("b", ("api",))})
    return await gather_facts(sources, POLICY, policy_set, API, an_alert())


async def test_everything_around_is_asked():
    facts = await gather(Am(("silence 1",)), answers={"b": False, "full": False}, numbers={"limit": 100.0})
    assert facts.mutes.value == ("silence 1",)
    assert (facts.locks["backup"].value, facts.custom["room"].value) == (False, False)
    assert (facts.connection_limit.value, facts.pods.value is not None) == (100.0, True)


async def test_what_does_not_answer_is_unknown():
    facts = await gather(Am(TransientError(Reason.TIMEOUT, "slow")))
    unknown = (facts.mutes, facts.locks["backup"], facts.custom["room"], facts.connection_limit)
    assert [fact.value for fact in unknown] == [None] * 4
    assert all(fact.problem for fact in unknown)
    assert facts.mutes.problem == "Alertmanager at http://am (alertmanager.url): timeout: slow"


async def test_server_that_is_away_is_named_with_its_setting():
    facts = await gather(Am(TransientError(Reason.REFUSED, "[Errno 111]")))
    assert facts.mutes.problem == "Alertmanager at http://am (alertmanager.url): connection refused"


async def test_without_an_alertmanager_nothing_mutes():
    assert (await gather()).mutes.value == ()


def a_configured_cluster() -> FakeCluster:
    """The API reads a ConfigMap and a Secret, which two facts ask about."""
    cluster = a_cluster(ready=1, envFrom=[{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "hidden"}}])
    for place in (SETTINGS, HIDDEN):
        cluster.objects[place] = {"metadata": {"creationTimestamp": "2023-11-01T00:00:00Z"}}
    return cluster


async def test_decision_fetches_each_object_once():
    """Facts, action facts and evidence share a cache; the next decision begins with an empty one."""
    cluster = a_configured_cluster()
    policy = replace(EVICTING, mode=Mode.AUTO)
    sources, policies = sources_of(cluster), (policy, a_policy_set(policy))
    plan = Plan("evict_pod", API, "op-1", "evicts", (), {}, {"pod": f"{NAME}-0"})

    for number in (1, 2):
        found = await gather_all(sources, policies, a_remediation(), NOW)
        await found.collect_evidence(plan)
        asked = Counter(path for _, path in cluster.calls if not path.endswith("/events"))
        assert set(asked.values()) == {number}, asked
        assert asked.keys() >= READ


async def test_simulated_decision_fetches_each_object_once():
    cluster = a_configured_cluster()
    ask_facts = asking(sources_of(cluster), ManualClock(NOW), prove_nothing)

    await ask_facts(EVICTING, a_policy_set(EVICTING), API, an_alert())

    asked = Counter(path for _, path in cluster.calls)
    assert set(asked.values()) == {1}, asked
    assert asked.keys() >= READ


@pytest.mark.parametrize("name", ["configuration", "image", "locks", "drop_tables"])
def test_action_that_touches_no_pods_is_not_locked(name):
    assert ask(name, action=ACTIONS["trigger_policy_update"]).reason is None
