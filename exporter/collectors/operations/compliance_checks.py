"""Checks Kubernetes objects for what auditors ask for. No I/O; None always means unknown.

Neither this module nor its callers read a Secret: the pod template names the Secret and the key behind a variable. Only
the value of CC_DROP_TABLES is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chassis.kubernetes.containers import containers_of, is_latest
from chassis.kubernetes.selectors import selects
from exporter.items import read_each, text_of

JsonObject = Mapping[str, Any]

DROP_TABLES = "CC_DROP_TABLES"
FALSE_WORDS = frozenset({"", "0", "false", "no", "off", "n", "f"})
"""Every other value counts as true, because the product may accept it in future."""
ENCRYPTION_KEYS = ("CREDENTIAL_ENCRYPTION_KEY", "PIP_ENCRYPTION_KEY")
BROAD_CLUSTER_ROLES = frozenset({"cluster-admin", "admin", "edit"})
"""Kubernetes' own user-facing roles that may change everything in a namespace (RBAC, default roles)."""
NARROW_CLUSTER_ROLES = frozenset({"view"})


def drops_tables(deployment: JsonObject) -> bool | None:
    """Whether a container starts with CC_DROP_TABLES set to a true value; None when the value is defined elsewhere."""
    states = [_is_dropping(container) for container in containers_of(deployment["spec"]["template"])]
    if True in states:
        return True
    return None if None in states else False


def is_key_set(deployment: JsonObject, key: str) -> bool | None:
    """Whether some container of the API gets this variable; of its value only emptiness is checked."""
    states = [_is_set(container, key) for container in deployment["spec"]["template"]["spec"]["containers"]]
    if True in states:
        return True
    return None if None in states else False


def has_limits(deployment: JsonObject) -> bool:
    """Whether every container of the pod, or the pod as a whole, has a limit of CPU and of memory."""
    spec = deployment["spec"]["template"]["spec"]
    whole = (spec.get("resources") or {}).get("limits") or {}
    sidecars = [item for item in spec.get("initContainers") or () if item.get("restartPolicy") == "Always"]
    limits = [(item.get("resources") or {}).get("limits") or {} for item in (*spec["containers"], *sidecars)]
    return all(name in whole or all(name in each for each in limits) for name in ("cpu", "memory"))


def is_pinned(deployment: JsonObject) -> bool:
    """Whether every image has a digest, or a tag other than `latest`."""
    containers = containers_of(deployment["spec"]["template"])
    return not any(is_latest(str(container.get("image", ""))) for container in containers)


def account_of(deployment: JsonObject) -> str:
    """The ServiceAccount of the pods."""
    return str(deployment["spec"]["template"]["spec"].get("serviceAccountName") or "default")


def selects_pods(policies: Sequence[JsonObject], pods: Sequence[JsonObject]) -> bool | None:
    """Whether a NetworkPolicy (networking.k8s.io/v1) applies to at least one of these pods.

    None if no match is known but an object is unreadable.
    """
    labels = read_each(pods, lambda pod: pod["metadata"].get("labels") or {})

    def read(policy: JsonObject) -> bool:
        selector = policy["spec"].get("podSelector") or {}
        return any(selects(selector, each) for each in labels)

    states = read_each(policies, read)
    if True in states:
        return True
    return False if len(states) == len(policies) and len(labels) == len(pods) else None


def has_wildcards(
    account: str, namespace: str, bindings: Sequence[JsonObject], roles: Sequence[JsonObject]
) -> bool | None:
    """Whether a RoleBinding of the namespace grants the account all verbs or all resources.

    None if no match is known but a role is unknown or an object is unreadable. ClusterRoleBindings are outside the
    namespace and are not seen.
    """
    wild = dict(read_each(roles, _read_role))

    def read(binding: JsonObject) -> bool | None:
        if not any(_is_meant(subject, account, namespace) for subject in binding.get("subjects") or ()):
            return False
        kind, name = text_of(binding["roleRef"], "kind"), text_of(binding["roleRef"], "name")
        if kind == "Role":
            return wild.get(name)
        return name in BROAD_CLUSTER_ROLES if name in BROAD_CLUSTER_ROLES | NARROW_CLUSTER_ROLES else None

    states = read_each(bindings, read)
    if True in states:
        return True
    return False if None not in states and len(states) == len(bindings) else None


def _read_role(role: JsonObject) -> tuple[str, bool]:
    """A Role's name, and whether one of its rules is for every verb or every resource."""
    return text_of(role["metadata"], "name"), any(_is_wild(rule) for rule in role.get("rules") or ())


def _is_dropping(container: JsonObject) -> bool | None:
    """Whether one container's CC_DROP_TABLES is true; `env` wins over `envFrom`, a later entry over an earlier one."""
    for entry in reversed(container.get("env") or ()):
        if entry["name"] == DROP_TABLES:
            text = str(entry.get("value") or "")
            if entry.get("valueFrom") or "$(" in text:
                return None
            return text.strip().lower() not in FALSE_WORDS
    return None if _may_bring(container, DROP_TABLES) else False


def _is_set(container: JsonObject, key: str) -> bool | None:
    """Whether one container gets a variable; an optional reference may lead nowhere."""
    for entry in reversed(container.get("env") or ()):
        if entry["name"] == key:
            origin = entry.get("valueFrom")
            if not origin:
                return bool(entry.get("value"))
            is_optional = any(source.get("optional") for source in origin.values())
            return None if is_optional else True
    return None if _may_bring(container, key) else False


def _may_bring(container: JsonObject, key: str) -> bool:
    """Whether a whole ConfigMap or Secret (envFrom), which is not read here, may hold a variable."""
    return any(key.startswith(source.get("prefix") or "") for source in container.get("envFrom") or ())


def _is_meant(subject: JsonObject, account: str, namespace: str) -> bool:
    """Whether a subject is the account itself or a group that it belongs to."""
    if subject.get("kind") == "ServiceAccount":
        return subject.get("name") == account and subject.get("namespace", namespace) == namespace
    groups = {"system:authenticated", "system:serviceaccounts", f"system:serviceaccounts:{namespace}"}
    users = {f"system:serviceaccount:{namespace}:{account}"}
    return subject.get("name") in (groups if subject.get("kind") == "Group" else users)


def _is_wild(rule: JsonObject) -> bool:
    """Whether a rule names every verb or every resource."""
    return "*" in (rule.get("verbs") or ()) or "*" in (rule.get("resources") or ())
