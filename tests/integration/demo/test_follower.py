"""The follower against a real Kubernetes: pods become processes, and processes decide what the cluster believes."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.fakes.waiting import wait_for
from tests.integration.demo.asking import ask
from tools.servers.kubernetes.metrics_api import MetricsApi
from tools.servers.postgres import PostgresServer
from tools.standin import database as standin_database
from tools.standin.cluster.manifests import Shape, build_manifests
from tools.standin.cluster.pod_runner import Follower
from tools.standin.cluster.pod_state import Settings
from tools.standin.faults import datastore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tools.servers.kubernetes.cluster import Cluster

pytestmark = pytest.mark.timeout(180)

API = "control-plane-api"
BOUNCER = "bouncer-sandbox"


@dataclass(frozen=True, slots=True)
class Stage:
    """A namespace with some of the stand-in's objects, and its follower."""

    cluster: Cluster
    namespace: str
    follower: Follower

    def deploy(self, *names: str, shape: Shape | None = None) -> None:
        """Apply the objects of these components only, so that a test starts no more processes than it needs."""
        manifests: list[Any] = build_manifests(shape or Shape(namespace=self.namespace, has_autoscaler=False))
        self.cluster.apply([each for each in manifests if each["metadata"]["name"] in names])

    def deployment(self, name: str = API) -> Any:
        return self.cluster.client.get(f"/apis/apps/v1/namespaces/{self.namespace}/deployments/{name}")

    def pods(self, name: str = API) -> list[Any]:
        return self.cluster.client.items(f"/api/v1/namespaces/{self.namespace}/pods?labelSelector=app%3D{name}")

    def scale(self, replicas: int, name: str = API) -> None:
        path = f"/apis/apps/v1/namespaces/{self.namespace}/deployments/{name}/scale"
        self.cluster.client.patch(path, {"spec": {"replicas": replicas}})

    def restart(self, name: str = API) -> None:
        template = {"metadata": {"annotations": {"restarted": str(time.monotonic())}}}
        path = f"/apis/apps/v1/namespaces/{self.namespace}/deployments/{name}"
        self.cluster.client.patch(path, {"spec": {"template": template}})
        self.cluster.wait_rolled_out(self.namespace, name, 60)


@pytest.fixture
def stage(cluster: Cluster, namespace: str, database: str, redis_url: str) -> Iterator[Stage]:
    standin_database.install_schema(database)
    with Follower(Settings(cluster.kubeconfig_path, namespace, database, redis_url)) as follower:
        yield Stage(cluster, namespace, follower)


def is_refusing(url: str) -> bool:
    try:
        ask(f"{url}/health")
    except OSError as error:
        return isinstance(getattr(error, "reason", error), ConnectionRefusedError)
    return False


def test_running_pods_are_processes_behind_one_service(stage: Stage) -> None:
    assert is_refusing(stage.follower.url(API))
    stage.deploy(API)
    states = stage.follower.wait_until_ready(API, 3)
    stage.cluster.wait_rolled_out(stage.namespace, API)
    addresses = {f"http://{pod['status']['podIP']}:8000" for pod in stage.pods()}
    assert {state.url for state in states} == addresses
    answered = [ask(f"{stage.follower.url(API)}/_fault").body["pid"] for _ in range(6)]
    assert {pid: answered.count(pid) for pid in answered} == {state.pid: 2 for state in states}


def test_hanging_replicas_are_unready_until_their_pods_are_replaced(stage: Stage) -> None:
    stage.deploy(API)
    before = stage.follower.wait_until_ready(API, 3)
    stage.cluster.wait_rolled_out(stage.namespace, API)
    assert sorted(stage.follower.fault("hang", API)) == [state.pod_name for state in before]
    wait_for(lambda: stage.deployment()["status"].get("readyReplicas", 0) == 0)
    wait_for(lambda: is_refusing(stage.follower.url(API)))
    conditions = {each["type"]: each["status"] for each in stage.pods()[0]["status"]["conditions"]}
    assert (conditions["Ready"], conditions["ContainersReady"]) == ("False", "False")
    stage.restart()
    after = stage.follower.wait_until_ready(API, 3)
    assert {state.pod_uid for state in after}.isdisjoint(state.pod_uid for state in before)
    assert ask(f"{stage.follower.url(API)}/health").status == 200
    assert stage.deployment()["status"]["readyReplicas"] == 3


def test_scaling_adds_and_removes_processes(stage: Stage) -> None:
    stage.deploy(API)
    stage.follower.wait_until_ready(API, 3)
    stage.scale(4)
    four = stage.follower.wait_until_ready(API, 4)
    stage.scale(1)
    (one,) = stage.follower.wait_until_ready(API, 1)
    gone = {state.pid for state in four} - {one.pid}
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in gone))


def test_fault_of_one_component_leaves_the_others(stage: Stage) -> None:
    stage.deploy(BOUNCER, "bouncer-production")
    stage.follower.wait_until_ready(BOUNCER, 2)
    stage.follower.wait_until_ready("bouncer-production", 2)
    stage.follower.fault("engine_error", BOUNCER)
    question = {"user": {"id": "canary-allow"}, "resource": {"id": "canary-resource"}, "action": {"name": "read"}}
    broken = [ask(f"{stage.follower.url(BOUNCER)}/api/v1/authorize", question).body for _ in range(2)]
    assert [each["allow"] for each in broken] == [False, False]
    assert ask(f"{stage.follower.url('bouncer-production')}/api/v1/authorize", question).body["allow"]
    stage.follower.clear(BOUNCER)
    assert ask(f"{stage.follower.url(BOUNCER)}/api/v1/authorize", question).body["allow"]


def test_crashed_pod_stays_down_until_it_is_deleted(stage: Stage) -> None:
    stage.deploy(BOUNCER)
    before = stage.follower.wait_until_ready(BOUNCER, 2)
    stage.follower.fault("crash", BOUNCER)

    def is_looping(pod: Any) -> bool:
        (status,) = pod["status"]["containerStatuses"]
        return status["restartCount"] > 0 and status["state"] == {"waiting": {"reason": "CrashLoopBackOff"}}

    wait_for(lambda: all(is_looping(pod) for pod in stage.pods(BOUNCER)))
    assert [state.pid for state in stage.follower.replicas(BOUNCER)] == [None, None]
    for state in before:
        stage.cluster.client.delete(f"/api/v1/namespaces/{stage.namespace}/pods/{state.pod_name}")
    wait_for(lambda: {s.pod_uid for s in stage.follower.replicas(BOUNCER)}.isdisjoint(s.pod_uid for s in before))
    stage.follower.wait_until_ready(BOUNCER, 2)


def test_offered_load_is_shared_and_the_autoscaler_acts_on_what_is_really_burnt(stage: Stage) -> None:
    """150 thousandths of a core over three replicas of 50 are 100 %; the guide's target of 70 % needs more."""
    with MetricsApi(stage.cluster, stage.follower.usage_of):
        stage.deploy(API, shape=Shape(namespace=stage.namespace, hpa_maximum=4))
        stage.follower.wait_until_ready(API, 3)
        stage.follower.fault("cpu", API, millicores=150)
        wait_for(lambda: all(usage > 40 for usage in stage.follower.usage().values()))
        stage.follower.wait_until_ready(API, 4)

        def is_lower() -> bool:
            usage = stage.follower.usage()
            return len(usage) == 4 and all(25 < each < 45 for each in usage.values())

        wait_for(is_lower)
        path = f"/apis/autoscaling/v2/namespaces/{stage.namespace}/horizontalpodautoscalers/{API}"
        scaler: Any = stage.cluster.client.get(path)
        conditions = {each["type"]: each["status"] for each in scaler["status"]["conditions"]}
        assert conditions["ScalingActive"] == "True", json.dumps(scaler["status"])
        stage.follower.clear(API)
        wait_for(lambda: all(each < 25 for each in stage.follower.usage().values()))


def test_api_without_its_database_crash_loops_and_recovers(cluster: Cluster, namespace: str, redis_url: str) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(PostgresServer())
        url = server.create_database("control_core_db")
        standin_database.install_schema(url)
        follower = stack.enter_context(Follower(Settings(cluster.kubeconfig_path, namespace, url, redis_url)))
        with datastore.stopped(server):
            Stage(cluster, namespace, follower).deploy(API)
            wait_for(lambda: any(state.restarts > 1 for state in follower.replicas(API)))
            assert not any(state.is_ready for state in follower.replicas(API))
        follower.wait_until_ready(API, 3)


def test_drop_tables_in_the_pods_environment_really_wipes(stage: Stage, database: str) -> None:
    stage.deploy(API, shape=Shape(namespace=stage.namespace, replicas=1, has_autoscaler=False, is_dropping_tables=True))
    stage.follower.wait_until_ready(API, 1)
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM users").fetchone() == (0,)


def test_ended_follower_leaves_no_process(cluster: Cluster, namespace: str, database: str, redis_url: str) -> None:
    with Follower(Settings(cluster.kubeconfig_path, namespace, database, redis_url)) as follower:
        Stage(cluster, namespace, follower).deploy(BOUNCER)
        pids = [state.pid for state in follower.wait_until_ready(BOUNCER, 2)]
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    with pytest.raises(RuntimeError):
        follower.usage()
