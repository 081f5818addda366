"""Whether alerts arrive, by what the running program says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from chassis.clock import format_rfc3339
from chassis.errors import BackendError, PermanentError, Reason, TransientError
from chassis.http.call import Call, Response
from chassis.http.server import Listener
from chassis.http.web_config import read_web
from remediations.commands.doctor.arrival import check_arrival, doctor_labels, judge_watchdog
from remediations.commands.doctor.checks import CHECKS, table_for
from remediations.commands.doctor.installation import opened
from remediations.commands.doctor.program import (
    DOCTOR_AT,
    NOTIFICATIONS,
    WATCHDOG_AT,
    check_program,
    own_url,
    read_own_page,
    refused_deliveries,
)
from remediations.core.intake import match_alerts, parse_payload
from remediations.core.policies.policy import PolicySet
from remediations.core.policies.time_windows import parse_clock
from remediations.settings import RemediatorSettings
from tests.fakes.clock import ManualClock
from tests.fakes.decisions import a_policy_set, restart_policy
from tests.fakes.installation import AskedHttp, a_place, found_by
from tests.unit.remediations.commands.doctor.test_routes import a_status
from tools.servers.kubernetes.certificates import KeyPair, make_serving_pair

NOW = ManualClock().now()
SETTINGS = {"alertmanager": {"url": "http://alertmanager:9093"}}


def a_page(**values: Any) -> bytes:
    """The program's metrics."""
    names = {"watchdog": WATCHDOG_AT, "doctor": DOCTOR_AT}
    lines = [f"# TYPE {names[key]} gauge\n{names[key]} {value!r}" for key, value in values.items() if key in names]
    counts = {key: value for key, value in values.items() if key not in names}
    lines += [f"# TYPE {NOTIFICATIONS.removesuffix('_total')} counter"] * bool(counts)
    lines += [f'{NOTIFICATIONS}{{status="{key}"}} {value}' for key, value in counts.items()]
    return ("\n".join(lines) + "\n").encode()


def place_with(own: Callable[[Call], Any], alertmanager: Callable[[Call], Any] | None = None, **parts: Any) -> Any:
    settings = RemediatorSettings(**(SETTINGS | parts.pop("settings", {})))
    http = AskedHttp(alertmanager or (lambda _: Response(200, a_status(), 0.0)))
    return a_place(a_policy_set(restart_policy()), settings=settings, own_http=AskedHttp(own), http=http, **parts)


@pytest.mark.parametrize(
    ("values", "severity", "words"),
    [
        ({"watchdog": NOW - 1200}, None, ""),
        ({"watchdog": NOW - 60, "unauthorized": 3}, None, ""),
        ({}, "unknown", "--send-alert"),
        ({"watchdog": NOW - 1300}, "error", "--send-alert"),
        ({"unauthorized": 2}, "error", "same token"),
        ({"forbidden": 2}, "error", "notification.refused"),
    ],
)
async def test_alert_that_always_fires_proves_the_way(values: dict[str, Any], severity: str | None, words: str) -> None:
    found = await found_by(check_arrival, place_with(lambda _: Response(200, a_page(**values), 0.0)))
    assert [(item.severity.value, words in item.remedy) for item in found] == ([(severity, True)] if severity else [])


async def test_without_alertmanager_or_policies_nothing_is_to_arrive() -> None:
    assert await found_by(check_arrival, a_place(a_policy_set())) == []
    assert judge_watchdog(a_place(), "check", {(WATCHDOG_AT, ""): NOW}, NOW) == []


class BusyClock(ManualClock):
    """Sleeps for no time, so that polling repeats at once."""

    async def sleep(self, seconds: float) -> None:
        del seconds
        await asyncio.sleep(0)


class Delivered:
    """An Alertmanager that takes an alert, and a program to which `deliver` brings it or not."""

    def __init__(self, page: Callable[[float], bytes]) -> None:
        self.page, self.sent = page, [0.0]
        self.alerts: list[dict[str, Any]] = []

    def alertmanager(self, call: Call) -> Response:
        if call.method == "POST":
            self.alerts += call.json
            self.sent.append(parse_clock(call.json[0]["startsAt"]) or 0.0)
        return Response(200, a_status(), 0.0)

    def own(self, _call: Call) -> Response:
        return Response(200, self.page(self.sent[-1]), 0.0)

    def place(self, **parts: Any) -> Any:
        return place_with(self.own, self.alertmanager, is_sending=True, clock=BusyClock(), **parts)


async def test_alert_that_was_sent_and_came_back_is_the_proof() -> None:
    world = Delivered(lambda sent: a_page(doctor=sent))
    place = world.place(settings={"alertmanager": {"url": "http://a:1", "more_urls": ["http://b:1"]}})
    assert await found_by(check_arrival, place) == []
    first, second = world.alerts
    assert first["labels"]["run"] != second["labels"]["run"]
    assert first["labels"].items() >= {"remediation": "none", "severity": "none"}.items()
    assert first["startsAt"] < first["endsAt"]


async def test_alert_of_an_earlier_run_is_no_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("remediations.commands.doctor.arrival.SLACK_SECONDS", 0.05)
    monkeypatch.setattr("remediations.commands.doctor.arrival.MAX_WAIT_SECONDS", 0.05)
    (found,) = await found_by(check_arrival, Delivered(lambda sent: a_page(doctor=sent - 60.0)).place())
    assert (found.severity.value, "does not arrive" in found.problem) == ("error", True)


async def test_refusal_during_the_run_is_told_at_once() -> None:
    world = Delivered(lambda sent: a_page(unauthorized=5 if sent else 2))
    (found,) = await found_by(check_arrival, world.place())
    assert found.evidence == "3 unauthorized"


async def test_alert_that_would_reach_people_only_is_not_sent() -> None:
    config = "{route: {receiver: people}, receivers: [{name: people, email_configs: [{}]}]}"
    status = json.dumps({"config": {"original": config}, "cluster": {}}).encode()
    place = place_with(lambda _: Response(200, a_page(), 0.0), lambda _: Response(200, status, 0.0), is_sending=True)
    (found,) = await found_by(check_arrival, place)
    assert (found.severity.value, "no alert was sent" in found.problem) == ("unknown", True)
    assert [call.method for call in place.http.calls] == ["GET"]


async def test_alertmanager_that_takes_nothing_leaves_the_way_unknown() -> None:
    def refuse(_call: Call) -> BackendError:
        return TransientError(Reason.REFUSED, "no")

    place = place_with(lambda _: Response(200, a_page(), 0.0), refuse, is_sending=True)
    (found,) = await found_by(check_arrival, place)
    assert found.severity.value == "unknown"


def test_alert_of_doctor_fits_no_policy_whatever_its_matchers() -> None:
    labels = doctor_labels("abc")
    alert = {"status": "firing", "labels": labels, "fingerprint": "f", "startsAt": format_rfc3339(NOW)}
    payload = parse_payload(json.dumps({"version": "4", "alerts": [alert]}).encode())
    delivery = match_alerts(payload, a_policy_set(restart_policy(name="none")), NOW)
    assert (delivery.matches, delivery.unmatched, payload.doctor_at) == ((), 0, NOW)


@pytest.mark.parametrize(
    ("host", "url"),
    [("", "http://127.0.0.1:9878"), ("0.0.0.0", "http://127.0.0.1:9878"),  # noqa: S104 - an address to ask
     ("::", "http://[::1]:9878"),
     ("fd00::1", "http://[fd00::1]:9878"), ("10.0.0.7", "http://10.0.0.7:9878")],
)  # fmt: skip
async def test_program_is_asked_where_it_listens(host: str, url: str) -> None:
    assert await own_url(a_place(settings=RemediatorSettings(server={"host": host}))) == url


async def test_port_that_the_program_picks_is_unknown() -> None:
    with pytest.raises(PermanentError, match=r"server\.port"):
        await own_url(a_place(settings=RemediatorSettings(server={"port": 0})))


async def test_credential_is_sent_only_where_the_page_asks_for_one(tmp_path: Any) -> None:
    (tmp_path / "token").write_text("a-token-of-the-test-0001")

    def own(call: Call) -> Response:
        return Response(200 if "Authorization" in call.headers else 401, a_page(watchdog=1.0), 0.0)

    files = [tmp_path / "none", tmp_path / "token"]
    place = place_with(own, settings={"server": {"more_token_files": files}})
    assert await read_own_page(place) == {(WATCHDOG_AT, ""): 1.0}
    with pytest.raises(PermanentError):
        await read_own_page(place_with(own))


def test_deliveries_that_were_taken_are_not_refused_ones() -> None:
    page = {(NOTIFICATIONS, "stored"): 5.0, (NOTIFICATIONS, "malformed"): 1.0, (NOTIFICATIONS, "rejected"): 0.0}
    assert refused_deliveries(page) == {"malformed": 1}


@pytest.mark.parametrize(
    ("answer", "holder", "told"),
    [
        (Response(200, b"ready\n", 0.0), "process 7", []),
        (Response(200, b"ready\nprometheus.url: no answer\n", 0.0), "process 7", [("warning", "reports warnings")]),
        (Response(200, b"ready\n", 0.0), "", [("error", "serves another journal than these settings name")]),
        (Response(503, b"the journal cannot be written\n", 0.0), "process 7", [("error", "not ready")]),
        (TransientError(Reason.REFUSED, "no"), "", [("error", "no remediator answers")]),
        (TransientError(Reason.REFUSED, "no"), "process 7", [("error", "does not answer at the address")]),
    ],
)
async def test_program_is_judged(
    answer: Any, holder: str, told: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("remediations.commands.doctor.program.find_server", lambda _: holder)
    found = await found_by(check_program, place_with(lambda _: answer))
    assert [(item.severity.value, words in item.problem) for item, (_, words) in zip(found, told, strict=True)] == [
        (severity, True) for severity, _ in told
    ]


async def test_program_whose_journal_cannot_be_looked_at_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_path: Path) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("remediations.commands.doctor.program.find_server", refuse)
    (found,) = await found_by(check_program, place_with(lambda _: Response(200, b"ready\n", 0.0)))
    assert (found.severity.value, "-owner: Permission denied" in found.evidence) == ("unknown", True)


async def test_program_on_another_machine_is_asked_there_and_its_journal_is_left_out() -> None:
    asked: list[str] = []

    def answer(call: Call) -> Response:
        asked.append(call.url)
        return Response(200, b"ready\n", 0.0)

    place = place_with(answer, url="http://remediator:9878")
    assert await found_by(check_program, place) == []
    assert asked == ["http://remediator:9878/-/ready"]
    left_out = {check.name for check in CHECKS} - {check.name for check in table_for(place)}
    assert left_out == {"journal", "journal.servers", "pauses"}


async def test_program_on_another_machine_that_is_silent_is_no_remediator() -> None:
    silent = TransientError(Reason.REFUSED, "connection refused")
    (found,) = await found_by(check_program, place_with(lambda _: silent, url="http://remediator:9878"))
    assert found.problem == "no remediator answers: no alert is received and nothing is repaired"
    assert found.evidence == "http://remediator:9878: connection refused"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> KeyPair:
    return make_serving_pair(tmp_path_factory.mktemp("pair"), "own")


async def test_program_with_a_certificate_of_its_service_is_asked_over_tls(tmp_path: Path, pair: KeyPair) -> None:
    """The certificate is for the name of the Service, and doctor connects to loopback: it trusts exactly this one."""
    text = f"tls_server_config: {{cert_file: {pair.certificate_path}, key_file: {pair.key_path}}}"
    file = tmp_path / "web.yml"
    await asyncio.to_thread(file.write_text, text)

    async def ready(_request: web.Request) -> web.Response:
        return web.Response(text="ready")

    app = web.Application()
    app.router.add_get("/-/ready", ready)
    loaded = await asyncio.to_thread(read_web, file)
    async with Listener.opened(app, ("127.0.0.1", 0), tls=loaded.tls) as listener:
        server = {"host": "127.0.0.1", "port": listener.bound[1], "web_config_file": file}
        settings = RemediatorSettings(server=server, journal={"path": tmp_path / "journal.db"})
        async with opened(settings, None, is_sending=False) as place:
            (found,) = await found_by(check_program, place)
    assert "serves another journal" in found.problem


@pytest.mark.parametrize(
    ("settings", "policies", "evidence"),
    [
        ({}, a_policy_set(restart_policy()), "alertmanager.url is not set"),
        (SETTINGS, PolicySet(()), "policies.yaml gives no policy"),
    ],
)
async def test_alert_that_cannot_be_sent_is_told_when_it_was_asked_for(
    settings: dict[str, Any], policies: Any, evidence: str
) -> None:
    place = a_place(policies, settings=RemediatorSettings(**settings))
    assert await found_by(check_arrival, place) == []
    (found,) = await found_by(check_arrival, replace(place, is_sending=True))
    assert (found.severity.value, found.problem[:17], found.evidence[-len(evidence) :]) == (
        "unknown",
        "no alert was sent",
        evidence,
    )
