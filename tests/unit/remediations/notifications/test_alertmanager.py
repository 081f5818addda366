"""Every Alertmanager gets all announcements, repeatedly, and nothing waits for one of them."""

from __future__ import annotations

import asyncio
import io
from contextlib import asynccontextmanager

import pytest

from chassis import log
from chassis.errors import Reason, TransientError
from remediations.metrics import Telemetry
from remediations.notifications.alertmanager import LIFETIME_SECONDS, RESEND_SECONDS, RETRY_SECONDS, Announcer
from remediations.settings import AlertmanagerSettings
from tests.fakes.clock import ManualClock, settle
from tests.fakes.decisions import NOW
from tests.fakes.notifications import Alertmanagers, a_hold, a_verdict, a_write, an_act, told

ONE, TWO = "http://am-0:9093", "http://sam:planted@am-1:9093/prefix"
GONE = TransientError(Reason.REFUSED, "connection refused")


class Stage:
    """An announcer, two Alertmanagers and a clock."""

    def __init__(self, telemetry: Telemetry) -> None:
        self.clock = ManualClock(NOW + 100)
        self.web = Alertmanagers()
        self.telemetry = telemetry
        settings = AlertmanagerSettings(url=ONE, more_urls=(TWO,), announce_labels={"cluster": "demo"})
        self.announcer = Announcer(self.web, settings, self.clock, telemetry)

    async def tell(self, *records, **changes) -> None:
        self.announcer.enqueue(told(*records, **changes))
        await settle()

    async def pass_time(self, seconds: float) -> None:
        """Time passes, and the members get their announcements."""
        await self.clock.advance(seconds)
        for member in self.announcer._members:
            member.wake.set()
        await settle()

    def names(self, url: str = ONE) -> list[str]:
        """Reason and end (seconds from now) of every alert that a member took."""
        return [alert["labels"]["reason"] for alert in self.web.heard(url)]

    def count(self, status: str) -> float | None:
        return self.telemetry.registry.get_sample_value(
            "controlcore_remediation_announcements_total", {"status": status}
        )


@pytest.fixture
async def stage():
    telemetry = await asyncio.to_thread(Telemetry)
    made = Stage(telemetry)
    async with running(made.announcer):
        await settle()
        yield made


@asynccontextmanager
async def running(announcer: Announcer):
    async with asyncio.TaskGroup() as group:
        task = group.create_task(announcer.run())
        yield
        task.cancel()


async def test_every_member_is_told_once(stage: Stage):
    await stage.tell(a_hold(0))
    for url in (ONE, TWO):
        (alert,) = stage.web.heard(url)
        assert (alert["labels"]["alertname"], alert["labels"]["cluster"]) == ("RemediationHeld", "demo")
        assert alert["startsAt"] == "2023-11-14T22:13:20.000Z"
    assert {call.url for call in stage.web.calls} == {f"{ONE}/api/v2/alerts", f"{TWO}/api/v2/alerts"}
    assert all(call.method == "POST" and call.timeout_seconds == 2.0 for call in stage.web.calls)
    assert (stage.count("sent"), stage.count("failed")) == (2, 0)


async def test_what_stands_is_kept_from_ending(stage: Stage):
    await stage.tell(a_hold(0))
    await stage.pass_time(RESEND_SECONDS - 1)
    assert len(stage.names()) == 1
    await stage.pass_time(1)
    first, second = stage.web.heard(ONE)
    assert first["startsAt"] == second["startsAt"]
    assert second["endsAt"] > first["endsAt"]
    assert LIFETIME_SECONDS > 2 * RESEND_SECONDS


async def test_another_reason_ends_the_alert_of_the_first(stage: Stage):
    await stage.tell(a_hold(0))
    await stage.tell(a_hold(0), a_hold(15, "cooldown"))
    alerts = stage.web.heard(ONE)
    assert {alert["labels"]["reason"]: alert["endsAt"] for alert in alerts[1:]} == {
        "dependency_down": "2023-11-14T22:15:00.000Z",
        "cooldown": "2023-11-14T22:19:00.000Z",
    }


async def test_closed_remediation_ends_what_it_held(stage: Stage):
    await stage.tell(a_hold(0))
    await stage.tell(a_hold(0), state="not_needed")
    assert stage.web.heard(ONE)[-1]["endsAt"] == "2023-11-14T22:15:00.000Z"
    await stage.pass_time(2 * LIFETIME_SECONDS)
    assert len(stage.names()) == 2
    assert stage.announcer._table == {}


async def test_repair_within_one_step_is_heard_of(stage: Stage):
    await stage.tell(an_act(90), a_write(91), a_verdict(99))
    (alert,) = stage.web.heard(ONE)
    assert (alert["labels"]["alertname"], alert["startsAt"]) == ("RemediationActed", "2023-11-14T22:14:51.000Z")
    assert alert["endsAt"] == "2023-11-14T22:24:51.000Z"


async def test_same_again_later_begins_anew(stage: Stage):
    await stage.tell(a_hold(0))
    await stage.tell(a_hold(0), state="not_needed")
    await stage.tell(a_hold(100), id="0002")
    assert stage.web.heard(ONE)[-1]["startsAt"] == "2023-11-14T22:15:00.000Z"


async def test_alert_that_two_remediations_share_ends_with_the_last(stage: Stage):
    """Targets that no policy lists never become labels."""
    elsewhere = {"target": told(a_hold(0)).remediation.target.__class__("x", "Deployment", "y")}
    for name in ("0001", "0002"):
        await stage.tell(a_hold(0, "not_allowed"), id=name, **elsewhere)
    await stage.tell(a_hold(0, "not_allowed"), id="0001", state="expired", **elsewhere)
    assert len({alert["endsAt"] for alert in stage.web.heard(ONE)}) == 1
    await stage.tell(a_hold(0, "not_allowed"), id="0002", state="expired", **elsewhere)
    assert stage.web.heard(ONE)[-1]["endsAt"] == "2023-11-14T22:15:00.000Z"


@pytest.mark.parametrize("answer", [GONE, 400, 503])
async def test_member_that_is_down_hears_it_later_and_the_other_at_once(stage: Stage, answer):
    stage.web.answers[ONE] = answer
    await stage.tell(a_hold(0))
    assert (stage.count("sent"), stage.count("failed")) == (1, 1)
    await stage.clock.advance(RETRY_SECONDS)
    assert stage.count("failed") == 2
    del stage.web.answers[ONE]
    await stage.clock.advance(4 * RETRY_SECONDS)
    assert (stage.count("sent"), stage.count("failed")) == (2, 2)


async def test_only_what_is_still_true_is_said_later(stage: Stage):
    stage.web.answers[ONE] = GONE
    await stage.tell(a_hold(0))
    await stage.tell(a_hold(0), a_hold(5, "cooldown"))
    del stage.web.answers[ONE]
    stage.web.calls.clear()
    await stage.clock.advance(RETRY_SECONDS)
    ends = {alert["labels"]["reason"]: alert["endsAt"] for alert in stage.web.heard(ONE)}
    assert ends["dependency_down"] < ends["cooldown"]


async def test_row_of_failures_is_one_log_line_without_the_password(stage: Stage):
    stream = io.StringIO()
    log.configure(program="test", form="json", stream=stream)
    stage.web.answers[TWO] = GONE
    await stage.tell(a_hold(0))
    await stage.clock.advance(100)
    del stage.web.answers[TWO]
    await stage.clock.advance(100)
    text = stream.getvalue()
    assert (text.count("announcement.failed"), text.count("announcement.resumed")) == (1, 1)
    assert '"alertmanager": "am-1:9093"' in text
    assert "planted" not in text


async def test_nothing_to_say_is_not_said(stage: Stage):
    await stage.tell(a_hold(0, decision="not_needed"), state="not_needed")
    await stage.pass_time(10 * RESEND_SECONDS)
    assert stage.web.calls == []
