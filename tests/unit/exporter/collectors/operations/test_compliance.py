from __future__ import annotations

import pytest

from chassis.errors import PermanentError, Reason, TransientError
from exporter.collector import NotConfiguredError
from exporter.collectors.operations.compliance import ComplianceCollector, ComplianceSettings
from exporter.settings import ExporterSettings, KubernetesSettings
from tests.fakes.sources import FakeKubernetes, FakeSql, expose, golden, make_sources, samples, value

NAMESPACE = "/apis/apps/v1/namespaces/controlcore/deployments"
PODS = "/api/v1/namespaces/controlcore/pods"
POLICIES = "/apis/networking.k8s.io/v1/namespaces/controlcore/networkpolicies"
BINDINGS = "/apis/rbac.authorization.k8s.io/v1/namespaces/controlcore/rolebindings"
ROLES = "/apis/rbac.authorization.k8s.io/v1/namespaces/controlcore/roles"
CHECK, DROPS = "controlcore_compliance_check", "controlcore_config_drop_tables_enabled"
PINNED = "controlcore_image_pinned"
SAFE = {"administrators": 2, "without_mfa": 0, "with_default_password": 0, "with_unknown_password": 0}


def deployment(name, image="registry.invalid/api:1", **env):
    limits = {"limits": {"cpu": "1", "memory": "1Gi"}}
    entries = [{"name": key, "value": text} for key, text in env.items()]
    spec = {"containers": [{"name": "c", "image": image, "env": entries, "resources": limits}]}
    return {
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": {"spec": spec}},
    }


KEYS = {"CREDENTIAL_ENCRYPTION_KEY": "made-up", "PIP_ENCRYPTION_KEY": "made-up"}


def cluster(**changes):
    objects = {
        f"{NAMESPACE}/control-plane-api": deployment("control-plane-api", **KEYS),
        f"{NAMESPACE}/control-plane-ui": deployment("control-plane-ui"),
        PODS: [{"metadata": {"labels": {"app": "control-plane-api"}}}],
        POLICIES: [{"spec": {"podSelector": {"matchLabels": {"app": "control-plane-api"}}}}],
        BINDINGS: [],
        ROLES: [],
    }
    return FakeKubernetes(objects | changes)


async def collect(kubernetes=None, rows=SAFE, workloads=("control-plane-api", "control-plane-ui")):
    place = KubernetesSettings(workloads=workloads) if kubernetes is not None else None
    sql = None if rows is None else FakeSql({"FROM users": rows if isinstance(rows, Exception) else [rows]})
    sources = make_sources(ExporterSettings(kubernetes=place), kubernetes=kubernetes, postgres=sql)
    async with ComplianceCollector.open(ComplianceSettings(), sources) as collector:
        return await collector.collect()


def checks(result):
    return {name: state for (name,), state in samples(result.families).get(CHECK, {}).items()}


async def test_installation_that_keeps_every_promise_gives_the_golden_page():
    result = await collect(cluster())
    assert expose(result.families) == golden("compliance")
    assert result.failure is None


async def test_values_of_keys_are_nowhere_on_the_page():
    assert "made-up" not in expose((await collect(cluster())).families)


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({POLICIES: []}, "network_policy_exists"),
        (
            {POLICIES: [{"spec": {"podSelector": {"matchLabels": {"app": "controlcore"}}}}]},
            "network_policy_selects_api",
        ),
        ({f"{NAMESPACE}/control-plane-ui": deployment("ui", "ui:latest")}, "images_pinned"),
        ({f"{NAMESPACE}/control-plane-api": deployment("control-plane-api")}, "encryption_keys_set"),
        (
            {f"{NAMESPACE}/control-plane-api": deployment("control-plane-api", CC_DROP_TABLES="true", **KEYS)},
            "drop_tables_disabled",
        ),
    ],
)
async def test_broken_promise_fails_its_check(changes, check):
    assert checks(await collect(cluster(**changes)))[check] == 0


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (SAFE | {"without_mfa": 1}, {"admin_mfa": 0, "default_password_changed": 1}),
        (SAFE | {"with_default_password": 1}, {"admin_mfa": 1, "default_password_changed": 0}),
        (SAFE | {"with_unknown_password": 1}, {"admin_mfa": 1}),
        (
            SAFE | {"with_unknown_password": 1, "with_default_password": 1},
            {"admin_mfa": 1, "default_password_changed": 0},
        ),
        (SAFE | {"administrators": 0}, {}),
    ],
)
async def test_administrators_are_judged_by_the_database(rows, expected):
    assert checks(await collect(rows=rows)) == expected


async def test_pods_that_are_not_there_leave_the_policys_reach_unknown():
    found = checks(await collect(cluster(**{PODS: []})))
    assert (found["network_policy_exists"], "network_policy_selects_api" in found) == (1, False)


async def test_deployment_that_cannot_be_read_leaves_what_all_must_keep_unknown():
    result = await collect(cluster(**{f"{NAMESPACE}/control-plane-ui": PermanentError(Reason.MISSING, "404")}))
    assert not {"images_pinned", "resource_limits_set"} & set(checks(result))
    assert samples(result.families)[PINNED] == {("control-plane-api",): 1.0}
    assert result.failure.reason is Reason.MISSING


async def test_rights_that_may_not_be_read_are_unknown_and_the_rest_is_known():
    result = await collect(cluster(**{ROLES: PermanentError(Reason.PERMISSION, "403")}))
    assert "rbac_no_wildcards" not in checks(result)
    assert value(result.families, DROPS) == 0
    assert result.failure.reason is Reason.PERMISSION


async def test_database_that_does_not_answer_leaves_the_cluster_known():
    result = await collect(cluster(), TransientError(Reason.TIMEOUT, "no answer"))
    assert "admin_mfa" not in checks(result)
    assert checks(result)["images_pinned"] == 1
    assert result.failure.reason is Reason.TIMEOUT


async def test_nothing_that_can_be_read_raises():
    with pytest.raises(TransientError):
        await collect(rows=TransientError(Reason.REFUSED, "down"))


@pytest.mark.parametrize(
    ("path", "bad", "check"),
    [
        (POLICIES, {}, "network_policy_selects_api"),
        (PODS, {"metadata": {"labels": 7}}, "network_policy_selects_api"),
        (BINDINGS, {"subjects": 7}, "rbac_no_wildcards"),
        (f"{NAMESPACE}/control-plane-ui", {"spec": None}, "images_pinned"),
        (f"{NAMESPACE}/control-plane-ui", {"spec": None}, "resource_limits_set"),
    ],
)
async def test_object_without_its_fields_leaves_its_check_unknown_and_the_others_known(path, bad, check):
    """P1: neither passed nor failed."""
    clean = checks(await collect(cluster()))
    result = await collect(cluster(**{path: bad if "deployments" in path else [bad]}))
    assert result.failure is None
    assert checks(result) == {name: state for name, state in clean.items() if name in checks(result)}
    assert check not in checks(result)


@pytest.mark.parametrize("bad", [None, "rubbish", -1, 0.5])
async def test_administrators_that_cannot_be_counted_are_unknown_and_cost_no_other_check(bad):
    found = checks(await collect(cluster(), {**SAFE, "without_mfa": bad}))
    assert "admin_mfa" not in found
    assert "images_pinned" in found


async def test_neither_cluster_nor_database_is_not_configured():
    with pytest.raises(NotConfiguredError):
        await collect(rows=None)
