"""Lets a test insert rows without the columns that do not matter to it."""

from __future__ import annotations

import psycopg

FILLED = {
    "audit_logs": {'"user"': "ada", "action": "read", "result": "success"},
    "users": {"name": "Somebody"},
    "policies": {"effect": "allow", "created_by": "ada", "modified_by": "ada"},
    "protected_resources": {"url": ""},
    "pip_connections": {"provider": "okta", "configuration": "{}", "credentials": "{}", "created_by": "system"},
    "github_configuration": {"repo_url": "", "access_token": ""},
}
"""Columns that the product's callers always give: here they have a default."""
FREED = {"audit_logs": ('"user"', "event_type", "outcome"), "users": ("email",)}
"""Columns that may be NULL here."""


def statements() -> list[str]:
    """The statements, for tables made by `install_schema`."""
    filled = [
        f"ALTER TABLE {table} ALTER COLUMN {column} SET DEFAULT '{value}'"
        for table, columns in FILLED.items()
        for column, value in columns.items()
    ]
    freed = [f"ALTER TABLE {table} ALTER {column} DROP NOT NULL" for table in FREED for column in FREED[table]]
    return filled + freed


def allow_short_rows(database_url: str) -> None:
    """Changes the tables of this database."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        for statement in statements():
            connection.execute(statement.encode())
