"""A real replica of a test's PostgreSQL."""

from __future__ import annotations

import shutil

from tools.servers.postgres import PASSWORD, SUPERUSER, PostgresServer


class Standby(PostgresServer):
    """A replica that streams from another server; it must be started while that one runs."""

    def __init__(self, primary: PostgresServer, slot: str) -> None:
        super().__init__()
        self._primary, self._slot = primary, slot

    def prepare(self) -> None:
        super().prepare()
        shutil.rmtree(self._data)
        self._run(
            *("pg_basebackup", "--pgdata", str(self._data), "--checkpoint=fast", "--wal-method=stream"),
            *("--write-recovery-conf", "--no-sync", "--create-slot", "--slot", self._slot, "--dbname"),
            f"host={self.host} port={self._primary.port} user={SUPERUSER} password={PASSWORD}",
        )
