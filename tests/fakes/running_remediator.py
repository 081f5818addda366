"""The remediator as its user runs it: a separate process, a journal on disk, queried over HTTP."""

from __future__ import annotations

import http.client
import json
import sqlite3
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from remediations.core.codec import from_json, inflate, to_json
from tests.fakes.log_file import read_log
from tools.servers.process import Command
from tools.servers.sidecar import ROOT, RemediatorServer
from tools.slowness import scaled

TOKEN = "a-token-of-the-test-0001"
POLICIES = """
identity: ['cluster="test"']
policies:
  - name: restart-api
    action: restart_workload
    mode: auto
    targets: [{namespace: control-core, kind: Deployment, name: control-plane-api}]
    condition: {promql: fault, collectors: [api]}
    verify: {promql: well, collectors: [api]}
    witnesses: [{name: pods, kind: pods_ready}]
"""


class RunningRemediator(RemediatorServer):
    """One remediator; `policies` and `settings` are its two files, completed with what a test need not say."""

    def __init__(self, policies: str = POLICIES, settings: dict[str, Any] | None = None) -> None:
        super().__init__(settings or {}, policies, token=TOKEN)
        self.program: tuple[str, ...] = (sys.executable, "-m", "remediations")
        """The module that starts it; `tests.fakes.fake_host` starts it on a manipulated host."""
        self.environment: dict[str, str] = {}

    def prepare(self) -> None:
        usual: dict[str, dict[str, Any]] = {
            "server": {"roles": {"approve": {"token_files": [str(self.token_path)]}}},
            "prometheus": {"url": "http://127.0.0.1:9"},
            "log": {"form": "json"},
        }
        self._settings |= {name: {**values, **self._settings.get(name, {})} for name, values in usual.items()}
        super().prepare()

    def describe(self) -> Command:
        return Command(
            (*self.program, "serve", "--config.file", str(self.settings_path)),
            environment=self.environment,
            working_directory=ROOT,
        )

    def command(self, *arguments: str) -> tuple[str, ...]:
        """A command line next to the running program."""
        return (sys.executable, "-m", "remediations", "--config.file", str(self.settings_path), *arguments)

    def alertmanager_configuration(
        self, url: str = "", *, group_by: str = "alertname", group_wait: str = "0s", repeat_interval: str = "1h"
    ) -> str:
        """What makes Alertmanager send every alert to this program, or by way of another address."""
        return f"""
route:
  receiver: remediator
  group_by: [{group_by}]
  group_wait: {group_wait}
  group_interval: 1s
  repeat_interval: {repeat_interval}
receivers:
  - name: remediator
    webhook_configs:
      - url: {url or self.url}/api/v1/alerts
        max_alerts: 0
        http_config: {{authorization: {{credentials_file: {self.token_path}}}}}
"""

    def post(self, *alerts: Any, token: str | None = TOKEN, timeout_seconds: float = 15.0) -> int:
        """Delivers alerts as Alertmanager does; the status, or 0 without an answer."""
        return self.post_body(json.dumps({"version": "4", "alerts": alerts}).encode(), token, timeout_seconds)

    def post_body(self, body: bytes, token: str | None = TOKEN, timeout_seconds: float = 15.0) -> int:
        """Delivers a body as it is."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return self.ask("POST", "/api/v1/alerts", body, headers, timeout_seconds)[0]

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Any = None, timeout_seconds: float = 15.0
    ) -> tuple[int, str]:
        """One request; status 0 without an answer."""
        request = urllib.request.Request(self.url + path, data=body, method=method, headers=headers or {})  # noqa: S310 - loopback
        try:
            with urllib.request.urlopen(request, timeout=scaled(timeout_seconds)) as answer:  # noqa: S310 - loopback
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode(errors="replace")
        except (OSError, http.client.HTTPException):
            return 0, ""

    def log(self) -> list[dict[str, Any]]:
        """The log lines written so far."""
        return read_log(self.log_path)

    def read(self, question: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of the journal, read while the program runs; the data of a record is complete."""
        with closing(sqlite3.connect(f"file:{self.journal_path}?mode=ro", uri=True, timeout=10)) as connection:
            connection.create_function("whole", 3, whole)
            connection.execute(WHOLE_RECORDS)
            return connection.execute(question, tuple(values)).fetchall()


WHOLE_RECORDS = """
CREATE TEMP VIEW record AS
SELECT number, remediation, at, kind, state,
    whole(data, packed, (SELECT packed FROM main.record AS other WHERE other.number = main.record.base)) AS data
FROM main.record"""
"""Stands before the table of this name for questions of this connection."""


def whole(data: str, packed: bytes | None, base: bytes | None) -> str:
    """The data of a record with its packed parts, as JSON."""
    if packed is None:
        return data
    return to_json(from_json(data) | from_json(inflate(packed, inflate(base) if base else b"")))


def an_alert(number: int = 0, **labels: str) -> dict[str, Any]:
    """One alert about its own target: without `deployment` it is about the listed one."""
    named = {"alertname": "ControlCoreApiDown", "remediation": "restart-api", "cluster": "test", **labels}
    return {
        "status": "firing",
        "labels": named,
        "annotations": {"summary": "The control-plane API does not answer. " * 10},
        "startsAt": "2026-11-23T10:00:00Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus.example/graph?g0.expr=controlcore_api_reachable" + "x" * 300,
        "fingerprint": f"{number:016x}",
    }
