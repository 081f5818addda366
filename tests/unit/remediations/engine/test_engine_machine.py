"""Whatever comes in whatever order, wherever a process dies: acknowledged alerts are kept, and each effect is one."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Coroutine, Mapping
from contextlib import AsyncExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings, stateful
from hypothesis import strategies as st

from chassis.errors import Reason, TransientError
from remediations.core.model.alert import Alert, Delivery, Match
from remediations.core.model.facts import Pause
from remediations.core.model.names import ANNOTATION_OPERATION
from remediations.core.model.remediation import CLOSED, IN_FLIGHT, Outcome, State
from remediations.engine.engine import LOOK_SECONDS
from tests.fakes.decisions import API, LABELS, SAM, restart_policy
from tests.fakes.engine import Fuse, Killed, MortalJournal, World, a_world
from tests.fakes.engine_world import (
    LONGEST_SECONDS,
    MOST_POINTS,
    POLICIES,
    REASONS,
    TARGETS,
    UNLIMITED,
    Opal,
    calling_policy,
    stall,
)
from tests.fakes.kubernetes import DEPLOYMENT

T = TypeVar("T")


class EngineMachine(stateful.RuleBasedStateMachine):
    """One target, two policies, any number of processes one after the other or side by side."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = Path(tempfile.mkdtemp(prefix="controlcore-machine-"))
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        policies = [restart_policy(name=name, **UNLIMITED) for name in POLICIES if TARGETS[name] == API]
        policies.append(calling_policy())
        self.world: World = self._run(self._stack.enter_async_context(a_world(self._folder, *policies)))
        self.world.policy_set = replace(self.world.policy_set, max_actions=10_000)
        self._broken_at = 3
        self.world.prometheus.answers = {
            "controlcore_api_up == bool 0": lambda: not self._is_well(),
            "controlcore_api_up == bool 1": self._is_well,
            "controlcore_postgres_up == bool 1": True,
        }
        self.world.product = self.product = Opal()
        self.acknowledged: set[str] = set()
        self._number = 0

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def _is_well(self) -> bool:
        document = self.world.cluster.objects[DEPLOYMENT]
        return bool(document["metadata"]["generation"] > self._broken_at and document["status"]["readyReplicas"] > 0)

    def _delivery(self, policy: str, *, is_firing: bool, is_new: bool) -> Delivery:
        self._number += is_new
        fingerprint = f"fingerprint-{self._number:06d}"
        alert = Alert(fingerprint, "ControlCoreApiDown", is_firing, LABELS)
        return Delivery(self.world.clock.now(), (Match(alert, policy, TARGETS[policy]),))

    # --- what comes from outside

    @stateful.rule(policy=st.sampled_from(POLICIES), is_new=st.booleans())
    def deliver(self, policy: str, is_new: bool) -> None:  # noqa: FBT001 - a rule's arguments are drawn by name
        """Alertmanager delivers a new alert, or one that it has delivered before."""
        delivery = self._delivery(policy, is_firing=True, is_new=is_new)
        self._run(self.world.journal.append(delivery))
        self.acknowledged.add(delivery.matches[0].alert.fingerprint)

    @stateful.rule(policy=st.sampled_from(POLICIES), is_after=st.booleans())
    def deliver_to_a_dying_process(self, policy: str, is_after: bool) -> None:  # noqa: FBT001
        """It dies with or without having stored; either way without an acknowledgement."""
        journal = MortalJournal(self.world.journal, Fuse(2 if is_after else 1))
        with pytest.raises(Killed):
            self._run(journal.append(self._delivery(policy, is_firing=True, is_new=True)))

    @stateful.rule(policy=st.sampled_from(POLICIES))
    def resolve(self, policy: str) -> None:
        """Before, while or after it is handled, or before it was ever received."""
        self._run(self.world.journal.append(self._delivery(policy, is_firing=False, is_new=False)))

    @stateful.rule(seconds=st.sampled_from((0.5, 2.0, 11.0, 61.0)), rolls_out=st.booleans())
    def advance_the_clock(self, seconds: float, rolls_out: bool) -> None:  # noqa: FBT001
        """Time passes, and the controllers may have done their part."""
        self._run(self.world.clock.advance(seconds))
        if rolls_out:
            self.world.cluster.roll_out(DEPLOYMENT)

    @stateful.rule()
    def break_the_product_again(self) -> None:
        """Its pods hang, whatever was done before."""
        self._broken_at = self.world.generation

    @stateful.rule()
    def touch(self) -> None:
        """Somebody changes something without meaning on the object."""
        self.world.cluster.touch(DEPLOYMENT)

    @stateful.rule()
    def pause(self) -> None:
        """Somebody stops everything."""
        self._run(self.world.journal.pause(Pause("stop", "sam", "wait", None), self.world.clock.now(), SAM))

    @stateful.rule()
    def resume(self) -> None:
        """And releases it."""
        self._run(self.world.journal.resume("stop", self.world.clock.now(), SAM))

    # --- what processes do

    @stateful.rule(worker=st.sampled_from(("one", "two")), turns=st.integers(1, 3))
    def work(self, worker: str, turns: int) -> None:
        """A process takes turns."""
        engine = self.world.revive()
        for _ in range(turns):
            self._run(engine.turn(worker))

    @stateful.rule(point=st.integers(1, MOST_POINTS))
    def work_until_death(self, point: int) -> None:
        """A process dies before or after one of its calls, unless it has nothing to do."""
        with suppress(Killed, BaseExceptionGroup):
            self._run(self.world.engine(Fuse(point)).turn("mortal"))
        self.world.revive()

    @stateful.rule(number=st.integers(1, 2), is_reached=st.booleans())
    def die_while_calling(self, number: int, is_reached: bool) -> None:  # noqa: FBT001
        """A process dies with a call on its way."""
        self.deliver(policy="update-policies", is_new=False)
        self.product.dies_at, self.product.is_reached = number, is_reached
        with suppress(Killed, BaseExceptionGroup):
            self._run(self.world.revive().turn("mortal"))
        self.product.dies_at = None

    @stateful.rule(answer=st.sampled_from(("conflict", "lost before", "lost after")))
    def work_while_the_api_fails(self, answer: str) -> None:
        """The next write meets a changed object, or its fate is unknown: it was stored, or it was not."""
        engine, cluster = self.world.revive(), self.world.cluster
        lost = TransientError(Reason.TIMEOUT, "no answer")

        def before(verb: str, _path: str) -> None:
            if verb == "patch" and answer == "conflict":
                cluster.touch(DEPLOYMENT)
            elif verb == "patch" and answer == "lost before":
                raise lost

        def after(verb: str, _path: str) -> None:
            if verb == "patch" and answer == "lost after":
                raise lost

        cluster.before, cluster.after = before, after
        self._run(engine.turn("unlucky"))
        self.world.revive()

    @stateful.rule(point=st.integers(1, 4) | st.integers(1, 12), rolls_out=st.booleans(), is_broken=st.booleans())
    def let_a_write_arrive_late(self, point: int, rolls_out: bool, is_broken: bool) -> None:  # noqa: FBT001
        """A patch takes so long that its sender stops waiting, reads the object without it, and then it arrives.

        From then on every reader of the object recognises the write as its own, whatever else would be decided.
        """
        self.deliver(policy="restart-api", is_new=False)
        engine, cluster = self.world.revive(), self.world.cluster
        cluster.is_delaying = True
        self._run(engine.turn("impatient"))
        cluster.is_delaying = False
        self._run(self.world.clock.advance(LOOK_SECONDS + 0.5))
        stored, counts = len(cluster.stored), self._record_counts()
        first = len(cluster.calls) + point

        def before(_verb: str, _path: str) -> None:
            if len(cluster.calls) == first:
                cluster.arrive()
                if rolls_out:
                    cluster.roll_out(DEPLOYMENT)
                if is_broken:
                    self.break_the_product_again()

        cluster.before = before
        self._run(engine.turn("impatient"))
        self.world.revive()
        if len(cluster.stored) > stored and ("get", DEPLOYMENT) in cluster.calls[first - 1 :]:
            self._assert_known(cluster.stored[stored][1], counts)
        cluster.arrive()

    def _record_counts(self) -> dict[str, int]:
        return dict(self._ask("SELECT remediation, count(*) FROM record GROUP BY remediation"))

    def _assert_known(self, body: Mapping[str, Any], before: Mapping[str, int]) -> None:
        """Its remediation counts it as done, unless another remediation was next."""
        operation = body["metadata"]["annotations"][ANNOTATION_OPERATION]
        rows = self._ask(f"SELECT id, state FROM remediation WHERE operation_id = '{operation}'")  # noqa: S608
        for name, state in rows:
            if self._record_counts()[name] > before[name]:
                assert state in {"verifying", *(outcome.value for outcome in Outcome)}, state

    @stateful.rule(point=st.integers(1, 8), is_followed=st.booleans())
    def lose_the_lease(self, point: int, is_followed: bool) -> None:  # noqa: FBT001
        """A process stops at one of its calls for longer than its lease; another one may take over meanwhile."""
        self._run(stall(self.world, point, is_followed=is_followed))

    # --- what must hold all the time

    def _ask(self, question: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self._folder / "journal.db")) as connection:
            return connection.execute(question).fetchall()

    @stateful.invariant()
    def acknowledged_alerts_are_in_the_journal(self) -> None:
        rows = self._ask("SELECT group_concat(data) FROM record WHERE kind IN ('received', 'joined')")
        text = str(rows[0][0])
        assert all(fingerprint in text for fingerprint in self.acknowledged)

    @stateful.invariant()
    def at_most_one_is_in_flight_on_the_target(self) -> None:
        rows = self._ask("SELECT policy, state FROM remediation")
        busy = Counter(TARGETS[policy] for policy, state in rows if State(state) in IN_FLIGHT)
        assert all(number <= 1 for number in busy.values())

    @stateful.invariant()
    def every_effect_is_one_and_was_intended_before(self) -> None:
        operations = Counter(
            body["metadata"]["annotations"][ANNOTATION_OPERATION] for _, body in self.world.cluster.stored
        )
        assert all(number == 1 for number in operations.values()), operations
        kinds = Counter(self._ask("SELECT remediation, kind FROM record WHERE kind IN ('intent', 'evidence')"))
        for operation in operations:
            assert kinds[operation, "intent"] >= 1
            assert kinds[operation, "evidence"] >= 1

    @stateful.invariant()
    def every_call_is_made_once_for_a_remediation(self) -> None:
        """It leaves no mark, so after a crash it is unknown whether it was sent: then it is not sent again."""
        rows = self._ask(
            "SELECT count(DISTINCT remediation) FROM record WHERE kind = 'intent'"
            " AND remediation IN (SELECT id FROM remediation WHERE policy = 'update-policies')"
        )
        calls = Counter(call.url for call in self.product.calls)
        assert all(number <= rows[0][0] for number in calls.values()), calls

    @stateful.invariant()
    def every_decision_has_a_reason(self) -> None:
        rows = self._ask("SELECT json_extract(data, '$.reason') FROM record WHERE kind = 'decision'")
        assert {row[0] for row in rows} <= REASONS

    # --- the end

    def teardown(self) -> None:
        """Whatever had happened, everything is brought to an end by a process that lives."""
        try:
            self._run(self._finish())
        finally:
            self._run(self._stack.aclose())
            self._runner.close()
            shutil.rmtree(self._folder)

    async def _finish(self) -> None:
        world, engine = self.world, self.world.revive()
        await world.journal.resume("stop", world.clock.now(), SAM)
        for _ in range(LONGEST_SECONDS // 5):
            while await engine.turn("last"):
                pass
            if not await world.journal.listing(only_open=True):
                break
            await world.clock.advance(5.0)
            world.cluster.roll_out(DEPLOYMENT)
        left = await world.journal.listing()
        assert all(item.state in CLOSED for item in left), [(item.state, item.reason) for item in left]
        self.every_effect_is_one_and_was_intended_before()


EngineMachine.TestCase.settings = settings(
    max_examples=int(os.environ.get("CONTROLCORE_MACHINE_EXAMPLES", "30")),
    stateful_step_count=25,
    suppress_health_check=list(HealthCheck),
)
TestEngineMachine = pytest.mark.timeout(120)(EngineMachine.TestCase)
