"""Checks what auditors ask for, without printing any Secret.

Each check is 1, 0 or absent: a check whose input cannot be read is unknown, neither passed nor failed. Rights, network
policies, limits, images and names of environment variables come from Kubernetes; administrators come from the database.
No Secret's value is read.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import Field

from chassis.errors import BackendError
from chassis.kubernetes.objects import is_over
from chassis.kubernetes.paths import deployment_path, pods_path, resource_path
from exporter.collector import CollectorSettings, NotConfiguredError, Result, collector
from exporter.collectors.kubernetes.workload_objects import selector_of
from exporter.collectors.operations.compliance_checks import (
    ENCRYPTION_KEYS,
    account_of,
    drops_tables,
    has_limits,
    has_wildcards,
    is_key_set,
    is_pinned,
    selects_pods,
)
from exporter.items import count_of, read_each, read_one
from exporter.metrics import Metric
from exporter.settings import Scope

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from chassis.kubernetes.client import JsonObject
    from exporter.metrics import Family
    from exporter.sources.sources import Sources

RBAC_GROUP = "rbac.authorization.k8s.io/v1"
NETWORKING = "networking.k8s.io/v1"

CHECK = Metric(
    "controlcore_compliance_check",
    "Whether a control holds (1) or not (0); absent when unknown.",
    labels=("check",),
)
DROP_TABLES = Metric(
    "controlcore_config_drop_tables_enabled",
    "Whether the API's pod template sets CC_DROP_TABLES, so that its next start drops every table; absent when the"
    " variable comes from somewhere else.",
)
KEY_SET = Metric(
    "controlcore_config_encryption_key_set",
    "Whether the API's pod template sets this variable; its value is not read.",
    labels=("key",),
)
IMAGE_PINNED = Metric(
    "controlcore_image_pinned",
    "Whether every image of the Deployment has a digest or a tag other than latest.",
    labels=("component",),
)

CHECKS = (
    "rbac_no_wildcards", "network_policy_exists", "network_policy_selects_api", "resource_limits_set", "images_pinned",
    "drop_tables_disabled", "encryption_keys_set", "admin_mfa", "default_password_changed",
)  # fmt: skip
"""The closed set of the label `check`."""

# The state of the administrators. force_password_change is set on the account that the product seeds with a password
# that everybody knows, until it is changed. Both columns may be null: a null second factor means none is required, but
# a null password flag means unknown. PostgreSQL 9.4+ (FILTER).
ADMINISTRATORS = """
SELECT count(*) AS administrators,
       count(*) FILTER (WHERE mfa_enabled IS NOT TRUE) AS without_mfa,
       count(*) FILTER (WHERE force_password_change) AS with_default_password,
       count(*) FILTER (WHERE force_password_change IS NULL) AS with_unknown_password
  FROM users
 WHERE role = 'builtin_admin' AND status = 'active'
"""


class ComplianceSettings(CollectorSettings):
    """What is checked."""

    interval_seconds: float = Field(default=60.0, gt=0)
    """Seconds between two rounds. The checked objects change with deployments; smaller only adds requests."""
    timeout_seconds: float = 12.0
    """Deadline of a round; above two requests' and the query's."""
    request_timeout_seconds: float = Field(default=3.0, gt=0)
    """Deadline of one request to the Kubernetes API."""
    query_timeout_seconds: float = Field(default=3.0, gt=0)
    """Deadline of the query."""
    api_workload: str = ""
    """The API's Deployment; empty is the first of `kubernetes.workloads`."""


@dataclass(slots=True)
class ComplianceEvidence:
    """The objects that were read; None means unreadable."""

    deployments: dict[str, JsonObject]
    wanted: int = 0
    """How many Deployments were requested: a check of all of them needs all of them."""
    pods: list[JsonObject] | None = None
    policies: list[JsonObject] | None = None
    bindings: list[JsonObject] | None = None
    roles: list[JsonObject] | None = None


@collector(
    scope=Scope.DEPLOYMENT,
    settings=ComplianceSettings,
    metrics=(CHECK, DROP_TABLES, KEY_SET, IMAGE_PINNED),
    grants=("GRANT SELECT (role, status, mfa_enabled, force_password_change) ON users TO cc_exporter",),
    rbac=(
        "get apps/deployments",
        "list /pods",
        "list networking.k8s.io/networkpolicies",
        "list rbac.authorization.k8s.io/rolebindings",
        "list rbac.authorization.k8s.io/roles",
    ),
)
class ComplianceCollector:
    """Checks Deployments, NetworkPolicies and RoleBindings of the namespace, and the administrators in users."""

    def __init__(self, settings: ComplianceSettings, sources: Sources) -> None:
        self._settings = settings
        self._sources = sources
        self._failure: BackendError | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: ComplianceSettings, sources: Sources) -> AsyncIterator[ComplianceCollector]:
        """Yields the collector; raises NotConfiguredError with neither a cluster nor a database."""
        if sources.kubernetes is None and sources.postgres is None:
            raise NotConfiguredError("neither Kubernetes nor a database is configured: set kubernetes or database.url")
        yield cls(settings, sources)

    async def collect(self) -> Result:
        """Reads both sides; the first thing that could not be read is the failure, and its checks are absent."""
        self._failure = None
        async with asyncio.TaskGroup() as group:
            people = group.create_task(self._check_administrators(), name="compliance.administrators")
            evidence = group.create_task(self._gather(), name="compliance.evidence")
        families = publish(evidence.result(), people.result(), self._api_name(), self._namespace())
        if self._failure is not None and not any(family.samples for family in families):
            raise self._failure
        return Result(families, failure=self._failure)

    async def _check_administrators(self) -> dict[str, bool]:
        """The checks that use the database; none without an active administrator."""
        postgres = self._sources.postgres
        if postgres is None:
            return {}
        try:
            rows = await postgres.fetch(ADMINISTRATORS, timeout_seconds=self._settings.query_timeout_seconds)
        except BackendError as error:
            self._failure = self._failure or error
            return {}
        return next(iter(read_each(rows, read_administrators)), {})

    async def _gather(self) -> ComplianceEvidence:
        """All objects from Kubernetes; none without a cluster."""
        place = self._sources.settings.kubernetes
        evidence = ComplianceEvidence({})
        if self._sources.kubernetes is None or place is None:
            return evidence
        names = dict.fromkeys((*place.workloads, self._api_name()))
        evidence.wanted = len(names)
        async with asyncio.TaskGroup() as group:
            lists = [
                group.create_task(self._list(resource_path(version, plural, namespace=place.namespace)), name=plural)
                for version, plural in (
                    (NETWORKING, "networkpolicies"), (RBAC_GROUP, "rolebindings"), (RBAC_GROUP, "roles"),
                )
            ]  # fmt: skip
            for name in names:
                group.create_task(self._read_deployment(name, evidence), name=f"compliance.{name}")
        evidence.policies, evidence.bindings, evidence.roles = (task.result() for task in lists)
        selector = read_one(evidence.deployments.get(self._api_name()), selector_of)
        if selector is not None:
            pods = await self._list(pods_path(place.namespace), selector)
            running = read_each(pods or (), lambda pod: None if is_over(pod) else pod)
            evidence.pods = None if pods is None else [pod for pod in running if pod is not None]
        return evidence

    async def _read_deployment(self, name: str, evidence: ComplianceEvidence) -> None:
        """Records one Deployment, or the failure."""
        client = self._sources.kubernetes
        if client is None:
            return
        try:
            path = deployment_path(self._namespace(), name)
            evidence.deployments[name] = await client.get(path, timeout_seconds=self._settings.request_timeout_seconds)
        except BackendError as error:
            self._failure = self._failure or error

    async def _list(self, path: str, selector: str | None = None) -> list[JsonObject] | None:
        """A collection's objects, or None."""
        client = self._sources.kubernetes
        if client is None:
            return None
        timeout = self._settings.request_timeout_seconds
        try:
            return await client.list(path, timeout_seconds=timeout, label_selector=selector)
        except BackendError as error:
            self._failure = self._failure or error
            return None

    def _namespace(self) -> str:
        """The product's namespace."""
        place = self._sources.settings.kubernetes
        return place.namespace if place is not None else ""

    def _api_name(self) -> str:
        """The API's Deployment."""
        place = self._sources.settings.kubernetes
        return self._settings.api_workload or (next(iter(place.workloads), "") if place is not None else "")


def read_administrators(row: Mapping[str, Any]) -> dict[str, bool]:
    """The checks of ADMINISTRATORS' row; none without an active administrator."""
    if not count_of(row, "administrators"):
        return {}
    has_default = count_of(row, "with_default_password") > 0
    found = {"admin_mfa": not count_of(row, "without_mfa")}
    is_known = has_default or not count_of(row, "with_unknown_password")
    return found | ({"default_password_changed": not has_default} if is_known else {})


def publish(
    evidence: ComplianceEvidence, people: Mapping[str, bool], api_name: str, namespace: str
) -> tuple[Family, ...]:
    """The families of a round."""
    deployments, api = evidence.deployments, evidence.deployments.get(api_name)
    checks: dict[str, bool | None] = dict(people)
    keys: dict[str, bool | None] = {}
    is_dropping = None
    pinned = {name: read_one(deployment, is_pinned) for name, deployment in deployments.items()}
    if evidence.policies is not None:
        checks["network_policy_exists"] = bool(evidence.policies)
        if evidence.pods:
            checks["network_policy_selects_api"] = selects_pods(evidence.policies, evidence.pods)
    limits = {name: read_one(deployment, has_limits) for name, deployment in deployments.items()}
    for name, found in (("resource_limits_set", limits), ("images_pinned", pinned)):
        states = [state for state in found.values() if state is not None]
        checks[name] = False if False in states else (True if states and len(states) == evidence.wanted else None)
    if api is not None:
        is_dropping = read_one(api, drops_tables)
        keys = {key: read_one(api, partial(is_key_set, key=key)) for key in ENCRYPTION_KEYS}
        checks["drop_tables_disabled"] = None if is_dropping is None else not is_dropping
        checks["encryption_keys_set"] = False if False in keys.values() else (None if None in keys.values() else True)
        if evidence.bindings is not None and evidence.roles is not None:
            account = read_one(api, account_of)
            is_wild = None if account is None else has_wildcards(account, namespace, evidence.bindings, evidence.roles)
            checks["rbac_no_wildcards"] = None if is_wild is None else not is_wild
    known = ((name, checks.get(name)) for name in CHECKS)
    return (
        CHECK.family({(name,): state for name, state in known if state is not None}),
        DROP_TABLES.value(is_dropping),
        KEY_SET.family({(key,): state for key, state in keys.items() if state is not None}),
        IMAGE_PINNED.family({(name,): state for name, state in pinned.items() if state is not None}),
    )
