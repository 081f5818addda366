"""The read-only routes: simulate a decision, replay old decisions, check files."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web

from remediations.core.codec import from_data
from remediations.core.intake import PayloadError, parse_payload
from remediations.core.model.facts import Facts
from remediations.engine import simulation
from remediations.engine.simulation import Planner, replay
from remediations.http.responses import ROOT, answered, as_json, read_object
from remediations.journal.port import Journal

MAX_PLAN_BYTES = 128 * 1024
"""A larger body would block the event loop for too long."""
MAX_POLICY_BYTES = 64 * 1024
"""Parsing a policy file takes about a second for each 64 KiB, and blocks everything else in slices."""
MAX_PAIRS = 20
"""Pairs of a policy and a target in one request: the live systems are read for each."""

Check = Callable[[str | None], Awaitable[dict[str, Any]]]
"""Faults, warnings and policies of the text of a policy file, or, with None, of the files that the program uses."""


class _PlanBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of plan."""

    payload: msgspec.Raw
    """Alertmanager's webhook body."""
    facts: dict[str, Any] | None = None
    """Recorded facts instead of current ones."""


class _CheckBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of check-config."""

    policies: str | None = None


@dataclass(frozen=True, slots=True)
class DecisionsApi:
    """Routes that write nothing."""

    planner: Planner
    journal: Journal
    check: Check
    _one: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One request at a time reads the live systems, so that these routes do not slow down repairs."""

    def add_to(self, app: web.Application) -> None:
        """Adds every route."""
        app.router.add_post(f"{ROOT}/plan", answered(self._plan))
        app.router.add_get(f"{ROOT}/remediations/{{id}}/replay", answered(self._replay))
        app.router.add_post(f"{ROOT}/check-config", answered(self._check_policies))

    async def _plan(self, request: web.Request) -> web.Response:
        """POST /api/v1/plan: the decision for each policy and target that matches the payload's firing alerts."""
        body = await read_object(request, _PlanBody, MAX_PLAN_BYTES)
        try:
            payload = parse_payload(bytes(body.payload))
        except PayloadError as error:
            raise ValueError(f"payload: {error}") from error
        facts = None if body.facts is None else from_data(Facts, body.facts)
        async with self._one:
            found = await self.planner.plan(payload, facts, MAX_PAIRS)
        return as_json({"decisions": simulation.simulation_to_data(found)})

    async def _replay(self, request: web.Request) -> web.Response:
        """GET /api/v1/remediations/{id}/replay: each decision as it was and as it would be now."""
        told = await replay(self.journal, request.match_info["id"])
        return as_json({"is_same": all(item["is_same"] for item in told), "decisions": told})

    async def _check_policies(self, request: web.Request) -> web.Response:
        """POST /api/v1/check-config: for the files that the program uses, or for the text of a policy file."""
        body = await read_object(request, _CheckBody, MAX_POLICY_BYTES)
        async with self._one:
            return as_json(await self.check(body.policies))
