"""The control-plane API's routes for bouncers: one makes a row by hand, one registers, one takes heartbeats."""

from __future__ import annotations

from datetime import datetime

from aiohttp import web

from tools.standin.api.parts import POOL, read_fields, refuse_body, require_user
from tools.standin.api.users import AuditEvent, write_audit
from tools.standin.database import BlockingPool

CREATE = "INSERT INTO peps (name, environment, max_capacity) VALUES (%s, %s, %s) RETURNING id"
REGISTER = """
INSERT INTO peps (bouncer_id, name, deployment_mode, environment, bouncer_version, target_url, proxy_url, is_connected,
                  intercepting_traffic, last_heartbeat)
VALUES (%s, %s, %s, %s, %s, %s, %s, true, true, now() AT TIME ZONE 'UTC')
ON CONFLICT (bouncer_id) DO UPDATE SET status = 'active', is_connected = true, intercepting_traffic = true,
       last_heartbeat = excluded.last_heartbeat, last_health_check = excluded.last_heartbeat
RETURNING id
"""
PROTECT = """
INSERT INTO protected_resources (name, url, environment, auto_discovered, discovered_at, bouncer_id)
SELECT %s, %s, %s, true, now() AT TIME ZONE 'UTC', %s
 WHERE NOT EXISTS (SELECT FROM protected_resources WHERE bouncer_id = %s)
"""
CONFIGURE = """
INSERT INTO bouncer_opal_configuration (bouncer_id, environment, resource_name) VALUES (%s, %s, %s)
ON CONFLICT DO NOTHING
"""
BEAT = """
UPDATE peps SET last_heartbeat = now() AT TIME ZONE 'UTC', last_health_check = now() AT TIME ZONE 'UTC',
       status = 'active', is_connected = true, intercepting_traffic = true
 WHERE id = %s RETURNING last_heartbeat
"""


def read_pep(pool: BlockingPool, identifier: object) -> dict[str, object]:
    """Return a bouncer's row as the product answers it."""
    (row,) = pool.fetch_named("SELECT * FROM peps WHERE id = %s", (identifier,))
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}


async def create_pep(request: web.Request) -> web.Response:
    """Make a bouncer's row by hand: it has no bouncer_id until a bouncer of that id registers."""
    user_id, username, _ = require_user(request)
    body = await read_fields(request, "name", "environment")
    pool = request.app[POOL]
    values = (body["name"], body["environment"], body.get("max_capacity", 100.0))
    identifier = pool.fetch(CREATE, values)[0][0]
    resource = f"PEP #{identifier}"
    action = f"Deployed PEP (Bouncer): {body['name']}"
    event = AuditEvent("PEP_DEPLOYED", "SUCCESS", str(username), int(str(user_id)), action, resource)
    write_audit(pool, event, str(body["environment"]))
    return web.json_response(read_pep(pool, identifier))


async def register_bouncer(request: web.Request) -> web.Response:
    """Register a bouncer as it does at its start: its row, its resource, its OPAL configuration. No credential."""
    body = await read_fields(request, "bouncer_id", "bouncer_name", "bouncer_type", "resource", "deployment_info")
    resource, deployment = body["resource"], body["deployment_info"]
    if not isinstance(resource, dict) or not isinstance(deployment, dict):
        raise refuse_body(
            {"type": "model_attributes_type", "loc": ["body"], "msg": "Input should be a valid dictionary"}
        )
    pool, environment, url = request.app[POOL], deployment["environment"], resource.get("deployment_url", "")
    values = (body["bouncer_id"], body["bouncer_name"], body["bouncer_type"], environment, deployment["version"])
    identifier = pool.fetch(REGISTER, (*values, resource.get("target_host"), url))[0][0]
    pool.execute(PROTECT, (resource["name"], url, environment, identifier, identifier))
    pool.execute(CONFIGURE, (body["bouncer_id"], environment, resource["name"]))
    return web.json_response(read_pep(pool, identifier))


async def take_heartbeat(request: web.Request) -> web.Response:
    """Record a bouncer's heartbeat, by the number of its row. No credential."""
    rows = request.app[POOL].fetch(BEAT, (int(request.match_info["pep"]),))
    if not rows:
        return web.json_response({"detail": "PEP (Bouncer) not found"}, status=404)
    beat = rows[0][0]
    body = {"message": "Heartbeat received", "status": "active", "is_connected": True}
    return web.json_response(body | {"last_heartbeat": beat.isoformat() if isinstance(beat, datetime) else None})


def add_pep_routes(app: web.Application) -> None:
    """Add the three routes."""
    app.router.add_post("/peps/", create_pep)
    app.router.add_post("/peps/register", register_bouncer)
    app.router.add_post(r"/peps/{pep:\d+}/heartbeat", take_heartbeat)
