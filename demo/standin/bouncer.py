"""The bouncer: answers every question with 200, also when its policy engine is broken; only the reason tells."""

from __future__ import annotations

import argparse
import asyncio
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web

from demo.standin import program
from demo.standin.engine import BuiltInEngine, Decision, Engine, OpaEngine, Question, decide, parse_question
from demo.standin.program import BOX, Handler

if TYPE_CHECKING:
    from demo.standin.faults import FaultBox

MAX_BULK = 50
POLICIES = 3
OPAL_TIMEOUT_SECONDS = 5.0


class Caches:
    """The bouncer's two caches; decisions are keyed by minute and leave only when the cache is cleared."""

    def __init__(self) -> None:
        """Start with the policies loaded and no decision."""
        self.policies = POLICIES
        self.reads = 0
        self.decisions: set[tuple[str, ...]] = set()

    def remember(self, question: Question) -> None:
        """Note one decided question."""
        minute = datetime.now(UTC).strftime("%H:%M")
        self.reads += 1
        self.policies = POLICIES
        self.decisions.add((question.user, question.resource, question.action, minute))

    def clear(self) -> None:
        """Forget everything."""
        self.policies = 0
        self.decisions.clear()


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
    caches, now = request.app[CACHES], _now()
    sizes = {"size": caches.policies, "max_size": 1000, "ttl": "5m0s", "total_access": caches.reads, "expired_count": 0}
    own = {
        "uptime": "53ns",
        "cache_size": caches.policies,
        "decision_cache_size": len(caches.decisions),
        "last_sync": now,
    }
    answer = {
        "policy_cache": sizes,
        "decision_cache": {"size": len(caches.decisions)},
        "last_sync": now,
        "bouncer": own,
    }
    return web.json_response(answer)


async def get_stats(_: web.Request) -> web.Response:
    """Answer that there are no statistics."""
    return web.json_response({"total_requests": "N/A", "allowed": "N/A", "denied": "N/A", "cache_hits": "N/A"})


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
        return web.json_response({"status": "unhealthy", "error": f"OPAL server returned status {status}"}, status=503)
    return web.json_response({"status": "healthy", "last_sync": _now()})


async def _decide(request: web.Request, question: Question) -> Decision:
    decision = await decide(request.app[ENGINE], request.app[BOX], question)
    request.app[CACHES].remember(question)
    return decision


async def authorize(request: web.Request) -> web.Response:
    """Decide one request: 200 always, `allow` and the reason."""
    try:
        question = parse_question(json.loads(await request.read()))
    except ValueError:
        return web.json_response({"error": "Invalid request format"}, status=400)
    decision = await _decide(request, question)
    return web.json_response({"allow": decision.allow, "reason": decision.reason})


async def authorize_bulk(request: web.Request) -> web.Response:
    """Decide up to 50 requests of `{"requests":[…]}`."""
    try:
        questions = [parse_question(each) for each in json.loads(await request.read())["requests"]]
    except (ValueError, KeyError, TypeError):
        return web.json_response({"error": "Invalid request format"}, status=400)
    if len(questions) > MAX_BULK:
        return web.json_response({"error": f"Maximum {MAX_BULK} requests allowed"}, status=400)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_decide(request, question), name="decision") for question in questions]
    return web.json_response(
        {"decisions": [{"allow": task.result().allow, "reason": task.result().reason} for task in tasks]}
    )


async def clear_cache(request: web.Request) -> web.Response:
    """Empty both caches."""
    request.app[CACHES].clear()
    request.app[BOX].count("cache_clear")
    return web.json_response({"message": "Cache cleared successfully"})


async def sync_policies(request: web.Request) -> web.Response:
    """Load the policies again from the control plane."""
    request.app[CACHES].policies = POLICIES
    request.app[BOX].count("policies_sync")
    return web.json_response({"message": "Policies synced successfully"})


async def sync_opal(request: web.Request) -> web.Response:
    """Load the policies again through OPAL."""
    request.app[CACHES].policies = POLICIES
    request.app[BOX].count("opal_sync")
    return web.json_response({"message": "OPAL sync triggered successfully"})


def build(arguments: argparse.Namespace, box: FaultBox) -> web.Application:
    """Return the application, deciding by the built-in policy or by the OPA whose URL is given."""
    app = web.Application(middlewares=[answer_as_the_product])
    app[BOX] = box
    app[program.ANSWERS_WRONG_ITSELF] = True
    app[ENGINE] = OpaEngine(arguments.opa_url) if arguments.opa_url else BuiltInEngine()
    app[CACHES] = Caches()
    app[OPAL_URL] = arguments.opal_server_url.rstrip("/")
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
    parser.set_defaults(name="bouncer")
    program.main(build, parser.parse_args(argv))


if __name__ == "__main__":
    main()
