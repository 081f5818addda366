"""The workloads of the stand-in in a cluster: their names, ports and programs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Component:
    """One Deployment, its Service and its `app` label, all of one name, and the program that its pods run."""

    name: str
    module: str
    port: int
    replicas: int
    probe_path: str = "/health"
    arguments: tuple[str, ...] = ()


API = Component("control-plane-api", "api", 8000, 3)
OPAL_SERVER = Component("opal-server", "opal", 7002, 1, "/healthcheck", ("--role", "server"))
OPAL_CLIENT = Component("opal-client", "opal", 7000, 1, "/healthy", ("--role", "client"))
BOUNCER_SANDBOX = Component("bouncer-sandbox", "bouncer", 8080, 2)
BOUNCER_PRODUCTION = Component("bouncer-production", "bouncer", 8080, 2)

COMPONENTS = {each.name: each for each in (API, BOUNCER_SANDBOX, BOUNCER_PRODUCTION, OPAL_SERVER, OPAL_CLIENT)}
