"""Remediations with records, and their notifiers, in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from chassis.errors import BackendError
from chassis.http.call import Call, Response
from remediations.core.model.remediation import Record, State
from remediations.core.policies.policy import Policy
from remediations.notifications.timeline import Timeline, make_timeline
from tests.fakes.decisions import NOW, a_remediation, restart_policy

FACTS = {"workload": {"value": {"uid": "uid-1"}}}


def a_hold(at: float, reason: str = "dependency_down", detail: str = "database down", **data: Any) -> Record:
    found = {"decision": "hold", "reason": reason, "detail": detail, "facts": FACTS}
    return Record(NOW + at, "decision", State.HELD, found | data)


def an_act(at: float, state: State = State.PLANNED) -> Record:
    found = {"decision": "act", "reason": "guards_passed", "detail": "restart the API", "facts": FACTS}
    return Record(NOW + at, "decision", state, found)


def a_write(at: float, result: str = "done", **data: Any) -> Record:
    return Record(NOW + at, "write", State.VERIFYING, {"result": result, "detail": "", **data})


def a_verdict(at: float, state: State = State.SUCCEEDED) -> Record:
    return Record(NOW + at, "verification", state, {"outcome": state.value, "detail": "2 fresh samples"})


REPAIRED = (a_hold(0), an_act(5), a_write(6), a_verdict(30))


def told(*records: Record, policy: Policy | None = None, **changes: Any) -> Timeline:
    """A remediation with these records, in the state of the last one."""
    values = {"state": records[-1].state, "updated_at": records[-1].at, **changes}
    return make_timeline(a_remediation(**values), policy or restart_policy(), records)


class Alertmanagers:
    """Several Alertmanagers by URL: what they were sent, and how they answer."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.answers: dict[str, int | BackendError] = {}

    async def send(self, call: Call) -> Response:
        self.calls.append(call)
        answer = self.answers.get(call.url.removesuffix("/api/v2/alerts"), 200)
        if isinstance(answer, BackendError):
            raise answer
        json.dumps(call.json)
        return Response(answer, b"", 0.001)

    def heard(self, url: str | None = None) -> list[Mapping[str, Any]]:
        """Every alert that was taken, in order."""
        taken = (call for call in self.calls if url is None or call.url.startswith(url))
        return [alert for call in taken for alert in call.json]
