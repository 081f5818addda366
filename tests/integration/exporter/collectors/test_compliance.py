"""The checks on the stand-in's own objects in a real cluster, and on its users in a real PostgreSQL."""

from __future__ import annotations

import pytest

from chassis.errors import Reason
from exporter.collectors.operations.compliance import ComplianceCollector, ComplianceSettings
from tests.fakes.sources import make_sources, samples, value
from tests.integration.exporter.collectors.accounts import ACCOUNT, GROUP, account_for, role_with, sources_of
from tools.standin.cluster.manifests import Shape, build_manifests

API = "control-plane-api"
CHECK, DROPS = "controlcore_compliance_check", "controlcore_config_drop_tables_enabled"
KEY_SET, PINNED = "controlcore_config_encryption_key_set", "controlcore_image_pinned"
WILD = [{"apiGroups": [""], "resources": ["*"], "verbs": ["get"]}]


def policy(namespace, app):
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"namespace": namespace, "name": "controlcore-network-policy"},
        "spec": {"podSelector": {"matchLabels": {"app": app}}, "policyTypes": ["Ingress"]},
    }


@pytest.fixture
def deployed(cluster, namespace):
    """The stand-in's API, its Secret, and an account that has the declared rights."""
    return deploy(cluster, namespace, Shape(namespace=namespace, replicas=1, has_autoscaler=False))


def deploy(cluster, namespace, shape):
    wanted = {"Secret", "Deployment"}
    manifests = [item for item in build_manifests(shape) if item["kind"] in wanted and item["metadata"]["name"] == API]
    cluster.apply([*manifests, *account_for(namespace, ComplianceCollector)])
    cluster.wait_for(
        f"/apis/apps/v1/namespaces/{namespace}/deployments/{API}", lambda it: it.get("status", {}).get("replicas") == 1
    )
    return namespace


async def collect(cluster, namespace):
    async with (
        sources_of(cluster, namespace) as sources,
        ComplianceCollector.open(ComplianceSettings(), sources) as collector,
    ):
        return await collector.collect()


def checks(result):
    return {name: state for (name,), state in samples(result.families)[CHECK].items()}


async def test_fresh_installation_lacks_a_network_policy_and_keeps_the_rest(cluster, deployed):
    result = await collect(cluster, deployed)
    assert checks(result) == {
        "rbac_no_wildcards": 1,
        "network_policy_exists": 0,
        "network_policy_selects_api": 0,
        "resource_limits_set": 1,
        "images_pinned": 1,
        "drop_tables_disabled": 1,
        "encryption_keys_set": 1,
    }
    assert value(result.families, DROPS) == 0
    assert set(samples(result.families)[KEY_SET].values()) == {1.0}
    assert value(result.families, PINNED, API) == 1
    assert result.failure is None


@pytest.mark.parametrize(("app", "expected"), [("controlcore", 0), (API, 1)])
async def test_policy_counts_only_where_it_selects_the_apis_pods(cluster, deployed, app, expected):
    cluster.apply([policy(deployed, app)])
    found = checks(await collect(cluster, deployed))
    assert (found["network_policy_exists"], found["network_policy_selects_api"]) == (1, expected)


async def test_wild_role_of_the_apis_account_is_found(cluster, deployed):
    cluster.apply(role_with(deployed, "everything", WILD, "default"))
    assert checks(await collect(cluster, deployed))["rbac_no_wildcards"] == 0


async def test_template_that_drops_tables_is_seen(cluster, namespace):
    deploy(cluster, namespace, Shape(namespace=namespace, replicas=1, has_autoscaler=False, is_dropping_tables=True))
    result = await collect(cluster, namespace)
    assert (value(result.families, DROPS), checks(result)["drop_tables_disabled"]) == (1, 0)


async def test_image_without_a_pin_is_seen(cluster, deployed):
    """The same tag may be another program tomorrow; a digest never is."""
    for image, expected in ((f"controlcore/{API}:latest", 0), (f"controlcore/{API}@sha256:{'0' * 64}", 1)):
        template = {"spec": {"containers": [{"name": API, "image": image}]}}
        path = f"/apis/apps/v1/namespaces/{deployed}/deployments/{API}"
        cluster.client.patch(path, {"spec": {"template": template}}, "application/strategic-merge-patch+json")
        result = await collect(cluster, deployed)
        assert (value(result.families, PINNED, API), checks(result)["images_pinned"]) == (expected, expected)


async def test_account_without_rights_knows_nothing_and_says_why(cluster, deployed):
    cluster.client.delete(f"/apis/{GROUP}/v1/namespaces/{deployed}/rolebindings/{ACCOUNT}")
    with pytest.raises(Exception, match="403") as caught:
        await collect(cluster, deployed)
    assert caught.value.reason is Reason.PERMISSION


async def collect_people(product):
    async with (
        product.session() as session,
        ComplianceCollector.open(ComplianceSettings(), make_sources(postgres=session)) as collector,
    ):
        return checks(await collector.collect())


async def test_administrators_of_a_real_database_are_judged(product):
    product.run("UPDATE users SET mfa_enabled = true, force_password_change = false WHERE role = 'builtin_admin'")
    assert await collect_people(product) == {"admin_mfa": 1, "default_password_changed": 1}
    product.run("UPDATE users SET mfa_enabled = false, force_password_change = true WHERE role = 'builtin_admin'")
    assert await collect_people(product) == {"admin_mfa": 0, "default_password_changed": 0}


async def test_null_is_no_second_factor_and_no_changed_password(product):
    """P1's kind: the product's columns may be null, and an administrator with null passed both checks."""
    product.run("UPDATE users SET mfa_enabled = NULL, force_password_change = NULL WHERE role = 'builtin_admin'")
    assert await collect_people(product) == {"admin_mfa": 0}
