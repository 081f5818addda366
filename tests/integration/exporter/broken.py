"""An installation with everything real or the stand-in, and the ways to break one part of it."""

from __future__ import annotations

import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import time
from typing import Any

import psycopg
import pytest
import yaml

from chassis.net.trust import system_trust
from exporter.collectors import discover
from exporter.commands import grants
from tests.fakes.running_exporter import RunningExporter, running_exporter
from tests.fakes.waiting import wait_for
from tools.servers.kubernetes.certificates import make_serving_pair
from tools.servers.opa import OpaServer
from tools.servers.ports import free_port
from tools.servers.postgres import PostgresServer
from tools.servers.prometheus import PrometheusServer
from tools.servers.redis import RedisServer
from tools.standin import database
from tools.standin.running import Options, StandIn, running_standin

ROOT = Path(__file__).parents[3]
RULES = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "rules").glob("*.yml")}
POLICY = (ROOT / "tools" / "standin" / "policy" / "policy.rego").read_text(encoding="utf-8")
MODULES = {"policy_1": POLICY, "policy_2": "package orders_read\n", "policy_3": "package orders_write\n"}
"""Named as the product names them: the ids of the enabled policies in the made-up rows."""
FLAGS = ("--query.lookback-delta=5s",)
"""Series that are no longer scraped soon vanish; there is a scrape each second."""
DATABASE, PASSWORD, WRONG = "control_core_db", "doctors-own-password", "not-the-password"
PEP = (
    "INSERT INTO peps (bouncer_id, name, status, environment, last_heartbeat)"
    " VALUES ('{0}', '{0}', 'active', 'sandbox', now() AT TIME ZONE 'UTC')"
)
UNPEP = "DELETE FROM peps WHERE bouncer_id = '{0}'"

Change = Callable[[dict[str, Any]], None]
"""Of the settings."""


@dataclass
class Installation:
    """What runs, and the exporter's settings over it."""

    postgres: PostgresServer
    standin: StandIn
    exporter: RunningExporter
    prometheus: PrometheusServer
    settings: dict[str, Any]
    folder: Path

    def sql(self, statement: str) -> None:
        with psycopg.connect(self.postgres.dsn(database=DATABASE), autocommit=True) as admin:
            admin.execute(statement.encode())

    def configure(self, *, is_scraped: bool = True, address: str = "", rules: Mapping[str, str] = RULES) -> None:
        """Gives Prometheus these rules and this target."""
        target = address or self.exporter.url.removeprefix("http://")
        jobs = [{"job_name": "controlcore-exporter", "static_configs": [{"targets": [target]}]}] if is_scraped else []
        whole = {"global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "scrape_configs": jobs}
        whole["rule_files"] = [f"rules/{name}" for name in rules]
        self.prometheus.write_files({f"rules/{name}": text for name, text in rules.items()})
        self.prometheus.write_files({"prometheus.yml": yaml.safe_dump(whole)})
        self.prometheus.reload()

    def wait_until_stored(self) -> None:
        """Returns once Prometheus has the exporter's whole page, and each rule was evaluated."""
        names = {line.partition("{")[0].partition(" ")[0] for line in self.exporter.samples()}
        wait_for(
            lambda: (
                names <= {each.labels["__name__"] for each in self.prometheus.query('{__name__!=""}')}
                and all(rule["health"] == "ok" for rule in self.prometheus.rules())
            ),
            30,
            poll_seconds=0.2,
        )


Breaking = Callable[[Installation], AbstractContextManager[Change | None]]
"""Breaks one thing and mends it again; yields what is changed in the settings, if anything."""


@contextmanager
def opened_installation(folder: Path) -> Iterator[Installation]:
    """A good installation, whose exporter is scraped by a Prometheus with the shipped rules."""
    with ExitStack() as stack:
        postgres = stack.enter_context(PostgresServer())
        redis = stack.enter_context(RedisServer(password=PASSWORD))
        opa = stack.enter_context(OpaServer(MODULES))
        url = postgres.create_database(DATABASE)
        database.install_schema(url)
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute(grants.write(discover()).encode())
            admin.execute(f"ALTER ROLE {grants.ROLE} PASSWORD '{PASSWORD}'")
        options = Options(traffic_interval_seconds=0, opa_url=opa.url, is_opal_statistics_enabled=True)
        standin = stack.enter_context(running_standin(url, redis.url, options))
        settings = settings_of(postgres, redis, standin, opa.url)
        exporter = stack.enter_context(running_exporter(folder, settings))
        exporter.wait_until_ready()
        settings["server"] = {"port": int(exporter.url.rpartition(":")[2])}
        prometheus = stack.enter_context(PrometheusServer({"prometheus.yml": ""}, flags=FLAGS))
        built = Installation(postgres, standin, exporter, prometheus, settings, folder)
        built.configure()
        built.wait_until_stored()
        yield built


def settings_of(postgres: PostgresServer, redis: RedisServer, standin: StandIn, opa_url: str) -> dict[str, Any]:
    """The exporter's configuration file."""
    client = {"name": "opal-client", "url": standin.opal_client_url}
    bouncers = [
        {"name": name, "url": url, "environment": name.removeprefix("bouncer-"), "opa_url": opa_url}
        for name, url in standin.bouncers.items()
    ]
    return {
        "database": {"url": postgres.dsn(grants.ROLE, DATABASE, PASSWORD)},
        "redis": {"url": redis.url},
        "api": {"url": standin.api_url},
        "bouncers": bouncers,
        "collectors": {"opal": {"server_url": standin.opal_server_url, "clients": [client]}},
    }


def rewritten(section: str, old: str, new: str) -> Breaking:
    """Changes a part of a URL in the configuration."""

    @contextmanager
    def broken(_: Installation) -> Iterator[Change]:
        def change(settings: dict[str, Any]) -> None:
            assert old in settings[section]["url"]
            settings[section]["url"] = settings[section]["url"].replace(old, new)

        yield change

    return broken


@contextmanager
def wrong_port(installation: Installation) -> Iterator[Change]:
    def change(settings: dict[str, Any]) -> None:
        url = settings["database"]["url"]
        settings["database"]["url"] = url.replace(f":{installation.postgres.port}/", f":{free_port()}/")

    yield change


@contextmanager
def wrong_opal_port(_: Installation) -> Iterator[Change]:
    yield lambda settings: settings["collectors"]["opal"].update(server_url=f"http://127.0.0.1:{free_port()}")


@contextmanager
def wrong_service(installation: Installation) -> Iterator[Change]:
    """The API's address leads to the OPAL server, which has no /health."""
    yield lambda settings: settings["api"].update(url=installation.standin.opal_server_url)


@contextmanager
def new_bouncer(installation: Installation) -> Iterator[Change]:
    """The file names one more bouncer than the running exporter has read."""
    with sql(PEP.format("bouncer-new"), UNPEP.format("bouncer-new"))(installation):
        new = {**installation.settings["bouncers"][0], "name": "bouncer-new"}
        yield lambda settings: settings["bouncers"].append(new)


def sql(breaking: str, mending: str) -> Breaking:
    """Changes the product's database."""

    @contextmanager
    def broken(installation: Installation) -> Iterator[None]:
        installation.sql(breaking)
        try:
            yield
        finally:
            installation.sql(mending)

    return broken


@contextmanager
def lost_policies(installation: Installation) -> Iterator[None]:
    installation.standin.fault("bouncer-production", "undefined")
    try:
        yield
    finally:
        installation.standin.clear("bouncer-production")


def scraping(*, is_scraped: bool = True, is_at_nobody: bool = False, rules: Mapping[str, str] = RULES) -> Breaking:
    """Gives Prometheus another configuration, and waits until it is in force."""

    @contextmanager
    def broken(installation: Installation) -> Iterator[None]:
        prometheus = installation.prometheus
        address = f"127.0.0.1:{free_port()}" if is_at_nobody else ""
        installation.configure(is_scraped=is_scraped, address=address, rules=rules)
        has_series = is_scraped and not is_at_nobody
        try:
            wait_for(
                lambda: (
                    bool(prometheus.query("controlcore_exporter_build_info")) == has_series
                    and all(each["health"] == ("down" if is_at_nobody else "up") for each in prometheus.targets())
                    and all(rule["health"] == "ok" for rule in prometheus.rules())
                ),
                30,
                poll_seconds=0.2,
            )
            yield
        finally:
            installation.configure()
            installation.wait_until_stored()

    return broken


class Impostor(BaseHTTPRequestHandler):
    """Has /health alone, and a clock that is an hour late."""

    def do_GET(self) -> None:
        self.send_response_only(200 if self.path == "/health" else 404)
        self.send_header("Date", formatdate(time() - 3600, usegmt=True))
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")


@contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[int]:
    """An impostor in the API's place; yields its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Impostor)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def late_clock(_: Installation) -> Iterator[Change]:
    with serving() as port:
        yield lambda settings: settings["api"].update(url=f"http://127.0.0.1:{port}")


def certificate(*, is_trusted: bool, is_expired: bool) -> Breaking:
    """Serves the API with its own certificate, which the exporter trusts or not."""

    @contextmanager
    def broken(installation: Installation) -> Iterator[Change]:
        pair = make_serving_pair(installation.folder, "api")
        if is_expired:
            signing = ("-signkey", str(pair.key_path), "-days", "-1", "-out", str(pair.certificate_path))
            command = ("openssl", "x509", "-in", str(pair.certificate_path), *signing)
            subprocess.run(command, check=True, capture_output=True)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(pair.certificate_path, pair.key_path)
        system_trust.cache_clear()
        with serving(context) as port, pytest.MonkeyPatch.context() as patch:
            if is_trusted:
                patch.setenv("SSL_CERT_FILE", str(pair.certificate_path))
            yield lambda settings: settings["api"].update(url=f"https://localhost:{port}")
        system_trust.cache_clear()

    return broken
