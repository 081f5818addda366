"""A real Alertmanager and a real Prometheus that admit no client without a user and a password, also with TLS."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest

from chassis.clock import SystemClock
from chassis.errors import BackendError, Reason
from chassis.http.call import Call
from chassis.http.client import HttpClient
from chassis.http.client_auth import BasicAuthSettings
from remediations.facts.alertmanager import Alertmanager
from remediations.facts.prometheus import PrometheusClient
from remediations.metrics import Telemetry
from remediations.notifications.alertmanager import Announcer
from remediations.settings import AlertmanagerSettings, PrometheusSettings
from tests.fakes.decisions import an_alert
from tests.fakes.notifications import a_hold, told
from tests.fakes.running_remediator import RunningRemediator
from tests.fakes.running_remediator import an_alert as an_alert_of_the_webhook
from tests.fakes.waiting import wait_for
from tools.servers.alertmanager import AlertmanagerServer
from tools.servers.kubernetes.certificates import make_serving_pair
from tools.servers.prometheus import PrometheusServer
from tools.slowness import scaled

pytestmark = pytest.mark.timeout(60)
CONFIGURATION = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"
USER, PASSWORD = "remediator", "a-made-up-password"
HEADER = {"Authorization": "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()}
SILENCE = {
    "matchers": [{"name": "alertname", "value": "ControlCoreApiDown", "isRegex": False, "isEqual": True}],
    "startsAt": "2020-01-01T00:00:00Z",
    "endsAt": "2999-01-01T00:00:00Z",
    "createdBy": "ann",
    "comment": "a migration",
}


@pytest.fixture
def flag(tmp_path: Path) -> str:
    """The flag of both servers for a web configuration file with one user."""
    secret = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    (tmp_path / "web.yml").write_text(f"basic_auth_users: {{{USER}: '{secret}'}}\n", encoding="utf-8")
    return f"--web.config.file={tmp_path / 'web.yml'}"


class GuardedAlertmanager(AlertmanagerServer):
    """Ready when it listens: its readiness page requires the password too."""

    def is_ready(self) -> bool:
        return "Listening on" in self.process.log_tail()


class GuardedPrometheus(PrometheusServer):
    """The same."""

    def is_ready(self) -> bool:
        return "Server is ready" in self.process.log_tail()


@pytest.fixture
def alertmanager(flag: str) -> Iterator[AlertmanagerServer]:
    with GuardedAlertmanager(CONFIGURATION, flags=(flag,)) as server:
        yield server


def user_with(secret: Path) -> BasicAuthSettings:
    return BasicAuthSettings(username=USER, password_file=secret)


def password_file(folder: Path, password: str = PASSWORD) -> Path:
    path = folder / "password"
    path.write_text(f"{password}\n", encoding="utf-8")
    return path


async def test_silence_is_seen_and_a_hold_is_announced_with_the_password(
    alertmanager: AlertmanagerServer, tmp_path: Path
) -> None:
    secret = await asyncio.to_thread(password_file, tmp_path)
    settings = AlertmanagerSettings(url=alertmanager.url, basic_auth=user_with(secret))
    telemetry = await asyncio.to_thread(Telemetry)
    async with HttpClient.opened() as http, asyncio.timeout(scaled(30)):
        url = f"{alertmanager.url}/api/v2"
        await http.send(Call(f"{url}/silences", 5.0, method="POST", headers=HEADER, json=SILENCE))
        (muted,) = await Alertmanager(http, settings).mutes(an_alert())
        announcer = Announcer(http, settings, SystemClock(), telemetry)
        announcer.enqueue(told(a_hold(0)))
        sender = asyncio.create_task(announcer.run())
        try:
            for _ in range(200):
                if found := (await http.send(Call(f"{url}/alerts", 5.0, headers=HEADER))).json():
                    break
                await asyncio.sleep(0.05)
        finally:
            sender.cancel()
    assert "a migration" in muted
    assert found[0]["labels"]["alertname"] == "RemediationHeld"


async def test_rotated_password_counts_at_the_next_call_and_a_wrong_one_is_refused(
    alertmanager: AlertmanagerServer, tmp_path: Path
) -> None:
    secret = await asyncio.to_thread(password_file, tmp_path, "an-old-password")
    async with HttpClient.opened() as http:
        asked = Alertmanager(
            http,
            AlertmanagerSettings(url=alertmanager.url, basic_auth=user_with(secret)),
        )
        with pytest.raises(BackendError) as refused:
            await asked.mutes(an_alert())
        await asyncio.to_thread(password_file, tmp_path)
        assert await asked.mutes(an_alert()) == ()
        await asyncio.to_thread(secret.unlink)
        with pytest.raises(BackendError) as unreadable:
            await asked.mutes(an_alert())
    assert (refused.value.reason, unreadable.value.reason) == (Reason.AUTH, Reason.AUTH)
    assert "alertmanager.basic_auth.password_file" in str(unreadable.value)


@pytest.fixture
def prometheus(flag: str) -> Iterator[PrometheusServer]:
    with GuardedPrometheus({"prometheus.yml": "global: {}\n"}, flags=(flag,)) as server:
        yield server


async def test_prometheus_is_asked_with_the_password(prometheus: PrometheusServer, tmp_path: Path) -> None:
    secret = await asyncio.to_thread(password_file, tmp_path)
    settings = PrometheusSettings(url=prometheus.url, basic_auth=user_with(secret))
    async with HttpClient.opened() as http:
        (sample,) = await PrometheusClient(http, settings, SystemClock()).instant("vector(7)")
        with pytest.raises(BackendError) as refused:
            await PrometheusClient(http, PrometheusSettings(url=prometheus.url), SystemClock()).instant("vector(7)")
    assert (sample.value, refused.value.reason) == (7.0, Reason.AUTH)


class EncryptedAlertmanager(GuardedAlertmanager):
    """One that is reached by TLS only."""

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"


@pytest.mark.parametrize("is_trusted", [True, False], ids=["trusted", "unknown authority"])
def test_private_authority_is_named_by_the_environment(flag: str, tmp_path: Path, *, is_trusted: bool) -> None:
    """The whole program: it reads silences and announces at a server with a configured certificate."""
    pair = make_serving_pair(tmp_path, "alertmanager")
    web = tmp_path / "web.yml"
    served = f"tls_server_config: {{cert_file: {pair.certificate_path}, key_file: {pair.key_path}}}\n"
    web.write_text(served + web.read_text(encoding="utf-8"), encoding="utf-8")
    with EncryptedAlertmanager(CONFIGURATION, flags=(flag,)) as alertmanager:
        user = {"username": USER, "password_file": str(password_file(tmp_path))}
        place = {"url": alertmanager.url, "basic_auth": user}
        remediator = RunningRemediator(settings={"alertmanager": place})
        remediator.environment = {"SSL_CERT_FILE": str(pair.certificate_path)} if is_trusted else {}
        with remediator:
            assert remediator.post(an_alert_of_the_webhook()) == 200
            status = "sent" if is_trusted else "failed"
            wait_for(lambda: announcements(remediator, status) > 0)
            assert announcements(remediator, "failed" if is_trusted else "sent") == 0
            question = "SELECT json_extract(data, '$.facts.mutes.problem') FROM record WHERE kind = 'decision'"
            problems = [row[0] for row in remediator.read(question)]
            assert problems
            assert all(problem is None if is_trusted else "tls: " in problem for problem in problems)


def announcements(remediator: RunningRemediator, status: str) -> float:
    """How many ended so."""
    series = f'controlcore_remediation_announcements_total{{status="{status}"}} '
    page = remediator.ask("GET", "/metrics")[1]
    return sum(float(line.rsplit(" ", 1)[1]) for line in page.splitlines() if line.startswith(series))
