"""Which setting of the exporter a panel needs: a panel without data names it instead of showing a grey "No data"."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping

from exporter.collectors import discover
from exporter.commands.doctor.shipped import asked_names

DATABASE, REDIS, API = "database.url", "redis.url", "api.url"
BOUNCERS, OPA, KUBERNETES = "bouncers", "bouncers[].opa_url", "kubernetes.workloads"
NEEDS: Mapping[str, tuple[str, ...]] = {
    "api": (API,),
    "audit": (DATABASE,),
    "backup": ("collectors.backup.places",),
    "bouncer_caches": (BOUNCERS,),
    "bouncers": (DATABASE,),
    "decisions": (DATABASE,),
    "opa": (OPA,),
    "opal": ("collectors.opal.server_url", "collectors.opal.clients"),
    "policy": (BOUNCERS,),
    "policy_parity": (OPA, DATABASE),
    "policy_sync": (DATABASE,),
    "postgres": (DATABASE,),
    "postgres_canary": (DATABASE,),
    "postgres_maintenance": (DATABASE,),
    "redis": (REDIS,),
    "tuning": (DATABASE, REDIS),
    "users": (DATABASE,),
    "workloads": (KUBERNETES,),
}
"""For each collector that a dashboard shows, the settings without which it does not run."""


def find_needs(expressions: Iterable[str]) -> tuple[str, ...]:
    """The settings that the expressions need, each once, in the order in which they are asked for."""
    collectors = (_collectors().get(name) for promql in expressions for name in sorted(asked_names(promql)))
    return tuple(dict.fromkeys(need for each in collectors if each for need in NEEDS[each]))


@functools.cache
def _collectors() -> Mapping[str, str]:
    """The collector of every series of the exporter, but those of the exporter about itself."""
    found = {metric.name: spec.name for spec in discover() for metric in spec.metrics}
    parts = {f"{name}_{part}": spec for name, spec in found.items() for part in ("bucket", "count", "sum")}
    return {**parts, **found}
