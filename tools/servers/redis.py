"""A real Redis on loopback."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from tools.install.packages import locate
from tools.servers.ports import free_port
from tools.servers.process import Command, Server, ServerError
from tools.slowness import scaled

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class RedisServer(Server):
    """One Redis without persistence; `freeze` leaves connections open and unanswered."""

    name = "redis"

    def __init__(
        self,
        password: str | None = None,
        max_memory: str | None = None,
        settings: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        """`max_memory` as in redis.conf (64mb); `settings` are further directives."""
        super().__init__(folder)
        self._password = password
        self._settings = {"save": "", "appendonly": "no", "daemonize": "no", **(settings or {})}
        if max_memory is not None:
            self._settings["maxmemory"] = max_memory
        if password is not None:
            self._settings["requirepass"] = password

    @property
    def host(self) -> str:
        """The loopback address."""
        return "127.0.0.1"

    @property
    def url(self) -> str:
        """The redis:// address of database 0, with the password if there is one."""
        credentials = f":{self._password}@" if self._password else ""
        return f"redis://{credentials}{self.host}:{self.port}/0"

    def prepare(self) -> None:
        """Writes redis.conf: a password on the command line would show in the process list."""
        self.port = free_port()
        settings = {"bind": self.host, "port": str(self.port), "dir": str(self.folder), **self._settings}
        lines = [f'{key} "{value}"' for key, value in settings.items()]
        self._path = self.folder / "redis.conf"
        self._path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        self._path.chmod(0o600)

    def describe(self) -> Command:
        """The server with its file."""
        return Command((str(locate("redis-server")), str(self._path)))

    def is_ready(self) -> bool:
        """Whether PING is answered."""
        try:
            return self.call("PING") == "+PONG"
        except OSError:
            return False

    def call(self, *words: str, timeout_seconds: float = 2.0) -> str:
        """Sends one command and returns the first line of its raw RESP answer, e.g. "+OK", ":3" or "$5"."""
        with (
            socket.create_connection((self.host, self.port), scaled(timeout_seconds)) as connection,
            connection.makefile("rwb") as stream,
        ):
            if self._password:
                stream.write(_encode("AUTH", self._password))
                stream.flush()
                if not stream.readline().startswith(b"+OK"):
                    raise ServerError("redis refused its own password")
            stream.write(_encode(*words))
            stream.flush()
            return stream.readline().decode().rstrip("\r\n")


def _encode(*words: str) -> bytes:
    """A command in RESP: an array of bulk strings."""
    parts = [f"*{len(words)}\r\n".encode()]
    for word in words:
        data = word.encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
    return b"".join(parts)
