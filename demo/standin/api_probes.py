"""The control-plane API's health and statistics endpoints, including the ones that do not tell the truth."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from aiohttp import web
from redis.exceptions import RedisError

from demo.standin.api_parts import CACHE

PIP_KEYS = "pip:conn:*"


async def get_health(_: web.Request) -> web.Response:
    """Answer 200 whatever the state of the database and of Redis."""
    return web.json_response({"status": "healthy"})


async def get_opal_health(_: web.Request) -> web.Response:
    """Answer 200 whatever the state of OPAL."""
    return web.json_response({"status": "healthy", "service": "opal"})


async def get_pip_health(request: web.Request) -> web.Response:
    """Answer `degraded` always: its database and http checks are broken; only redis is true."""
    cache: dict[str, object] = {"status": "healthy", "last_health_check": time.time()}
    try:
        await request.app[CACHE].ping()
    except (RedisError, OSError) as error:
        cache |= {"status": "unhealthy", "error": str(error)}
    broken = "Textual SQL expression 'SELECT 1' should be explicitly declared as text('SELECT 1')"
    pools: dict[str, object] = {
        "database": {"status": "unhealthy", "error": broken},
        "redis": cache,
        "http": {"status": "unhealthy", "error": "no route to the public address"},
    }
    body = {"status": "degraded", "timestamp": datetime.now(UTC).isoformat(), "pools": pools, "version": "1.0.0"}
    return web.json_response(body)


async def get_cache_stats(request: web.Request) -> web.Response:
    """Count and size the cached attributes in Redis by SCAN and GET; Redis down is a 200 with an error inside."""
    cache = request.app[CACHE]
    total = encrypted = size = 0
    try:
        async for key in cache.scan_iter(PIP_KEYS):
            total += 1
            encrypted += key.endswith(b":encrypted")
            size += len(await cache.get(key) or b"")
    except (RedisError, OSError) as error:
        return web.json_response({"cache_stats": {"error": str(error)}, "connection_id": None})
    stats = {"total_keys": total, "encrypted_keys": encrypted, "total_size_bytes": size}
    stats_with_megabytes = stats | {"total_size_mb": round(size / 1048576, 2)}
    return web.json_response({"cache_stats": stats_with_megabytes, "connection_id": None})


async def get_scheduler_stats(_: web.Request) -> web.Response:
    """Answer `running` false always: the product never starts its scheduler."""
    names = (
        "total_jobs",
        "pending_jobs",
        "running_jobs",
        "successful_jobs",
        "failed_jobs",
        "total_runs",
        "total_errors",
    )
    return web.json_response({"running": False} | dict.fromkeys(names, 0))


async def get_pip_metrics(_: web.Request) -> web.Response:
    """Return the pool counters, with the uptime that nobody computes."""
    counters = {"total_requests": 0, "failed_requests": 0}
    return web.json_response({"pools": {"database": counters, "redis": counters, "http": counters}, "uptime": "N/A"})


async def get_linter_health(_: web.Request) -> web.Response:
    """Answer 200 with `unhealthy`: the linter's program is not installed."""
    body = {"status": "unhealthy", "regal_available": False, "error": "regal: executable file not found in $PATH"}
    return web.json_response(body)


def routes() -> list[web.RouteDef]:
    """Return the routes; everything else, `/metrics`, `/healthz` and `/ready` included, is 404."""
    return [
        web.get("/health", get_health),
        web.get("/opal/health", get_opal_health),
        web.get("/pip/health", get_pip_health),
        web.get("/pip/cache/stats", get_cache_stats),
        web.get("/pip/metrics", get_pip_metrics),
        web.get("/pip/sync/scheduler-stats", get_scheduler_stats),
        web.get("/policies/rego-linter/health", get_linter_health),
    ]
