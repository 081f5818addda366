"""What hurts in stores: a journal that was not read for hours, used up connections, secrets that travel."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from remediations.commands import grants
from tests.fakes.running_remediator import TOKEN, RunningRemediator
from tests.fakes.waiting import wait_for
from tests.system.stage import NAME, Stage, deliver, kinds, wait_closed, wait_held
from tools.servers.kubernetes.control_plane import ADMIN_TOKEN
from tools.servers.postgres import PASSWORD, PostgresServer
from tools.slowness import scaled, slowness

pytestmark = pytest.mark.timeout(120)
SIX_HOURS = 6 * 3600
PLANTED = "Xk2-planted-7719"
IDLE = 7


def test_six_hours_of_downtime_leave_nothing_old_to_be_done(stage: Stage, tmp_path: Path) -> None:
    """Waiting remediations expire; new ones wait five minutes before anything is written."""
    stage.deploy()
    before = stage.breaks()
    clock = tmp_path / "clock"
    clock.write_text(str(-SIX_HOURS))
    remediator = stage.remediator()
    remediator.program = (sys.executable, "-m", "tests.fakes.fake_host", str(clock))
    with remediator:
        deliver(remediator)
        wait_held(remediator, "condition_unknown")
        remediator.stop()
        clock.write_text("0")
        remediator.start()

        assert wait_closed(remediator) == "expired"
        deliver(remediator, 2, round="2")
        wait_held(remediator, "cold_start")
        assert (stage.generation(), kinds(remediator, "intent")) == (before, 0)


@pytest.fixture
def full_database() -> Iterator[PostgresServer]:
    """A separate PostgreSQL with few connections and the two roles."""
    with PostgresServer(max_connections=14, settings={"superuser_reserved_connections": "3"}) as server:
        server.create_user("control_plane")
        server.create_user("remediator")
        # The shipped least of 60 s is too long for a test: the same text with a tenth of a second.
        text = grants.render("remediator", "control_plane").replace("greatest(least_seconds, 60)", "0.1")
        server.run_sql(text)
        yield server


class Sessions:
    """Connections to the database, by role."""

    def __init__(self, server: PostgresServer, stack: ExitStack) -> None:
        self._server = server
        self._stack = stack

    def open(self, user: str = "control_plane") -> psycopg.Connection[Any]:
        """One more session; OperationalError with SQLSTATE 53300 when there is no room."""
        connection = psycopg.connect(self._server.dsn(user, "postgres"), connect_timeout=int(scaled(5)))
        self._stack.callback(connection.close)
        return connection

    def has_room(self) -> bool:
        """Whether the control plane gets a new connection."""
        try:
            with closing(
                psycopg.connect(self._server.dsn("control_plane", "postgres"), connect_timeout=int(scaled(5)))
            ):
                return True
        except psycopg.OperationalError as error:
            if "connection slots" not in str(error):
                raise
            return False

    def idle(self) -> psycopg.Connection[Any]:
        """A session that has begun a transaction and does nothing."""
        connection = self.open()
        connection.execute("SELECT 1")
        return connection


def sleep(connection: psycopg.Connection[Any]) -> None:
    """Keeps a session busy until its query is cancelled."""
    with suppress(psycopg.errors.QueryCanceled):
        connection.execute("SELECT pg_sleep(3600)")


def is_alive(connection: psycopg.Connection[Any]) -> bool:
    """Whether the server still serves the session."""
    try:
        connection.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


def test_used_up_connections_cost_idle_sessions_and_nothing_else(stage: Stage, full_database: PostgresServer) -> None:
    """SQLSTATE 53300: five idle sessions end over the kept connection; the API that fails for it is not restarted."""
    stage.deploy()
    before = stage.generation()
    ending = stage.policy(
        name="end-idle-sessions",
        action="terminate_idle_sessions",
        targets=[{"namespace": stage.namespace, "kind": "Database", "name": "control-plane"}],
        parameters={"idle_seconds": 60},
        condition={"promql": "exhausted", "collectors": ["postgres"]},
        verify={"promql": "room", "collectors": ["postgres"]},
        witnesses=[],
    )
    top = {"dependencies": {"database": {"promql": "room", "collectors": ["postgres"]}}}
    policies = (stage.policy(dependencies=["database"], retry_seconds=600), ending)
    settings = {"database": {"url": full_database.dsn("remediator"), "timeout_seconds": slowness()}}
    with ExitStack() as stack, stage.remediator(*policies, settings=settings, **top) as remediator:
        sessions = Sessions(full_database, stack)
        wait_for(lambda: full_database.run_sql("SELECT 1 FROM pg_stat_activity WHERE usename = 'remediator'"))
        guilty = [sessions.idle() for _ in range(IDLE)]
        busy, outside = sessions.open(), sessions.open("postgres")
        outside.execute("SELECT 1")
        work = threading.Thread(target=sleep, args=(busy,))
        stack.callback(work.join)
        stack.callback(busy.cancel)
        with suppress(psycopg.OperationalError):
            while True:
                sessions.open()
        work.start()
        assert not sessions.has_room()
        stage.watch.answers |= {
            "fault": 1.0,
            "exhausted": lambda: float(not sessions.has_room()),
            "room": lambda: float(sessions.has_room()),
        }
        deliver(remediator)
        wait_held(remediator, "dependency_down")
        deliver(remediator, 2, remediation="end-idle-sessions", alertname="ControlCoreDatabaseConnectionsExhausted")

        assert wait_closed(remediator) == "succeeded"
        assert [is_alive(connection) for connection in guilty] == [False] * 5 + [True] * 2
        assert is_alive(outside)
        assert work.is_alive()
        assert stage.generation() == before
        assert ("PATCH", 200) not in stage.front.statuses


def plant(stage: Stage) -> None:
    """A secret where an environment has one: literal, ConfigMap, Secret, what a container said, what an Event says."""
    place, client = stage.namespace, stage.cluster.client
    kept = {"apiVersion": "v1", "metadata": {"name": "settings", "namespace": place}}
    stage.cluster.apply(kept | {"kind": "ConfigMap", "data": {"DB_PASSWORD": PLANTED}})
    stage.cluster.apply(kept | {"kind": "Secret", "stringData": {"KEY": PLANTED}})
    container = {
        "name": "api",
        "image": "api:1",
        "env": [{"name": "SECRET_KEY", "value": PLANTED}],
        "envFrom": [{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "settings"}}],
    }
    stage.deploy(template={"metadata": {"labels": {"app": NAME}}, "spec": {"containers": [container]}})
    pod = client.items(f"/api/v1/namespaces/{place}/pods")[0]
    ended = {"exitCode": 1, "reason": "Error", "message": f"cannot log in with {PLANTED}"}
    status = {"name": "api", "image": "api:1", "imageID": "1", "ready": True, "restartCount": 1}
    path = f"/api/v1/namespaces/{place}/pods/{pod['metadata']['name']}/status"
    client.patch(path, {"status": {"containerStatuses": [status | {"lastState": {"terminated": ended}}]}})
    event = {
        "metadata": {"name": "failed", "namespace": place},
        "involvedObject": {"kind": "Deployment", "name": NAME, "namespace": place},
        "type": "Warning",
        "reason": "Failed",
        "message": f"env SECRET_KEY={PLANTED}",
        "lastTimestamp": "2026-11-25T00:00:00Z",
    }
    client.post(f"/api/v1/namespaces/{place}/events", event)


def everything_told(remediator: RunningRemediator) -> dict[str, str]:
    """Everything that the program has written or answers, by place."""
    ((identifier,),) = remediator.read("SELECT id FROM remediation")
    told = {"log": remediator.log_path.read_text()}
    for table in ("remediation", "record", "arrival", "seen", "quarantine"):
        told[table] = repr(remediator.read(f"SELECT * FROM {table}"))  # noqa: S608 - a name of this list
    texts = remediator.read("SELECT json_extract(data, '$.inputs') FROM record WHERE kind = 'decision'")
    told["inputs"] = repr([text for (text,) in texts if text])
    for command in (("show", "last"), ("--output", "json", "show", "last")):
        ended = subprocess.run(
            remediator.command(*command), capture_output=True, text=True, timeout=scaled(30), check=True
        )
        told[" ".join(command)] = ended.stdout + ended.stderr
    headers = {"Authorization": f"Bearer {TOKEN}"}
    for path in ("/api/v1/remediations", f"/api/v1/remediations/{identifier}", "/metrics", "/"):
        status, told[path] = remediator.ask("GET", path, headers=headers)
        assert status == 200
    return told


def test_planted_secrets_are_in_nothing_that_is_told(stage: Stage) -> None:
    """L3, and the program's own secrets: the webhook's token, the cluster's, the database's password."""
    plant(stage)
    stage.allow_reading("configmaps", "secrets", name="settings")
    before = stage.breaks()
    policy = stage.policy(accept=["changed_configuration"])
    with stage.remediator(policy) as remediator:
        deliver(remediator)
        assert wait_closed(remediator) == "succeeded"
        assert stage.generation() == before + 1
        told = everything_told(remediator)
        events = repr(stage.cluster.client.items(f"/api/v1/namespaces/{stage.namespace}/events"))

    assert "[removed]" in told["record"], "the evidence has seen nothing that had to be removed"
    assert events.count(PLANTED) == 1, "only the Event that was planted"
    for secret in (PLANTED, TOKEN, ADMIN_TOKEN, PASSWORD):
        assert [place for place, text in told.items() if secret in text] == []
