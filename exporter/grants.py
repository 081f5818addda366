"""Writes the SQL that gives PostgreSQL the exporter's role: no more rights than the collectors registered."""

from __future__ import annotations

from collections.abc import Iterable

from exporter.collectors import CollectorSpec

ROLE = "cc_exporter"
HEAD = f"""-- The exporter's role, as its collectors ask for it. Run it as a superuser in the product's database:
--   controlcore-exporter --print-grants | psql -v ON_ERROR_STOP=1 control_core_db
-- and then give the role its password with \\password {ROLE}.
"""


def statements(specs: Iterable[CollectorSpec]) -> tuple[str, ...]:
    """The grants of an existing role, each once, in the collectors' order."""
    wanted = [f"GRANT USAGE ON SCHEMA public TO {ROLE}"]
    wanted += [grant for spec in specs for grant in spec.grants]
    return tuple(dict.fromkeys(wanted))


def write(specs: Iterable[CollectorSpec]) -> str:
    """A script for psql that makes the role, without a password, and grants."""
    return HEAD + "".join(f"{line};\n" for line in (f"CREATE ROLE {ROLE} LOGIN", *statements(specs)))
