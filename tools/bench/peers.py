"""The exporters that operators run today, started as Debian ships them."""

from __future__ import annotations

from pathlib import Path

from tools.install.packages import locate
from tools.servers.http import is_answered
from tools.servers.ports import free_port
from tools.servers.process import Command, Server


class Peer(Server):
    """An exporter that listens where `--web.listen-address` says."""

    path = "/metrics"

    def __init__(self, program: str, address: str, environment: dict[str, str], folder: Path | None = None) -> None:
        """`address` is a further argument that names its backend, or empty."""
        super().__init__(folder)
        self.name = program
        self._address = address
        self._environment = environment

    def prepare(self) -> None:
        """Picks a port."""
        self.port = free_port()

    def describe(self) -> Command:
        """The program with its defaults."""
        listen = (
            f"-web.listen-address=127.0.0.1:{self.port}"
            if "redis" in self.name
            else (f"--web.listen-address=127.0.0.1:{self.port}")
        )
        further = (self._address,) if self._address else ()
        return Command((str(locate(self.name)), listen, *further), environment=self._environment)

    def is_ready(self) -> bool:
        """Whether it answers at all."""
        return is_answered(f"http://127.0.0.1:{self.port}/")


def postgres_exporter(dsn: str) -> Peer:
    """prometheus-postgres-exporter with its default collectors."""
    return Peer("prometheus-postgres-exporter", "", {"DATA_SOURCE_NAME": f"{dsn}?sslmode=disable"})


def redis_exporter(url: str) -> Peer:
    """prometheus-redis-exporter with its defaults."""
    return Peer("prometheus-redis-exporter", f"-redis.addr={url}", {})
