"""The environment of tests of the whole remediator: a real namespace, a failing proxy to it, a Prometheus."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.fakes.fake_prometheus_server import Watch
from tests.fakes.faulty_api_server import ApiFront
from tests.fakes.running_remediator import RunningRemediator, an_alert
from tests.fakes.waiting import wait_for
from tools.chart import REMEDIATOR, remediator_rights
from tools.servers.kubernetes.cluster import Cluster, is_rolled_out
from tools.slowness import slowness

NAME = "control-plane-api"
OPEN_STATES = frozenset({"received", "claimed", "held", "planned", "writing", "verifying"})
OPERATION = "controlcore.io/operation-id"
# A slow machine gives answers more time; missing answers then cost more time too.
LEASE_SECONDS = 2.0 * slowness()
WORKER = {
    "lease_seconds": LEASE_SECONDS,
    "facts_timeout_seconds": 1.5 * slowness(),
    "verify_seconds": 0.2,
    "idle_seconds": 0.05,
}
API_TIMEOUT_SECONDS = 1.0 * slowness()
CONTAINER = {"name": "api", "image": "api:1", "resources": {"requests": {"cpu": "100m"}}}
EVENT_RULE = {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]}


class Stage:
    """One test's namespace with everything around it."""

    def __init__(self, cluster: Cluster, namespace: str, front: ApiFront, watch: Watch) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.front = front
        self.watch = watch
        self.is_silent = False
        """Takes the right to create Events out of what `grant` gives."""

    def deploy(self, name: str = NAME, **spec: Any) -> None:
        """A Deployment of three pods, rolled out; `spec` replaces fields of its specification."""
        self.cluster.apply(self.deployment(name, **spec))
        self.cluster.wait_rolled_out(self.namespace, name)

    def deployment(self, name: str = NAME, **spec: Any) -> dict[str, Any]:
        """The Deployment as it is applied."""
        labels = {"app": name}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [CONTAINER]}}
        whole = {"replicas": 3, "selector": {"matchLabels": labels}, "template": template, **spec}
        metadata = {"name": name, "namespace": self.namespace}
        return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": whole}

    def path(self, name: str = NAME) -> str:
        """The Deployment's place in the API."""
        return f"/apis/apps/v1/namespaces/{self.namespace}/deployments/{name}"

    def read(self, name: str = NAME) -> dict[str, Any]:
        """The current Deployment, read without the proxy."""
        return self.cluster.client.get(self.path(name))

    def generation(self, name: str = NAME) -> int:
        """The number of changes of its specification."""
        return int(self.read(name)["metadata"]["generation"])

    def breaks(self, name: str = NAME) -> int:
        """The fault stays until every pod of this moment has been replaced; returns the generation."""
        before = self.generation(name)

        def is_well() -> bool:
            found = self.read(name)
            return found["metadata"]["generation"] > before and is_rolled_out(found)

        self.watch.is_healthy = is_well
        self.watch.answers |= {"fault": lambda: float(not is_well()), "well": lambda: float(is_well())}
        return before

    def policy(self, *names: str, **changes: Any) -> dict[str, Any]:
        """A policy that restarts at once and as often as it likes."""
        targets = [{"namespace": self.namespace, "kind": "Deployment", "name": name} for name in names or (NAME,)]
        return {
            "name": "restart-api",
            "action": "restart_workload",
            "mode": "auto",
            "targets": targets,
            "condition": {"promql": "fault", "collectors": ["api"]},
            "verify": {"promql": "well", "collectors": ["api"]},
            "witnesses": [{"name": "health", "kind": "http", "url": f"{self.watch.url}/health"}],
            "cooldown_seconds": 0,
            "human_quiet_seconds": 0,
            "change_quiet_seconds": 0,
            "budget_actions": 1000,
            "retry_seconds": 0.3,
            **changes,
        }

    def remediator(
        self, *policies: dict[str, Any], settings: dict[str, Any] | None = None, **top: Any
    ) -> RunningRemediator:
        """A remediator with these policies (one restart policy when none is given) that acts through the proxy."""
        chosen = policies or (self.policy(),)
        self.grant(chosen)
        file = {"identity": ['cluster="test"'], "max_actions": 1000, **top, "policies": chosen}
        return RunningRemediator(yaml.safe_dump(_plain(file)), self.settings() | (settings or {}))

    def grant(self, policies: Sequence[dict[str, Any]]) -> None:
        """Gives the remediator's ServiceAccount the rights that the chart gives it for these policies, and no other."""
        objects = remediator_rights(_plain(policies), self.namespace)
        for item in objects:
            if self.is_silent and item["kind"] == "Role":
                item["rules"].remove(EVENT_RULE)
        self.cluster.apply(objects)

    def allow_everything(self) -> str:
        """Gives the ServiceAccount every right in the namespace; the path of the binding in the API."""
        place = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{self.namespace}/rolebindings"
        self.cluster.client.post(
            place,
            {
                "metadata": {"name": "wide", "namespace": self.namespace},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
                "subjects": [{"kind": "ServiceAccount", "name": REMEDIATOR, "namespace": self.namespace}],
            },
        )
        return f"{place}/wide"

    def allow_reading(self, *resources: str, name: str) -> None:
        """Lets the ServiceAccount read the objects of one name: a template refers to them."""
        group, account = "rbac.authorization.k8s.io", {"kind": "ServiceAccount", "name": REMEDIATOR}
        metadata = {"name": f"read-{name}", "namespace": self.namespace}
        rule = {"apiGroups": [""], "resources": list(resources), "resourceNames": [name], "verbs": ["get"]}
        version = {"apiVersion": f"{group}/v1", "metadata": metadata}
        role = {"apiGroup": group, "kind": "Role", "name": metadata["name"]}
        subjects = [account | {"namespace": self.namespace}]
        self.cluster.apply(version | {"kind": "Role", "rules": [rule]})
        self.cluster.apply(version | {"kind": "RoleBinding", "roleRef": role, "subjects": subjects})

    def settings(self) -> dict[str, Any]:
        """Settings of a remediator with short leases, which comes as its ServiceAccount."""
        mine = self.cluster.kubeconfig_for(self.namespace, REMEDIATOR)
        path = self.front.redirect(mine, Path(self.cluster.folder) / f"{self.namespace}.front.kubeconfig")
        return {
            "worker": WORKER,
            "prometheus": {"url": self.watch.url, "timeout_seconds": API_TIMEOUT_SECONDS},
            "kubernetes": {"kubeconfig": str(path), "timeout_seconds": API_TIMEOUT_SECONDS},
        }


def _plain(value: Any) -> Any:
    """The value as YAML knows it."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def deliver(remediator: RunningRemediator, number: int = 1, **labels: str) -> None:
    """Sends one alert until it is acknowledged, as Alertmanager does."""
    wait_for(lambda: remediator.post(an_alert(number, **labels)) == 200)


def newest(remediator: RunningRemediator) -> tuple[str, str]:
    """State and reason of the newest remediation."""
    rows = remediator.read("SELECT state, reason FROM remediation ORDER BY id DESC LIMIT 1")
    return ("", "") if not rows else (str(rows[0][0]), str(rows[0][1]))


def wait_held(remediator: RunningRemediator, reason: str) -> None:
    """Returns when the newest remediation is held for this reason."""
    wait_for(
        lambda: newest(remediator) == ("held", reason),
        describe=lambda: f"{newest(remediator)}: {remediator.log()[-2:]}",
    )


def wait_closed(remediator: RunningRemediator, timeout_seconds: float = 60.0) -> str:
    """The closing state of the newest remediation."""

    def closing_state() -> str:
        state = newest(remediator)[0]
        return "" if state in OPEN_STATES else state

    return wait_for(
        closing_state, timeout_seconds, describe=lambda: f"still {newest(remediator)}: {remediator.log()[-3:]}"
    )


def kinds(remediator: RunningRemediator, kind: str) -> int:
    """How many records of this kind all stories have."""
    return int(remediator.read("SELECT count(*) FROM record WHERE kind = ?", (kind,))[0][0])


def notifications(remediator: RunningRemediator, status: str) -> int:
    """Webhook requests that ended so."""
    page = remediator.ask("GET", "/metrics")[1]
    name = f'controlcore_remediation_webhook_notifications_total{{status="{status}"}}'
    return int(float(next(line for line in page.splitlines() if line.startswith(name)).rsplit(" ", 1)[1]))
