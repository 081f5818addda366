"""What the control-plane API's handlers share: the pool, the cache, the bearer check and the pairing query."""

from __future__ import annotations

import json

import redis.asyncio
from aiohttp import web

from demo.standin.database import BlockingPool, Row
from demo.standin.users import find_session_user

POOL = web.AppKey("pool", BlockingPool)
CACHE = web.AppKey("cache", redis.asyncio.Redis)

PAIR_QUERY = """
SELECT r.name, p.environment, p.id, p.bouncer_id, p.name, p.status, p.is_connected
FROM protected_resources r JOIN peps p ON p.id = r.bouncer_id ORDER BY r.name, p.id
"""


async def read_json(request: web.Request) -> dict[str, object]:
    """Return the request's JSON object; anything else is answered 422, as the product does."""
    try:
        body = json.loads(await request.read())
    except ValueError:
        body = None
    if not isinstance(body, dict):
        detail = json.dumps({"detail": [{"type": "json_invalid", "loc": ["body"], "msg": "JSON decode error"}]})
        raise web.HTTPUnprocessableEntity(text=detail, content_type="application/json")
    return body


def require_user(request: web.Request) -> Row:
    """Return id, username and role of the bearer's user; anybody else is answered 401."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    user = find_session_user(request.app[POOL], token) if scheme == "Bearer" else None
    if user is None:
        raise web.HTTPUnauthorized(text='{"detail": "Not authenticated"}', content_type="application/json")
    return user


def query_pairs(pool: BlockingPool) -> dict[str, object]:
    """Return the body of /opal/bouncer-pairs, from protected_resources and peps."""
    pairs: dict[str, dict[str, object]] = {}
    for resource, environment, *bouncer in pool.fetch(PAIR_QUERY):
        pair = pairs.setdefault(str(resource), {"sandbox_bouncer": None, "production_bouncer": None})
        identifier, bouncer_id, name, status, is_connected = bouncer
        pair[f"{environment}_bouncer"] = {
            "id": identifier,
            "bouncer_id": bouncer_id,
            "name": name,
            "status": status,
            "environment": environment,
            "is_connected": is_connected,
        }
    rows: list[dict[str, object]] = [
        {"resource_name": name, **pair, "has_pair": None not in pair.values()} for name, pair in pairs.items()
    ]
    return {
        "total_resources": len(rows),
        "paired_resources": sum(bool(row["has_pair"]) for row in rows),
        "sandbox_only": sum(row["production_bouncer"] is None for row in rows),
        "production_only": sum(row["sandbox_bouncer"] is None for row in rows),
        "pairs": rows,
    }
