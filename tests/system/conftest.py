"""The stage on which the whole remediator is tested."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.fakes.fake_prometheus_server import Watch
from tests.fakes.faulty_api_server import ApiFront
from tests.system.keda import install, remove
from tests.system.stage import Stage

if TYPE_CHECKING:
    from tools.servers.kubernetes.cluster import Cluster


@pytest.fixture
def stage(cluster: Cluster, namespace: str, tmp_path: Path) -> Iterator[Stage]:
    """A namespace, a way to the API that can fail, and a Prometheus that says what the test wants."""
    with ApiFront(cluster, tmp_path) as front, Watch() as watch:
        yield Stage(cluster, namespace, front, watch)


@pytest.fixture
def keda(cluster: Cluster) -> Iterator[None]:
    """The kind ScaledObject, for this test only."""
    install(cluster)
    yield
    remove(cluster)
