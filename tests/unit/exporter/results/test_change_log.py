from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import structlog
from structlog.testing import CapturingLogger

from chassis.errors import Reason
from exporter.results.change_log import StateLog
from exporter.results.limits import Admitted
from exporter.results.record import AccessRefusal, CollectionOutcome
from tests.fakes.clock import ManualClock, settle


def outcome(name: str, reason: Reason | None = None, **components: bool) -> CollectionOutcome:
    admitted = None if reason else Admitted(())
    return CollectionOutcome(name, 0.0, 0.0, 0.1, admitted, components, reason, f"{name} broke" if reason else "")


class Lines:
    """A state log and what it wrote."""

    def __init__(self, clock: ManualClock) -> None:
        self._capture = CapturingLogger()
        self.log = StateLog(clock, structlog.wrap_logger(self._capture, processors=[]))

    @property
    def written(self) -> list[tuple[str, dict[str, Any]]]:
        return [(call.method_name, dict(call.kwargs)) for call in self._capture.calls]


@asynccontextmanager
async def running(clock: ManualClock) -> AsyncIterator[Lines]:
    lines = Lines(clock)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(lines.log.run())
        await settle()
        yield lines
        task.cancel()


async def test_outage_is_one_line_with_everything_that_it_took() -> None:
    clock = ManualClock()
    async with running(clock) as lines:
        lines.log.note(outcome("canary", database=False))
        for name in ("users", "decisions"):
            lines.log.note(outcome(name, Reason.REFUSED))
        await clock.advance(1.0)
    method, line = lines.written[0]
    assert (len(lines.written), method) == (1, "warning")
    assert line["components_lost"] == ["database"]
    assert line["collectors_failed"] == {"refused": ["decisions", "users"]}
    assert line["errors"] == {"refused": "decisions broke"}


async def test_lasting_failure_is_logged_once() -> None:
    clock = ManualClock()
    async with running(clock) as lines:
        for _ in range(20):
            lines.log.note(outcome("users", Reason.REFUSED))
            await clock.advance(10.0)
    assert len(lines.written) == 1


async def test_other_reason_is_another_line() -> None:
    clock = ManualClock()
    async with running(clock) as lines:
        for reason in (Reason.REFUSED, Reason.AUTH):
            lines.log.note(outcome("users", reason))
            await clock.advance(10.0)
    assert [line["collectors_failed"] for _, line in lines.written] == [{"refused": ["users"]}, {"auth": ["users"]}]


async def test_recovery_is_logged_as_information() -> None:
    clock = ManualClock()
    async with running(clock) as lines:
        lines.log.note(outcome("users", Reason.REFUSED, database=False))
        await clock.advance(10.0)
        lines.log.note(outcome("users", database=True))
        await clock.advance(10.0)
    method, line = lines.written[1]
    assert (method, line["collectors_recovered"], line["components_regained"]) == ("info", ["users"], ["database"])


async def test_health_from_the_start_is_no_news() -> None:
    clock = ManualClock()
    async with running(clock) as lines:
        lines.log.note(outcome("users", database=True))
        await clock.advance(10.0)
    assert lines.written == []


async def test_failure_just_before_the_end_is_still_logged() -> None:
    async with running(ManualClock()) as lines:
        lines.log.note(outcome("users", Reason.AUTH))
    assert len(lines.written) == 1


def refused(reason: Reason) -> CollectionOutcome:
    why = {"database": AccessRefusal(reason, "no")}
    return CollectionOutcome("canary", 0.0, 0.0, 0.1, Admitted(()), refused=why)


async def test_refused_access_is_logged_once_and_again_when_it_is_accepted() -> None:
    """The password was changed while the exporter runs: the component is unknown and no collector fails."""
    clock = ManualClock()
    changes = [
        outcome("canary", database=True),
        *[refused(Reason.AUTH)] * 3,
        outcome("statistics", database=True),
        outcome("canary", database=False),
        refused(Reason.QUOTA),
        *[outcome("canary", database=True)] * 2,
    ]
    async with running(clock) as lines:
        for change in changes:
            lines.log.note(change)
            await clock.advance(10.0)
    keys = {"access_refused", "access_accepted"}
    assert [(method, line[key]) for method, line in lines.written for key in line if key in keys] == [
        ("warning", {"database": "auth: no"}),
        ("warning", {"database": "quota: no"}),
        ("info", ["database"]),
    ]
