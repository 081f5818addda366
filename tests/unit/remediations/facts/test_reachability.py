"""An unreachable Prometheus or Alertmanager is reported before an alert needs it."""

from __future__ import annotations

import asyncio

import pytest
import structlog

from chassis.errors import Reason, TransientError
from chassis.http.client_auth import without_user
from remediations.facts.reachability import PERIOD_SECONDS, Reachability, SourceProbe, probe_alertmanager
from remediations.metrics import Telemetry
from remediations.settings import AlertmanagerSettings
from tests.fakes.clock import ManualClock


class Source:
    """Answers while it is well."""

    def __init__(self, name: str) -> None:
        self.is_well = True
        self.probe = SourceProbe(name, f"http://{name}.example", "everything is held", self.ask)

    async def ask(self) -> object:
        if not self.is_well:
            raise TransientError(Reason.REFUSED, "connection refused")
        return ()


@pytest.fixture
def sources() -> tuple[Source, Source]:
    return Source("prometheus"), Source("alertmanager")


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


def shown(telemetry: Telemetry, source: str) -> float | None:
    return telemetry.registry.get_sample_value("controlcore_remediator_source_up", {"source": source})


async def test_source_that_does_not_answer_is_told_once_and_so_is_its_return(sources, telemetry):
    prometheus, alertmanager = sources
    watched = Reachability((prometheus.probe, alertmanager.probe), ManualClock(), telemetry)
    assert shown(telemetry, "prometheus") is None, "nobody has asked yet"

    alertmanager.is_well = False
    with structlog.testing.capture_logs() as lines:
        for _ in range(3):
            await watched.probe()
        assert (shown(telemetry, "prometheus"), shown(telemetry, "alertmanager")) == (1.0, 0.0)
        assert watched.warnings() == ("alertmanager.url: no answer (refused); everything is held",)
        alertmanager.is_well = True
        await watched.probe()

    assert [line["event"] for line in lines] == ["source.unreachable", "source.answered"]
    assert lines[0]["url"] == "http://alertmanager.example"
    assert (shown(telemetry, "alertmanager"), watched.warnings()) == (1.0, ())


async def test_every_source_is_asked_again_each_half_minute(sources, telemetry):
    prometheus, _ = sources
    clock = ManualClock()
    watched = Reachability((prometheus.probe,), clock, telemetry)
    task = asyncio.create_task(watched.run())
    await clock.advance(0.0)
    prometheus.is_well = False
    await clock.advance(PERIOD_SECONDS)
    task.cancel()

    assert shown(telemetry, "prometheus") == 0.0


def test_password_of_an_address_is_not_shown():
    assert without_user("http://mon:pa@ss/word@h:9090/x") == "http://h:9090/x"
    assert without_user("http://h:9090/x") == "http://h:9090/x"
    settings = AlertmanagerSettings(url="http://mon:hunter2@h:9093")
    assert probe_alertmanager(settings, Source("alertmanager").ask).url == "http://h:9093"
