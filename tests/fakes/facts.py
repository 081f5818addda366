"""The sources of facts for a test of one source."""

from __future__ import annotations

from chassis.kubernetes.client import ClusterApi
from remediations.facts.kubernetes.reader import ClusterReader
from remediations.facts.sources import FactSources, Session
from tests.fakes.clock import ManualClock
from tests.fakes.prometheus import FakePrometheus, FakeWeb


def sources_of(cluster: ClusterApi | None, database: Session | None = None, seconds: float = 3.0) -> FactSources:
    """This cluster and this database; Prometheus knows nothing."""
    reader = None if cluster is None else ClusterReader(cluster, seconds)
    return FactSources(FakePrometheus(ManualClock(), {}), FakeWeb(), reader, seconds, database=database)
