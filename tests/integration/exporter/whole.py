"""The whole product, every part of it real or the stand-in, and an exporter that watches all of it."""

from __future__ import annotations

import gzip
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg

from exporter.collectors import discover
from exporter.commands import grants
from tests.integration.exporter.collectors.accounts import ACCOUNT, role_rules, role_with
from tools.servers.kubernetes.cluster import Cluster
from tools.servers.kubernetes.metrics_api import MetricsApi
from tools.servers.opa import OpaServer
from tools.servers.postgres import PASSWORD, PostgresServer
from tools.servers.redis import RedisServer
from tools.standin.cluster.manifests import Shape, build_manifests
from tools.standin.running import Options, StandIn, running_standin

POLICY = Path(__file__).parents[3] / "tools" / "standin" / "policy" / "policy.rego"
API, BOUNCER = "control-plane-api", "bouncer-production"
REDIS_KEYS = (
    "pip:conn:1:attr:department",
    "pip:conn:1:attr:role",
    "rate_limit:ip:10.0.0.1",
    "audit:security:1:ab",
    "x",
)
USED_MILLICORES = 25.0
"""Half of each replica's limit."""
ALWAYS_NEW = 1.0
"""Seconds between two collections for values that change by themselves; the rest is collected once."""
FOLLOWED = ("api", "pip", "postgres_canary", "workloads", "compliance")


@contextmanager
def opened_product(cluster: Cluster, namespace: str, usage: MetricsApi) -> Iterator[tuple[StandIn, str]]:
    """Runs the product's stores, its programs and its objects in the cluster; yields the programs and the OPA's URL."""
    with ExitStack() as stack:
        postgres, redis = stack.enter_context(PostgresServer()), stack.enter_context(RedisServer())
        opa = stack.enter_context(OpaServer({"enabled": POLICY.read_text(encoding="utf-8")}))
        for key in REDIS_KEYS:
            redis.call("SET", key, "x")
        options = Options(traffic_interval_seconds=0, opa_url=opa.url, is_opal_statistics_enabled=True)
        url = postgres.create_database("control_core_db")
        standin = stack.enter_context(running_standin(url, redis.url, options))
        with psycopg.connect(url, autocommit=True) as admin:
            for statement in (f"CREATE ROLE {grants.ROLE} LOGIN PASSWORD '{PASSWORD}'", *grants.statements(discover())):
                admin.execute(statement.encode())
            admin.execute("VACUUM (ANALYZE) audit_logs, user_sessions")
        deploy(cluster, namespace, usage)
        standin.database_url = postgres.dsn(grants.ROLE, "control_core_db", PASSWORD)
        yield standin, opa.url


def deploy(cluster: Cluster, namespace: str, usage: MetricsApi) -> None:
    """Rolls the product's objects out, an account with every collector's rights among them, until the HPA is active."""
    rights = role_rules(sorted({right for spec in discover() for right in spec.rbac}))
    meta = {"namespace": namespace, "name": ACCOUNT}
    cluster.apply(
        [
            *build_manifests(Shape(namespace=namespace)),
            network_policy(namespace),
            cron_job(namespace),
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
            *role_with(namespace, ACCOUNT, rights, ACCOUNT),
        ]
    )
    for name in (API, BOUNCER):
        cluster.wait_rolled_out(namespace, name)
    pods = [item["metadata"]["name"] for item in cluster.client.items(f"/api/v1/namespaces/{namespace}/pods")]
    usage.set_usage(namespace, dict.fromkeys(pods, USED_MILLICORES))
    path = f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers/{API}"
    cluster.wait_for(path, is_settled)


def is_settled(autoscaler: Any) -> bool:
    """Whether the autoscaler sees its pods and wants what there is."""
    status = autoscaler.get("status", {})
    states = {each["type"]: each["status"] for each in status.get("conditions", [])}
    return states.get("ScalingActive") == "True" and status.get("desiredReplicas") == status.get("currentReplicas") == 3


def network_policy(namespace: str) -> dict[str, Any]:
    """One that selects the API's pods."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"namespace": namespace, "name": "controlcore-network-policy"},
        "spec": {"podSelector": {"matchLabels": {"app": API}}, "policyTypes": ["Ingress"]},
    }


def cron_job(namespace: str) -> dict[str, Any]:
    """The backup's, which never ran."""
    pod = {"restartPolicy": "Never", "containers": [{"name": "dump", "image": "registry.invalid/postgres:15"}]}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"namespace": namespace, "name": "postgres-backup"},
        "spec": {"schedule": "0 2 1 1 *", "jobTemplate": {"spec": {"template": {"spec": pod}}}},
    }


def backups(folder: Path) -> dict[str, Any]:
    """Settings of the collector `backup` with a directory of two dumps, a snapshot's marker and a restore test's."""
    folder.mkdir()
    for hours_old, day in ((25, 1), (1, 2)):
        path = folder / f"full_backup_2026010{day}_020000.sql.gz"
        path.write_bytes(gzip.compress(b"-- a dump\n" * 1000))
        then = time.time() - hours_old * 3600
        os.utime(path, (then, then))
    for name in ("snapshot", "restored"):
        (folder / name).touch()
    return {
        "places": [{"kind": "full", "directory": str(folder)}],
        "snapshot_file": str(folder / "snapshot"),
        "restore_test_file": str(folder / "restored"),
    }


def everything(standin: StandIn, opa_url: str, cluster: Cluster, namespace: str, folder: Path) -> dict[str, Any]:
    """The exporter's settings with all of its collectors on."""
    token = folder / "token"
    token.write_text("a word of the telemetry's user")
    place = urlsplit(cluster.server)
    own: dict[str, dict[str, Any]] = {
        "backup": backups(folder / "backups"),
        "opal": {
            "server_url": standin.opal_server_url,
            "clients": [{"name": "opal-client", "url": standin.opal_client_url}],
        },
        "telemetry": {"token_file": str(token)},
        "tls": {"endpoints": [{"name": "kubernetes", "host": place.hostname, "port": place.port}]},
        "postgres_canary": {"probe_timeout_seconds": 4.0},
    }
    paces = {
        spec.name: {"interval_seconds": ALWAYS_NEW if spec.name in FOLLOWED else 300.0, **own.get(spec.name, {})}
        for spec in discover()
    }
    return {
        "database": {"url": standin.database_url, "role": "postgres"},
        "redis": {"url": standin.redis_url},
        "api": {"url": standin.api_url},
        "bouncers": [
            {"name": name, "url": url, "environment": name.removeprefix("bouncer-"), "opa_url": opa_url}
            for name, url in standin.bouncers.items()
        ],
        "kubernetes": {
            "namespace": namespace,
            "kubeconfig": str(cluster.kubeconfig_for(namespace, ACCOUNT)),
            "workloads": [API, BOUNCER],
        },
        "collectors": paces,
        "guide_names": False,
    }
