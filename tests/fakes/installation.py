"""The input of `doctor`'s checks, with fakes instead of servers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chassis.errors import BackendError
from chassis.http.call import Call, Response
from chassis.output.findings import Finding
from remediations.commands.doctor.installation import Installation
from remediations.core.policies.policy import PolicySet
from remediations.facts.prometheus import QuerySample
from remediations.settings import RemediatorSettings
from tests.fakes.clock import ManualClock

CHECK = "check"
Answer = Any


@dataclass
class AskedPrometheus:
    """Answers instant queries and endpoints from a table; what is not in it has no sample."""

    answers: Mapping[str, Any] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)

    async def instant(self, promql: str) -> tuple[QuerySample, ...]:
        found = self.answers.get(promql, ())
        if isinstance(found, BackendError):
            raise found
        return tuple(found)

    async def read(self, endpoint: str, params: Mapping[str, str]) -> Any:
        del params
        found = self.answers.get(endpoint)
        if isinstance(found, BackendError):
            raise found
        return found

    async def find_fault(self, promql: str, timeout_seconds: float) -> str:
        del timeout_seconds
        return self.faults.get(promql, "")


@dataclass
class AskedHttp:
    """Answers requests by `METHOD URL`."""

    answer: Callable[[Call], Response | BackendError]
    calls: list[Call] = field(default_factory=list)

    async def send(self, call: Call) -> Response:
        self.calls.append(call)
        found = self.answer(call)
        if isinstance(found, BackendError):
            raise found
        return found


def sample(value: float, **labels: str) -> QuerySample:
    """One sample."""
    return QuerySample(labels, value)


def a_place(policy_set: PolicySet | None = None, **parts: Any) -> Installation:
    """An installation without servers; `parts` replace the sources that a test uses."""
    values: dict[str, Any] = {
        "settings": RemediatorSettings(),
        "file": Path("/etc/remediator.yaml"),
        "policy_set": policy_set or PolicySet(()),
        "http": None,
        "own_http": None,
        "prometheus": AskedPrometheus(),
        "cluster": None,
        "cluster_problem": "",
        "clock": ManualClock(),
        "is_sending": False,
    }
    return Installation(**(values | parts))


async def found_by(
    question: Callable[[Installation, str], Awaitable[list[Finding]]], place: Installation
) -> list[Finding]:
    """A check's findings."""
    return list(await question(place, CHECK))


def told(findings: list[Finding]) -> list[tuple[str, str]]:
    """Severity and problem of each."""
    return [(finding.severity.value, finding.problem) for finding in findings]
