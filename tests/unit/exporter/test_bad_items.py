"""P1: each field of one row, or of one object, is spoiled for every collector; the collection and the others remain."""

from __future__ import annotations

from typing import Any

import pytest

from exporter.collectors import discover
from exporter.collectors.policy_engine.bouncer_caches import is_running
from exporter.collectors.policy_engine.policy_parity import read_module
from exporter.items import Loss, counting, read_each
from exporter.results.limits import Budget, admit
from exporter.settings import ExporterSettings, KubernetesSettings
from tests.fakes.clock import ManualClock
from tests.fakes.sources import FakeKubernetes, FakeSql, make_sources

SPECS = {spec.name: spec for spec in discover()}
NOW = 1_767_323_060.0
BAD: dict[str, Any] = {
    "null": None,
    "gone": KeyError,
    "text": "rubbish",
    "bytes": b"\xff",
    "list": [[]],
    "object": {"a": None},
    "flag": True,
    "huge": 10**400,
    "below zero": -7,
    "fraction": 0.5,
    "not a number": float("nan"),
    "infinity": float("-inf"),
    "long": "x" * 100_000,
    "control characters": "a\x00\n\x1b[31m\u202e\ud800",
}
TABLE = {
    "oid": 1,
    "file": 1,
    "is_replica": False,
    "columns": ["id", "timestamp", "event_type", "outcome", "environment", "bouncer_id", "sync_type", "status", "ms"],
}
TABLE["columns"] += ["latency_ms"]
FOLLOWED = {"AS zone": [{"zone": "Etc/UTC"}], "pg_class": [TABLE | {"all_columns": TABLE["columns"]}]}
TIME = {"as_utc": NOW - 60, "now": NOW}


def three(row: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Three rows that differ by the name in this field."""
    return [row | {name: each, "id": number} for number, each in enumerate(("first", "second", "third"), 1)]


BOUNCER = {"environment": "production", "mode": "sidecar", "version": "1", "is_connected": True}
BOUNCER |= {"intercepting_traffic": True, "heartbeat": NOW - 30, "age": 30.0}
POLICY = {"environment": "both", "status": "enabled", "sandbox_status": "enabled", "production_status": "enabled"}
CONFIGURATION = {"environment": "production", "polling_interval": 30, "status": "success", "policies_count": 3}
PIP = {"provider": "okta", "environment": "production", "status": "active", "health": "healthy", "sync_frequency": 300}
PIP |= {"last_sync_as_utc": NOW - 60, "last_sync": NOW - 60, "token_expiry": NOW + 60, "now": NOW}
EVENT = {"event_type": "ACCESS_GRANTED", "outcome": "PERMIT", "events": 1, "without_canaries": 1}
HIGHEST = {"max(id)": [{"highest": 100}]}

SQL: dict[tuple[str, str], dict[str, Any]] = {
    ("bouncers", "is_connected"): {
        "is_connected": three(BOUNCER, "bouncer"),
        "count(*) AS bouncers": [],
        "protected_resources": [],
    },
    ("bouncers", "count(*) AS bouncers"): {
        "is_connected": [],
        "count(*) AS bouncers": three({"bouncers": 1}, "environment"),
        "protected_resources": [],
    },
    ("bouncers", "protected_resources"): {
        "is_connected": [],
        "count(*) AS bouncers": [],
        "protected_resources": three({"sandbox": True, "production": False, "unpaired": 3}, "resource"),
    },
    ("policies", "GROUP BY"): {
        "has_column_privilege": [{"may_read": False}],
        "IS DISTINCT FROM": [{"drifted": 1}],
        "GROUP BY": three(POLICY | {"policies": 1}, "status"),
    },
    ("policy_sync", "bouncer_opal_configuration"): {
        **FOLLOWED,
        **HIGHEST,
        "bouncer_opal_configuration": three(CONFIGURATION | {"last_sync": NOW - 60, "now": NOW}, "bouncer"),
        "DISTINCT ON": [],
        "count(*)": [],
    },
    ("policy_sync", "DISTINCT ON"): {
        **FOLLOWED,
        **HIGHEST,
        "bouncer_opal_configuration": three(CONFIGURATION | {"last_sync": NOW - 60, "now": NOW}, "bouncer"),
        "DISTINCT ON": three({"revision": "abc", "seconds": 0.5, "at": NOW - 60} | TIME, "bouncer"),
        "count(*)": [],
    },
    ("policy_sync", "count(*)"): {
        **FOLLOWED,
        **HIGHEST,
        "bouncer_opal_configuration": three(CONFIGURATION | {"last_sync": NOW - 60, "now": NOW}, "bouncer"),
        "DISTINCT ON": [],
        "count(*)": three({"type": "auto", "status": "failed", "syncs": 2}, "bouncer"),
    },
    ("pip", "oauth_tokens"): {"oauth_tokens": three(PIP, "name"), "overdue": [], "count(*)": []},
    ("pip", "overdue"): {"oauth_tokens": [], "overdue": three({"overdue": 1}, "environment"), "count(*)": []},
    ("pip", "count(*)"): {
        "oauth_tokens": [],
        "overdue": [],
        "count(*)": three({"status": "active", "health": "healthy", "connections": 1}, "environment"),
    },
    ("decisions", "count(*)"): {
        **FOLLOWED,
        **HIGHEST,
        "decision_requests": [{"is_there": True}],
        "count(*)": three(EVENT, "environment"),
        "extract": [],
    },
    ("decisions", "extract"): {
        **FOLLOWED,
        **HIGHEST,
        "decision_requests": [{"is_there": True}],
        "count(*)": [],
        "extract": three({"last": NOW - 60} | TIME, "environment"),
    },
    ("decision_latency", "count(*)"): {
        **FOLLOWED,
        **HIGHEST,
        "count(*)": three({"bucket": 1, "decisions": 2, "seconds": 0.5}, "environment"),
    },
    ("logins", "count(*)"): {**FOLLOWED, **HIGHEST, "count(*)": [{"logins": 1, "failures": 2}]},
    ("users", "user_sessions"): {"user_sessions": [{"sessions": 1, "users": 2}]},
    ("repository", "github_configuration"): {
        "github_configuration": [
            {"connection_status": "connected", "auto_sync": True, "interval_seconds": 300, "last_sync": 1.0, "now": NOW}
        ]
    },
    ("audit", "min(id)"): {
        "AS zone": [{"zone": "Etc/UTC"}],
        "attname": [TABLE | {"all_columns": TABLE["columns"]}],
        "reltuples": [{"rows": 1.0, "size_bytes": 1}],
        "min(id)": [{"lowest": 1, "highest": 5, "oldest": 1.0} | TIME],
        "unparseable": [{"unparseable": 0}],
    },
    ("audit", "reltuples"): {
        "AS zone": [{"zone": "Etc/UTC"}],
        "attname": [TABLE | {"all_columns": TABLE["columns"]}],
        "reltuples": [{"rows": 1.0, "size_bytes": 1}],
        "min(id)": [{"lowest": 1, "highest": 5, "oldest": 1.0} | TIME],
        "unparseable": [{"unparseable": 0}],
    },
    ("audit", "unparseable"): {
        "AS zone": [{"zone": "Etc/UTC"}],
        "attname": [TABLE | {"all_columns": TABLE["columns"]}],
        "reltuples": [{"rows": 1.0, "size_bytes": 1}],
        "min(id)": [{"lowest": 1, "highest": 5, "oldest": 1.0} | TIME],
        "unparseable": [{"unparseable": 0}],
    },
}
"""The answer of each query, by (collector, part of the query whose answer is spoiled)."""


def spoil(rows: list[dict[str, Any]], field: str, bad: Any) -> list[dict[str, Any]]:
    """The rows with one field of the middle one spoiled."""
    row = dict(rows[len(rows) // 2])
    if bad is KeyError:
        del row[field]
    else:
        row[field] = bad
    return [*rows[: len(rows) // 2], row, *rows[len(rows) // 2 + 1 :]]


async def collect(name: str, answers: dict[str, Any]) -> dict[tuple[str, ...], float]:
    """The samples of the third collection, after everything has settled; raises whatever a collection raises."""
    clock = ManualClock()
    sql = FakeSql(answers)
    sources = make_sources(ExporterSettings(), postgres=sql, clock=clock)
    async with SPECS[name].open(SPECS[name].settings(), sources) as collector:
        for number in range(4):
            if "max(id)" in answers:
                sql.answers["max(id)"] = [{"highest": 100 + number}]
            with counting():
                result = await collector.collect()
                assert result.failure is None, result.failure
                families = admit(SPECS[name], result.families, Budget()).families
            await clock.advance(61.0)
    found = {(family.metric.name, *sample.labels): sample.value for family in families for sample in family.samples}
    return found | {
        (family.metric.name, *each.labels): each.total for family in families for each in family.distributions
    }


CASES = [(name, part, field) for (name, part), answers in SQL.items() for field in answers[part][0]]


@pytest.mark.parametrize(("name", "part", "field"), CASES)
async def test_spoiled_field_costs_its_row_at_most(name: str, part: str, field: str) -> None:
    answers = SQL[name, part]
    clean = await collect(name, answers)
    others = {key: value for key, value in clean.items() if "first" in key or "third" in key}
    for bad, value in BAD.items():
        found = await collect(name, answers | {part: spoil(answers[part], field, value)})
        assert {key: found.get(key) for key in others} == others, bad


@pytest.mark.parametrize("bad", BAD)
def test_spoiled_module_of_an_engine_costs_itself(bad: str) -> None:
    """P1: OPA's list of policies."""
    value = BAD[bad] if isinstance(BAD[bad], str | bool | list | dict) else -7  # JSON has no others
    listed = [{"id": "policy_1.rego"}, {"id": value}, value, {}, {"id": "policy_2.rego"}]
    found = read_each(listed, read_module)
    assert {("policy_1.rego", False), ("policy_2.rego", False)} <= set(found)


OWNED = {"kind": "Deployment"}
LIMITS = {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}
CONTAINER = {"name": "c", "image": "made.up/api:1", "resources": LIMITS, "env": [{"name": "A", "value": "b"}]}
SCALED = {"conditions": [{"type": "ScalingActive", "status": "True"}], "currentReplicas": 2, "desiredReplicas": 2}
SEEN = {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2, "readyReplicas": 2}
WAITS = {"name": "c", "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
NAMES = ("first", "middle", "third")


def cluster() -> dict[str, Any]:
    """Three Deployments with all that belongs to them."""
    apps, core = "/apis/apps/v1/namespaces/controlcore", "/api/v1/namespaces/controlcore"
    objects: dict[str, Any] = {}
    for name in NAMES:
        objects[f"{apps}/deployments/{name}"] = {
            "metadata": {"name": name, "generation": 2},
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": {"app": name}},
                "template": {"spec": {"containers": [CONTAINER], "serviceAccountName": name}},
            },
            "status": SEEN | {"conditions": [{"type": "Progressing", "status": "True", "reason": "made-up"}]},
        }
        objects[f"{core}/services/{name}"] = {"spec": {"selector": {"app": name, "version": "blue"}}}
    each: dict[str, list[Any]] = {
        "/apis/autoscaling/v2/namespaces/controlcore/horizontalpodautoscalers": [
            {
                "metadata": {"name": name},
                "spec": {"scaleTargetRef": OWNED | {"name": name}, "minReplicas": 1, "maxReplicas": 3},
                "status": SCALED,
            }
            for name in NAMES
        ],
        "/apis/metrics.k8s.io/v1beta1/namespaces/controlcore/pods": [
            {"metadata": {"name": name}, "containers": [{"name": "c", "usage": {"cpu": "100m"}}]} for name in NAMES
        ],
        "/apis/networking.k8s.io/v1/namespaces/controlcore/networkpolicies": [
            {"metadata": {"name": name}, "spec": {"podSelector": {"matchLabels": {"app": name}}}} for name in NAMES
        ],
        "/apis/rbac.authorization.k8s.io/v1/namespaces/controlcore/roles": [
            {"metadata": {"name": name}, "rules": [{"verbs": ["get"], "resources": ["pods"]}]} for name in NAMES
        ],
        "/apis/rbac.authorization.k8s.io/v1/namespaces/controlcore/rolebindings": [
            {"roleRef": {"kind": "Role", "name": name}, "subjects": [{"kind": "ServiceAccount", "name": name}]}
            for name in NAMES
        ],
        f"{core}/pods": [
            {
                "metadata": {"name": name, "uid": name, "labels": {"app": name}},
                "spec": {"containers": [CONTAINER]},
                "status": {
                    "phase": "Running",
                    "conditions": [{"type": "Ready", "status": "True"}],
                    "containerStatuses": [WAITS],
                },
            }
            for name in NAMES
        ],
    }
    return objects | each


class LabelledPods(FakeKubernetes):
    """Lists the pod that a selector names, as the API server does, and besides always the one in the middle."""

    async def list(self, path: str, *, timeout_seconds: float, label_selector: str | None = None) -> Any:
        found = await super().list(path, timeout_seconds=timeout_seconds, label_selector=label_selector)
        if label_selector is None:
            return found
        return [pod for name, pod in zip(NAMES, found, strict=True) if name == "middle" or name in label_selector]


def places_in(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to everything inside, and to the value itself."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, each in inside for place in places_in(each, (*path, key)))]


def put(value: Any, path: tuple[Any, ...], bad: Any) -> Any:
    """A copy of the value with the bad one in this place."""
    if not path:
        return bad
    copied = dict(value) if isinstance(value, dict) else list(value)
    copied[path[0]] = put(value[path[0]], path[1:], bad)
    return copied


async def watch_cluster(name: str, objects: dict[str, Any]) -> dict[tuple[str, ...], float]:
    """The samples of two collections of a collector of Kubernetes; raises whatever a collection raises."""
    place = KubernetesSettings(workloads=NAMES)
    sources = make_sources(ExporterSettings(kubernetes=place), kubernetes=LabelledPods(objects))
    async with SPECS[name].open(SPECS[name].settings(), sources) as collector:
        for _ in range(2):
            result = await collector.collect()
            assert result.failure is None, result.failure
            families = admit(SPECS[name], result.families, Budget()).families
    return {(family.metric.name, *sample.labels): sample.value for family in families for sample in family.samples}


JSON_BAD: tuple[Any, ...] = (None, "rubbish", [[]], {"a": None}, True, 10**400, -7, 0.5, "\x00\u202e\ud800")
SPOILED = [
    (path, place)
    for path, value in cluster().items()
    if isinstance(value, list) or path.endswith("middle")
    for place in places_in(value[1] if isinstance(value, list) else value)
]


@pytest.mark.parametrize("name", ["workloads", "bluegreen", "compliance"])
@pytest.mark.parametrize(("path", "place"), SPOILED, ids=str)
async def test_spoiled_object_of_kubernetes_costs_itself_at_most(name: str, path: str, place: tuple[Any, ...]) -> None:
    """P1: every field of one object of each kind, and the object itself, among two good ones."""
    objects = cluster()
    others = {key for key in await watch_cluster(name, objects) if "first" in key or "third" in key}
    assert others or name == "compliance"
    for bad in JSON_BAD:
        value = objects[path]
        spoiled = put(value, (1, *place) if isinstance(value, list) else place, bad)
        # The numbers of the others may differ, because the pod in the middle is one of theirs here.
        assert others <= set(await watch_cluster(name, objects | {path: spoiled}))


def test_pod_that_is_no_pod_is_not_counted_and_costs_no_other() -> None:
    pods: list[Any] = [{"metadata": {}, "status": {"phase": "Running"}}, {}, None, [], {"metadata": None, "status": 7}]
    with counting() as losses:
        assert sum(read_each(pods, is_running)) == 1
    assert losses.dropped[Loss.MALFORMED] >= 3


def test_every_collector_that_reads_the_products_tables_is_spoiled() -> None:
    """A new collector needs its own case; compliance and policy_parity read them in addition to Kubernetes and OPA."""
    reading = {name for name, spec in SPECS.items() if any("GRANT SELECT" in each for each in spec.grants)}
    assert reading - {"compliance", "policy_parity"} == {name for name, _ in SQL} - {"policy_parity"}
