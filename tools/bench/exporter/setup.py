"""The servers of the exporter's sections: real PostgreSQL, Redis and OPA, the stand-in, bouncers, the exporter.

Each section opens its own, so that it can be measured alone.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from tools.bench.exporter.fake_bouncers import FarmServer
from tools.servers.http import is_answered, read_url
from tools.servers.opa import OpaServer
from tools.servers.sidecar import ROOT, ExporterServer
from tools.standin import running
from tools.standin.running import Options, StandIn, running_standin
from tools.standin.stores import Stores, opened_stores

READY_SECONDS = 60.0
SETTLED_SECONDS = 0.3
"""A page follows the last collection within 50 ms."""
POLICY = ROOT / "tools" / "standin" / "policy" / "policy.rego"


@dataclass(frozen=True, slots=True)
class Field:
    """The backends of one section."""

    stores: Stores
    engine: OpaServer
    standin: StandIn
    farm: FarmServer

    def bouncers(self, count: int = 2) -> list[dict[str, Any]]:
        """The setting for this many bouncers: the stand-in's two with their engine, then bouncers of the farm."""
        own: list[dict[str, Any]] = [
            {"name": name, "url": url, "environment": name.removeprefix("bouncer-"), "opa_url": self.engine.url}
            for name, url in self.standin.bouncers.items()
        ]
        return [*own, *self.farm.bouncers(max(0, count - len(own)))]

    def settings(self, bouncers: int = 2) -> dict[str, Any]:
        """An exporter's settings that name every backend, everything else as shipped."""
        clients = [{"name": "opal-client", "url": self.standin.opal_client_url}]
        return {
            "database": {"url": self.stores.exporter_url},
            "redis": {"url": self.stores.redis.url},
            "api": {"url": self.standin.api_url},
            "scope": "all",
            "bouncers": self.bouncers(bouncers),
            "collectors": {"opal": {"server_url": self.standin.opal_server_url, "clients": clients}},
        }


@contextmanager
def opened_field(
    database_settings: Mapping[str, str] | None = None, *, traffic_interval_seconds: float = 0.2
) -> Iterator[Field]:
    """Starts the backends; `database_settings` are further lines of PostgreSQL's configuration."""
    with ExitStack() as stack:
        stores = stack.enter_context(opened_stores(database_settings))
        engine = stack.enter_context(OpaServer({"enabled": POLICY.read_text(encoding="utf-8")}))
        options = Options(traffic_interval_seconds, engine.url, is_opal_statistics_enabled=True)
        standin = stack.enter_context(running_standin(stores.database_url, stores.redis.url, options))
        farm = stack.enter_context(FarmServer())
        yield Field(stores, engine, standin, farm)


@contextmanager
def running_exporter(settings: dict[str, Any]) -> Iterator[ExporterServer]:
    """Starts our exporter and yields it once every collector has ended a collection."""
    with ExporterServer(settings) as exporter:
        wait_until_ready(exporter)
        yield exporter


def wait_until_ready(exporter: ExporterServer) -> None:
    """Returns when every collector has ended a collection and the page shows it."""
    ends_at = time.monotonic() + READY_SECONDS
    while not is_answered(f"{exporter.url}/-/ready"):
        if time.monotonic() > ends_at:
            raise RuntimeError(f"the exporter is not ready:\n{exporter.process.log_tail()}")
        time.sleep(0.1)
    time.sleep(SETTLED_SECONDS)


@dataclass(frozen=True, slots=True)
class Collections:
    """What /debug/collectors says of one collector: its last results, newest first."""

    name: str
    state: str
    interval_seconds: float
    results: tuple[dict[str, Any], ...]

    @property
    def starts(self) -> list[float]:
        """Unix times at which the remembered collections began, oldest first."""
        return sorted(float(result["began_timestamp_seconds"]) for result in self.results)


def read_collections(exporter: ExporterServer) -> dict[str, Collections]:
    """The collectors that run, by name."""
    found = json.loads(read_url(f"{exporter.url}/debug/collectors?format=json"))["deployments"][0]["collectors"]
    rows = (
        Collections(each["collector"], each["state"], each["interval_seconds"], tuple(each["results"]))
        for each in found
    )
    return {row.name: row for row in rows if row.state != "not configured"}


def api_pid(standin: StandIn) -> int:
    """The process of the stand-in's API."""
    return standin.programs[running.API].pid
