"""Which setting of the exporter a panel needs: a panel without data names it instead of showing a grey "No data"."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping

from chassis.documents import asked_names
from exporter.collectors import discover
from exporter.commands.doctor.shipped import read_rules
from exporter.metrics import Stability
from exporter.self_metrics import COMPONENT_UP

Need = tuple[str, ...]
"""Settings of which one is enough."""
DATABASE: Need = ("database.url",)
REDIS: Need = ("redis.url",)
API: Need = ("api.url",)
BOUNCERS: Need = ("bouncers", "bouncer_discovery")
OPA: Need = ("bouncers[].opa_url",)
KUBERNETES: Need = ("kubernetes.workloads",)
COMPONENT: Need = (*API, *DATABASE, *REDIS, "bouncers")
GUIDE: Need = ("guide_names",)
"""On by default."""
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
    """The settings that the expressions need, each once, in order of use."""
    names = (name for promql in expressions for name in sorted(asked_names(promql)))
    return tuple(dict.fromkeys(need for name in names for need in _needs(name)))


def _needs(name: str) -> tuple[Need, ...]:
    """The settings that the series needs: a recorded series those of its expression, a program's own metrics none."""
    if name in _recorded():
        return find_needs([_recorded()[name]])
    if name == COMPONENT_UP.name:
        return (COMPONENT,)
    collector = _collectors().get(name)
    return (*(NEEDS[collector] if collector else ()), *((GUIDE,) if name in _guide_names() else ()))


@functools.cache
def _recorded() -> Mapping[str, str]:
    """The expression of every series that the shipped rules record."""
    return {rule.name: rule.expr for rule in read_rules() if not rule.is_alert}


@functools.cache
def _collectors() -> Mapping[str, str]:
    """The collector of every series of the exporter, but those of the exporter about itself."""
    return {series: spec.name for spec in discover() for metric in spec.metrics for series in _series(metric.name)}


@functools.cache
def _guide_names() -> frozenset[str]:
    """The series that are published under the guide's names."""
    metrics = (metric for spec in discover() for metric in spec.metrics if metric.stability is Stability.GUIDE)
    return frozenset(series for metric in metrics for series in _series(metric.name))


def _series(name: str) -> tuple[str, ...]:
    """The metric's series, as if it were a histogram."""
    return (name, *(f"{name}_{part}" for part in ("bucket", "count", "sum")))
