"""A real PgBouncer on loopback, before a database that the test names."""

from __future__ import annotations

import os
import shutil
import socket
from typing import TYPE_CHECKING

from tools.install.packages import locate
from tools.servers.ports import free_port
from tools.servers.postgres import ACCOUNT, PASSWORD, SUPERUSER
from tools.servers.process import Command, Server

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class PgBouncerServer(Server):
    """One PgBouncer in a pool mode: session, transaction or statement."""

    name = "pgbouncer"

    def __init__(
        self, target: tuple[str, int], mode: str, settings: Mapping[str, str] | None = None, folder: Path | None = None
    ) -> None:
        """`target` is the PostgreSQL behind it, `settings` are further lines of the section [pgbouncer]."""
        super().__init__(folder)
        self._target = target
        self._settings = {"pool_mode": mode, **(settings or {})}

    def prepare(self) -> None:
        """Writes pgbouncer.ini: every database of the target, for its superuser."""
        self.port = free_port()
        self._account = ACCOUNT if os.geteuid() == 0 else None
        host, port = self._target
        users = self.folder / "users.txt"
        users.write_text(f'"{SUPERUSER}" "{PASSWORD}"\n', encoding="utf-8")
        settings = {
            "listen_addr": "127.0.0.1", "listen_port": str(self.port), "unix_socket_dir": "", "auth_type": "plain",
            "auth_file": str(users), "default_pool_size": "5", **self._settings,
        }  # fmt: skip
        lines = ["[databases]", f"* = host={host} port={port}", "[pgbouncer]"]
        lines += [f"{name} = {value}" for name, value in settings.items()]
        self._path = self.folder / "pgbouncer.ini"
        self._path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        if self._account is not None:
            self.folder.chmod(0o711)
            for path in (users, self._path):
                shutil.chown(path, self._account, self._account)

    def describe(self) -> Command:
        """The program, which refuses to run as root."""
        return Command((str(locate("pgbouncer")), str(self._path)), user=self._account, working_directory=self.folder)

    def is_ready(self) -> bool:
        """Whether it accepts connections."""
        try:
            socket.create_connection(("127.0.0.1", self.port), 1.0).close()
        except OSError:
            return False
        return True

    def dsn(self, database: str) -> str:
        """A postgresql:// address of a database through the pooler."""
        return f"postgresql://{SUPERUSER}:{PASSWORD}@127.0.0.1:{self.port}/{database}"
