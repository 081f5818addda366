"""People see repairs in their usual tools, and nothing acts by itself with rights that are too wide."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from contextlib import ExitStack
from typing import Any

import pytest

from tests.fakes.faulty_proxy import WRITES, Fault
from tests.fakes.running_remediator import TOKEN, RunningRemediator, an_alert
from tests.fakes.waiting import wait_for
from tests.system.stage import NAME, Stage, deliver, newest, wait_closed, wait_held
from tools.servers.alertmanager import AlertmanagerServer
from tools.servers.versions import Generation

pytestmark = pytest.mark.timeout(240)
QUIET = "route: {receiver: none}\nreceivers: [{name: none}]\n"
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
PLANTED = "planted-secret-7391"
DATABASE = {"dependencies": {"database": {"promql": "database", "collectors": ["api"]}}}


def announced(alertmanager: AlertmanagerServer) -> dict[str, str]:
    """Name → reason of every current announcement."""
    labels = [alert["labels"] for alert in alertmanager.alerts()]
    return {each["alertname"]: each["reason"] for each in labels if each["alertname"].startswith("Remediation")}


def events(stage: Stage) -> list[dict[str, Any]]:
    """The Events that `kubectl describe deployment` shows: those about its uid, oldest first."""
    uid = stage.read()["metadata"]["uid"]
    place = f"/api/v1/namespaces/{stage.namespace}/events?fieldSelector=involvedObject.uid={uid}"
    found = [item for item in stage.cluster.client.items(place) if item["reason"].startswith("Remediation")]
    return sorted(found, key=lambda item: item["metadata"]["name"])


def metric(remediator: RunningRemediator, series: str) -> float | None:
    """A series of the remediator's page; None where it is absent."""
    lines = [line for line in remediator.ask("GET", "/metrics")[1].splitlines() if line.startswith(series + " ")]
    return float(lines[0].rsplit(" ", 1)[1]) if lines else None


def run(remediator: RunningRemediator, *arguments: str) -> str:
    """The output of a command while the program runs."""
    return subprocess.run(remediator.command(*arguments), capture_output=True, text=True, check=True).stdout


def test_hold_and_repair_are_announced_and_stand_at_the_target(stage: Stage, generation: Generation) -> None:
    environment = [{"name": "DB_PASSWORD", "value": PLANTED}]
    container = {"name": "api", "image": "api:1", "env": environment}
    template = {"metadata": {"labels": {"app": NAME}}, "spec": {"containers": [container]}}
    stage.deploy(template=template)
    stage.breaks()
    stage.watch.answers["database"] = 0.0
    with ExitStack() as stack:
        members = [stack.enter_context(AlertmanagerServer(QUIET, generation)) for _ in range(2)]
        place = {"url": members[0].url, "more_urls": [members[1].url], "announce_labels": {"cluster": "test"}}
        policy = stage.policy(dependencies=["database"])
        remediator = stack.enter_context(stage.remediator(policy, settings={"alertmanager": place}, **DATABASE))
        members[0].write_configuration(remediator.alertmanager_configuration(group_by="..."))
        members[0].reload()

        deliver(remediator, 1, note="<!channel>\n")
        for member in members:
            wait_for(lambda member=member: announced(member) == {"RemediationHeld": "dependency_down"})
        (alert,) = members[1].alerts()
        assert (alert["labels"]["cluster"], alert["labels"]["name"]) == ("test", NAME)
        assert alert["status"]["state"] == "active"
        assert alert["startsAt"] < alert["endsAt"]

        stage.watch.answers["database"] = 1.0
        assert wait_closed(remediator) == "succeeded"
        for member in members:
            wait_for(lambda member=member: announced(member) == {"RemediationActed": "written"})
        wait_for(lambda: len(events(stage)) == 4)
        found = events(stage)
        assert [(item["type"], item["reason"]) for item in found] == [
            ("Warning", "RemediationHeld"),
            ("Normal", "RemediationPlanned"),
            ("Normal", "RemediationActed"),
            ("Normal", "RemediationVerified"),
        ]
        assert all(item["message"] and item["lastTimestamp"] and item["source"]["component"] for item in found)
        # What came back from Alertmanager began nothing.
        wait_for(lambda: (metric(remediator, 'controlcore_remediation_webhook_alerts_total{status="own"}') or 0) >= 2)
        assert remediator.read("SELECT count(*) FROM remediation") == [(1,)]
        assert metric(remediator, 'controlcore_remediation_policy_downgraded{remediation="restart-api"}') == 0

        told = [json.dumps(events(stage)), *(json.dumps(member.alerts()) for member in members)]
        shown = [run(remediator, "show", "last"), run(remediator, "list", "--output", "json")]
        api = remediator.ask("GET", "/api/v1/remediations", headers=AUTHORIZED)[1]
        kept = remediator.journal_path.read_bytes().decode("utf-8", "replace")
        for text in (*told, *shown, api, kept, remediator.log_path.read_text()):
            assert text
            assert PLANTED not in text
        assert not any("<!channel>" in text for text in told)


def test_rights_that_are_too_wide_make_auto_ask_until_they_are_limited(stage: Stage) -> None:
    stage.deploy()
    before = stage.breaks()
    binding = stage.allow_everything()
    with stage.remediator() as remediator:
        deliver(remediator)
        wait_held(remediator, "self_test_failed")
        assert "self_test_failed" in run(remediator, "list", "--output", "wide")
        assert "auto (approve)" in run(remediator, "check-config")
        assert "does not refuse" in run(remediator, "show", "last")
        assert metric(remediator, 'controlcore_remediation_policy_downgraded{remediation="restart-api"}') == 1
        assert any(line["event"] == "self_test.failed" for line in remediator.log())
        assert stage.generation() == before

        stage.cluster.client.delete(binding)
        wait_for(lambda: _is_limited(remediator))
        assert wait_closed(remediator) == "succeeded"
        assert stage.generation() == before + 1


def test_plan_of_a_downgraded_policy_is_carried_out_once_it_is_approved(stage: Stage) -> None:
    """All of it over HTTP: what would be decided, the plan that waits, and the answer to it."""
    stage.deploy()
    before = stage.breaks()
    stage.allow_everything()
    with stage.remediator() as remediator:
        payload = {"version": "4", "alerts": [an_alert(1)]}
        wait_for(lambda: call(remediator, "POST", "plan", {"payload": payload})["decisions"])
        (decided,) = call(remediator, "POST", "plan", {"payload": payload})["decisions"]
        assert (decided["decision"], decided["reason"]) == ("hold", "self_test_failed")
        assert remediator.read("SELECT count(*) FROM remediation") == [(0,)]

        deliver(remediator)
        wait_held(remediator, "self_test_failed")
        (waiting,) = call(remediator, "GET", "remediations?open=true")["remediations"]
        proposal = call(remediator, "GET", f"remediations/{waiting['id']}")["proposal"]
        assert "+ spec.template.metadata.annotations" in proposal["difference"]
        assert stage.generation() == before

        answer = {"by": "ann", "plan_hash": proposal["plan_hash"]}
        assert call(remediator, "POST", f"remediations/{waiting['id']}/approve", answer)["is_approved"]
        assert wait_closed(remediator) == "succeeded"
        assert stage.generation() == before + 1
        assert call(remediator, "GET", f"remediations/{waiting['id']}/replay")["is_same"]
        assert call(remediator, "POST", "check-config")["policies"][0]["effective_mode"] == "approve"


def test_nothing_acts_by_itself_while_nobody_knows_what_its_rights_are(stage: Stage) -> None:
    """The API server can be read, but answers no dry run."""
    stage.deploy()
    before = stage.breaks()
    stage.front.spares_dry_runs = False
    stage.front.fail(Fault.STATUS, WRITES, 500)
    with stage.remediator() as remediator:
        deliver(remediator)
        wait_held(remediator, "self_test_unknown")
        assert "auto (held)" in run(remediator, "check-config")
        assert stage.generation() == before

        stage.front.heal()
        assert wait_closed(remediator) == "succeeded"
        assert stage.generation() == before + 1


def call(remediator: RunningRemediator, method: str, path: str, body: Any = None) -> dict[str, Any]:
    """The HTTP API's answer to a caller with the token."""
    data = None if body is None else json.dumps(body).encode()
    status, text = remediator.ask(method, f"/api/v1/{path}", data, AUTHORIZED)
    assert status == 200, text
    return dict(json.loads(text))


def _is_limited(remediator: RunningRemediator) -> bool:
    """Has the policies read again; whether the API server refuses what it must, by now."""
    os.kill(remediator.process.pid, signal.SIGHUP)
    return metric(remediator, 'controlcore_remediation_policy_downgraded{remediation="restart-api"}') == 0


def test_repair_goes_on_where_nobody_can_be_told(stage: Stage) -> None:
    """No right to create Events, and the second Alertmanager, which is not queried about silences, is gone."""
    stage.deploy()
    before = stage.breaks()
    stage.is_silent = True
    with AlertmanagerServer(QUIET) as alertmanager:
        place = {"url": alertmanager.url, "more_urls": ["http://127.0.0.1:9"]}
        with stage.remediator(settings={"alertmanager": place}) as remediator:
            deliver(remediator)
            assert wait_closed(remediator) == "succeeded"
            assert stage.generation() == before + 1
            wait_for(lambda: metric(remediator, 'controlcore_remediation_events_total{status="failed"}') == 3)
            wait_for(lambda: metric(remediator, 'controlcore_remediation_announcements_total{status="failed"}'))
            wait_for(lambda: announced(alertmanager) == {"RemediationActed": "written"})
            told = [line["event"] for line in remediator.log()]
            assert (told.count("event.refused"), told.count("announcement.failed")) == (1, 1)
            assert newest(remediator) == ("succeeded", "succeeded")
            assert events(stage) == []


def test_announcement_that_a_crash_kept_back_is_made_after_the_restart(stage: Stage) -> None:
    stage.deploy()
    stage.breaks()
    stage.watch.answers["database"] = 0.0
    with AlertmanagerServer(QUIET) as alertmanager:
        place = {"url": alertmanager.url}
        policy = stage.policy(dependencies=["database"])
        with stage.remediator(policy, settings={"alertmanager": place}, **DATABASE) as remediator:
            alertmanager.freeze()
            deliver(remediator)
            # Silences cannot be read either: the decision is a hold, and it is not announced.
            wait_held(remediator, "silence_unknown")
            remediator.kill()
            alertmanager.thaw()
            remediator.start()
            wait_for(lambda: announced(alertmanager) == {"RemediationHeld": "dependency_down"})
            assert len([alert for alert in alertmanager.alerts() if alert["labels"]["policy"] == "restart-api"]) == 1
