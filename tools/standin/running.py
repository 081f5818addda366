"""The stand-in as plain processes on free loopback ports, without a cluster."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tools.standin import database
from tools.standin.faults import client
from tools.standin.processes import Program, start_together

if TYPE_CHECKING:
    from collections.abc import Iterator

API = "api"
BOUNCERS = ("bouncer-sandbox", "bouncer-production")
OPAL_SERVER = "opal-server"
OPAL_CLIENT = "opal-client"


@dataclass(frozen=True, slots=True)
class Options:
    """How the stand-in runs. `traffic_interval_seconds` 0 leaves the database to the caller alone."""

    traffic_interval_seconds: float = 0.2
    opa_url: str | None = None
    is_opal_statistics_enabled: bool = False
    do_opal_clients_count: bool = True
    """Whether the OPAL clients have statistics too; without them the server counts none."""
    do_bouncers_cache_decisions: bool = False
    cpu_limit_millicores: float = 0.0


@dataclass(slots=True)
class StandIn:
    """Holds the running programs: `api`, `bouncer-sandbox`, `bouncer-production`, `opal-server`, `opal-client`."""

    database_url: str
    redis_url: str
    options: Options = field(default_factory=Options)
    programs: dict[str, Program] = field(default_factory=dict)

    @property
    def api_url(self) -> str:
        """Base URL of the control-plane API."""
        return self.programs[API].url

    @property
    def bouncers(self) -> dict[str, str]:
        """Base URL of each bouncer, by name."""
        return {name: self.programs[name].url for name in BOUNCERS}

    @property
    def opal_server_url(self) -> str:
        """Base URL of the OPAL server."""
        return self.programs[OPAL_SERVER].url

    @property
    def opal_client_url(self) -> str:
        """Base URL of the OPAL client."""
        return self.programs[OPAL_CLIENT].url

    def fault(self, component: str, kind: str, **settings: float | str) -> client.State:
        """Switch a fault on: hang, crash, refuse, slow, 5xx, wrong_answer, engine_error, undefined or cpu.

        Settings: seconds (how long; default: until cleared), delay_seconds (of slow), status (of 5xx), millicores (of
        cpu), path (only for request paths with this beginning). Works while the program's event loop is blocked.
        """
        return client.switch_on(self.programs[component].admin_url, kind, **settings)

    def clear(self, component: str, kind: str | None = None) -> client.State:
        """Switch one kind of fault off, or all of the component's."""
        return client.clear(self.programs[component].admin_url, kind)

    def look(self, component: str) -> client.State:
        """Return the component's faults and counters."""
        return client.look(self.programs[component].admin_url)

    def restart(self, component: str) -> None:
        """End the component's process, if it still runs, and start a healthy one on the same port."""
        old = self.programs[component]
        old.end()
        self.start(component, port=int(old.url.rpartition(":")[2]))

    def start(self, *components: str, port: int = 0) -> None:
        """Start the components' processes; raises `StartFailedError` (the API does so while the database is down)."""
        common = ["--port", str(port), "--cpu-limit-millicores", str(self.options.cpu_limit_millicores)]
        commands = [
            (module, ["--name", name, *common, *own]) for name in components for module, own in [self._command(name)]
        ]
        self.programs |= dict(zip(components, start_together(commands), strict=True))

    def _command(self, component: str) -> tuple[str, list[str]]:
        if component == API:
            interval = str(self.options.traffic_interval_seconds)
            urls = ["--database-url", self.database_url, "--redis-url", self.redis_url]
            return "api", [*urls, "--traffic-interval", interval]
        if component in BOUNCERS:
            opa = ["--opa-url", self.options.opa_url] if self.options.opa_url else []
            cache = ["--decision-cache"] if self.options.do_bouncers_cache_decisions else []
            return "bouncer", ["--opal-server-url", self.opal_server_url, *opa, *cache]
        statistics = ["--statistics"] if self.options.is_opal_statistics_enabled else []
        statistics += [] if self.options.do_opal_clients_count else ["--clients-do-not-count"]
        return "opal", ["--role", component.removeprefix("opal-"), *statistics]


@contextmanager
def running_standin(database_url: str, redis_url: str, options: Options | None = None) -> Iterator[StandIn]:
    """Run the API, two bouncers and OPAL over these servers; on exit every process has ended.

    An empty database gets the tables and the made-up rows. All calls block: in a test of the event loop, use
    `asyncio.to_thread` for them. The processes also end when this process does, however it ends.
    """
    if not database.has_schema(database_url):
        database.install_schema(database_url)
    standin = StandIn(database_url, redis_url, options or Options())
    try:
        standin.start(OPAL_SERVER)
        standin.start(OPAL_CLIENT, *BOUNCERS, API)
        yield standin
    finally:
        for program in standin.programs.values():
            program.end()
