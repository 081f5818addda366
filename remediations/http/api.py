"""The HTTP API for people and their tools: the same reads and acts as on the command line, with credentials.

`remediations/shipped/openapi.json` describes it; a test compares the two.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
from aiohttp import web

from chassis.clock import Clock
from chassis.log import get_logger
from remediations.core.codec import to_data
from remediations.core.model.acts import Actor
from remediations.core.model.facts import Pause
from remediations.core.policies.policy import PolicySet
from remediations.http.auth import CALLER
from remediations.http.responses import ROOT, answered, as_json, read_object
from remediations.journal.approvals import DEFAULT_SECONDS, ApprovalAnswer, find_proposal, give_answer
from remediations.journal.breakers import reset_breaker
from remediations.journal.pauses import find_policy, find_target, require_meant
from remediations.journal.port import Journal
from remediations.journal.records import acts_content, list_content, story_content
from remediations.journal.standing import make_selection, read_standings
from remediations.shipped import read_openapi

MAX_LISTED = 1000
MAX_PAUSE_SECONDS = 10 * 365 * 86400.0
"""Longest pause with an end: longer ones have no printable date."""


class _AnswerBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of approve and reject."""

    by: str = ""
    plan_hash: str = ""
    seconds: float = DEFAULT_SECONDS


class _PauseBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a pause."""

    reason: str
    owner: str = ""
    seconds: float | None = None
    policy: str = ""
    """The one policy to stop."""
    target: str = ""
    """Kind/namespace/name of the one object to protect. Without policy and target everything stops."""


class _ResetBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of the reset of a breaker."""

    action: str
    target: str
    """Kind/namespace/name."""
    by: str = ""


@dataclass(frozen=True, slots=True)
class Api:
    """The routes under /api/v1 besides the webhook."""

    journal: Journal
    clock: Clock
    wake: Callable[[], None]
    """Wakes the engine after a change; must not block."""
    policies: Callable[[], PolicySet]
    """The policy file in force."""

    def add_to(self, app: web.Application) -> None:
        """Adds every route."""
        one = f"{ROOT}/remediations/{{id}}"
        app.router.add_get(f"{ROOT}/openapi.json", answered(self._openapi))
        app.router.add_get(f"{ROOT}/remediations", answered(self._list))
        app.router.add_get(one, answered(self._show))
        app.router.add_post(f"{one}/approve", answered(self._approve))
        app.router.add_post(f"{one}/reject", answered(self._reject))
        app.router.add_get(f"{ROOT}/pauses", answered(self._pauses))
        app.router.add_put(f"{ROOT}/pauses/{{name}}", answered(self._pause))
        app.router.add_delete(f"{ROOT}/pauses/{{name}}", answered(self._resume))
        app.router.add_post(f"{ROOT}/breakers/reset", answered(self._reset_breaker))
        app.router.add_get(f"{ROOT}/acts", answered(self._acts))

    async def _openapi(self, _request: web.Request) -> web.Response:
        """GET /api/v1/openapi.json."""
        return web.Response(text=await asyncio.to_thread(read_openapi), content_type="application/json")

    async def _list(self, request: web.Request) -> web.Response:
        """GET /api/v1/remediations?open=true&limit=50, newest first; filters as in the command."""
        query, limit = request.query, _limit_of(request)
        words = {name: query.get(name, "") for name in ("policy", "target", "state", "outcome", "reason")}
        selection = make_selection(**words, since=float(query.get("since", "0")))
        found = await self.journal.listing(only_open=query.get("open") == "true", limit=limit, selection=selection)
        return as_json({"remediations": list_content(await read_standings(self.journal, found))})

    async def _acts(self, request: web.Request) -> web.Response:
        """GET /api/v1/acts?limit=50: people's acts, newest first."""
        return as_json({"acts": acts_content(await self.journal.acts(_limit_of(request)))})

    async def _show(self, request: web.Request) -> web.Response:
        """GET /api/v1/remediations/{id}: everything about one remediation."""
        remediation, records = await self.journal.story(request.match_info["id"])
        proposal = find_proposal(records)
        return as_json(story_content(remediation, records) | {"proposal": proposal})

    async def _approve(self, request: web.Request) -> web.Response:
        """POST /api/v1/remediations/{id}/approve."""
        return await self._give(request, is_approved=True)

    async def _reject(self, request: web.Request) -> web.Response:
        """POST /api/v1/remediations/{id}/reject."""
        return await self._give(request, is_approved=False)

    async def _give(self, request: web.Request, *, is_approved: bool) -> web.Response:
        """Stores an answer under the name of the credential; a name in the body is stored as claimed."""
        body = await read_object(request, _AnswerBody)
        if is_approved and not body.plan_hash:
            raise ValueError("plan_hash: name the plan that you have read")
        answer = ApprovalAnswer(_actor(request, body.by), is_approved, body.plan_hash, body.seconds)
        given = await give_answer(self.journal, request.match_info["id"], answer, self.clock.now())
        self.wake()
        event = "plan.approved" if is_approved else "plan.rejected"
        get_logger().info(
            event,
            remediation_id=given.remediation,
            by=given.by,
            address=answer.actor.address,
            plan_hash=given.plan_hash,
        )
        return as_json(to_data(given))

    async def _pauses(self, _request: web.Request) -> web.Response:
        """GET /api/v1/pauses: those in force."""
        found = await self.journal.pauses(self.clock.now())
        return as_json({"pauses": to_data(found)})

    async def _pause(self, request: web.Request) -> web.Response:
        """PUT /api/v1/pauses/{name}: nothing in its scope is written until it is resumed or has ended."""
        body = await read_object(request, _PauseBody)
        actor = _actor(request, body.owner)
        if not body.reason.strip():
            raise ValueError("a pause needs a reason")
        if body.seconds is not None and not 0 < body.seconds <= MAX_PAUSE_SECONDS:
            raise ValueError(
                f"seconds must be above 0 and at most {MAX_PAUSE_SECONDS:g}; leave it out for a pause without an end"
            )
        name, now = request.match_info["name"], self.clock.now()
        policy = find_policy(self.policies(), body.policy) if body.policy else ""
        target = find_target(self.policies(), body.target) if body.target else ""
        if not policy and not target:
            require_meant(self.policies(), name)
        until = None if body.seconds is None else now + body.seconds
        pause = Pause(name, actor.label, body.reason, until, policy, target, now)
        await self.journal.pause(pause, now, actor)
        log = get_logger().bind(name=name, scope=pause.scope)
        log.info("pause.set", owner=pause.owner, address=actor.address, until=until)
        return as_json(to_data(pause))

    async def _resume(self, request: web.Request) -> web.Response:
        """DELETE /api/v1/pauses/{name}."""
        name, actor = request.match_info["name"], _actor(request)
        if not await self.journal.resume(name, self.clock.now(), actor):
            raise KeyError(name)
        get_logger().info("pause.ended", name=name, by=actor.label, address=actor.address)
        self.wake()
        return as_json({"resumed": name, "by": actor.label})

    async def _reset_breaker(self, request: web.Request) -> web.Response:
        """POST /api/v1/breakers/reset: earlier attempts no longer count towards the breaker."""
        body = await read_object(request, _ResetBody)
        actor = _actor(request, body.by)
        reset = await reset_breaker(self.journal, body.action, body.target, actor, self.clock.now())
        get_logger().info("breaker.reset", **to_data(reset), address=actor.address)
        self.wake()
        return as_json(to_data(reset))


def _actor(request: web.Request, claimed: str = "") -> Actor:
    """The actor; raises ValueError for a claimed name that is too long."""
    return request[CALLER].actor(claimed)


def _limit_of(request: web.Request) -> int:
    """The requested number; raises ValueError."""
    limit = int(request.query.get("limit", "50"))
    if not 1 <= limit <= MAX_LISTED:
        raise ValueError(f"limit must be from 1 to {MAX_LISTED}")
    return limit
