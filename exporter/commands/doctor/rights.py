"""Compares the exporter's database rights with those that its collectors need."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chassis.postgres.session import PostgresSession
    from exporter.collector import CollectorSpec

GRANT = re.compile(r"GRANT SELECT \((?P<columns>[^)]*)\) ON (?P<table>\w+) TO")
MONITOR = "GRANT pg_monitor TO"
QUERY_SECONDS = 5.0

# to_regclass finds no table of a schema that the role may not use; pg_attribute is readable by every role.
COLUMNS = """
SELECT wanted.name AS table_name, wanted.part AS column_name, a.attnum IS NOT NULL AS is_there,
       coalesce(has_column_privilege(to_regclass(wanted.name)::oid, a.attnum, 'SELECT'), false) AS may_read
  FROM unnest($1::text[], $2::text[]) AS wanted (name, part)
  LEFT JOIN pg_attribute a
    ON a.attrelid = to_regclass(wanted.name) AND a.attname = wanted.part AND NOT a.attisdropped
"""

# pg_monitor is there since PostgreSQL 10.
ROLE = """
SELECT current_user::text AS role, current_database()::text AS database, rolsuper AS is_superuser,
       pg_has_role('pg_monitor', 'USAGE') AS may_monitor, has_schema_privilege('public', 'USAGE') AS may_use_schema
  FROM pg_roles
 WHERE rolname = current_user
"""


@dataclass(frozen=True, slots=True)
class Column:
    """One column that collectors read."""

    table: str
    name: str
    collectors: tuple[str, ...]
    is_there: bool
    may_read: bool


@dataclass(frozen=True, slots=True)
class Rights:
    """The role's rights."""

    role: str
    database: str
    is_superuser: bool
    may_monitor: bool
    may_use_schema: bool
    monitors: tuple[str, ...]
    """The collectors that need pg_monitor."""
    columns: tuple[Column, ...]


def wanted_columns(specs: Iterable[CollectorSpec]) -> dict[tuple[str, str], tuple[str, ...]]:
    """The collectors that read each column, by table and column, according to their grants."""
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for spec in specs:
        for grant in filter(None, map(GRANT.match, spec.grants)):
            for name in grant["columns"].split(","):
                key = (grant["table"], name.strip().strip('"'))
                found[key] = tuple(dict.fromkeys((*found.get(key, ()), spec.name)))
    return found


async def read_rights(postgres: PostgresSession, specs: Iterable[CollectorSpec]) -> Rights:
    """Queries the database; raises BackendError."""
    chosen = tuple(specs)
    wanted = wanted_columns(chosen)
    tables, names = [table for table, _ in wanted], [name for _, name in wanted]
    role: Mapping[str, Any] = (await postgres.fetch(ROLE, timeout_seconds=QUERY_SECONDS))[0]
    rows = await postgres.fetch(COLUMNS, tables, names, timeout_seconds=QUERY_SECONDS)
    columns = tuple(
        Column(
            row["table_name"],
            row["column_name"],
            wanted[row["table_name"], row["column_name"]],
            is_there=row["is_there"],
            may_read=row["may_read"],
        )
        for row in rows
    )
    monitors = tuple(spec.name for spec in chosen if any(grant.startswith(MONITOR) for grant in spec.grants))
    return Rights(
        role["role"],
        role["database"],
        is_superuser=role["is_superuser"],
        may_monitor=role["may_monitor"],
        may_use_schema=role["may_use_schema"],
        monitors=monitors,
        columns=columns,
    )
