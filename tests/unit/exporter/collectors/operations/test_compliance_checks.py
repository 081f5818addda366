from __future__ import annotations

import pytest

from exporter.collectors.operations.compliance_checks import (
    drops_tables,
    has_limits,
    has_wildcards,
    is_key_set,
    is_pinned,
    selects_pods,
)

NAMESPACE, ACCOUNT = "controlcore", "control-plane-api"
LIMITS = {"limits": {"cpu": "1", "memory": "1Gi"}}


def deployment(*containers, init=()):
    spec = {"containers": list(containers), "initContainers": list(init)}
    return {"spec": {"template": {"spec": spec}}}


def container(*env, sources=(), image="api:1", **fields):
    return {"name": "api", "image": image, "env": list(env), "envFrom": list(sources), **fields}


def literal(value, name="CC_DROP_TABLES"):
    return {"name": name, "value": value}


def reference(kind="secretKeyRef", name="CC_DROP_TABLES", **fields):
    return {"name": name, "valueFrom": {kind: {"name": "api", "key": "k", **fields}}}


@pytest.mark.parametrize(
    ("env", "sources", "expected"),
    [
        ([], [], False),
        ([literal("true")], [], True),
        ([literal("TRUE ")], [], True),
        ([literal("maybe")], [], True),
        ([literal("false")], [], False),
        ([literal("")], [], False),
        ([{"name": "CC_DROP_TABLES"}], [], False),
        ([literal("true"), literal("false")], [], False),
        ([reference()], [], None),
        ([literal("$(OTHER)")], [], None),
        ([], [{"configMapRef": {"name": "env"}}], None),
        ([], [{"prefix": "OTHER_", "configMapRef": {"name": "env"}}], False),
        ([], [{"prefix": "CC_", "secretRef": {"name": "env"}}], None),
        ([literal("false")], [{"configMapRef": {"name": "env"}}], False),
    ],
)
def test_dropping_of_tables_is_told_by_the_template_or_unknown(env, sources, expected):
    assert drops_tables(deployment(container(*env, sources=sources))) is expected


def test_one_container_that_drops_outweighs_one_that_is_unknown():
    assert drops_tables(deployment(container(reference()), init=[container(literal("true"))])) is True
    assert drops_tables(deployment(container(), container(reference()))) is None


@pytest.mark.parametrize(
    ("env", "sources", "expected"),
    [
        ([], [], False),
        ([literal("made-up", "KEY")], [], True),
        ([literal("", "KEY")], [], False),
        ([reference(name="KEY")], [], True),
        ([reference(name="KEY", optional=True)], [], None),
        ([], [{"secretRef": {"name": "all"}}], None),
    ],
)
def test_key_is_set_when_the_template_says_where_it_comes_from(env, sources, expected):
    assert is_key_set(deployment(container(*env, sources=sources)), "KEY") is expected


def test_limits_hold_only_when_every_container_has_both():
    whole, half = container(resources=LIMITS), container(resources={"limits": {"cpu": "1"}})
    assert has_limits(deployment(whole, whole))
    assert not has_limits(deployment(whole, half))
    assert not has_limits(deployment(container()))
    assert has_limits(deployment(whole, init=[container()]))
    assert not has_limits(deployment(whole, init=[container(restartPolicy="Always")]))
    pod = deployment(half)
    pod["spec"]["template"]["spec"]["resources"] = {"limits": {"memory": "1Gi"}}
    assert has_limits(pod)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("api:1.2", True),
        ("registry:5000/api:1.2", True),
        ("api@sha256:abc", True),
        ("api:latest@sha256:abc", True),
        ("api", False),
        ("api:latest", False),
        ("registry:5000/api", False),
        ("api:", False),
        ("", False),
    ],
)
def test_image_is_pinned_by_a_digest_or_a_tag_that_is_not_latest(image, expected):
    assert is_pinned(deployment(container(image=image))) is expected


def test_policy_that_selects_no_pod_protects_nothing():
    pods = [{"metadata": {"labels": {"app": "api"}}}, {"metadata": {}}]
    policy = {"spec": {"podSelector": {"matchLabels": {"app": "controlcore"}}}}
    assert not selects_pods([policy], pods)
    assert selects_pods([policy, {"spec": {"podSelector": {}}}], pods)
    assert not selects_pods([], pods)


def binding(role, *subjects, kind="Role"):
    return {"roleRef": {"kind": kind, "name": role}, "subjects": list(subjects)}


SUBJECT = {"kind": "ServiceAccount", "name": ACCOUNT, "namespace": NAMESPACE}
ROLES = [
    {"metadata": {"name": "narrow"}, "rules": [{"verbs": ["get"], "resources": ["pods"]}]},
    {"metadata": {"name": "wild-verbs"}, "rules": [{"verbs": ["*"], "resources": ["pods"]}]},
    {"metadata": {"name": "wild-resources"}, "rules": [{"verbs": ["get"], "resources": ["*"]}]},
    {"metadata": {"name": "empty"}},
]


@pytest.mark.parametrize(
    ("bindings", "expected"),
    [
        ([], False),
        ([binding("narrow", SUBJECT), binding("empty", SUBJECT)], False),
        ([binding("wild-verbs", SUBJECT)], True),
        ([binding("wild-resources", SUBJECT)], True),
        ([binding("wild-verbs", {**SUBJECT, "name": "other"})], False),
        ([binding("wild-verbs", {**SUBJECT, "namespace": "other"})], False),
        ([binding("wild-verbs", {"kind": "ServiceAccount", "name": ACCOUNT})], True),
        ([binding("wild-verbs", {"kind": "Group", "name": "system:serviceaccounts"})], True),
        ([binding("wild-verbs", {"kind": "Group", "name": f"system:serviceaccounts:{NAMESPACE}"})], True),
        ([binding("wild-verbs", {"kind": "Group", "name": "admins"})], False),
        ([binding("wild-verbs", {"kind": "User", "name": f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"})], True),
        ([binding("gone", SUBJECT)], None),
        ([binding("cluster-admin", SUBJECT, kind="ClusterRole")], True),
        ([binding("view", SUBJECT, kind="ClusterRole")], False),
        ([binding("own", SUBJECT, kind="ClusterRole")], None),
        ([binding("own", SUBJECT, kind="ClusterRole"), binding("wild-verbs", SUBJECT)], True),
        ([{"roleRef": {"kind": "Role", "name": "wild-verbs"}}], False),
    ],
)
def test_wildcards_are_found_in_what_is_bound_to_the_account(bindings, expected):
    assert has_wildcards(ACCOUNT, NAMESPACE, bindings, ROLES) is expected
