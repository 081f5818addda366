"""Events about targets: which are written, only once, and failures to write them."""

from __future__ import annotations

import asyncio
import io
from contextlib import asynccontextmanager

import pytest

from chassis import log
from chassis.errors import ConflictError, PermanentError, Reason, TransientError
from remediations.core.model.alert import Mode, Target
from remediations.core.model.remediation import State
from remediations.metrics import Telemetry
from remediations.notifications.kubernetes_events import LATE_SECONDS, MAX_WAITING, RETRY_SECONDS, EventWriter, notes
from tests.fakes.clock import ManualClock, settle
from tests.fakes.decisions import NOW, restart_policy
from tests.fakes.kubernetes import FakeCluster
from tests.fakes.notifications import REPAIRED, a_hold, a_verdict, a_write, told

PLACE = "/api/v1/namespaces/control-core/events"
FORBIDDEN = PermanentError(Reason.PERMISSION, "HTTP status 403: events is forbidden")
SILENT = TransientError(Reason.TIMEOUT, "nobody answered")


class Stage:
    """A writer, an API in memory and a clock."""

    def __init__(self, telemetry: Telemetry) -> None:
        self.clock = ManualClock(NOW + 100)
        self.cluster = FakeCluster()
        self.telemetry = telemetry
        self.writer = self.another()

    def another(self) -> EventWriter:
        """A writer as after a restart."""
        return EventWriter(self.cluster, self.clock, self.telemetry, timeout_seconds=1.0, instance="pod-1")

    def fail(self, error: Exception | None) -> None:
        """The result of every call from now on."""

        def meet(_verb: str, _path: str) -> None:
            if error is not None:
                raise error

        self.cluster.before = meet

    def reasons(self) -> list[str]:
        return [body["reason"] for body in self.cluster.objects.values()]

    def count(self, status: str) -> float | None:
        return self.telemetry.registry.get_sample_value("controlcore_remediation_events_total", {"status": status})


@asynccontextmanager
async def running(writer: EventWriter):
    async with asyncio.TaskGroup() as group:
        task = group.create_task(writer.run())
        yield
        task.cancel()


@pytest.fixture
async def stage():
    made = Stage(await asyncio.to_thread(Telemetry))
    async with running(made.writer):
        yield made


async def test_story_of_a_repair_is_four_events_about_the_target(stage: Stage):
    stage.writer.enqueue(told(*REPAIRED))
    await settle()
    assert stage.reasons() == [
        "RemediationHeld",
        "RemediationPlanned",
        "RemediationActed",
        "RemediationVerified",
    ]
    held = stage.cluster.objects[f"{PLACE}/control-plane-api.0001.0"]
    assert held["involvedObject"] == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "namespace": "control-core",
        "name": "control-plane-api",
        "uid": "uid-1",
    }
    assert held["message"] == ("remediation 0001, policy restart-api (mode auto): dependency_down: database down")
    assert (held["type"], held["lastTimestamp"], held["count"]) == ("Warning", "2023-11-14T22:13:20Z", 1)
    assert stage.count("created") == 4


async def test_the_same_story_told_again_writes_nothing(stage: Stage):
    stage.writer.enqueue(told(a_hold(0)))
    await settle()
    stage.writer.enqueue(told(a_hold(0), a_hold(15)))
    await settle()
    assert stage.cluster.calls == [("create", PLACE)]


async def test_next_process_finds_its_events_there(stage: Stage):
    stage.writer.enqueue(told(a_hold(0)))
    await settle()
    another = stage.another()
    async with running(another):
        another.enqueue(told(a_hold(0), a_hold(9, "cooldown")))
        await settle()
    assert stage.reasons() == ["RemediationHeld", "RemediationHeld"]
    assert (stage.count("created"), stage.count("failed")) == (2, 0)


@pytest.mark.parametrize("state", [State.FAILED, State.UNVERIFIED])
async def test_repair_that_is_not_proven_is_a_warning(stage: Stage, state):
    stage.writer.enqueue(told(a_write(0), a_verdict(9, state)))
    await settle()
    event = list(stage.cluster.objects.values())[-1]
    assert (event["reason"], event["type"], state.value in event["message"]) == ("RemediationFailed", "Warning", True)


@pytest.mark.parametrize(
    "changes",
    [
        {"policy": restart_policy(mode=Mode.OBSERVE)},
        {"target": Target("kube-system", "Deployment", "coredns")},
        {"policy": restart_policy(targets=(Target("control-core", "OpalClient", "opal"),)),
         "target": Target("control-core", "OpalClient", "opal")},
    ],
    ids=["observe", "not listed", "no object"],
)  # fmt: skip
def test_no_event_without_right_or_object(changes):
    assert list(notes(told(*REPAIRED, **changes), "pod-1")) == []


async def test_what_is_long_past_is_not_told(stage: Stage):
    stage.writer.enqueue(told(a_hold(100 - LATE_SECONDS - 1), a_hold(99, "cooldown")))
    await settle()
    assert [name.rsplit(".", 1)[1] for name in stage.cluster.objects] == ["1"]


async def test_missing_right_is_counted_and_logged_once(stage: Stage):
    stream = io.StringIO()
    log.configure(program="test", form="json", stream=stream)
    stage.fail(FORBIDDEN)
    stage.writer.enqueue(told(*REPAIRED))
    await settle()
    assert (stage.count("created"), stage.count("failed")) == (0, 4)
    assert stream.getvalue().count("event.refused") == 1
    stage.fail(None)
    stage.writer.enqueue(told(a_hold(0), id="0002"))
    await settle()
    assert stage.reasons() == ["RemediationHeld"]


async def test_silence_is_waited_out_but_not_for_ever(stage: Stage):
    stage.fail(SILENT)
    stage.writer.enqueue(told(a_hold(0)))
    await settle()
    stage.writer.enqueue(told(a_hold(90), id="0002"))
    await stage.clock.advance(LATE_SECONDS - 50)
    assert stage.count("failed") == 1
    stage.fail(None)
    await stage.clock.advance(2 * RETRY_SECONDS)
    assert list(stage.cluster.objects) == [f"{PLACE}/control-plane-api.0002.0"]


async def test_one_that_the_server_cannot_take_keeps_no_other_waiting(stage: Stage):
    calls = []

    def meet(_verb: str, _path: str) -> None:
        calls.append(_path)
        if len(calls) % 2:
            raise SILENT

    stage.cluster.before = meet
    stage.writer.enqueue(told(a_hold(0), id="0001"))
    stage.writer.enqueue(told(a_hold(0), id="0002"))
    await stage.clock.advance(RETRY_SECONDS)
    assert list(stage.cluster.objects) == [f"{PLACE}/control-plane-api.0002.0"]


async def test_one_that_is_there_already_is_no_failure(stage: Stage):
    stage.fail(ConflictError("HTTP status 409"))
    stage.writer.enqueue(told(a_hold(0)))
    await settle()
    assert (stage.count("created"), stage.count("failed")) == (0, 0)


async def test_more_than_can_wait_is_counted(stage: Stage):
    stage.fail(SILENT)
    for number in range(MAX_WAITING + 2):
        stage.writer.enqueue(told(a_hold(0), id=f"{number:04}"))
    assert stage.count("failed") == 2
