"""A ServiceAccount of a real cluster that has exactly the rights which a collector declares."""

from __future__ import annotations

from contextlib import asynccontextmanager

from chassis.clock import SystemClock
from chassis.kubernetes.client import KubernetesClient
from exporter.settings import ExporterSettings, KubernetesSettings
from tests.fakes.sources import make_sources

ACCOUNT = "exporter"
GROUP = "rbac.authorization.k8s.io"


def role_rules(rights):
    """`verb group/resource` as a Role's rules."""
    rules = []
    for right in rights:
        verb, _, resource = right.partition(" ")
        group, _, name = resource.partition("/")
        rules.append({"apiGroups": [group], "resources": [name], "verbs": [verb]})
    return rules


def role_with(namespace, name, rules, account):
    """A Role and its binding to an account of the namespace."""
    meta = {"namespace": namespace, "name": name}
    return [
        {"apiVersion": f"{GROUP}/v1", "kind": "Role", "metadata": meta, "rules": rules},
        {
            "apiVersion": f"{GROUP}/v1",
            "kind": "RoleBinding",
            "metadata": meta,
            "roleRef": {"apiGroup": GROUP, "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "namespace": namespace, "name": account}],
        },
    ]


def account_for(namespace, collector):
    """The objects of an account with the collector's rights."""
    meta = {"namespace": namespace, "name": ACCOUNT}
    rules = role_rules(collector.collector_spec.rbac)
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
        *role_with(namespace, ACCOUNT, rules, ACCOUNT),
    ]


@asynccontextmanager
async def sources_of(cluster, namespace, *workloads, **parts):
    """Sources with the cluster, as that account."""
    place = KubernetesSettings(namespace=namespace, **({"workloads": workloads} if workloads else {}))
    async with KubernetesClient.opened(cluster.kubeconfig_for(namespace, ACCOUNT)) as client:
        yield make_sources(ExporterSettings(kubernetes=place), kubernetes=client, clock=SystemClock(), **parts)
