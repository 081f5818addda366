"""The engine on a real journal, with a Kubernetes and a Prometheus in memory, and a way to die at any call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from chassis.errors import Reason, TransientError
from chassis.http.call import Call, Response
from remediations.core.model.alert import Alert, Delivery, Match, Target
from remediations.core.model.facts import Fact, ProcessStart
from remediations.core.model.remediation import CLOSED, Record, Remediation
from remediations.core.policies.policy import Policy, PolicySet
from remediations.engine.context import EngineContext
from remediations.engine.engine import Engine, EngineParts
from remediations.execution.executor import Executor, Tools
from remediations.execution.senders import Caller
from remediations.facts.kubernetes.reader import ClusterReader
from remediations.facts.kubernetes.target import survey
from remediations.facts.sources import FactSources, SilenceApi
from remediations.journal.port import Journal
from remediations.journal.sqlite.adapter import open_journal
from remediations.metrics import Telemetry
from remediations.settings import WorkerSettings
from tests.fakes.clock import ManualClock
from tests.fakes.decisions import API, LABELS, NOW, a_policy_set, restart_policy
from tests.fakes.kubernetes import DEPLOYMENT, FakeCluster, a_cluster
from tests.fakes.prometheus import FakePrometheus, FakeWeb

LEASE_SECONDS = 10.0
DEADLINE_SECONDS = 30.0
"""Deadline of each query. In-memory sources answer at once, but a machine may be busy for seconds."""
STARTED = Fact(ProcessStart(NOW - 60, 5.0), "journal")
"""A process that came back after a few seconds."""
LIMITED: Fact[bool] = Fact(True, "dry runs")
"""The API server refuses what no policy allows."""


class Killed(BaseException):
    """The process has died here: nothing of it runs on, so nothing may catch this."""


@dataclass
class Fuse:
    """Dies at the nth point that is passed; None never does.

    The calls of both programs pass one point before and one point after.
    """

    left: int | None = None
    passed: int = 0
    names: list[str] = field(default_factory=list)

    def pass_by(self, name: str) -> None:
        self.passed += 1
        self.names.append(name)
        if self.left is not None and self.passed == self.left:
            raise Killed(name)


class MortalJournal:
    """A journal whose every call passes the fuse before and after: the process may die with or without the effect."""

    def __init__(self, journal: Journal, fuse: Fuse) -> None:
        self._journal = journal
        self._fuse = fuse

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._journal, name)

        async def mortal(*arguments: Any, **named: Any) -> Any:
            self._fuse.pass_by(f"before journal.{name}")
            result = await call(*arguments, **named)
            self._fuse.pass_by(f"after journal.{name}")
            return result

        return mortal


class MortalWeb:
    """Calls to other programs that pass the fuse before and after."""

    def __init__(self, web: Caller, fuse: Fuse) -> None:
        self._web = web
        self._fuse = fuse

    async def send(self, call: Call) -> Response:
        self._fuse.pass_by("before call")
        answer = await self._web.send(call)
        self._fuse.pass_by("after call")
        return answer


@dataclass
class World:
    """Everything outside one process: it stays when the process dies."""

    journal: Journal
    cluster: FakeCluster
    clock: ManualClock
    policy_set: PolicySet
    prometheus: FakePrometheus
    web: FakeWeb
    pause_file: Path
    telemetry: Telemetry
    proof: Fact[bool] = LIMITED
    """The result of the self-test."""
    notify: Callable[[Remediation], None] = lambda _remediation: None
    alertmanager: SilenceApi | None = None
    product: Caller | None = None
    """The receiver of steps that are HTTP calls."""

    def engine(self, fuse: Fuse | None = None, *, has_cluster: bool = True) -> Engine:
        """A process that works on this world; with a fuse it dies at some call."""
        journal: Any = self.journal if fuse is None else MortalJournal(self.journal, fuse)
        if fuse is not None:
            self.cluster.before = lambda verb, _path: fuse.pass_by(f"before {verb}")
            self.cluster.after = lambda verb, _path: fuse.pass_by(f"after {verb}")
        reader = ClusterReader(self.cluster, DEADLINE_SECONDS) if has_cluster else None
        sources = FactSources(self.prometheus, self.web, reader, DEADLINE_SECONDS, self.pause_file, self.alertmanager)
        desk = EngineContext(
            journal, lambda: self.policy_set, sources, self.telemetry, self.clock, STARTED, self._prove
        )
        product = self.product if fuse is None or self.product is None else MortalWeb(self.product, fuse)
        executor = Executor(self.cluster, self.clock, 3.0, Tools(product)) if has_cluster else None
        return Engine(EngineParts(desk, executor, WorkerSettings(lease_seconds=LEASE_SECONDS), self.notify))

    async def _prove(self, _policy: Policy, _policy_set: PolicySet, _target: Target) -> Fact[bool]:
        return self.proof

    def revive(self) -> Engine:
        """The next process, which lives."""
        self.cluster.before = self.cluster.after = lambda _verb, _path: None
        return self.engine()

    async def deliver(self, *policies: str, is_firing: bool = True) -> None:
        """Alertmanager delivers one alert for each policy."""
        alert = Alert("f00d", "ControlCoreApiDown", is_firing, LABELS)
        matches = tuple(Match(alert, name, API) for name in policies or ("restart-api",))
        await self.journal.append(Delivery(self.clock.now(), matches))

    async def work(self, engine: Engine, *, turns: int = 40, seconds: float = 3.0) -> None:
        """Turns until everything is closed, with time passing in between and the controllers doing their part.

        Fails if something stays open, and says why: a test that waits for its end would wait until its timeout.
        """
        for _ in range(turns):
            while await engine.turn("worker"):
                pass
            if not await self.journal.listing(only_open=True):
                return
            await self.clock.advance(seconds)
            self.cluster.roll_out(DEPLOYMENT)
        open_ones = [await self._describe(item) for item in await self.journal.listing(only_open=True)]
        raise AssertionError(f"still open after {turns} turns: {'; '.join(open_ones)}")

    async def _describe(self, remediation: Remediation) -> str:
        """State, reason and the newest detail."""
        _, records = await self.journal.story(remediation.id)
        details = [record.data["detail"] for record in records if record.data.get("detail")]
        return f"{remediation.policy} is {remediation.state}: {remediation.reason}: {details[-1] if details else ''}"

    async def newest(self) -> Remediation:
        """The remediation that began last."""
        (found,) = await self.journal.listing(limit=1)
        return found

    async def records(self, *kinds: str) -> list[Record]:
        """The newest remediation's records of these kinds, oldest first."""
        _, records = await self.journal.story((await self.newest()).id)
        return [record for record in records if record.kind in kinds]

    @property
    def generation(self) -> int:
        """Generation of the Deployment; it is 3 before anything is done."""
        return int(self.cluster.objects[DEPLOYMENT]["metadata"]["generation"])

    def count(self, name: str, **labels: str) -> float:
        """A metric's value."""
        return self.telemetry.registry.get_sample_value(f"controlcore_{name}", labels) or 0.0

    def set_policy(self, **changes: Any) -> None:
        """Changes the restart policy."""
        self.policy_set = replace(
            self.policy_set,
            policies=tuple(
                replace(item, **changes) if item.name == "restart-api" else item for item in self.policy_set.policies
            ),
        )


async def _require_readable_cluster() -> None:
    """Fails if a fact reads an object that `a_cluster` lacks: then everything is held, and tests wait for timeouts."""
    reader = ClusterReader(a_cluster(), DEADLINE_SECONDS)
    seen = await survey(reader, DEADLINE_SECONDS, restart_policy(), API)
    found = {item.name: getattr(seen, item.name) for item in fields(seen)}
    unknown = {name: fact.problem for name, fact in found.items() if fact.value is None}
    assert not unknown, f"a_cluster() in tests/fakes/kubernetes.py lacks what these facts read: {unknown}"


@asynccontextmanager
async def a_world(path: Path, *policies: Policy) -> AsyncIterator[World]:
    """The API hangs: its condition holds and no pod is ready, until the Deployment has been rolled out once more."""
    await _require_readable_cluster()
    clock = ManualClock(NOW)
    cluster = a_cluster()
    policy_set = a_policy_set(*(policies or (restart_policy(verify_timeout_seconds=60.0),)))

    def is_well() -> bool:
        document = cluster.objects[DEPLOYMENT]
        return bool(document["metadata"]["generation"] > 3 and document["status"]["readyReplicas"] > 0)

    answers = {
        "controlcore_api_up == bool 0": lambda: not is_well(),
        "controlcore_api_up == bool 1": is_well,
        "controlcore_postgres_up == bool 1": True,
    }
    async with open_journal(path / "journal.db") as journal:
        web = FakeWeb(TransientError(Reason.TIMEOUT, "slow"))
        names = [policy.name for policy in policy_set.policies]
        prometheus = FakePrometheus(clock, answers)
        telemetry = await asyncio.to_thread(Telemetry, names)
        yield World(journal, cluster, clock, policy_set, prometheus, web, path / "pause", telemetry)


async def is_all_closed(journal: Journal) -> bool:
    """Whether every remediation has come to an end."""
    return all(item.state in CLOSED for item in await journal.listing())


def raising(error: Exception, *verbs: str) -> Callable[[str, str], None]:
    """A hook for the fake API that fails at these verbs."""

    def hook(verb: str, _path: str) -> None:
        if verb in verbs:
            raise error

    return hook
