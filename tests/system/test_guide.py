"""The product's DevOps guide as printed: its prometheus.yml finds the exporter, its three rules fire and resolve.

Nothing is divided here: the rules keep their minutes. All three faults are switched on at once, each is taken away as
soon as its alert fires, and the test ends when the last alert has resolved.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from demo.files import Pace
from demo.stage import API, BOUNCERS, Plan, Product, exporter_settings, opened_product
from tools.servers.alertmanager import AlertmanagerServer
from tools.servers.kubernetes.cluster import Cluster, StartedCluster
from tools.servers.kubernetes.control_plane import ClusterOptions
from tools.servers.prometheus import PrometheusServer
from tools.servers.sidecar import ExporterServer
from tools.servers.versions import Generation
from tools.slowness import scaled
from tools.standin.cluster.pod_runner import Follower
from tools.standin.faults.datastore import login_forbidden
from tools.standin.stores import EXPORTER_ROLE, Stores

pytestmark = [pytest.mark.guide, pytest.mark.cluster, pytest.mark.xdist_group("guide")]

FIXTURES = Path(__file__).parent.parent / "fixtures" / "guide"
RULES = Path(__file__).parent.parent.parent / "rules"
HIGH_CPU, DATABASE, SLOW = "HighCPUUsage", "DatabaseConnectionFailure", "PolicyEvaluationSlow"
LONGEST_SECONDS = 720.0
POLL_SECONDS = 1.0
PLAN = Plan(pace=Pace(1.0), generation=Generation.PINNED, mode="observe")
SLOW_SECONDS = 1.6


@dataclass(frozen=True, slots=True)
class Place:
    """The product in its cluster, and the guide's Prometheus, which scrapes one exporter."""

    stores: Stores
    product: Product
    follower: Follower
    prometheus: PrometheusServer


def guide_configuration(product: Product, cluster: Cluster, alertmanager: AlertmanagerServer) -> str:
    """The guide's prometheus.yml with host names and kubeconfig_file changed, nothing else."""
    configuration = yaml.safe_load((FIXTURES / "prometheus.yml").read_text(encoding="utf-8"))
    configuration["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{alertmanager.port}"]
    pods, api = configuration["scrape_configs"]
    pods["kubernetes_sd_configs"][0]["kubeconfig_file"] = str(cluster.kubeconfig_path)
    api["static_configs"][0]["targets"] = [product.urls[API].removeprefix("http://")]
    return yaml.safe_dump(configuration, sort_keys=False)


def exporter_pod_address(cluster: Cluster, namespace: str) -> str:
    """The address of the pod that the chart's exporter Deployment got."""
    pods = cluster.client.items(f"/api/v1/namespaces/{namespace}/pods")
    annotated = [pod for pod in pods if pod["metadata"].get("annotations", {}).get("prometheus.io/port") == "9877"]
    addresses = [pod["status"]["podIP"] for pod in annotated if pod.get("status", {}).get("podIP")]
    assert len(addresses) == 1, pods
    return str(addresses[0])


@dataclass(slots=True)
class Watch:
    """Which alerts fired and resolved, and when, in seconds since the faults."""

    prometheus: PrometheusServer
    started: float = field(default_factory=time.monotonic)
    fired: dict[str, float] = field(default_factory=dict)
    resolved: dict[str, float] = field(default_factory=dict)

    def look(self) -> None:
        now, firing = time.monotonic() - self.started, self.prometheus.firing()
        for name in firing:
            self.fired.setdefault(name, now)
        for name in self.fired:
            if name not in firing:
                self.resolved.setdefault(name, now)


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """A cluster with the product and the chart's exporter pod, scraped as the guide prints; no remediator runs."""
    with ExitStack() as stack:
        cluster = stack.enter_context(StartedCluster(ClusterOptions(hpa_downscale_stabilization_seconds=30.0)))
        stores, product = stack.enter_context(opened_product(PLAN, cluster, print, has_seed=True))
        assert product.follower is not None
        cluster.wait_rolled_out(PLAN.namespace, "controlcore-exporter")
        host = exporter_pod_address(cluster, PLAN.namespace)
        stack.enter_context(ExporterServer(exporter_settings(PLAN, stores, product), host=host, port=9877))
        alertmanager = stack.enter_context(AlertmanagerServer("route: {receiver: none}\nreceivers: [{name: none}]\n"))
        files = {
            "prometheus.yml": guide_configuration(product, cluster, alertmanager),
            "rules/controlcore.yml": (RULES / "guide.yml").read_text(encoding="utf-8"),
        }
        yield Place(stores, product, product.follower, stack.enter_context(PrometheusServer(files)))


def await_true(what: str, is_so: Callable[[], bool], timeout_seconds: float) -> None:
    ends_at = time.monotonic() + scaled(timeout_seconds)
    while not is_so():
        assert time.monotonic() < ends_at, f"{what}: not within {scaled(timeout_seconds):.0f} s"
        time.sleep(POLL_SECONDS)


@pytest.mark.timeout(LONGEST_SECONDS + 180)
def test_guide_as_printed_discovers_fires_and_resolves(place: Place) -> None:
    """One test, because the three alerts share their minutes: each would otherwise wait for them alone."""
    prometheus, follower = place.prometheus, place.follower

    def exporter_targets() -> list[dict[str, object]]:
        return [target for target in prometheus.targets() if str(target["scrapeUrl"]).endswith(":9877/metrics")]

    await_true("the guide's job scrapes the exporter's pod", lambda: any(
        target["health"] == "up" and target["labels"]["job"] == "kubernetes-pods" for target in exporter_targets()
    ), 90)  # fmt: skip
    panels = yaml.safe_load((FIXTURES / "panels.yaml").read_text(encoding="utf-8"))
    for panel in panels:
        await_true(f"the panel {panel['title']} has data", lambda e=panel["expr"]: bool(prometheus.query(e)), 120)
    assert not prometheus.firing() & {HIGH_CPU, DATABASE, SLOW}

    watch = Watch(prometheus)
    with ExitStack() as stack:
        login = stack.enter_context(ExitStack())
        login.enter_context(login_forbidden(place.stores.database_url, EXPORTER_ROLE))
        for bouncer in BOUNCERS:
            follower.fault("slow", bouncer, delay_seconds=SLOW_SECONDS, path="/api/v1/authorize")
        follower.fault("cpu", API, millicores=10 * PLAN.cpu_millicores * 0.95)
        cures: dict[str, Callable[[], object]] = {
            DATABASE: login.close,
            SLOW: lambda: [follower.clear(bouncer) for bouncer in BOUNCERS],
            HIGH_CPU: lambda: follower.clear(API, "cpu"),
        }
        cured: set[str] = set()
        while set(watch.resolved) < set(cures):
            watch.look()
            for name in watch.fired.keys() & cures.keys() - cured:
                cures[name]()
                cured.add(name)
            elapsed = time.monotonic() - watch.started
            assert elapsed < scaled(LONGEST_SECONDS), (
                watch.fired,
                watch.resolved,
                prometheus.query("cpu_usage_percent"),
            )
            time.sleep(POLL_SECONDS)
    print(f"fired {watch.fired}, resolved {watch.resolved}")
    # The printed windows were waited for: 5 m, 1 m and 2 m.
    assert watch.fired[HIGH_CPU] >= 300
    assert watch.fired[DATABASE] >= 60
    assert watch.fired[SLOW] >= 120
