"""R2: for any strategy, replicas and budgets, a restart leaves the pods that the budgets require, at least one."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from remediations.core.model.facts import Fact
from remediations.core.model.reasons import HoldReason
from remediations.facts.kubernetes.reader import ClusterReader
from remediations.facts.kubernetes.workload import choose_budgets, read_workload
from tests.fakes.decisions import API, ask, facts
from tests.fakes.kubernetes import DEPLOYMENT, FakeCluster, a_deployment

BOUNDS = st.none() | st.integers(0, 12) | st.integers(0, 100).map("{}%".format)
STRATEGIES = st.sampled_from(("RollingUpdate", "Recreate"))


def most_stopped(replicas: int, kind: str, most: int | str | None, surge: int | str | None) -> int:
    """How many ready pods the controller may stop at once, by the words of the Kubernetes documentation."""
    if kind == "Recreate":
        return replicas
    stopped = floor(_share(replicas, most))
    if stopped == 0 and ceil(_share(replicas, surge)) == 0:
        return min(1, replicas)
    return min(stopped, replicas)


def _share(replicas: int, value: int | str | None) -> Fraction:
    if isinstance(value, int):
        return Fraction(value)
    return Fraction(int((value or "25%").removesuffix("%")) * replicas, 100)


def a_budget(name: str, allowed: int) -> dict[str, Any]:
    spec = {"selector": {"matchLabels": {"app": "control-plane-api"}}}
    status = {"observedGeneration": 1, "disruptionsAllowed": allowed}
    return {"metadata": {"name": name, "generation": 1}, "spec": spec, "status": status}


@given(st.integers(1, 12), STRATEGIES, BOUNDS, BOUNDS, st.lists(st.integers(0, 12), max_size=3), st.integers(0, 12))
async def test_restart_passes_exactly_when_enough_pods_stay(replicas, kind, most, surge, allowed, ready):
    document = a_deployment()
    rolling = {name: value for name, value in (("maxUnavailable", most), ("maxSurge", surge)) if value is not None}
    document["spec"] |= {"replicas": replicas, "strategy": {"type": kind, "rollingUpdate": rolling}}
    ready = min(ready, replicas)
    counts = {"replicas": replicas, "updatedReplicas": replicas, "readyReplicas": ready, "availableReplicas": ready}
    document["status"] |= counts
    budgets = choose_budgets([a_budget(f"b{number}", each) for number, each in enumerate(allowed)], document)
    workload = await read_workload(ClusterReader(FakeCluster({DEPLOYMENT: document}), 1.0), API)

    outcome = ask("disruption", facts=facts(workload=Fact(workload, "w"), budgets=Fact(budgets, "pdb")))

    stopped = most_stopped(replicas, kind, most, surge)
    if 0 < ready < replicas:
        expected = HoldReason.PARTIALLY_READY
    elif ready and (stopped >= ready or any(each < stopped for each in allowed)):
        expected = HoldReason.DISRUPTION_BUDGET
    else:
        expected = None
    assert outcome.reason is expected
