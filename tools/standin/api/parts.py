"""Shared by the control-plane API's handlers: the pool, the cache, the bearer check and the pairing query."""

from __future__ import annotations

import json
from collections.abc import Mapping

import redis.asyncio
from aiohttp import web

from tools.standin.api.users import find_session_user
from tools.standin.database import BlockingPool, Row

POOL = web.AppKey("pool", BlockingPool)
CACHE = web.AppKey("cache", redis.asyncio.Redis)

# Every bouncer counts once, under its first resource, or under its own name when it protects none.
PAIR_QUERY = """
SELECT coalesce((SELECT r.name FROM protected_resources r WHERE r.bouncer_id = p.id ORDER BY r.id LIMIT 1), p.name),
       p.environment, p.id, p.bouncer_id, p.name, p.status, p.is_connected
FROM peps p ORDER BY p.id
"""


async def read_json(request: web.Request) -> dict[str, object]:
    """Return the request's JSON object; anything else is answered 422, as the product does."""
    try:
        body = json.loads(await request.read())
    except ValueError as error:
        fault = {"type": "json_invalid", "loc": ["body", 0], "msg": "JSON decode error", "input": {}}
        raise refuse_body(fault | {"ctx": {"error": str(error)}}) from error
    if not isinstance(body, dict):
        message = "Input should be a valid dictionary or object to extract fields from"
        raise refuse_body({"type": "model_attributes_type", "loc": ["body"], "msg": message, "input": body})
    return body


def refuse_body(*faults: Mapping[str, object]) -> web.HTTPUnprocessableEntity:
    """Return the product's 422 with these faults of the body."""
    return web.HTTPUnprocessableEntity(text=json.dumps({"detail": faults}), content_type="application/json")


async def read_fields(request: web.Request, *names: str) -> dict[str, object]:
    """Return the request's JSON object, which must have these fields; otherwise 422."""
    body = await read_json(request)
    missing = [name for name in names if name not in body]
    if missing:
        fault = {"type": "missing", "msg": "Field required", "input": body}
        raise refuse_body(*({**fault, "loc": ["body", name]} for name in missing))
    return body


def require_user(request: web.Request) -> Row:
    """Return id, username and role of the bearer's user; without one the answer is 401."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme != "Bearer":
        raise refuse_user("Not authenticated")
    user = find_session_user(request.app[POOL], token)
    if user is None:
        raise refuse_user("Could not validate credentials")
    return user


def refuse_user(detail: str) -> web.HTTPUnauthorized:
    """Return the product's 401 with its challenge."""
    body = json.dumps({"detail": detail})
    return web.HTTPUnauthorized(text=body, content_type="application/json", headers={"WWW-Authenticate": "Bearer"})


def query_pairs(pool: BlockingPool) -> dict[str, object]:
    """Return the body of /opal/bouncer-pairs, from peps and protected_resources."""
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
