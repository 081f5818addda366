"""The actions on a real API server, and on the product's real endpoints as the stand-in serves them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from chassis.clock import SystemClock
from chassis.http.client import HttpClient
from chassis.kubernetes.client import KubernetesClient
from remediations.core.action import ActionInput
from remediations.core.decide import ACTIONS
from remediations.core.model.alert import Target
from remediations.core.model.facts import Fact
from remediations.core.model.plan import Plan, SendResult
from remediations.core.model.reasons import HoldReason
from remediations.execution.executor import Executor, Tools
from remediations.facts.kubernetes.action_facts import read_needs
from remediations.facts.kubernetes.effects import EffectState, read_effect
from remediations.facts.kubernetes.reader import ClusterReader
from remediations.facts.kubernetes.workload import read_budgets, read_workload
from remediations.facts.sources import FactSources
from tests.fakes.decisions import facts
from tests.fakes.facts import sources_of
from tests.fakes.progress import ProgressInMemory
from tools.slowness import scaled
from tools.standin.running import BOUNCERS, OPAL_CLIENT, OPAL_SERVER, StandIn

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: {namespace}}}
spec:
  replicas: 3
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec: {{containers: [{{name: web, image: "web:1"}}]}}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {{name: web, namespace: {namespace}}}
spec: {{minAvailable: {available}, unhealthyPodEvictionPolicy: AlwaysAllow, selector: {{matchLabels: {{app: web}}}}}}
"""
CRON_JOB = """
apiVersion: batch/v1
kind: CronJob
metadata: {{name: postgres-backup, namespace: {namespace}}}
spec:
  schedule: "0 2 * * *"
  jobTemplate:
    metadata: {{labels: {{kind: backup}}}}
    spec:
      template:
        spec:
          restartPolicy: Never
          containers:
            - {{name: dump, image: "dump:1", env: [{{name: PGPASSWORD, value: planted-secret}}]}}
"""


@dataclass
class Bench:
    sources: FactSources
    reader: ClusterReader
    executor: Executor

    async def plan(self, action: str, target: Target, **parameters: Any) -> Any:
        """The action's plan from the current cluster."""
        spec, sources = ACTIONS[action], self.sources.for_decision()
        sights = await read_needs(sources, spec.needs, target, SystemClock().now(), 600.0)
        known: dict[str, Any] = {}
        if target.kind == "Deployment":
            known["workload"] = Fact(await read_workload(sources.cluster, target), "w")
            known["budgets"] = Fact(await read_budgets(sources.cluster, target), "b")
        return spec.plan(ActionInput(target, spec.defaults | parameters, facts(sights=sights, **known), "op-1"))

    async def write(self, plan: Plan) -> Any:
        return await self.executor.write(plan, SystemClock().now() + 30.0, ProgressInMemory())


@pytest.fixture
async def bench(cluster) -> AsyncIterator[Bench]:
    async with KubernetesClient.opened(cluster.kubeconfig_path) as api:
        yield Bench(sources_of(api, seconds=10.0), ClusterReader(api, 10.0), Executor(api, SystemClock(), 10.0))


def make_sick(cluster, namespace: str) -> dict[str, Any]:
    """Makes one pod of three unready since five minutes ago, as a kubelet would."""
    pod = min(cluster.client.items(f"/api/v1/namespaces/{namespace}/pods"), key=lambda item: item["metadata"]["name"])
    condition = {"type": "Ready", "status": "False", "lastTransitionTime": "2020-01-01T00:00:00Z"}
    path = f"/api/v1/namespaces/{namespace}/pods/{pod['metadata']['name']}/status"
    cluster.client.patch(path, {"status": {"conditions": [condition, {"type": "ContainersReady", "status": "False"}]}})
    return pod


@pytest.mark.timeout(150)
async def test_sick_pod_is_evicted_and_replaced(cluster, namespace, bench):
    target = Target(namespace, "Deployment", "web")
    await asyncio.to_thread(cluster.apply, DEPLOYMENT.format(namespace=namespace, available=1))
    await asyncio.to_thread(cluster.wait_rolled_out, namespace, "web")
    settled = await bench.plan("evict_pod", target)
    assert settled.is_settled

    pod = await asyncio.to_thread(make_sick, cluster, namespace)
    made = await bench.plan("evict_pod", target)
    assert made.expected["pod_uid"] == pod["metadata"]["uid"]
    assert (await bench.executor.dry_run(made)).result is SendResult.DONE
    assert (await read_effect(bench.reader, made)) == EffectState(is_complete=False)
    assert (await bench.executor.check_outcome(made)).result is SendResult.CHANGED

    assert (await bench.write(made)).result is SendResult.DONE
    # While the pod of that uid is still ending, the API accepts its eviction once more and nothing more happens.
    assert (await bench.write(made)).result in {SendResult.DONE, SendResult.ALREADY_DONE}
    await asyncio.to_thread(cluster.wait_rolled_out, namespace, "web")
    assert (await bench.executor.check_outcome(made)).result is SendResult.ALREADY_DONE
    async with asyncio.timeout(scaled(30)):
        while not (await read_effect(bench.reader, made)).is_complete:  # noqa: ASYNC110 - the API has no event for it
            await asyncio.sleep(0.1)
    assert len(cluster.client.items(f"/api/v1/namespaces/{namespace}/pods")) == 3


@pytest.mark.timeout(150)
async def test_budget_that_says_no_is_a_hold_and_the_pod_stays(cluster, namespace, bench):
    text = DEPLOYMENT.format(namespace=namespace, available=3).replace("AlwaysAllow", "IfHealthyBudget")
    await asyncio.to_thread(cluster.apply, text)
    await asyncio.to_thread(cluster.wait_rolled_out, namespace, "web")
    pod = await asyncio.to_thread(make_sick, cluster, namespace)
    made = await bench.plan("evict_pod", Target(namespace, "Deployment", "web"))

    sent = await bench.write(made)

    assert (sent.result, sent.hold) == (SendResult.HELD, HoldReason.DISRUPTION_BUDGET)
    left = {item["metadata"]["uid"] for item in cluster.client.items(f"/api/v1/namespaces/{namespace}/pods")}
    assert pod["metadata"]["uid"] in left


@pytest.mark.timeout(150)
async def test_backup_job_is_created_once_with_the_template_that_no_plan_holds(cluster, namespace, bench):
    target = Target(namespace, "CronJob", "postgres-backup")
    await asyncio.to_thread(cluster.apply, CRON_JOB.format(namespace=namespace))
    made = await bench.plan("run_backup_job", target)
    assert "planted-secret" not in repr(made)
    assert (await bench.executor.dry_run(made)).result is SendResult.DONE

    assert (await bench.write(made)).result is SendResult.DONE
    assert (await bench.write(made)).result is SendResult.ALREADY_DONE
    (job,) = cluster.client.items(f"/apis/batch/v1/namespaces/{namespace}/jobs")
    assert job["metadata"]["labels"]["kind"] == "backup"
    assert job["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] == "planted-secret"
    assert (await read_effect(bench.reader, made)).is_kept is None


@pytest.mark.timeout(150)
async def test_backup_of_a_cron_job_that_changed_meanwhile_is_planned_anew(cluster, namespace, bench):
    await asyncio.to_thread(cluster.apply, CRON_JOB.format(namespace=namespace))
    made = await bench.plan("run_backup_job", Target(namespace, "CronJob", "postgres-backup"))
    path = f"/apis/batch/v1/namespaces/{namespace}/cronjobs/postgres-backup"
    await asyncio.to_thread(cluster.client.patch, path, {"spec": {"schedule": "0 3 * * *"}})

    assert (await bench.write(made)).result is SendResult.CHANGED
    assert cluster.client.items(f"/apis/batch/v1/namespaces/{namespace}/jobs") == []


@pytest.fixture(scope="module")
def product() -> Iterator[StandIn]:
    """The stand-in's OPAL client and bouncers, without its API and database."""
    standin = StandIn("", "")
    try:
        standin.start(OPAL_SERVER)
        standin.start(OPAL_CLIENT, *BOUNCERS)
        yield standin
    finally:
        for program in standin.programs.values():
            program.end()


def counted(product: StandIn, component: str) -> Any:
    """The calls that a component has counted."""
    return product.look(component)


@pytest.mark.timeout(60)
async def test_opal_client_is_triggered_once_for_policies_and_data(product):
    spec = ACTIONS["trigger_policy_update"]
    parameters = spec.defaults | {"url": product.opal_client_url}
    plan = spec.plan(ActionInput(Target("c", "OpalClient", "opal"), parameters, facts(), "op-1"))
    memory = ProgressInMemory()
    async with HttpClient.opened() as http:
        executor = Executor(None, SystemClock(), 10.0, Tools(http))
        assert (await executor.write(plan, 0.0, memory)).result is SendResult.DONE
        assert (await executor.write(plan, 0.0, memory)).result is SendResult.ALREADY_DONE
    found = repr(await asyncio.to_thread(counted, product, OPAL_CLIENT))
    assert "'policy_update': 1" in found
    assert "'data_update': 1" in found


@pytest.mark.timeout(60)
async def test_second_bouncer_is_cleared_only_after_the_canary_of_the_first(product):
    spec, answers = ACTIONS["clear_bouncer_cache"], [Fact(None, "canary", "no sample")]
    urls = tuple(product.bouncers.values())
    parameters = spec.defaults | {"urls": urls, "canary": "canary", "canary_collectors": ("bouncers",)}
    plan = spec.plan(ActionInput(Target("c", "BouncerFleet", "bouncers"), parameters, facts(), "op-1"))

    async def ask(_query: Any) -> Fact[bool]:
        return answers[0]

    memory = ProgressInMemory()
    async with HttpClient.opened() as http:
        executor = Executor(None, SystemClock(), 10.0, Tools(http, query=ask))
        assert (await executor.write(plan, 0.0, memory)).result is SendResult.WAITING
        first, second = [repr(await asyncio.to_thread(counted, product, name)) for name in BOUNCERS]
        assert ("'cache_clear': 1" in first, "'cache_clear': 1" in second) == (True, False)
        answers[0] = Fact(True, "canary", "", SystemClock().now() + 1)
        assert (await executor.check_outcome(plan, memory, 0.0)).result is SendResult.DONE
    first, second = [repr(await asyncio.to_thread(counted, product, name)) for name in BOUNCERS]
    assert ("'cache_clear': 1" in first, "'cache_clear': 1" in second) == (True, True)
