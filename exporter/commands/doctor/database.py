"""Finds mismatches between the collectors and the product's database: rights, schema, unknown bouncers."""

from __future__ import annotations

from collections.abc import Iterable
from shlex import quote
from typing import TYPE_CHECKING

from chassis.errors import Reason
from chassis.output.findings import Check, Finding, Severity
from exporter.commands.doctor.installation import CheckedInstallation

if TYPE_CHECKING:
    from exporter.commands.doctor.rights import Column, Rights

QUERY_SECONDS = 5.0
HEARTBEAT_SECONDS = 86_400.0
"""A bouncer with a heartbeat within this time is in use."""
MAX_NAMED = 12
MAX_BOUNCERS = 1000
"""So many rows are read."""

# A bouncer that never registered has no bouncer_id. last_heartbeat is UTC without a zone.
BOUNCERS = f"""
SELECT bouncer_id::text AS bouncer, environment::text AS environment,
       extract(epoch FROM now())::float8 - extract(epoch FROM last_heartbeat AT TIME ZONE 'UTC')::float8 AS age
  FROM peps
 WHERE coalesce(bouncer_id::text, '') <> ''
 ORDER BY id
 LIMIT {MAX_BOUNCERS}
"""  # noqa: S608 - a constant


async def check_grants(installation: CheckedInstallation, check: str) -> list[Finding]:
    """Compares the role's rights with those that the collectors need."""
    rights = installation.rights
    return [] if rights is None else find_missing_grants(rights, failed(installation, Reason.PERMISSION), check)


async def check_schema(installation: CheckedInstallation, check: str) -> list[Finding]:
    """Finds tables and columns that the collectors read and this database lacks."""
    rights = installation.rights
    if rights is None or not rights.may_use_schema:
        return []
    return [
        *find_missing_columns(rights, failed(installation, Reason.MISSING), check, _listing(installation)),
        *find_unknown_generation(generation(installation), check),
    ]


async def check_bouncers(installation: CheckedInstallation, check: str) -> list[Finding]:
    """Compares the bouncers of the control plane with those that the exporter queries."""
    rights, postgres = installation.rights, installation.sources.postgres
    needed = {"bouncer_id", "environment", "last_heartbeat", "id"}
    known = (
        set() if rights is None else {each.name for each in rights.columns if each.table == "peps" and each.may_read}
    )
    if postgres is None or not needed <= known:
        return []  # the checks of addresses, grants and schema have reported it
    rows = await postgres.fetch(BOUNCERS, timeout_seconds=QUERY_SECONDS)
    registered = {row["bouncer"]: (row["environment"], row["age"]) for row in rows}
    return find_unwatched(registered, [bouncer.name for bouncer in installation.bouncers], check)


CHECKS: tuple[Check[CheckedInstallation], ...] = (
    Check("database.grants", check_grants, asked="PostgreSQL"),
    Check("database.schema", check_schema, asked="PostgreSQL"),
    Check("database.bouncers", check_bouncers, asked="PostgreSQL"),
)


def failed(installation: CheckedInstallation, reason: Reason) -> frozenset[str]:
    """The collectors whose collection failed for this reason."""
    return frozenset(name for name, outcome in installation.outcomes.items() if outcome.reason is reason)


def generation(installation: CheckedInstallation) -> str | None:
    """The generation of the product's schema according to the collector `decisions`; None when unknown."""
    outcome = installation.outcomes.get("decisions")
    families = () if outcome is None or outcome.admitted is None else outcome.admitted.families
    found = [family for family in families if family.metric.name == "controlcore_schema_generation"]
    return found[0].samples[0].labels[0] if found and found[0].samples else None


def find_missing_grants(rights: Rights, hurt: frozenset[str], check: str) -> list[Finding]:
    """Missing rights of the role, and a role with far too many; `hurt` are the collectors that it stops."""
    missing = [column for column in rights.columns if column.is_there and not column.may_read]
    stopped = hurt & {name for column in missing for name in column.collectors}
    evidence = [f"{table}: {', '.join(names)}" for table, names in _by_table(missing).items()]
    if not rights.may_use_schema:
        stopped, evidence = hurt or frozenset({"all"}), ["schema public: USAGE", *evidence]
    if rights.monitors and not rights.may_monitor:
        evidence.append(f"pg_monitor ({', '.join(rights.monitors)})")
    target = f"--role {quote(rights.role)} --database {quote(rights.database)}"
    remedy = f"controlcore-exporter grants {target} | psql -v ON_ERROR_STOP=1 {quote(rights.database)}"
    found = []
    if evidence:
        severity = Severity.ERROR if stopped else Severity.WARNING
        what = f"; collectors that fail: {', '.join(sorted(stopped))}" if stopped else "; some series are absent"
        found.append(Finding(severity, check, f"role {rights.role} lacks rights{what}", "\n".join(evidence), remedy))
    if rights.is_superuser:
        remedy = f"controlcore-exporter grants --database {quote(rights.database)} | psql {quote(rights.database)}"
        problem = "the exporter logs in as a superuser; it only needs to read"
        evidence = [f"role {rights.role} has SUPERUSER"]
        found.append(
            Finding(Severity.WARNING, check, problem, evidence[0], f"{remedy}\nthen name cc_exporter in database.url")
        )
    return found


def _listing(installation: CheckedInstallation) -> str:
    """The command that lists the databases of this server."""
    address = installation.sources.postgres_address
    return "psql -l" if address is None else address.target().list_databases


def find_missing_columns(rights: Rights, hurt: frozenset[str], check: str, listing: str) -> list[Finding]:
    """Missing tables and columns; `hurt` are the collectors that fail for them.

    `listing` is the command that lists the server's databases.
    """
    missing = [column for column in rights.columns if not column.is_there]
    if not missing:
        return []
    if len(missing) == len(rights.columns):
        problem = f"database {rights.database} has none of the product's tables"
        remedy = (
            f"set database.url to the product's own database; list the databases with: {listing}\n"
            "or let the product create its tables"
        )
        return [Finding(Severity.ERROR, check, problem, "\n".join(sorted(_by_table(missing))), remedy)]
    collectors = {name for column in missing for name in column.collectors}
    stopped = sorted(hurt & collectors)
    evidence = "\n".join(f"{table}: {', '.join(names)}" for table, names in _by_table(missing).items())
    if not stopped:
        problem = f"this build of the product lacks columns that {', '.join(sorted(collectors))} could publish"
        return [Finding(Severity.INFO, check, problem, evidence, "nothing to do, unless the product should be newer")]
    switches = " ".join(f"--no-collector.{name}" for name in stopped)
    return [
        Finding(
            Severity.ERROR,
            check,
            f"the product's schema lacks tables or columns; collectors that fail: {', '.join(stopped)}",
            evidence,
            f"bring the product's database to its current schema, or switch these collectors off: {switches}",
        )
    ]


def find_unknown_generation(name: str | None, check: str) -> list[Finding]:
    """A schema that is neither of the two known generations."""
    if name != "unknown":
        return []
    problem = "the generation of the product's schema is unknown; some values may be misread"
    evidence = 'controlcore_schema_generation{generation="unknown"}'
    return [Finding(Severity.WARNING, check, problem, evidence, "install a newer controlcore-exporter")]


def find_unwatched(
    registered: dict[str, tuple[str | None, float | None]], configured: Iterable[str], check: str
) -> list[Finding]:
    """Registered bouncers that the exporter does not query, and configured ones that never registered.

    `registered` has environment and seconds since the last heartbeat, None before the first; any beyond MAX_BOUNCERS
    are unknown.
    """
    known = set(configured)
    used = {
        name: environment
        for name, (environment, age) in registered.items()
        if name not in known and age is not None and age < HEARTBEAT_SECONDS
    }
    found = []
    if used:
        lines = "\n".join(
            f'  - {{name: {name}, url: "http://HOST:8080"{f", environment: {environment}" if environment else ""}}}'
            for name, environment in list(used.items())[:MAX_NAMED]
        )
        problem = f"registered bouncers are not watched: {', '.join(list(used)[:MAX_NAMED])}"
        evidence = (
            f"peps has {len(registered)} bouncers; {len(used)} of them sent a heartbeat within a day and are not "
            "configured"
        )
        remedy = f"set bouncers, or bouncer_discovery:\nbouncers:\n{lines}"
        found.append(Finding(Severity.WARNING, check, problem, evidence, remedy))
    strangers = sorted(known - set(registered))
    if strangers and len(registered) < MAX_BOUNCERS:
        problem = f"configured bouncers are not registered with the control plane: {', '.join(strangers)}"
        evidence = f"peps.bouncer_id: {', '.join(list(registered)[:MAX_NAMED]) or 'no row'}"
        remedy = "set bouncers[].name to the bouncer's bouncer_id, or register the bouncer"
        found.append(Finding(Severity.WARNING, check, problem, evidence, remedy))
    return found


def _by_table(columns: Iterable[Column]) -> dict[str, list[str]]:
    """The columns' names by table."""
    found: dict[str, list[str]] = {}
    for column in columns:
        found.setdefault(column.table, []).append(column.name)
    return found
