"""Compares the policies that each bouncer's OPA holds with those that are enabled in the database."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field

from chassis.documents import MAX_ITEM_CHARACTERS, ItemForm
from chassis.errors import BackendError, PermanentError, Reason
from chassis.http.call import Call
from exporter.collector import CollectorSettings, NotConfiguredError, Result, collector
from exporter.collectors.policy_engine.parity import BY_ID, BY_NAME, EnginePolicy, Naming, Parity, choose, compare
from exporter.collectors.product_tables.policy_states import states_of
from exporter.items import read_each, text_of
from exporter.metrics import Metric
from exporter.settings import Scope

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from chassis.postgres.session import PostgresSession
    from exporter.settings import BouncerTarget
    from exporter.sources.sources import Sources

PARITY = Metric(
    "controlcore_policy_parity",
    "Whether the bouncer's OPA holds every enabled policy of its environment and resources, and none that is "
    "not enabled; absent (unknown) when no module is named after a policy.",
    labels=("bouncer",),
)
EXPECTED = Metric(
    "controlcore_policies_expected",
    "Policies enabled in the bouncer's environment, without those for resources that the bouncer does not protect.",
    labels=("bouncer",),
)
PRESENT = Metric(
    "controlcore_policies_present",
    "Policy modules that the bouncer's OPA holds; modules of its package `system`, such as OPAL's health check, are not"
    " counted.",
    labels=("bouncer",),
)
MISSING = Metric(
    "controlcore_policies_missing",
    "Expected policies that the bouncer's OPA does not hold; absent when the parity is unknown.",
    labels=("bouncer",),
)
WITHDRAWN = Metric(
    "controlcore_policies_withdrawn_present",
    "Policies that were deleted or are not enabled, but that the bouncer's OPA still holds; absent when the "
    "parity is unknown. A deleted policy is recognised by its file name, policy_ID.rego.",
    labels=("bouncer",),
)

# policy_states.py in product_tables/ decides in which environments each of them is enabled.
POLICIES = """
SELECT id::text AS id, coalesce(name::text, '') AS name, environment::text AS environment,
       lower(status::text) AS status, lower(sandbox_status::text) AS sandbox_status,
       lower(production_status::text) AS production_status, {resource_id} AS resource_id
  FROM policies
 ORDER BY id
 LIMIT $1
"""

# policies.resource_id is the text of protected_resources.id. The two bouncers of a pair each have a row with the same
# name, and a promoted policy keeps the sandbox's row: so resources are compared by name.
RESOURCES = """
SELECT r.id::text AS id, r.name::text AS name, p.bouncer_id::text AS bouncer
  FROM protected_resources r LEFT JOIN peps p ON p.id = r.bouncer_id
 ORDER BY r.id
 LIMIT $1
"""

# The columns that RESOURCES and resource_id need, as far as they exist and this role may read them.
READABLE = """
SELECT count(*) AS columns
  FROM pg_attribute
 WHERE NOT attisdropped AND has_column_privilege(attrelid, attnum, 'SELECT')
   AND (attrelid, attname) IN (
         (to_regclass('policies')::oid, 'resource_id'),
         (to_regclass('protected_resources')::oid, 'id'), (to_regclass('protected_resources')::oid, 'name'),
         (to_regclass('protected_resources')::oid, 'bouncer_id'),
         (to_regclass('peps')::oid, 'id'), (to_regclass('peps')::oid, 'bouncer_id'))
"""
READABLE_COLUMNS = 6
SECTION = "collectors.policy_parity"


def _compile(text: str) -> re.Pattern[str]:
    """The RE2 expression, whose run time is linear in the module's name; raises ValueError."""
    import re2  # noqa: PLC0415 - memory that only a pattern of one's own needs

    options = re2.Options()
    options.log_errors = False
    try:
        found: re.Pattern[str] = re2.compile(text, options)
    except re2.error as error:
        problem = error.args[0].decode("utf-8", "replace") if isinstance(error.args[0], bytes) else str(error)
        raise ValueError(f"not a regular expression of RE2: {problem}") from error
    return found


def _check_pattern(text: str) -> str:
    """Refuses anything but a regular expression with one group; empty means none."""
    if text and _compile(text).groups != 1:
        raise ValueError("expected exactly one group, which finds the policy's name or id")
    return text


class PolicyParitySettings(CollectorSettings):
    """How the policies are compared."""

    interval_seconds: float = Field(default=60.0, gt=0)
    """Seconds between two comparisons. OPA answers with every policy's text and syntax tree, so a short interval is
    expensive.
    """
    timeout_seconds: float = Field(default=15.0, gt=0)
    """Deadline of one comparison of all bouncers."""
    query_timeout_seconds: float = Field(default=3.0, gt=0)
    """Deadline of the query. Too small fails on a busy database."""
    request_timeout_seconds: float = Field(default=5.0, gt=0)
    """Deadline of one request to OPA. Too small fails for large bundles."""
    max_concurrent: int = Field(default=4, ge=1, le=16)
    """Requests in flight. Each answer can be megabytes."""
    max_policies: int = Field(default=10_000, ge=1)
    """Most policies read from the database; more is a failure, because a partial comparison would look like drift."""
    max_answer_bytes: int = Field(default=64 * 1024 * 1024, ge=1024 * 1024)
    """Longest answer read from an OPA, policy by policy. It holds each policy's text and syntax tree, together about 30
    times the text. A longer answer fails the comparison of that bouncer.
    """
    max_policy_characters: int = Field(default=MAX_ITEM_CHARACTERS, ge=1024, le=16 * 1024 * 1024)
    """Longest single policy in that answer, including its syntax tree; it is held in memory as a whole, at about 20
    times its length. A longer one fails the comparison of that bouncer.
    """
    module_pattern: Annotated[str, AfterValidator(_check_pattern)] = ""
    """Where a module's id holds the policy's name or id: a regular expression with one group. Empty means the product's
    own `policy_ID.rego` or, for hand-named files, the file name without `.rego`, whichever explains more modules. A
    module that no policy explains (a library) is ignored; if no naming fits, the parity is absent.
    """
    identified_by: Literal["auto", "name", "id"] = "auto"
    """Column of `policies` that the modules' ids contain. `auto` takes the column that matches more modules."""

    def namings(self) -> tuple[Naming, ...]:
        """The namings to try."""
        if self.module_pattern:
            pattern = _compile(self.module_pattern)
            found = (Naming("id", pattern, is_telling=False), Naming("name", pattern, is_telling=False))
        else:
            found = (BY_ID, BY_NAME)
        return tuple(naming for naming in found if self.identified_by in {"auto", naming.key})


@dataclass(slots=True)
class LastNaming:
    """The naming that fitted last: all engines of an installation share it, even one that lost its policies."""

    naming: Naming | None = None


@collector(
    scope=Scope.DEPLOYMENT,
    settings=PolicyParitySettings,
    metrics=(PARITY, EXPECTED, PRESENT, MISSING, WITHDRAWN),
    grants=(
        "GRANT SELECT (id, name, status, environment, sandbox_status, production_status) ON policies TO cc_exporter",
        "GRANT SELECT (resource_id) ON policies TO cc_exporter",
        "GRANT SELECT (id, name, bouncer_id) ON protected_resources TO cc_exporter",
        "GRANT SELECT (id, bouncer_id) ON peps TO cc_exporter",
    ),
)
class PolicyParityCollector:
    """Reads GET /v1/policies of the OPA behind each bouncer that names one; the OPA must be reachable from here.

    While protected_resources or policies.resource_id cannot be read, each bouncer is expected to hold the policies of
    every resource.
    """

    def __init__(self, settings: PolicyParitySettings, sources: Sources, postgres: PostgresSession) -> None:
        self._settings = settings
        self._http = sources.http
        self._postgres = postgres
        self._bouncers = tuple(bouncer for bouncer in sources.settings.bouncers if bouncer.opa_url)
        self._namings = settings.namings()
        self._last = sources.kept.of(
            LastNaming, "policy_parity.naming", settings.module_pattern, settings.identified_by
        )
        self._places = asyncio.Semaphore(settings.max_concurrent)

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: PolicyParitySettings, sources: Sources) -> AsyncIterator[PolicyParityCollector]:
        """Yields the collector; raises NotConfiguredError without a database or without any bouncer's OPA."""
        if sources.postgres is None:
            raise NotConfiguredError("no database is configured: set database.url")
        if not any(bouncer.opa_url for bouncer in sources.settings.bouncers):
            raise NotConfiguredError("no bouncer has an address of its OPA: set bouncers[].opa_url")
        yield cls(settings, sources, sources.postgres)

    async def collect(self) -> Result:
        """Compares each bouncer; one whose OPA cannot be queried is absent and fails this collection in part.

        Raises BackendError when the database cannot be queried.
        """
        resources = await self._read_resources()
        policies, is_complete = await self._read_policies(resources)
        async with asyncio.TaskGroup() as group:
            tasks = {
                bouncer.name: group.create_task(self._read_modules(bouncer), name=f"policy_parity.{bouncer.name}")
                for bouncer in self._bouncers
            }
        answers = {name: task.result() for name, task in tasks.items()}
        outcomes = {
            bouncer.name: self._compare(
                policies,
                answers[bouncer.name],
                bouncer.environment,
                resources=frozenset() if resources is None else resources.of_bouncer(bouncer.name),
                is_complete=is_complete,
            )
            for bouncer in self._bouncers
        }
        found = {(name,): parity for name, parity in outcomes.items() if isinstance(parity, Parity)}
        failure = next((outcome for outcome in outcomes.values() if isinstance(outcome, BackendError)), None)
        families = (
            EXPECTED.family({labels: parity.expected for labels, parity in found.items()}),
            PRESENT.family({labels: parity.modules for labels, parity in found.items()}),
            *(
                metric.family({labels: value for labels, value in values.items() if value is not None})
                for metric, values in (
                    (PARITY, {labels: parity.is_equal for labels, parity in found.items()}),
                    (MISSING, {labels: parity.missing for labels, parity in found.items()}),
                    (WITHDRAWN, {labels: parity.withdrawn for labels, parity in found.items()}),
                )
            ),
        )
        return Result(families, failure=failure)

    async def _read_resources(self) -> Resources | None:
        """The protected resources; None when they or the policies' link to them cannot be read."""
        readable = await self._postgres.fetch(READABLE, timeout_seconds=self._settings.query_timeout_seconds)
        if readable[0]["columns"] < READABLE_COLUMNS:
            return None
        return Resources.read(await self._fetch(RESOURCES, "resources"))

    async def _read_policies(self, resources: Resources | None) -> tuple[tuple[EnginePolicy, ...], bool]:
        """The control plane's policies, and whether each row could be read."""
        resource_id = "NULL::text" if resources is None else "resource_id::text"
        rows = await self._fetch(POLICIES.format(resource_id=resource_id), "policies")
        names = {} if resources is None else resources.names
        policies = tuple(read_each(rows, lambda row: read_policy(row, names)))
        return policies, len(policies) == len(rows)

    async def _fetch(self, sql: str, what: str) -> Sequence[Mapping[str, Any]]:
        """The rows of one query; raises PermanentError (exhausted) when there are more than max_policies."""
        limit = self._settings.max_policies
        rows: Sequence[Mapping[str, Any]] = await self._postgres.fetch(
            sql, limit + 1, timeout_seconds=self._settings.query_timeout_seconds
        )
        if len(rows) > limit:
            raise PermanentError(Reason.EXHAUSTED, f"there are more than max_policies ({limit}) {what}")
        return rows

    async def _read_modules(self, bouncer: BouncerTarget) -> tuple[str, ...] | BackendError:
        """The ids of the modules of one bouncer's OPA, or why they are unknown."""
        settings, listed = self._settings, 0
        found: list[tuple[str, bool]] = []

        async def take(items: list[Any]) -> None:
            nonlocal listed
            listed += len(items)
            found.extend(read_each(items, read_module))

        call = Call(
            f"{bouncer.opa_url}/v1/policies",
            settings.request_timeout_seconds,
            max_bytes=settings.max_answer_bytes,
            limit_setting=f"{SECTION}.max_answer_bytes",
        )
        limit_setting = f"{SECTION}.max_policy_characters"
        form = ItemForm("result", settings.max_policy_characters, limit_setting, is_any_depth=True)
        try:
            async with self._places:
                await self._http.read_items(call, take, form)
        except BackendError as error:
            return error
        if listed and not found:
            return PermanentError(Reason.MALFORMED, "no policy in the answer of /v1/policies has an id")
        return tuple(name for name, is_of_system in found if not is_of_system)

    def _compare(
        self,
        policies: tuple[EnginePolicy, ...],
        modules: tuple[str, ...] | BackendError,
        environment: str,
        *,
        resources: frozenset[str],
        is_complete: bool,
    ) -> Parity | BackendError:
        """One bouncer's parity, or the reason why it is unknown."""
        if isinstance(modules, BackendError):
            return modules
        naming = choose(policies, modules, self._namings, self._last.naming)
        if modules:
            self._last.naming = naming
        return compare(policies, modules, environment, naming, resources=resources, is_complete=is_complete)


@dataclass(frozen=True, slots=True)
class Resources:
    """The protected resources."""

    names: dict[str, str]
    """Name by id."""
    protected: dict[str, set[str]]
    """Names of the resources by the bouncer that protects them."""

    @classmethod
    def read(cls, rows: Sequence[Mapping[str, Any]]) -> Resources:
        """From the rows of RESOURCES."""
        found = cls({}, {})

        def read(row: Mapping[str, Any]) -> None:
            number, name = text_of(row, "id"), text_of(row, "name")
            found.names[number] = name
            if row["bouncer"]:
                found.protected.setdefault(row["bouncer"], set()).add(name)

        read_each(rows, read)
        return found

    def of_bouncer(self, bouncer: str) -> frozenset[str]:
        """Names of the resources that the bouncer protects; none when the control plane knows of none."""
        return frozenset(self.protected.get(bouncer, ()))


def read_policy(row: Mapping[str, Any], resource_names: Mapping[str, str]) -> EnginePolicy:
    """A policy from a row of POLICIES; one whose resource_id names no resource has none."""
    states = states_of(row)
    return EnginePolicy(
        text_of(row, "id"),
        text_of(row, "name"),
        {environment: state == "enabled" for environment, state in states.items()},
        resource_names.get(row["resource_id"]),
    )


def read_module(policy: Mapping[str, Any]) -> tuple[str, bool]:
    """The id of a policy in OPA's answer to GET /v1/policies (REST API, "List Policies"), and whether it is OPA's own.

    Modules of package `system` configure OPA and decide nothing. OPAL's health check is one of them
    (`data.system.opal`), and exists even without any policy.
    """
    return text_of(policy, "id"), _is_of_system(policy)


def _is_of_system(module: Mapping[str, Any]) -> bool:
    """Whether the module's package is `system` or below it; False if unknown."""
    try:
        names = [term["value"] for term in module["ast"]["package"]["path"][:2]]
    except (KeyError, TypeError):
        return False
    return names == ["data", "system"]
