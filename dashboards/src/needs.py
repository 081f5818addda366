"""Which setting of the exporter a panel needs: a panel without data names it instead of showing a grey "No data"."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping

from exporter.collectors import discover
from exporter.commands.doctor.shipped import asked_names

Need = tuple[str, ...]
"""Settings of which one is enough."""
DATABASE: Need = ("database.url",)
REDIS: Need = ("redis.url",)
API: Need = ("api.url",)
BOUNCERS: Need = ("bouncers", "bouncer_discovery")
OPA: Need = ("bouncers[].opa_url",)
KUBERNETES: Need = ("kubernetes.workloads",)
NEEDS: Mapping[str, tuple[Need, ...]] = {
    "api": (API,),
    "audit": (DATABASE,),
    "backup": (("collectors.backup.places", "collectors.backup.snapshot_file", "kubernetes"),),
    "bouncer_caches": (BOUNCERS,),
    "bouncers": (DATABASE,),
    "decisions": (DATABASE,),
    "opa": (OPA,),
    "opal": (("collectors.opal.server_url", "collectors.opal.clients"),),
    "policy": (BOUNCERS,),
    "policy_parity": (OPA, DATABASE),
    "policy_sync": (DATABASE,),
    "postgres": (DATABASE,),
    "postgres_canary": (DATABASE,),
    "postgres_maintenance": (DATABASE,),
    "redis": (REDIS,),
    "tuning": ((*DATABASE, *REDIS),),
    "users": (DATABASE,),
    "workloads": (KUBERNETES,),
}
"""For each collector that a dashboard shows, the settings without which it does not run."""


def find_needs(expressions: Iterable[str]) -> tuple[Need, ...]:
    """What the expressions need, each once, in the order in which they are asked for."""
    collectors = (_collectors().get(name) for promql in expressions for name in sorted(asked_names(promql)))
    return tuple(dict.fromkeys(need for each in collectors if each for need in NEEDS[each]))


@functools.cache
def _collectors() -> Mapping[str, str]:
    """The collector of every series of the exporter, but those of the exporter about itself."""
    found = {metric.name: spec.name for spec in discover() for metric in spec.metrics}
    parts = {f"{name}_{part}": spec for name, spec in found.items() for part in ("bucket", "count", "sum")}
    return {**parts, **found}
