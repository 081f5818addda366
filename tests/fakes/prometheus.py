"""A Prometheus that answers what a test says, and a web server that does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from chassis.clock import Clock
from chassis.http.call import Call, Response
from remediations.core.model.facts import Fact
from remediations.core.policies.limits import CustomGuard
from remediations.core.policies.policy import Query

Answer = bool | None | Callable[[], bool | None]


@dataclass
class FakePrometheus:
    """Implements remediations.facts.sources.QueryApi. A query that is not listed has no result; results are fresh."""

    clock: Clock
    answers: Mapping[str, Answer] = field(default_factory=dict)
    hangs: bool = False
    numbers: Mapping[str, float] = field(default_factory=dict)

    async def query(self, query: Query) -> Fact[bool]:
        if self.hangs:
            await asyncio.Event().wait()
        answer = self.answers.get(query.promql)
        value = answer() if callable(answer) else answer
        if value is None:
            return Fact(None, query.promql, "no sample")
        return Fact(value, query.promql, "", self.clock.now())

    async def measure(self, query: Query) -> Fact[float]:
        answer = self.numbers.get(query.promql)
        return Fact(answer, query.promql, "" if answer is not None else "no sample", self.clock.now())

    async def has_samples(self, guard: CustomGuard) -> Fact[bool]:
        answer = self.answers.get(guard.promql)
        value = answer() if callable(answer) else answer
        return Fact(value, guard.promql, "" if value is not None else "stale", self.clock.now())


@dataclass
class FakeWeb:
    """Implements remediations.facts.sources.Getter: a status, or the error to raise."""

    answer: int | Exception = 200
    calls: list[Call] = field(default_factory=list)

    async def send(self, call: Call) -> Response:
        self.calls.append(call)
        if isinstance(self.answer, Exception):
            raise self.answer
        return Response(self.answer, b"", 0.001)
