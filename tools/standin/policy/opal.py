"""The policy bridge: an OPAL server (`--role server`) or an OPAL client (`--role client`)."""

from __future__ import annotations

import argparse
import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aiohttp import web

from tools.standin import program
from tools.standin.policy.engine import BuiltInEngine, parse_question
from tools.standin.program import BOX

if TYPE_CHECKING:
    from tools.standin.faults.switches import FaultBox

VERSION = "0.9.9"
OFF = (
    "This OPAL server does not have statistics turned on. To turn on, set this config var: OPAL_STATISTICS_ENABLED=true"
)
READY_PATH = "/ready"
STATISTICS_ENABLED = web.AppKey("statistics_enabled", bool)
CLIENTS = web.AppKey("clients", int)
CONNECTED_AT = web.AppKey("connected_at", float)
DO_CLIENTS_COUNT = web.AppKey("do_clients_count", bool)
STARTED_AT = web.AppKey("started_at", str)
TOPICS = (["policy:."], ["policy_data"])
"""The topics that one client subscribes to, each over a separate connection."""


async def get_server_health(request: web.Request) -> web.Response:
    """Answer ok, or with the fault engine_error 503 for a broken broadcaster."""
    if request.app[BOX].get("engine_error", request.path):
        return web.json_response({"status": "error", "broadcaster": "unhealthy"}, status=503)
    return web.json_response({"status": "ok"})


async def get_statistics(request: web.Request) -> web.Response:
    """Return the start (as `uptime`) and how many clients reported themselves, or 501 while statistics are off.

    They are off by default. A client with its own statistics off does not report itself, so it is not counted.
    """
    if not request.app[STATISTICS_ENABLED]:
        return web.json_response({"detail": {"error": OFF}}, status=501)
    clients = _told_clients(request.app)
    about: dict[str, object] = {"uptime": request.app[STARTED_AT], "version": VERSION}
    if request.path == "/stats":
        return web.json_response(about | {"client_count": len(clients), "server_count": 1})
    return web.json_response(about | {"clients": clients, "servers": ["5f0b6f3c"]})


def _told_clients(app: web.Application) -> dict[str, list[dict[str, object]]]:
    """Return the clients that reported themselves, each with its two connections."""
    names = [f"CLIENT_{number}" for number in range(app[CLIENTS] if app[DO_CLIENTS_COUNT] else 0)]
    return {
        name: [{"rpc_id": f"{name}-{topics[0]}", "client_id": name, "topics": topics} for topics in TOPICS]
        for name in names
    }


async def get_client_info(request: web.Request) -> web.Response:
    """Return one entry for each connection, of which every client has two."""
    entries: dict[str, dict[str, object]] = {}
    for number in range(request.app[CLIENTS]):
        for offset, topics in enumerate(TOPICS):
            port = 50000 + 2 * number + offset
            name = f"host:127.0.0.1:{port}"
            entry: dict[str, object] = {"client_id": name, "source_host": "127.0.0.1", "source_port": port}
            entry |= {"connect_time": request.app[CONNECTED_AT], "subscribed_topics": topics}
            entries[name] = entry | {"refcount": 1, "query_params": {}}
    return web.json_response(entries)


async def get_load_limit(request: web.Request) -> web.Response:
    """Answer 200, or with the fault engine_error 429."""
    is_limited = request.app[BOX].get("engine_error", request.path) is not None
    return web.json_response(None, status=429 if is_limited else 200)


async def get_client_health(request: web.Request) -> web.Response:
    """Answer ok and online, or 503 with the fault engine_error."""
    if request.app[BOX].get("engine_error", request.path):
        return web.json_response({"status": "unavailable"}, status=503)
    return web.json_response({"status": "ok", "online": True})


def _is_loaded(request: web.Request) -> bool:
    """Whether the client has its policies; the fault engine_error, also narrowed to /ready, takes them away."""
    return request.app[BOX].get("engine_error", READY_PATH) is None


async def get_client_ready(request: web.Request) -> web.Response:
    """Answer 200 once the policies are loaded, or 503 with the fault engine_error."""
    is_loaded = _is_loaded(request)
    return web.json_response({"status": "ok" if is_loaded else "unavailable"}, status=200 if is_loaded else 503)


async def evaluate(request: web.Request) -> web.Response:
    """Answer like the client's OPA: without policies every result is undefined."""
    if not _is_loaded(request):
        return web.json_response({})
    try:
        question = parse_question(json.loads(await request.read())["input"])
    except (ValueError, KeyError, TypeError):
        return web.json_response({"code": "invalid_parameter"}, status=400)
    return web.json_response({"result": await BuiltInEngine().evaluate(question)})


async def trigger_policy_update(request: web.Request) -> web.Response:
    """Count a policy update."""
    request.app[BOX].count("policy_update")
    return web.json_response({"status": "ok"})


async def trigger_data_update(request: web.Request) -> web.Response:
    """Count a data update."""
    request.app[BOX].count("data_update")
    return web.json_response({"status": "ok"})


def build(arguments: argparse.Namespace, box: FaultBox) -> web.Application:
    """Return the application for the role."""
    app = web.Application(middlewares=[program.answer_as_fastapi])
    app[STATISTICS_ENABLED] = arguments.statistics
    app[CLIENTS] = arguments.clients
    app[DO_CLIENTS_COUNT] = not arguments.clients_do_not_count
    app[STARTED_AT] = datetime.now(UTC).replace(tzinfo=None).isoformat()
    app[CONNECTED_AT] = time.time()
    app[BOX] = box
    if arguments.role == "server":
        for path in ("/", "/healthcheck"):
            app.router.add_get(path, get_server_health)
        for path in ("/stats", "/statistics"):
            app.router.add_get(path, get_statistics)
        app.router.add_get("/pubsub_client_info", get_client_info)
        app.router.add_get("/loadlimit", get_load_limit)
        return app
    for path in ("/", "/healthcheck", "/healthy"):
        app.router.add_get(path, get_client_health)
    app.router.add_get(READY_PATH, get_client_ready)
    app.router.add_post("/v1/data/enabled", evaluate)
    app.router.add_post("/policy-updater/trigger", trigger_policy_update)
    app.router.add_post("/data-updater/trigger", trigger_data_update)
    return app


def main(argv: list[str] | None = None) -> None:
    """Run an OPAL server or client."""
    parser = argparse.ArgumentParser(prog="opal", description=__doc__)
    program.add_arguments(parser)
    parser.add_argument("--role", choices=("server", "client"), required=True)
    parser.add_argument("--statistics", action="store_true", help="as OPAL_STATISTICS_ENABLED=true")
    parser.add_argument("--clients", type=int, default=1, help="how many clients are connected to the server")
    parser.add_argument(
        "--clients-do-not-count", action="store_true", help="as clients whose own OPAL_STATISTICS_ENABLED is false"
    )
    arguments = parser.parse_args(argv)
    arguments.name = arguments.name or f"opal-{arguments.role}"
    program.main(build, arguments)


if __name__ == "__main__":
    main()
