"""What `controlcore-exporter grants` prints, run on a real PostgreSQL with the product's tables."""

from __future__ import annotations

import re
import subprocess
import sys
import uuid
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.fakes.running_exporter import environment
from tools.servers.postgres import PASSWORD, PostgresServer
from tools.slowness import scaled
from tools.standin.database import install_schema

pytestmark = pytest.mark.timeout(90)
SELECT = re.compile(r"GRANT SELECT \((?P<columns>[^)]*)\) ON (?P<table>\w+) TO")


def test_role_may_read_what_was_granted_and_no_secret(postgres_server: PostgresServer, database: str) -> None:
    install_schema(database)
    name, role = urlsplit(database).path.removeprefix("/"), f"watcher_{uuid.uuid4().hex[:8]}"
    script = subprocess.run(
        [sys.executable, "-m", "exporter", "grants", "--role", role, "--database", name],
        capture_output=True, text=True, check=True, timeout=scaled(30), env=environment(),
    ).stdout  # fmt: skip
    try:
        with psycopg.connect(database, autocommit=True) as superuser:
            superuser.execute(script)
            superuser.execute(f"ALTER ROLE {role} PASSWORD '{PASSWORD}'")
        with psycopg.connect(postgres_server.dsn(role, name, PASSWORD), autocommit=True) as reader:
            granted = list(SELECT.finditer(script))
            assert len(granted) >= 3
            for found in granted:
                reader.execute(f"SELECT {found['columns']} FROM {found['table']} LIMIT 1")  # noqa: S608 - our own grants
            for secret in ("SELECT password_hash FROM users", "SELECT access_token FROM github_configuration"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    reader.execute(secret)
            for write in ("DELETE FROM audit_logs", "UPDATE users SET status = 'x'", "CREATE TABLE t (i int)"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    reader.execute(write)
    finally:
        with psycopg.connect(database, autocommit=True) as superuser:
            superuser.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
