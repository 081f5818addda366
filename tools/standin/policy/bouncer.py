"""The bouncer: answers every question with 200, even when its policy engine is broken; only the reason differs."""

from __future__ import annotations

import argparse
import asyncio
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import aiohttp
import msgspec
from aiohttp import web

from tools.standin import program
from tools.standin.policy.engine import BuiltInEngine, Decision, Engine, OpaEngine, Question, decide, parse_question
from tools.standin.program import BOX, Handler

if TYPE_CHECKING:
    from tools.standin.faults.switches import FaultBox

MAX_BULK = 50
OPAL_TIMEOUT_SECONDS = 5.0
UNREADABLE = (
    "failed to fetch policy bundle: failed to decode policy bundle: "
    "json: cannot unmarshal number into Go struct field Policy.policies.id of type string"
)
"""Why the product's bouncer never synchronises: the API gives a policy's id as a number."""
FORMAT_DETAILS = "Request must match IAuthorizationRequest format with required fields: user, resource, action"
BULK_DETAILS = "Request must be an array of IAuthorizationRequest objects"
REQUIRED_FORMAT: dict[str, object] = {
    "user": {
        "id": "string (required)",
        "roles": "[]string (optional)",
        "permissions": "[]string (optional)",
        "attributes": "map[string]string (optional)",
    },
    "resource": {
        "id": "string (required)",
        "type": "string (required)",
        "owner": "string (optional)",
        "attributes": "map[string]string (optional)",
    },
    "action": {"name": "string (required)", "attributes": "map[string]string (optional)"},
    "context": "map[string]interface{} (optional)",
}


class Caches:
    """The bouncer's decision cache. Its policy cache is always empty.

    The product caches no question to `/authorize`. Here each is cached, keyed by minute, when `is_used`: the cache
    leaks like this in a build with a mounted reverse proxy.
    """

    def __init__(self, *, is_used: bool) -> None:
        """Start empty."""
        self._is_used = is_used
        self.decisions: set[tuple[str, ...]] = set()

    def remember(self, question: Question) -> None:
        """Record one decided question."""
        if self._is_used:
            minute = datetime.now(UTC).strftime("%H:%M")
            self.decisions.add((question.user, question.resource, question.action, minute))

    def describe(self) -> dict[str, object]:
        """Return the sizes as the product shows them; `last_sync` is now, whatever happened."""
        policies = {"size": 0, "max_size": 1000, "ttl": "5m0s", "total_access": 0, "expired_count": 0}
        return {"policy_cache": policies, "decision_cache": {"size": len(self.decisions)}, "last_sync": _now()}


ENGINE = web.AppKey("engine", Engine)
CACHES = web.AppKey("caches", Caches)
OPAL_URL = web.AppKey("opal_url", str)


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


@web.middleware
async def answer_as_the_product(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn an unknown path into the product's plain 404."""
    try:
        return await handler(request)
    except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
        return web.Response(text="404 page not found", status=404)


async def get_health(_: web.Request) -> web.Response:
    """Answer 200 whatever the state of the policy engine."""
    body = {"status": "healthy", "service": "controlcore-bouncer", "timestamp": _now(), "version": "1.0.0"}
    return web.json_response(body | {"features": ["pep", "pdp", "caching", "audit"]})


async def get_healthz(_: web.Request) -> web.Response:
    """Answer 200 whatever the state of the policy engine."""
    return web.json_response({"status": "ok", "service": "ControlCore Bouncer with PDP", "timestamp": _now()})


async def get_metrics(request: web.Request) -> web.Response:
    """Return the cache sizes; `uptime` is about zero and each `last_sync` is now, whatever happened."""
    caches = request.app[CACHES]
    sizes = {"cache_size": 0, "decision_cache_size": len(caches.decisions)}
    return web.json_response(caches.describe() | {"bouncer": {"uptime": "53ns", **sizes, "last_sync": _now()}})


async def get_stats(request: web.Request) -> web.Response:
    """Return the cache sizes; the ratio of hits and the response time are not available."""
    config = {"target_host": "orders.standin.invalid", "cache_enabled": True, "cache_ttl": "5m0s"}
    performance = {"cache_hit_ratio": "N/A", "average_response_time": "N/A"}
    answer = {"bouncer": {"config": config, "performance": performance}}
    return web.json_response(request.app[CACHES].describe() | answer)


async def get_opal_status(request: web.Request) -> web.Response:
    """Ask the OPAL server's `/health`, which a stock server does not have, so answer 503 in practice always."""
    try:
        timeout = aiohttp.ClientTimeout(total=OPAL_TIMEOUT_SECONDS)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{request.app[OPAL_URL]}/health") as answer,
        ):
            status = answer.status
    except (aiohttp.ClientError, TimeoutError) as error:
        return web.json_response({"status": "unhealthy", "error": str(error) or "timeout"}, status=503)
    if status != 200:
        error_text = f"OPAL server health check failed with status {status}"
        return web.json_response({"status": "unhealthy", "error": error_text}, status=503)
    return web.json_response({"status": "healthy", "last_sync": _now()})


async def _decide(request: web.Request, question: Question) -> Decision:
    decision = await decide(request.app[ENGINE], request.app[BOX], question)
    request.app[CACHES].remember(question)
    return decision


async def authorize(request: web.Request) -> web.Response:
    """Decide one request: 200 always, `allow` and the reason."""
    try:
        question = parse_question(json.loads(await request.read()))
    except ValueError as error:
        answer: dict[str, object] = {"error": "Invalid request format", "details": FORMAT_DETAILS}
        answer |= {"required_format": REQUIRED_FORMAT, "validation_error": str(error)}
        return web.json_response(answer, status=400)
    decision = await _decide(request, question)
    return web.json_response({"allow": decision.allow, "reason": decision.reason})


async def authorize_bulk(request: web.Request) -> web.Response:
    """Decide up to 50 requests, which come as a list."""
    try:
        questions = [parse_question(each) for each in msgspec.json.decode(await request.read(), type=list[object])]
    except ValueError as error:
        answer = {"error": "Invalid bulk request format", "details": BULK_DETAILS, "validation_error": str(error)}
        return web.json_response(answer, status=400)
    if not questions:
        return web.json_response({"error": "No authorization requests provided"}, status=400)
    if len(questions) > MAX_BULK:
        return web.json_response({"error": f"Too many requests, maximum {MAX_BULK} allowed"}, status=400)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_decide(request, question), name="decision") for question in questions]
    return web.json_response(
        {"decisions": [{"allow": task.result().allow, "reason": task.result().reason} for task in tasks]}
    )


async def clear_cache(request: web.Request) -> web.Response:
    """Empty both caches."""
    request.app[CACHES].decisions.clear()
    request.app[BOX].count("cache_clear")
    return web.json_response({"message": "Cache cleared successfully"})


async def sync_policies(request: web.Request) -> web.Response:
    """Answer 500: the product cannot read the control plane's answer as soon as there is a policy in it."""
    request.app[BOX].count("policies_sync")
    return web.json_response({"error": "Failed to sync policies", "details": UNREADABLE}, status=500)


async def sync_opal(request: web.Request) -> web.Response:
    """Answer 500, as `sync_policies` does."""
    request.app[BOX].count("opal_sync")
    return web.json_response({"error": "Failed to sync with OPAL", "details": UNREADABLE}, status=500)


async def get_description(_: web.Request) -> web.Response:
    """Describe the program."""
    endpoints = {"health": {"GET /health": "Health check", "GET /healthz": "Simple health check"}}
    body = {"service": "ControlCore Bouncer with PDP", "version": "1.0.0", "endpoints": endpoints}
    features = ["reverse_proxy", "policy_enforcement", "decision_caching", "audit_logging", "content_injection"]
    return web.json_response(body | {"description": "Policy Enforcement Point (PEP)", "features": features})


def build(arguments: argparse.Namespace, box: FaultBox) -> web.Application:
    """Return the application, deciding by the built-in policy or by the OPA whose URL is given."""
    app = web.Application(middlewares=[answer_as_the_product])
    app[BOX] = box
    app[program.ANSWERS_WRONG_ITSELF] = True
    app[ENGINE] = OpaEngine(arguments.opa_url) if arguments.opa_url else BuiltInEngine()
    app[CACHES] = Caches(is_used=arguments.decision_cache)
    app[OPAL_URL] = arguments.opal_server_url.rstrip("/")
    app.router.add_get("/", get_description)
    app.router.add_get("/health", get_health)
    app.router.add_get("/healthz", get_healthz)
    app.router.add_get("/api/v1/metrics", get_metrics)
    app.router.add_get("/api/v1/stats", get_stats)
    app.router.add_get("/api/v1/opal/status", get_opal_status)
    app.router.add_get("/api/v1/policies/sync", sync_policies)
    app.router.add_post("/api/v1/authorize", authorize)
    app.router.add_post("/api/v1/authorize/bulk", authorize_bulk)
    app.router.add_post("/api/v1/policies/cache/clear", clear_cache)
    app.router.add_post("/api/v1/opal/sync", sync_opal)
    return app


def main(argv: list[str] | None = None) -> None:
    """Run a bouncer."""
    parser = argparse.ArgumentParser(prog="bouncer", description=__doc__)
    program.add_arguments(parser)
    parser.add_argument("--opal-server-url", default="http://127.0.0.1:9", help="where /api/v1/opal/status asks")
    parser.add_argument("--opa-url", help="a real OPA that decides; default: the built-in policy")
    parser.add_argument("--decision-cache", action="store_true", help="cache what /authorize decides, as a leak")
    parser.set_defaults(name="bouncer")
    program.main(build, parser.parse_args(argv))


if __name__ == "__main__":
    main()
