"""The servers of the test bench are real, answer, freeze whole, come back, and leave nothing behind."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests.fakes.waiting import wait_for
from tools.servers.alertmanager import AlertmanagerServer
from tools.servers.http import HttpError
from tools.servers.opa import OpaServer
from tools.servers.postgres import PostgresServer
from tools.servers.process import ServerError
from tools.servers.redis import RedisServer
from tools.servers.versions import Generation

# Starting a server takes a second or two alone, and several times that next to busy workers.
pytestmark = pytest.mark.timeout(60)

SILENCE_SECONDS = 0.5


def test_postgres_password_is_checked_over_tcp(postgres_server, database):
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)

    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgres_server.dsn(password="wrong"))


def test_postgres_frozen_answers_no_open_and_no_new_connection(postgres_server, database):
    """Stopping the postmaster alone would leave the open session answering."""
    with psycopg.connect(database, autocommit=True) as connection:
        postgres_server.freeze()
        try:
            connection.pgconn.send_query(b"SELECT 1")
            assert not _is_readable(connection.fileno())
            with pytest.raises(psycopg.errors.ConnectionTimeout):
                psycopg.connect(database, connect_timeout=2)
        finally:
            postgres_server.thaw()
        assert _is_readable(connection.fileno(), 10.0)
        while connection.pgconn.get_result() is not None:
            pass


def test_postgres_stopped_and_started_keeps_port_and_data():
    with PostgresServer() as server:
        dsn = server.create_database("kept")
        server.stop()
        with pytest.raises(psycopg.OperationalError, match="refused"):
            psycopg.connect(dsn)
        server.start()
        with psycopg.connect(dsn) as connection:
            assert connection.execute("SELECT current_database()").fetchone() == ("kept",)


def test_postgres_connections_are_limited_as_asked():
    with PostgresServer(max_connections=7) as server:
        assert server.run_sql("SHOW max_connections") == [["7"]]


def test_redis_frozen_keeps_the_connection_and_answers_after_thaw():
    with RedisServer(password="made-up", max_memory="8mb") as server:
        assert server.call("CONFIG", "GET", "maxmemory") == "*2"
        server.freeze()
        try:
            with pytest.raises(TimeoutError):
                server.call("PING", timeout_seconds=SILENCE_SECONDS)
        finally:
            server.thaw()
        assert server.call("PING") == "+PONG"


def test_redis_without_the_password_refuses():
    with (
        RedisServer(password="made-up") as server,
        socket.create_connection((server.host, server.port)) as connection,
    ):
        connection.sendall(b"PING\r\n")
        assert connection.recv(100).startswith(b"-NOAUTH")


def test_prometheus_evaluates_scrapes_and_reloads(prometheus_program, generation):
    configuration = """
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: ["rules/*.yml"]
scrape_configs:
  - job_name: itself
    static_configs: [{targets: ["127.0.0.1:PORT"]}]
"""
    rule = {"rules/one.yml": "groups: [{name: one, rules: [{alert: Always, expr: vector(7)}]}]"}
    server = prometheus_program({"prometheus.yml": configuration} | rule, generation)
    server.write_files({"prometheus.yml": configuration.replace("PORT", str(server.port))})
    server.reload()

    server.process.wait_until(lambda: server.firing() == {"Always"}, 20.0)
    server.process.wait_until(lambda: server.value('up{job="itself"}') == 1.0, 20.0)
    major = {Generation.DEBIAN: "2", Generation.PINNED: "3"}[generation]
    assert server.read("status/buildinfo")["version"].split(".")[0] == major
    assert server.value("vector(2) * 3") == 6.0
    assert server.value("absent_name") is None


def test_prometheus_wrong_configuration_is_refused_on_reload(prometheus_program, generation):
    server = prometheus_program({"prometheus.yml": "global: {}"}, generation)
    server.write_files({"prometheus.yml": "nonsense: true"})
    with pytest.raises(HttpError, match="nonsense"):
        server.reload()


def test_alertmanager_peers_share_silences(generation):
    configuration = "route: {receiver: nobody}\nreceivers: [{name: nobody}]"
    with (
        AlertmanagerServer(configuration, generation, is_clustered=True) as first,
        AlertmanagerServer(configuration, generation, peers=[first]) as second,
    ):
        first.process.wait_until(lambda: len(first.status()["cluster"]["peers"]) == 2, 20.0)
        first.post_alerts([{"labels": {"alertname": "Quiet"}}])
        first.process.wait_until(lambda: len(first.alerts()) == 1, 10.0)
        identifier = first.silence(alertname="Quiet")
        second.process.wait_until(lambda: [s["id"] for s in second.silences()] == [identifier], 20.0)


def test_opa_answers_true_false_and_undefined():
    policy = 'package app\n\nallow if input.user == "alice"\n\ndeny := false\n'
    with OpaServer({"app": policy}) as server:
        assert server.evaluate("app/allow", {"user": "alice"}) is True
        assert server.evaluate("app/deny") is False
        assert server.evaluate("app/allow", {"user": "mallory"}) is None
        with pytest.raises(HttpError, match="rego_parse_error"):
            server.put_policy("broken", "package broken\n\nallow if (")


def test_killed_parent_takes_servers_and_folders_with_it():
    """Even SIGKILL, which gives the parent no chance to clean up, and even a frozen server."""
    code = (
        "import sys, time\n"
        "from tools.servers.redis import RedisServer\n"
        "server = RedisServer().open()\n"
        "server.freeze()\n"
        "print(server.process.pid, server.folder, flush=True)\n"
        "time.sleep(60)\n"
    )
    root = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", code], cwd=root, stdout=subprocess.PIPE, text=True) as parent:
        pid, folder = parent.stdout.readline().split()
        os.kill(parent.pid, signal.SIGKILL)
    wait_for(lambda: not Path(f"/proc/{pid}").exists() and not Path(folder).exists(), 9.0)


def test_server_that_cannot_start_says_what_its_log_says():
    with pytest.raises(ServerError, match="nonsense-directive"):
        RedisServer(settings={"nonsense-directive": "1"}).open()


def _is_readable(descriptor: int, timeout_seconds: float = SILENCE_SECONDS) -> bool:
    return bool(select.select([descriptor], [], [], timeout_seconds)[0])
