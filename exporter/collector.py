"""How a collector registers: its settings, its result, its specification."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Protocol, TypeVar

from pydantic import Field

from chassis.config import Section
from chassis.errors import BackendError
from exporter.metrics import Family, Metric
from exporter.settings import Scope
from exporter.sources.sources import Sources

SPEC_ATTRIBUTE = "collector_spec"


C = TypeVar("C", bound=type)


class CollectorSettings(Section):
    """The settings that every collector has; a collector's own settings derive from it."""

    enabled: bool = True
    """Whether the collector runs at all. Off publishes none of its series."""
    interval_seconds: float = Field(default=10.0, gt=0)
    """Seconds between the starts of two collections. Smaller is fresher and costs the backend more."""
    timeout_seconds: float = Field(default=5.0, gt=0)
    """Deadline of one collection. Larger than the interval delays the next collection, never overlaps it."""


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one collection. `families` is complete: an absent value is unknown.

    `components` says for each component name whether it is up now; the exporter publishes them as component_up.
    `failure` names why part of the collection failed, when some values are still known (success is then 0).
    `versions` has the version that each component reports, for component_info. `refused` names the components that are
    unknown because our own access fails (chassis.errors.OUR_ACCESS), and why.
    """

    families: tuple[Family, ...] = ()
    components: Mapping[str, bool] = field(default_factory=dict)
    failure: Exception | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, BackendError] = field(default_factory=dict)


class NotConfiguredError(Exception):
    """Raised by a factory whose source is not configured: the collector is listed as such, not as failed."""


class Collector(Protocol):
    """One source of metrics. An instance lives as long as the process and never runs twice at once."""

    async def collect(self) -> Result:
        """Reads the source once. Raises BackendError when nothing is known; anything else counts as `internal`."""
        ...


Opener = Callable[[Any, "Sources"], AbstractAsyncContextManager[Collector]]
"""Builds the running collector from (its settings, the shared sources); raises NotConfiguredError."""


@dataclass(frozen=True, slots=True)
class CollectorSpec:
    """A registered collector: a plain value, so importing has no effect."""

    name: str
    scope: Scope
    settings: type[CollectorSettings]
    metrics: tuple[Metric, ...]
    open: Opener
    always: tuple[str, ...] = ()
    """Names of metrics that are kept when stale values are dropped (`*_up`); a failed collection still renews them."""
    grants: tuple[str, ...] = ()
    """SQL statements that let the exporter's role run this collector's queries."""
    rbac: tuple[str, ...] = ()
    """Kubernetes rights as `verb group/resource`, for the chart."""
    doc: str = ""


def collector(
    *,
    scope: Scope,
    settings: type[CollectorSettings] = CollectorSettings,
    metrics: tuple[Metric, ...],
    always: tuple[str, ...] = (),
    grants: tuple[str, ...] = (),
    rbac: tuple[str, ...] = (),
) -> Callable[[C], C]:
    """Registers the decorated class, which has a classmethod `open(settings, sources)` (an async context manager)."""

    def register(kind: C) -> C:
        name = kind.__module__.rsplit(".", 1)[-1]
        spec = CollectorSpec(
            name,
            scope,
            settings,
            metrics,
            kind.open,  # type: ignore[attr-defined]
            always,
            grants,
            rbac,
            (kind.__doc__ or "").strip(),
        )
        setattr(kind, SPEC_ATTRIBUTE, spec)
        return kind

    return register


def specs_in(module: ModuleType) -> tuple[CollectorSpec, ...]:
    """The specs of the classes that a module defines itself."""
    found = []
    for value in vars(module).values():
        spec = getattr(value, SPEC_ATTRIBUTE, None)
        if isinstance(value, type) and isinstance(spec, CollectorSpec) and value.__module__ == module.__name__:
            found.append(spec)
    return tuple(found)
