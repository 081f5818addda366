from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from chassis.errors import PermanentError, Reason, TransientError
from remediations.core.model.alert import Mode, Target
from remediations.core.model.facts import NO_ORCHESTRATOR, Facts, Pause
from remediations.core.policies.policy import Policy, Witness, WitnessKind
from remediations.facts.gather import gather_facts
from remediations.facts.kubernetes.reader import ClusterReader
from remediations.facts.pause_file import read_pauses
from remediations.facts.sources import FactSources
from tests.fakes.clock import ManualClock
from tests.fakes.decisions import API, a_policy_set, restart_policy
from tests.fakes.kubernetes import (
    AUTOSCALER,
    BUDGET,
    DEPLOYMENT,
    NAME,
    PODS,
    FakeCluster,
    a_cluster,
    a_pod,
    an_autoscaler_object,
)
from tests.fakes.prometheus import FakePrometheus, FakeWeb

ANSWERS = {"controlcore_api_up == bool 0": True, "controlcore_postgres_up == bool 1": True}


async def gather(
    cluster: FakeCluster | None, *, web: FakeWeb | None = None, policy: Policy | None = None, **changes: Any
) -> Facts:
    """The facts for the restart policy, with the whole world healthy but the API."""
    prometheus = FakePrometheus(ManualClock(), changes.pop("answers", ANSWERS), hangs=changes.pop("hangs", False))
    reader = None if cluster is None else ClusterReader(cluster, 1.0)
    sources = FactSources(prometheus, web or FakeWeb(TransientError(Reason.TIMEOUT, "slow")), reader, 0.2)
    chosen = policy or restart_policy()
    return await gather_facts(sources, chosen, a_policy_set(chosen), changes.pop("target", API))


async def test_everything_known_is_gathered():
    facts = await gather(a_cluster())

    assert facts.condition.value is True
    assert facts.dependencies["postgres"].value is True
    assert {name: fact.value for name, fact in facts.witnesses.items()} == {"pods": True, "health": True}
    workload = facts.workload.value
    assert workload is not None
    assert (workload.uid, workload.resource_version, workload.generation) == ("uid-1", "41", 3)
    assert (workload.replicas_desired, workload.replicas_ready, workload.drop_tables) == (3, 0, False)
    assert facts.has_orchestrator
    (autoscaler,) = facts.autoscalers.value or ()
    assert (autoscaler.name, autoscaler.minimum, autoscaler.maximum, autoscaler.is_active) == (NAME, 3, 10, True)
    assert facts.budgets.value is not None
    assert facts.budgets.value.allowed == {}


async def test_annotations_of_others_never_become_facts():
    """Kubectl keeps the whole last manifest in one annotation, including the environment."""
    facts = await gather(a_cluster())

    assert "planted-secret" not in repr(facts)


async def test_question_that_hangs_is_unknown_and_the_others_are_answered():
    facts = await gather(a_cluster(), hangs=True)

    assert facts.condition.value is None
    assert facts.condition.problem == "no answer within 0.2 s"
    assert facts.workload.value is not None


async def test_without_kubernetes_the_workload_is_unknown_and_said_so():
    facts = await gather(None)

    assert not facts.has_orchestrator
    assert facts.workload.problem == NO_ORCHESTRATOR
    assert facts.witnesses["pods"].value is None


async def test_deployment_that_is_not_there_is_missing():
    cluster = a_cluster()
    del cluster.objects[DEPLOYMENT]

    facts = await gather(cluster)

    assert facts.workload.value is None
    assert facts.workload.problem.startswith("missing")
    assert facts.budgets.problem.startswith("missing")


@pytest.mark.parametrize(
    "error", [TransientError(Reason.HTTP_5XX, "HTTP status 500"), PermanentError(Reason.PERMISSION, "HTTP status 403")]
)
async def test_api_server_that_refuses_leaves_the_target_unknown(error):
    cluster = a_cluster()

    def refuse(_verb: str, _path: str) -> None:
        raise error

    cluster.before = refuse
    facts = await gather(cluster)

    for fact in (facts.workload, facts.autoscalers, facts.budgets, facts.witnesses["pods"]):
        assert fact.value is None
        assert fact.problem.startswith(error.reason.value)


async def test_object_of_another_shape_is_unknown():
    cluster = a_cluster()
    del cluster.objects[DEPLOYMENT]["metadata"]["uid"]

    facts = await gather(cluster)

    assert facts.workload.problem.startswith("malformed")


async def test_target_outside_the_policy_is_not_asked_about():
    """Its name came from an alert: nothing of it may reach the API server."""
    cluster = a_cluster()

    facts = await gather(cluster, target=Target("kube-system", "Deployment", "coredns"))

    assert cluster.calls == []
    assert facts.workload.problem == "not asked"


async def test_one_ready_pod_contradicts_the_fault():
    facts = await gather(a_cluster(ready=1))

    assert facts.witnesses["pods"].value is False


@pytest.mark.parametrize("ready", [0, 1, 3])
async def test_witness_of_running_pods_says_the_opposite(ready: int):
    """For the fault of something that runs: the two kinds must not be taken for one another."""
    witnesses = (Witness("dead", WitnessKind.PODS_READY), Witness("alive", WitnessKind.PODS_RUNNING))
    facts = await gather(a_cluster(ready=ready), policy=replace(restart_policy(), witnesses=witnesses))

    assert {name: fact.value for name, fact in facts.witnesses.items()} == {"dead": ready == 0, "alive": ready > 0}


async def test_witness_of_running_pods_is_unknown_when_nobody_answers():
    policy = replace(restart_policy(), witnesses=(Witness("alive", WitnessKind.PODS_RUNNING),))

    assert (await gather(None, policy=policy)).witnesses["alive"].value is None


async def test_pod_on_its_way_out_does_not_count_as_ready():
    cluster = a_cluster()
    cluster.objects[f"{PODS}/old"] = a_pod(9, is_ready=True, deletionTimestamp="2026-01-01T00:00:00Z")

    facts = await gather(cluster)

    assert facts.witnesses["pods"].value is True


async def test_no_pod_at_all_confirms_the_fault():
    cluster = a_cluster()
    for number in range(3):
        del cluster.objects[f"{PODS}/{NAME}-{number}"]

    assert (await gather(cluster)).witnesses["pods"].value is True


@pytest.mark.parametrize(
    ("answer", "confirms"),
    [
        (200, False),
        (204, False),
        (500, True),
        (503, True),
        (404, None),
        (401, None),
        (302, None),
        (TransientError(Reason.TIMEOUT, ""), True),
        (TransientError(Reason.REFUSED, ""), True),
        (TransientError(Reason.CLOSED, ""), True),
        (TransientError(Reason.DNS, "no such host"), None),
        (PermanentError(Reason.TLS, "bad certificate"), None),
    ],
)
async def test_own_probe_confirms_only_what_cannot_be_our_own_fault(answer, confirms):
    web = FakeWeb(answer)

    fact = (await gather(a_cluster(), web=web)).witnesses["health"]

    assert fact.value is confirms
    assert bool(fact.problem) is (confirms is None)
    assert web.calls[0].headers["Connection"] == "close"


async def test_autoscaler_of_another_workload_is_left_out():
    cluster = a_cluster()
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "other"}
    cluster.objects[AUTOSCALER] = an_autoscaler_object(scaleTargetRef=reference)

    assert (await gather(cluster)).autoscalers.value == ()


async def test_autoscaler_that_has_said_nothing_yet_is_neither_active_nor_inactive():
    cluster = a_cluster()
    del cluster.objects[AUTOSCALER]["status"]

    (autoscaler,) = (await gather(cluster)).autoscalers.value or ()

    assert (autoscaler.is_active, autoscaler.is_limited) == (None, None)


def a_budget(selector: Any, *, allowed: int = 1, observed: int = 1) -> dict[str, Any]:
    return {
        "metadata": {"name": "budget", "generation": 1},
        "spec": {"selector": selector},
        "status": {"disruptionsAllowed": allowed, "observedGeneration": observed},
    }


@pytest.mark.parametrize(
    ("budget", "allowed"),
    [
        (a_budget({"matchLabels": {"app": NAME}}), {"budget": 1}),
        (a_budget({"matchLabels": {"app": NAME}}, allowed=0), {"budget": 0}),
        (a_budget({"matchLabels": {"app": NAME}}, observed=0), {"budget": 0}),
        (a_budget({"matchLabels": {"app": "other"}}), {}),
        (a_budget({}), {"budget": 1}),
        (a_budget(None), {}),
    ],
)
async def test_disruption_budgets_that_select_the_pods_are_found(budget, allowed):
    cluster = a_cluster()
    cluster.objects[BUDGET] = budget

    facts = await gather(cluster)

    assert facts.budgets.value is not None
    assert facts.budgets.value.allowed == allowed


@pytest.mark.parametrize(("mode", "is_listed"), [(Mode.DRY_RUN, False), (Mode.OBSERVE, False), (Mode.AUTO, True)])
async def test_without_witnesses_pods_are_listed_only_for_a_policy_that_may_act(mode, is_listed):
    """They are the first piece of evidence."""
    cluster = a_cluster()

    await gather(cluster, policy=replace(restart_policy(), witnesses=(), mode=mode))

    assert (("list", PODS) in cluster.calls) is is_listed


async def test_pause_file_is_a_pause_of_its_own(tmp_path):
    path = tmp_path / "pause"
    known = (Pause("night", "ops", "freeze", None),)
    assert await asyncio.to_thread(read_pauses, None, known) == known
    assert await asyncio.to_thread(read_pauses, path, known) == known

    await asyncio.to_thread(path.write_text, "maintenance\nsecond line\n")
    (_, pause) = await asyncio.to_thread(read_pauses, path, known)

    assert (pause.name, pause.reason, pause.until) == ("pause_file", "maintenance", None)


@pytest.mark.parametrize("make", ["touch", "mkdir"])
async def test_pause_file_that_is_empty_or_unreadable_pauses_too(tmp_path, make):
    path = tmp_path / "pause"
    await asyncio.to_thread(getattr(path, make))

    (pause,) = await asyncio.to_thread(read_pauses, path, ())

    assert pause.reason
