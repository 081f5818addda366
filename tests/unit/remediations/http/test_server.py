from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
import bcrypt
import pytest

from chassis.http.server import serving
from chassis.http.web_auth import WebGuard
from chassis.http.web_config import read_web
from chassis.process.loop_watchdog import LoopWatchdog
from remediations.core.model.errors import JournalError
from remediations.core.model.names import DOCTOR
from remediations.http import server as module
from remediations.http.server import Server, ServerDependencies
from remediations.http.tokens import TokenCredentials
from remediations.journal.sqlite.adapter import open_journal
from remediations.metrics import Telemetry
from tests.fakes.clock import ManualClock
from tests.fakes.decisions import LABELS, a_policy_set
from tests.fakes.http_server import GOOD, RIGHT, TOKEN, Running, looking, running


@pytest.fixture
async def server(tmp_path):
    async with running(tmp_path) as made:
        yield made


class Refusing:
    """A journal that cannot be written."""

    def __getattr__(self, _name: str) -> Any:
        async def refuse(*_arguments: Any, **_named: Any) -> Any:
            raise JournalError("the disk is full")

        return refuse


async def test_alert_is_in_the_journal_when_it_is_acknowledged(server: Running):
    status, answer = await server.post(GOOD)

    assert (status, answer) == (200, {"status": "stored", "opened": 1, "joined": 0})
    (remediation,) = await server.journal.listing()
    assert (remediation.policy, remediation.alert.fingerprint) == ("restart-api", "f00d")
    assert server.count("webhook_notifications_total", status="stored") == 1
    assert server.woken == [""]


async def test_repeated_alert_joins_and_is_counted_as_duplicate(server: Running):
    await server.post(GOOD)

    assert (await server.post(GOOD))[1]["joined"] == 1
    assert server.count("webhook_alerts_total", status="duplicate") == 1


async def test_malformed_alert_is_quarantined_and_counted_beside_a_good_one(server: Running):
    status, _ = await server.post(GOOD, {"status": "?"}, {**GOOD, "status": "resolved"}, {**GOOD, "labels": {"a": "b"}})

    assert status == 200
    counts = {
        name: server.count("webhook_alerts_total", status=name)
        for name in ("stored", "quarantined", "resolved", "unmatched")
    }
    assert counts == {"stored": 1, "quarantined": 1, "resolved": 1, "unmatched": 1}


async def test_announcement_of_ours_begins_nothing_and_is_counted(server: Running):
    labels = {**GOOD["labels"], "alertname": "RemediationHeld"}

    assert (await server.post({**GOOD, "labels": labels}))[0] == 200
    assert await server.journal.listing() == []
    assert [server.count("webhook_alerts_total", status=name) for name in ("own", "stored", "unmatched")] == [1, 0, 0]


@pytest.mark.parametrize(("body", "field"), [(b"{", "JSON"), (b'{"version":"3","alerts":[]}', "version")])
async def test_body_that_can_never_be_accepted_is_400_and_counted(server: Running, body, field):
    status, answer = await server.post(body=body)

    assert (status, answer["status"]) == (400, "malformed")
    assert field in answer["error"]
    assert server.count("webhook_notifications_total", status="malformed") == 1


async def test_ready_tells_what_else_is_wrong(tmp_path):
    """R11: refused credentials do not prevent storing deliveries, so they are a warning and not a 503."""
    async with running(tmp_path, warnings=("kubernetes: refused",)) as server:
        assert await server.get("/-/ready") == (200, "ready\nkubernetes: refused\n")


class Blocked(LoopWatchdog):
    problem = "the event loop was blocked a moment ago"


async def test_unhealthy_for_a_moment_after_the_loop_was_blocked(tmp_path):
    async with running(tmp_path) as server:
        server.telemetry.watchdog = Blocked()
        server.telemetry.watchdog.stalls = 3
        assert await server.get("/-/healthy") == (503, "the event loop was blocked a moment ago\n")
        assert "controlcore_remediation_event_loop_stalls_total 3.0" in (await server.get("/metrics"))[1]


async def test_journal_that_cannot_be_written_is_503_and_nothing_is_acknowledged(tmp_path):
    async with running(tmp_path, Refusing()) as server:
        status, answer = await server.post(GOOD)

        assert (status, answer["status"]) == (503, "unavailable")
        assert (await server.get("/-/ready"))[0] == 503
        assert (await server.get("/-/healthy"))[0] == 200
        _, page = await server.get("/metrics")
        assert "controlcore_remediation_journal_writable 0.0" in page
        assert "controlcore_remediation_open{" not in page
        assert "\ncontrolcore_remediation_paused " not in page


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": TOKEN},
        {"Authorization": "Bearer wrong"},
        {"X-API-Key": TOKEN},
    ],
)
async def test_wrong_credential_is_401_and_stores_nothing(server: Running, headers):
    status, answer = await server.post(GOOD, headers=headers)

    assert (status, answer["status"]) == (401, "unauthorized")
    assert await server.journal.listing() == []
    assert server.count("webhook_notifications_total", status="unauthorized") == 1


async def test_wrong_credential_is_told_from_none_and_nothing_else_is(server: Running):
    """With a mistyped token people would search for a missing header."""
    headers = ({}, {"Authorization": "Bearer"}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic eA=="})
    told = [(await server.post(GOOD, headers=given))[1]["error"] for given in headers]

    needed = "a bearer token is needed"
    assert told == [needed, needed, "this token is not accepted", "this credential is not accepted"]


@pytest.mark.parametrize("path", ["/api/v1/alerts", "/api/v1/nothing", "/-/reload", "/metrics/", "//metrics", "/api"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"])
async def test_every_path_but_the_open_ones_needs_the_token(server: Running, path, method):
    async with server.session.request(method, f"{server.url}{path}") as answer:
        assert answer.status == 401


async def test_open_pages_need_no_token(server: Running):
    for path in ("/", "/metrics", "/-/healthy", "/-/ready"):
        assert (await server.get(path))[0] == 200


async def test_token_that_could_never_be_read_is_503_so_that_the_alert_comes_again(server: Running, tmp_path):
    await asyncio.to_thread((tmp_path / "token").unlink)

    status, _ = await server.post(GOOD)

    assert status == 503


async def test_body_above_the_limit_is_413_and_counted(server: Running):
    status, _ = await server.post(body=b" " * (module.MAX_BODY_BYTES + 1))

    assert status == 413
    assert server.count("webhook_notifications_total", status="rejected") == 1


async def test_too_much_at_once_is_503_and_not_kept_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_PENDING_BYTES", 10)
    async with running(tmp_path) as small:
        status, answer = await small.post(GOOD)

        assert (status, answer["status"]) == (503, "unavailable")
        assert await small.journal.listing() == []


async def test_no_answer_is_ever_429(server: Running):
    for body in (b"", b"{", b"[]", b" " * 100):
        assert (await server.post(body=body))[0] in {400, 413}


async def test_watchdog_is_dated(server: Running):
    assert "watchdog_timestamp_seconds " not in (await server.get("/metrics"))[1].replace("HELP", "").split("# TYPE")[0]

    await server.post({"status": "firing", "labels": {"alertname": "ControlCoreWatchdog"}, "fingerprint": "w"})

    assert server.count("webhook_last_watchdog_timestamp_seconds") == server.clock.now()


async def test_alert_of_doctor_is_dated_and_stored_nowhere(server: Running):
    sent = {"status": "firing", "labels": {**GOOD["labels"], "alertname": DOCTOR}, "fingerprint": "d"}
    await server.post(sent | {"startsAt": "2026-11-29T08:30:00.125Z"})

    assert server.count("webhook_last_doctor_alert_timestamp_seconds") == 1795941000.125
    assert server.count("webhook_alerts_total", status="own") == 1
    assert await server.journal.listing() == []


async def test_open_remediations_and_pauses_are_on_the_page(server: Running):
    await server.post(GOOD)

    _, page = await server.get("/metrics")

    assert 'controlcore_remediation_open{state="received"} 1.0' in page
    assert 'controlcore_remediation_open{state="held"} 0.0' in page
    assert "controlcore_remediation_paused 0.0" in page
    assert "controlcore_remediation_journal_writable 1.0" in page


async def test_openmetrics_is_served_when_asked_for(server: Running):
    _, page = await server.get("/metrics", Accept="application/openmetrics-text")

    assert page.endswith("# EOF\n")


async def test_hostile_labels_reach_no_metric(server: Running):
    hostile = '"} or vector(1)\n# HELP'
    before = (await server.get("/metrics"))[1].count("\n")

    for number in range(20):
        labels = {**LABELS, "namespace": f"{hostile}{number}", "alertname": hostile, "severity": hostile}
        assert (await server.post({**GOOD, "labels": labels}))[0] == 200

    _, page = await server.get("/metrics")
    assert "vector(1)" not in page
    assert page.count("\n") - before < 10


async def test_landing_page_says_what_this_is(server: Running):
    _, page = await server.get("/")

    assert "Control Core remediator" in page
    assert server.telemetry.version in page


@asynccontextmanager
async def guarded(folder: Path, text: str, *, has_token: bool = True) -> Any:
    """A server with a web configuration file; yields its URL and the statuses of requests."""
    token, file, clock = folder / "token", folder / "web.yml", ManualClock()
    await asyncio.to_thread(token.write_text, TOKEN)
    await asyncio.to_thread(file.write_text, text)
    telemetry = await asyncio.to_thread(Telemetry, ["restart-api"])
    first = await asyncio.to_thread(read_web, file)
    guard = WebGuard(file, first, lambda _reason: None, clock, HTTPStatus.SERVICE_UNAVAILABLE)
    credentials = TokenCredentials((token,) if has_token else (), clock)
    async with open_journal(folder / "journal.db") as journal:
        parts = ServerDependencies(
            journal,
            a_policy_set,
            credentials,
            telemetry,
            clock,
            lambda: None,
            *looking(journal, clock, folder, {}),
            guard=guard,
        )
        async with (
            serving(Server(parts).application(), "127.0.0.1", 0, drain_seconds=0.1) as (host, port),
            aiohttp.ClientSession() as session,
        ):

            async def status(path: str, **headers: str) -> int:
                async with session.get(f"http://{host}:{port}{path}", headers=headers) as answer:
                    return answer.status

            yield status


def basic(password: str) -> str:
    return aiohttp.encode_basic_auth("ann", password)


async def test_user_of_the_web_configuration_is_let_in_beside_the_token(tmp_path):
    users = f"basic_auth_users: {{ann: '{bcrypt.hashpw(b'right', bcrypt.gensalt(4)).decode()}'}}"
    async with guarded(tmp_path, users) as status:
        assert await status("/api/v1/remediations", Authorization=basic("right")) == 200
        assert await status("/api/v1/remediations", **RIGHT) == 200
        assert await status("/api/v1/remediations", Authorization=basic("wrong")) == 401
        assert await status("/metrics") == 401
        assert await status("/-/healthy") == 200


async def test_web_configuration_that_identifies_nobody_lets_nobody_in(tmp_path):
    async with guarded(tmp_path, "http_server_config: {}", has_token=False) as status:
        assert await status("/api/v1/remediations") == 401
        assert await status("/metrics") == 200


async def test_rate_limit_is_503_which_alertmanager_repeats(tmp_path):
    async with guarded(tmp_path, "rate_limit: {interval: 1h, burst: 1}") as status:
        assert [await status("/api/v1/remediations", **RIGHT) for _ in range(2)] == [200, 503]
