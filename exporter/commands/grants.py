"""Writes the SQL that creates the exporter's role in PostgreSQL, with only the rights that the collectors need."""

from __future__ import annotations

import re
from collections.abc import Iterable

from exporter.collector import CollectorSpec

ROLE = "cc_exporter"
DATABASE = "control_core_db"
NAME = re.compile(r"[^\x00-\x1f\x7f]{1,63}")
TAG = "$role$"
HEAD = f"""-- The exporter's role, with the rights that its collectors need. Run it as a superuser in the product's
-- database. It may be run again; after an error nothing has changed:
--   controlcore-exporter grants | psql -v ON_ERROR_STOP=1 control_core_db
-- and then give the role its password with \\password {ROLE}.
"""


def statements(specs: Iterable[CollectorSpec]) -> tuple[str, ...]:
    """The grants of an existing role, each once, in the collectors' order."""
    wanted = [f"GRANT USAGE ON SCHEMA public TO {ROLE}"]
    wanted += [grant for spec in specs for grant in spec.grants]
    return tuple(dict.fromkeys(wanted))


def write(specs: Iterable[CollectorSpec], role: str = ROLE, database: str = DATABASE) -> str:
    """A psql script that creates the role, without a password, and grants its rights.

    Raises ValueError for an unusable name.
    """
    make = f"DO {TAG} BEGIN CREATE ROLE {ROLE} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END {TAG}"
    grants = (f"GRANT CONNECT ON DATABASE {DATABASE} TO {ROLE}", *statements(specs))
    lines = ("BEGIN", make, *grants, "COMMIT")
    named = {ROLE: identifier(role), DATABASE: identifier(database)}
    script = HEAD + "".join(f"{line};\n" for line in dict.fromkeys(lines))
    return re.sub(rf"\b({ROLE}|{DATABASE})\b", lambda match: named[match[0]], script)


def identifier(name: str) -> str:
    """A name in SQL: quoted unless it is plain (PostgreSQL documentation, 4.1.1)."""
    if NAME.fullmatch(name) is None or TAG in name:
        raise ValueError(f"a name is 1 to 63 characters without control characters and {TAG}")
    if re.fullmatch(r"[a-z_][a-z0-9_]*", name):
        return name
    doubled = name.replace('"', '""')
    return f'"{doubled}"'
