"""Counts the policies that the control plane holds, by environment and status."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from pydantic import Field

from exporter.collector import CollectorSettings, NotConfiguredError, Result, collector
from exporter.collectors.labels import ENVIRONMENTS, environment_label
from exporter.collectors.product_tables.policy_states import STATUSES, states_of, status_label
from exporter.items import count_of, read_each
from exporter.metrics import Metric
from exporter.settings import Scope

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from chassis.postgres.session import PostgresSession
    from exporter.sources.sources import Sources

POLICIES = Metric(
    "controlcore_policies",
    "Policies in the database by their status in each environment; one that was promoted counts in both.",
    labels=("policy_environment", "status"),
)
WITHOUT_REGO = Metric(
    "controlcore_policies_enabled_without_rego",
    "Enabled policies without Rego text; absent unless the role may read the texts, which the printed grants "
    "do not allow.",
)
DRIFT = Metric(
    "controlcore_policies_promotion_drift",
    "Policies promoted from sandbox whose status in sandbox and in production differ.",
)

# Small table: some hundred rows. Statuses are text; what the product does not know becomes `other`.
COUNTS = """
SELECT environment::text AS environment, lower(status::text) AS status, lower(sandbox_status::text) AS sandbox_status,
       lower(production_status::text) AS production_status, count(*) AS policies
  FROM policies
 GROUP BY 1, 2, 3, 4
"""

PROMOTED = """
SELECT count(*) FILTER (WHERE sandbox_status IS DISTINCT FROM production_status) AS drifted
  FROM policies
 WHERE promoted_from_sandbox
"""

# A grant on the column reveals every policy's text, and any expression over the column needs it. The database's
# operator decides; without the grant the number is unknown.
MAY_READ_REGO = "SELECT has_column_privilege('policies', 'rego_code', 'SELECT') AS may_read"

EMPTY_REGO = """
SELECT count(*) AS policies FROM policies WHERE lower(status::text) = 'enabled' AND coalesce(btrim(rego_code), '') = ''
"""


class PoliciesSettings(CollectorSettings):
    """How often the policies are counted."""

    interval_seconds: float = Field(default=30.0, gt=0)
    """Seconds between two counts. Policies change by hand; smaller only adds queries."""
    query_timeout_seconds: float = Field(default=3.0, gt=0)
    """Deadline of one query. Too small fails on a busy database."""


@collector(
    scope=Scope.DEPLOYMENT,
    settings=PoliciesSettings,
    metrics=(POLICIES, WITHOUT_REGO, DRIFT),
    grants=(
        "GRANT SELECT (status, environment) ON policies TO cc_exporter",
        "GRANT SELECT (sandbox_status, production_status, promoted_from_sandbox) ON policies TO cc_exporter",
    ),
)
class PoliciesCollector:
    """Reads policies without their text.

    To learn how many enabled policies have none, run GRANT SELECT (rego_code) ON policies TO cc_exporter as well.
    """

    def __init__(self, settings: PoliciesSettings, postgres: PostgresSession) -> None:
        self._settings = settings
        self._postgres = postgres

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: PoliciesSettings, sources: Sources) -> AsyncIterator[PoliciesCollector]:
        """Yields the collector; raises NotConfiguredError without a database."""
        if sources.postgres is None:
            raise NotConfiguredError("no database is configured: set database.url")
        yield cls(settings, sources.postgres)

    async def collect(self) -> Result:
        """Counts policies; raises BackendError when the database does not answer or a column is missing."""
        counts = count_policies(await self._fetch(COUNTS))
        drifted = (await self._fetch(PROMOTED))[0]["drifted"]
        may_read = (await self._fetch(MAY_READ_REGO))[0]["may_read"]
        empty = (await self._fetch(EMPTY_REGO))[0]["policies"] if may_read else None
        return Result((POLICIES.family(counts), WITHOUT_REGO.value(empty), DRIFT.value(drifted)))

    async def _fetch(self, sql: str) -> Sequence[Any]:
        """The rows of one query under its deadline."""
        return await self._postgres.fetch(sql, timeout_seconds=self._settings.query_timeout_seconds)


def count_policies(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], int]:
    """Policies by (policy_environment, status); the known environments and statuses are there with 0."""
    counts = {(environment, status): 0 for environment in ENVIRONMENTS for status in STATUSES}

    def read(row: Mapping[str, Any]) -> None:
        policies, states = count_of(row, "policies"), states_of(row)
        if not states:
            states = {environment_label(row["environment"], "policies.environment"): status_label(row["status"])}
        for labels in states.items():
            counts[labels] = counts.get(labels, 0) + policies

    read_each(rows, read)
    return counts
