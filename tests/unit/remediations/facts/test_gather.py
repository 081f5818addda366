"""The facts around a fault: silences, locks, own questions, the connection limit, pods; unanswered is unknown."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chassis.errors import Reason, TransientError
from remediations.core.decide import ACTIONS
from remediations.core.policies.limits import ConnectionBudget, CustomGuard, HoldIf
from remediations.core.policies.policy import Query
from remediations.facts.gather import gather_facts
from remediations.facts.kubernetes.reader import ClusterReader
from remediations.facts.sources import FactSources
from tests.fakes.clock import ManualClock
from tests.fakes.decisions import API, a_policy_set, an_alert, ask, restart_policy
from tests.fakes.kubernetes import a_cluster
from tests.fakes.prometheus import FakePrometheus, FakeWeb

POLICY = restart_policy(
    connections=ConnectionBudget(15, "limit", ("postgres",)),
    guards=(CustomGuard("room", "full", HoldIf.NONEMPTY, "no room", freshness="t"),),
    dependencies=(),
)


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


@pytest.mark.parametrize("name", ["configuration", "image", "locks", "drop_tables"])
def test_action_that_touches_no_pods_is_not_locked(name):
    assert ask(name, action=ACTIONS["trigger_policy_update"]).reason is None
