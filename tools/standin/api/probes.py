"""The control-plane API's health and statistics endpoints, including those that report wrong values."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from aiohttp import web
from redis.exceptions import RedisError

from tools.standin.api.parts import CACHE

PIP_KEYS = "pip:conn:*"
POOLS = web.AppKey("pools", dict[str, dict[str, object]])
CHECK_SECONDS = 60.0
"""The product checks its pools this often; in between /pip/health repeats the last result."""


def _now() -> str:
    """Return the local time without a zone, as the product writes it."""
    return datetime.now(UTC).replace(tzinfo=None).isoformat()


def unseen_pools() -> dict[str, dict[str, object]]:
    """Return the pools as they are before a check; those of the database and of http never succeed."""
    counters: dict[str, object] = {"status": "unhealthy", "total_requests": 1, "successful_requests": 0}
    counters |= {"failed_requests": 0, "success_rate": 0.0, "average_response_time": 0.0, "consecutive_failures": 0}
    pool = {"pool_size": 20, "pool_status": "Pool size: 20  Connections in pool: 0"}
    return {
        "database": {**counters, **pool, "last_health_check": None},
        "redis": {**counters, "max_connections": 50, "last_health_check": None},
        "http": {**counters, "max_connections": 100, "last_health_check": None},
    }


async def watch_pools(app: web.Application) -> AsyncIterator[None]:
    """Look at Redis now and once a minute, as the product's background task does, while the application runs."""

    async def look() -> None:
        while True:
            try:
                await app[CACHE].ping()
                app[POOLS]["redis"] |= {"status": "healthy", "last_health_check": time.time()}
            except (RedisError, OSError):
                app[POOLS]["redis"]["status"] = "unhealthy"
            await asyncio.sleep(CHECK_SECONDS)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(look(), name="pools")
        await asyncio.sleep(0)
        yield
        task.cancel()


async def get_health(_: web.Request) -> web.Response:
    """Answer 200 whatever the state of the database and of Redis."""
    return web.json_response({"status": "healthy"})


async def get_opal_health(_: web.Request) -> web.Response:
    """Answer 200 whatever the state of OPAL."""
    return web.json_response({"status": "healthy", "service": "opal_data", "timestamp": _now()})


async def get_pip_health(request: web.Request) -> web.Response:
    """Answer `degraded` always: its database and http checks are broken; only redis is true, up to a minute late."""
    body = {"status": "degraded", "timestamp": _now(), "pools": request.app[POOLS], "version": "1.0.0"}
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


async def get_pip_metrics(request: web.Request) -> web.Response:
    """Return the pool counters, with figures of the system that nobody computes."""
    overall = {"total_requests": 3, "successful_requests": 0, "success_rate_percent": 0.0}
    system = dict.fromkeys(("uptime", "memory_usage", "cpu_usage"), "N/A")
    body = {"timestamp": _now(), "overall_metrics": overall, "pool_metrics": request.app[POOLS]}
    return web.json_response(body | {"system_info": system})


async def get_linter_health(_: web.Request) -> web.Response:
    """Answer 200 with `unhealthy`: the linter's program is not installed."""
    body = {"status": "unhealthy", "regal_available": False, "error": "Regal binary not found at 'regal'"}
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
