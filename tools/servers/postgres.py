"""A real PostgreSQL on loopback: scram passwords over TCP, trust over its private Unix socket."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tools.install.packages import locate
from tools.servers.ports import free_port
from tools.servers.process import Command, Server, ServerError

if TYPE_CHECKING:
    from collections.abc import Mapping

SUPERUSER = "postgres"
PASSWORD = "loopback-test-password"  # noqa: S105 - a made-up credential of a throw-away server
# Root may not run PostgreSQL; Debian's package makes this account.
ACCOUNT = "postgres"
DEFAULT_SETTINGS: Mapping[str, str] = {
    # The data is thrown away: nothing has to survive a power cut.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    # Shared memory as a file of the data folder: a killed server leaves nothing in /dev/shm.
    "dynamic_shared_memory_type": "mmap",
    "shared_buffers": "32MB",
    "track_activity_query_size": "4096",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
}


class PostgresServer(Server):
    """One PostgreSQL 15 (or newer, when there is no 15) with a fresh data folder.

    `freeze` stops the postmaster and every backend: each backend has its own process group, so stopping only the
    postmaster would leave open connections answering.
    """

    name = "postgres"

    def __init__(
        self, max_connections: int = 100, settings: Mapping[str, str] | None = None, folder: Path | None = None
    ) -> None:
        """`settings` are further lines of postgresql.conf."""
        super().__init__(folder)
        self._settings = {**DEFAULT_SETTINGS, **(settings or {}), "max_connections": str(max_connections)}
        self._account = ACCOUNT if os.geteuid() == 0 else None
        self._programs = locate("postgres").parent

    @property
    def host(self) -> str:
        """The loopback address."""
        return "127.0.0.1"

    def prepare(self) -> None:
        """Runs initdb and writes the configuration."""
        self.port = free_port()
        self._data, self._sockets = self.folder / "data", self.folder / "sockets"
        self._sockets.mkdir()
        if self._account is not None:
            self.folder.chmod(0o711)
            shutil.chown(self.folder, self._account, self._account)
            shutil.chown(self._sockets, self._account, self._account)
        self._sockets.chmod(0o700)
        password_path = self.folder / "password"
        password_path.write_text(PASSWORD, encoding="utf-8")
        if self._account is not None:
            shutil.chown(password_path, self._account, self._account)
        self._run(
            *("initdb", f"--pgdata={self._data}", f"--username={SUPERUSER}", f"--pwfile={password_path}"),
            *("--auth-local=trust", "--auth-host=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"),
            *("--no-instructions",),
        )
        lines = [f"{key} = '{value}'" for key, value in self._settings.items()]
        with (self._data / "postgresql.auto.conf").open("a", encoding="utf-8") as configuration:
            configuration.write("\n".join(lines) + "\n")

    def describe(self) -> Command:
        """The server on one TCP port and one socket folder."""
        return Command(
            (
                *(str(self._programs / "postgres"), "-D", str(self._data), "-h", self.host, "-p", str(self.port)),
                *("-k", str(self._sockets)),
            ),
            user=self._account,
            working_directory=self.folder,
            # SIGINT is the "fast" shutdown: sessions are cut; SIGTERM would wait for them.
            stop_signal=signal.SIGINT,
        )

    def is_ready(self) -> bool:
        """Whether pg_isready says that connections are accepted."""
        answer = subprocess.run(
            [str(self._programs / "pg_isready"), "-q", "-h", str(self._sockets), "-p", str(self.port)],
            check=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return answer.returncode == 0

    def dsn(self, user: str = SUPERUSER, database: str = "postgres", password: str | None = None) -> str:
        """A postgresql:// address over TCP; the password is the superuser's own unless given."""
        return f"postgresql://{user}:{password or PASSWORD}@{self.host}:{self.port}/{database}"

    def create_database(self, name: str) -> str:
        """Makes an empty database and returns its address for the superuser."""
        self.run_sql(f'CREATE DATABASE "{name}" STRATEGY wal_log')
        return self.dsn(database=name)

    def drop_database(self, name: str) -> None:
        """Removes a database and cuts the sessions in it."""
        self.run_sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def create_user(self, name: str, password: str = PASSWORD, options: str = "LOGIN") -> None:
        """Makes a role with a password; `options` as in CREATE ROLE."""
        self.run_sql(f"CREATE ROLE \"{name}\" {options} PASSWORD '{password}'")

    def run_sql(self, sql: str, database: str = "postgres") -> list[list[str]]:
        """Runs statements as superuser over the Unix socket; returns the rows as text, NULL as an empty text.

        Several statements run one after another outside a transaction, so CREATE DATABASE may be among them.
        """
        output = self._run(
            *("psql", "-X", "-q", "-A", "-t", "-F", "\x1f", "-v", "ON_ERROR_STOP=1"),
            *("-h", str(self._sockets), "-p", str(self.port), "-U", SUPERUSER, "-d", database),
            statements=sql,
        )
        return [line.split("\x1f") for line in output.splitlines() if line]

    def _run(self, program: str, *arguments: str, statements: str = "") -> str:
        answer = subprocess.run(
            [str(self._programs / program), *arguments],
            input=statements,
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
            user=self._account,
            group=self._account,
            extra_groups=None if self._account is None else [],
            env={**os.environ, "PGOPTIONS": "", "PGPASSFILE": os.devnull, "HOME": str(self.folder)},
        )
        if answer.returncode != 0:
            raise ServerError(f"{program}: {answer.stderr.strip()}")
        return answer.stdout
