"""Everything that an act needs, started and ended together: databases, the product, Prometheus, ours.

With a cluster the product runs as pods; without one its programs are plain processes, which is enough for acts that
write nothing to Kubernetes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from demo.files import (
    CLUSTER_NAME,
    PLAYED,
    Pace,
    alertmanager_configuration,
    collector_settings,
    demo_policies,
    prometheus_files,
)
from tools.chart import render
from tools.servers.alertmanager import AlertmanagerServer
from tools.servers.kubernetes.cluster import Cluster
from tools.servers.kubernetes.metrics_api import MetricsApi
from tools.servers.prometheus import PrometheusServer
from tools.servers.sidecar import ExporterServer, RemediatorServer
from tools.servers.versions import Generation
from tools.standin.cluster.components import COMPONENTS
from tools.standin.cluster.manifests import Shape, build_manifests
from tools.standin.cluster.pod_runner import Follower
from tools.standin.cluster.pod_state import Settings
from tools.standin.database import make_rows_like_the_product
from tools.standin.running import Options, StandIn, running_standin
from tools.standin.stores import Stores, opened_stores

API = "control-plane-api"
OPAL_CLIENT = "opal-client"
BOUNCERS = ("bouncer-sandbox", "bouncer-production")
RELEASE = "controlcore"
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What kind of stage to build."""

    pace: Pace = field(default_factory=Pace)
    generation: Generation = Generation.DEBIAN
    namespace: str = "controlcore"
    cpu_millicores: int = 25
    mode: str = "auto"
    remediator_folder: Path | None = None
    """Where the remediator's files stay; None is a temporary folder."""


@dataclass(frozen=True, slots=True)
class Product:
    """The stand-in, in either form, with the addresses of its services."""

    urls: dict[str, str]
    cluster: Cluster | None = None
    follower: Follower | None = None
    standin: StandIn | None = None


@dataclass(slots=True)
class Stage:
    """A running stage."""

    plan: Plan
    stores: Stores
    exporter: ExporterServer
    remediator: RemediatorServer
    prometheus: PrometheusServer
    alertmanager: AlertmanagerServer
    product: Product

    @property
    def cluster(self) -> Cluster | None:
        """The cluster that the product runs in, if it does."""
        return self.product.cluster

    @property
    def follower(self) -> Follower | None:
        """The runner of the pods' processes, with a cluster."""
        return self.product.follower

    def urls(self) -> dict[str, str]:
        """URLs that a person can open, by name."""
        return {
            "exporter": self.exporter.url,
            "remediator": self.remediator.url,
            "Prometheus": self.prometheus.url,
            "Alertmanager": self.alertmanager.url,
        }


@contextmanager
def opened_stage(plan: Plan, cluster: Cluster | None, say: Say) -> Iterator[Stage]:
    """Starts everything and yields the stage once every program is ready; ends all of it afterwards."""
    with ExitStack() as stack:
        stores, product = stack.enter_context(opened_product(plan, cluster, say))
        say("waiting until exporter, remediator, Prometheus and Alertmanager are ready")
        yield _start_watchers(stack, plan, stores, product)


@contextmanager
def opened_product(
    plan: Plan, cluster: Cluster | None, say: Say, *, has_seed: bool = False
) -> Iterator[tuple[Stores, Product]]:
    """Starts the stores and the stand-in alone, which nothing monitors yet."""
    with ExitStack() as stack:
        say("waiting until PostgreSQL and Redis are ready")
        stores = stack.enter_context(opened_stores())
        if not has_seed:
            # Nothing repeats the seed's synchronisations: their alerts would fire after minutes.
            make_rows_like_the_product(stores.database_url)
        say("PostgreSQL and Redis run; the exporter's role has exactly the grants of its collectors")
        pods = "" if cluster is None else ", until every pod is Ready"
        say(f"waiting for the stand-in of Control Core: API, two bouncers, OPAL{pods}")
        yield stores, _start_product(stack, plan, cluster, (stores.database_url, stores.redis.url))


def _start_product(stack: ExitStack, plan: Plan, cluster: Cluster | None, urls: tuple[str, str]) -> Product:
    """The stand-in as pods of the cluster, or as plain processes."""
    if cluster is None:
        standin = stack.enter_context(running_standin(*urls, Options()))
        places = {API: standin.api_url, OPAL_CLIENT: standin.opal_client_url, **standin.bouncers}
        return Product(places, standin=standin)
    cluster.apply(build_manifests(Shape(namespace=plan.namespace, cpu_millicores=plan.cpu_millicores)))
    cluster.apply(network_policy(plan.namespace))
    settings = Settings(
        cluster.kubeconfig_path,
        plan.namespace,
        *urls,
        cpu_limit_millicores=float(plan.cpu_millicores),
        is_engine_at_client=True,
    )
    follower = stack.enter_context(Follower(settings))
    stack.enter_context(MetricsApi(cluster, lambda _, pod: follower.usage().get(pod)))
    for component, count in ((API, 3), (OPAL_CLIENT, 1), *((name, 2) for name in BOUNCERS)):
        follower.wait_until_ready(component, count)
    cluster.apply(render(chart_values(plan), RELEASE, plan.namespace))
    return Product(follower.urls(), cluster=cluster, follower=follower)


def network_policy(namespace: str) -> dict[str, Any]:
    """A NetworkPolicy that selects the API, for the compliance checks; it allows all traffic."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": API, "namespace": namespace},
        "spec": {"podSelector": {"matchLabels": {"app": API}}, "policyTypes": ["Ingress"], "ingress": [{}]},
    }


def chart_values(plan: Plan) -> dict[str, Any]:
    """The chart's values: its ServiceAccounts and Roles are what our programs run with here."""
    return {
        "controlcore": {"opalClientUrl": f"http://{OPAL_CLIENT}:{COMPONENTS[OPAL_CLIENT].port}"},
        "exporter": {"database": {"url": "postgresql://cc_exporter@postgresql:5432/control_core_db"}},
        "remediator": {
            "tokenSecret": {"name": "controlcore-webhook"},
            "identity": [f'cluster="{CLUSTER_NAME}"'],
            "policies": {name: {"mode": plan.mode} for name in PLAYED},
        },
    }


def _start_watchers(stack: ExitStack, plan: Plan, stores: Stores, product: Product) -> Stage:
    """Exporter, remediator, Prometheus and Alertmanager, each knowing the others' addresses."""
    exporter = stack.enter_context(ExporterServer(exporter_settings(plan, stores, product)))
    alertmanager = AlertmanagerServer("route: {receiver: none}\nreceivers: [{name: none}]\n", plan.generation)
    stack.enter_context(alertmanager)
    prometheus = PrometheusServer({"prometheus.yml": "global: {}\n"}, plan.generation)
    stack.enter_context(prometheus)
    settings: dict[str, Any] = {
        "prometheus": {"url": prometheus.url},
        "alertmanager": {"url": alertmanager.url},
        "worker": {"verify_seconds": plan.pace.seconds(10)},
    }
    if product.cluster is not None:
        settings["kubernetes"] = {"kubeconfig": str(_kubeconfig(product.cluster, plan, "remediator"))}
    remediator = stack.enter_context(
        RemediatorServer(
            settings,
            demo_policies(plan.pace, product.urls[OPAL_CLIENT], mode=plan.mode),
            plan.remediator_folder,
        )
    )
    alertmanager.write_configuration(
        alertmanager_configuration(plan.pace, f"{remediator.url}/api/v1/alerts", remediator.token_path)
    )
    alertmanager.reload()
    targets = {"exporter": f"127.0.0.1:{exporter.port}", "remediator": f"127.0.0.1:{remediator.port}"}
    prometheus.write_files(prometheus_files(plan.pace, targets, f"127.0.0.1:{alertmanager.port}"))
    prometheus.reload()
    return Stage(plan, stores, exporter, remediator, prometheus, alertmanager, product)


def _kubeconfig(cluster: Cluster, plan: Plan, program: str) -> Path:
    """A kubeconfig with the token of the chart's ServiceAccount."""
    return cluster.kubeconfig_for(plan.namespace, f"{RELEASE}-{program}")


def exporter_settings(plan: Plan, stores: Stores, product: Product) -> dict[str, Any]:
    """The exporter's configuration on this stage."""
    settings: dict[str, Any] = {
        "database": {"url": stores.exporter_url},
        "redis": {"url": stores.redis.url},
        "api": {"url": product.urls[API]},
        "bouncers": [
            {"name": name, "url": product.urls[name], "environment": name.removeprefix("bouncer-")} for name in BOUNCERS
        ],
        "collectors": collector_settings(plan.pace),
        "scope": "all",
    }
    if product.cluster is not None:
        path = _kubeconfig(product.cluster, plan, "exporter")
        settings["kubernetes"] = {"namespace": plan.namespace, "kubeconfig": str(path)}
    return settings
