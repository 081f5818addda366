"""The control-plane API: `async def` handlers that block the event loop with synchronous database calls.

`GET /health` never asks the database, and hangs all the same when another handler waits for a frozen one.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING

import psycopg
import redis.asyncio
from aiohttp import web
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tools.standin import program
from tools.standin.api import probes
from tools.standin.api.parts import CACHE, POOL, query_pairs, read_fields, refuse_user, require_user
from tools.standin.api.peps import add_pep_routes
from tools.standin.api.users import (
    AuditEvent,
    Users,
    decide,
    find_user,
    is_password,
    login_event,
    open_session,
    write_audit,
)
from tools.standin.database import BlockingPool, drop_tables

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tools.standin.faults.switches import FaultBox
    from tools.standin.program import Handler

ROLE_WITHOUT_DECISIONS = "builtin_admin"


@web.middleware
async def fail_as_the_product(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn an unhandled failure into the product's 500."""
    try:
        return await handler(request)
    except psycopg.Error as error:
        print(f"ERROR:app.middleware.security:Security middleware error: {error}", file=sys.stderr)
        return web.json_response({"error": "Security check failed"}, status=500)


async def get_bouncer_pairs(request: web.Request) -> web.Response:
    """List the protected resources with their sandbox and production bouncers, from the database."""
    return web.json_response(query_pairs(request.app[POOL]))


async def log_in(request: web.Request) -> web.Response:
    """Exchange user name and password for a bearer token of 30 minutes; writes a session and an audit row."""
    body = await read_fields(request, "username", "password")
    username, password = str(body["username"]), str(body["password"])
    pool = request.app[POOL]
    rows = pool.fetch("SELECT id, password_hash FROM users WHERE username = %s AND status = 'active'", (username,))
    user_id = int(str(rows[0][0])) if rows else None
    if user_id is None or not is_password(password, str(rows[0][1])):
        write_audit(pool, login_event(username, user_id, is_allowed=False))
        raise refuse_user("Incorrect username or password")
    token = open_session(pool, user_id)
    write_audit(pool, login_event(username, user_id, is_allowed=True))
    user = find_user(pool, user_id)
    answer = {"access_token": token, "token_type": "bearer", "user": user}
    return web.json_response(answer | {"force_password_change": user["force_password_change"]})


async def evaluate_decision(request: web.Request) -> web.Response:
    """Decide for the caller, by table lookup, and write an audit row.

    A builtin_admin gets 500 after a false PERMIT row. The user that the question names counts for nothing.
    """
    _, username, role = require_user(request)
    started = asyncio.get_running_loop().time()
    body = await read_fields(request, "user", "resource", "action")
    pool = request.app[POOL]
    resource, action = str(body["resource"]), str(body["action"])
    if role == ROLE_WITHOUT_DECISIONS:
        policy = "SYSTEM_ADMIN_BYPASS"
        write_audit(pool, AuditEvent("ACCESS_GRANTED", "PERMIT", str(username), None, action, resource, policy))
        return web.json_response({"error": "Security check failed"}, status=500)
    event = decide(pool, str(username), str(role), resource, action)
    write_audit(pool, event)
    answer = {"decision": event.outcome, "reason": event.reason, "policy_name": event.policy_name}
    return web.json_response(answer | {"evaluation_time": (asyncio.get_running_loop().time() - started) * 1000})


async def get_dashboard(request: web.Request) -> web.Response:
    """Return the dashboard's twelve figures, for a logged-in user."""
    require_user(request)
    pool = request.app[POOL]
    policies = {
        str(status): int(str(count)) for status, count in pool.fetch("SELECT status, count(*) FROM policies GROUP BY 1")
    }
    states = "count(*) FILTER (WHERE status = 'active'), count(*) FILTER (WHERE status = 'error')"
    peps = pool.fetch(f"SELECT count(*), {states} FROM peps")[0]  # noqa: S608 (a constant text)
    connections, active = pool.fetch("SELECT count(*), count(*) FILTER (WHERE status = 'ACTIVE') FROM pip_connections")[
        0
    ]
    decisions, granted, denied = (
        int(str(count))
        for count in pool.fetch(
            "SELECT count(*) FILTER (WHERE event_type IN ('ACCESS_GRANTED', 'ACCESS_DENIED')), "
            "count(*) FILTER (WHERE outcome = 'PERMIT'), count(*) FILTER (WHERE outcome = 'DENY') FROM audit_logs "
            "WHERE \"timestamp\" >= (now() AT TIME ZONE 'UTC') - interval '24 hours'"
        )[0]
    )
    answer: dict[str, object] = {"totalPolicies": sum(policies.values()), "activePolicies": policies.get("enabled", 0)}
    answer |= {"draftPolicies": policies.get("draft", 0), "deployedPEPs": peps[0], "operationalPEPs": peps[1]}
    answer |= {"warningPEPs": peps[2], "smartConnections": connections, "activeConnections": active}
    answer |= {"pendingConnections": int(str(connections)) - int(str(active)), "authDecisions24h": decisions}
    shares = [round(100 * count / decisions, 1) if decisions else 0 for count in (granted, denied)]
    return web.json_response(answer | dict(zip(("allowedPercentage", "deniedPercentage"), shares, strict=True)))


def _simulate_users(interval_seconds: float) -> Callable[[web.Application], AsyncIterator[None]]:
    async def run_users(app: web.Application) -> AsyncIterator[None]:
        users = Users(app[POOL], app[CACHE], app[program.BOX])
        async with asyncio.TaskGroup() as group:
            task = group.create_task(users.run(interval_seconds), name="users")
            yield
            task.cancel()

    return run_users


def build(arguments: argparse.Namespace, box: FaultBox) -> web.Application:
    """Connect to the database (raises when it is down, so the process ends) and return the application."""
    app = web.Application(middlewares=[program.answer_as_fastapi, fail_as_the_product])
    app[program.BOX] = box
    if arguments.drop_tables:
        drop_tables(arguments.database_url)
    app[POOL] = BlockingPool(arguments.database_url)
    # One retry at once: a connection that Redis closed is opened again, and a Redis that is down is reported
    # immediately.
    app[CACHE] = redis.asyncio.Redis.from_url(
        arguments.redis_url, socket_timeout=2, socket_connect_timeout=2, retry=Retry(NoBackoff(), 1)
    )
    app[probes.POOLS] = probes.unseen_pools()
    app.cleanup_ctx.append(probes.watch_pools)
    app.add_routes(probes.routes())
    add_pep_routes(app)
    app.router.add_get("/opal/bouncer-pairs", get_bouncer_pairs)
    app.router.add_get("/dashboard/stats", get_dashboard)
    app.router.add_post("/auth/login", log_in)
    app.router.add_post("/decisions/evaluate", evaluate_decision)
    if arguments.traffic_interval > 0:
        app.cleanup_ctx.append(_simulate_users(arguments.traffic_interval))
    return app


def main(argv: list[str] | None = None) -> None:
    """Run the control-plane API."""
    parser = argparse.ArgumentParser(prog="control-plane-api", description=__doc__)
    program.add_arguments(parser)
    parser.add_argument("--database-url", required=True)
    parser.add_argument("--redis-url", required=True)
    parser.add_argument(
        "--traffic-interval", type=float, default=0.2, help="seconds between simulated requests; 0 means none"
    )
    parser.add_argument("--drop-tables", action="store_true", help="as CC_DROP_TABLES=true: wipe the database at start")
    parser.set_defaults(name="control-plane-api")
    program.main(build, parser.parse_args(argv))


if __name__ == "__main__":
    main()
