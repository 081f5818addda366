"""The real servers that tests share, one of each per worker, and the watch for blocking calls.

A test asks for a fixture by name; everything else follows from that: a test that uses the cluster runs in the one
worker that has it, and a test whose first fixture must start a server gets the time for it. Every timeout is scaled by
how slow the machine is (`tools.slowness`); a bound inside a test is scaled there, with `scaled` or `wait_for`.
"""

from __future__ import annotations

import asyncio
import os
import socket
import uuid
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
import structlog
from blockbuster import BlockBuster
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from tests.fakes.golden import explain
from tools.install.build import cache_folder
from tools.servers.kubernetes.cluster import open_cluster
from tools.servers.kubernetes.metrics_api import MetricsApi
from tools.servers.postgres import PostgresServer
from tools.servers.prometheus import PrometheusServer
from tools.servers.redis import RedisServer
from tools.servers.versions import Generation
from tools.slowness import VARIABLE, scaled, slowness

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from tools.servers.kubernetes.cluster import Cluster

# Seconds a test may take when its first fixture may have to start the server, on a machine busy with other workers.
START_SECONDS = {"cluster": 120, "postgres_server": 60, "redis_server": 30}
CLUSTER = "cluster"
# Seconds for a property: it runs its test a hundred times.
PROPERTY_SECONDS = 60

# Each takes minutes of one worker, mostly of waiting. The first of them occupy the workers of tools.run_tests.
LONG_GROUPS = ("guide", "demo", "cluster", "stage", "product", "doctor")
FIRST_GROUPS = SMALL_TESTS = 3

# pytest-asyncio asks for the current loop before it makes its own; on Python 3.11 the policy then invents one that
# nobody closes, and its ResourceWarning fails whichever test the garbage collector happens to run in.
asyncio.set_event_loop(None)

# Times on a busy machine prove nothing, neither of one example nor of drawing them; the test's own timeout still holds.
hypothesis_settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("busy")


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marker of this file, and measures the machine before any worker starts: they inherit the factor."""
    slowness()
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
        # Workers and programs under test read what others have compiled, and still write nothing into the tree.
        os.environ.setdefault("PYTHONPYCACHEPREFIX", str(cache_folder() / "bytecode"))
    # A worker is told how wide the terminal is; tables of a program under test are as wide as they need.
    os.environ.pop("COLUMNS", None)
    config.pluginmanager.register(_Order())
    config.addinivalue_line("markers", "blocking_allowed: code under test may block the event loop here")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Groups what uses the cluster into one worker, or two, and allows for the start of servers."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if "cluster" in fixtures:
            item.add_marker(pytest.mark.cluster)
            # Half of it stands on a stage of its own in tests/system; a second control plane is cheaper than the wait.
            item.add_marker(pytest.mark.xdist_group("stage" if "stage" in fixtures else "cluster"))
        # In front of the item's own marker: the closest one counts.
        item.add_marker(pytest.mark.timeout(scaled(_timeout_seconds(item, fixtures))), append=False)


def _timeout_seconds(item: pytest.Item, fixtures: Iterable[str]) -> float:
    """The test's time limit where it was written: its marker's figure, or the time for its fixtures and its kind."""
    marker = item.get_closest_marker("timeout")
    if marker is not None:
        return float(marker.args[0])
    allowed = [seconds for name, seconds in START_SECONDS.items() if name in fixtures]
    if getattr(getattr(item, "function", None), "is_hypothesis_test", False):
        allowed.append(PROPERTY_SECONDS)
    return max(allowed, default=float(item.config.getini("timeout")))


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """Says how to write a committed file that is out of date."""
    return explain(left, right, os.environ["PYTEST_CURRENT_TEST"].rpartition(" ")[0]) if op == "==" else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says by how much the bounds were stretched: a red run can then be repeated with the same factor."""
    terminalreporter.write_line(f"slowness {slowness():g} (set {VARIABLE} to give another)")


class _Order:
    """Long groups begin first, so that no worker is left alone with one at the end.

    xdist gives each worker a second unit at once, which waits behind the first: small tests stand there, and no long
    group.
    """

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Sorts after every other plug-in has; within a group the random order stays."""
        groups = {id(item): _group(item) for item in items}
        others = [item for item in items if groups[id(item)] not in LONG_GROUPS]
        first, last = (
            [item for name in names for item in items if groups[id(item)] == name]
            for names in (LONG_GROUPS[:FIRST_GROUPS], LONG_GROUPS[FIRST_GROUPS:])
        )
        items[:] = [*first, *others[:SMALL_TESTS], *last, *others[SMALL_TESTS:]]


def _group(item: pytest.Item) -> str:
    """The xdist group; empty for none."""
    marker = item.get_closest_marker("xdist_group")
    return "" if marker is None else str(marker.args[0])


@pytest.fixture(scope="session")
def _blockbuster() -> BlockBuster:
    # Only calls made on the way through our packages count: what a test does by itself may block.
    return BlockBuster(["chassis", "exporter", "remediations"])


@pytest.fixture(autouse=True)
def _no_log_of_another_test() -> Iterator[None]:
    """Forgets where a test sent its log lines: that stream belongs to it, and is no terminal of the next one."""
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.fixture(autouse=True)
def _no_blocking_calls(request: pytest.FixtureRequest, _blockbuster: BlockBuster) -> Iterator[None]:
    """Fails a test in which our code blocks the event loop."""
    if request.node.get_closest_marker("blocking_allowed") is not None:
        yield
        return
    _blockbuster.activate()
    try:
        yield
    finally:
        _blockbuster.deactivate()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The worker's PostgreSQL. A test that freezes or stops it puts it back in `finally`."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
def database(postgres_server: PostgresServer) -> Iterator[str]:
    """The address of an empty database of this test's own, for the superuser."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    yield postgres_server.create_database(name)
    postgres_server.drop_database(name)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """The worker's Redis. A test that freezes or stops it puts it back in `finally`."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The address of the worker's Redis, emptied."""
    redis_server.call("FLUSHALL")
    return redis_server.url


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The run's one real Kubernetes."""
    with open_cluster() as opened:
        yield opened


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Ends the cluster after the last test that uses it: an idle control plane keeps computing."""
    found = getattr(item, "_fixtureinfo", None)
    if found is None or CLUSTER not in found.names_closure:
        return
    if nextitem is None or CLUSTER not in getattr(nextitem, "fixturenames", ()):
        # pytest has no public way; a later test that wants the cluster starts it anew.
        found.name2fixturedefs[CLUSTER][-1].finish(item._request)  # type: ignore[attr-defined]


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """The name of a namespace of this test's own."""
    name = f"test-{uuid.uuid4().hex[:10]}"
    cluster.create_namespace(name)
    yield name
    cluster.delete_namespace(name)


@pytest.fixture
def metrics_api(cluster: Cluster) -> Iterator[MetricsApi]:
    """metrics.k8s.io of the cluster, registered for this test only; says nothing until `set_usage`."""
    with MetricsApi(cluster) as api:
        yield api


@pytest.fixture(params=list(Generation), ids=lambda generation: generation.value)
def generation(request: pytest.FixtureRequest) -> Generation:
    """Runs the test once per generation of Prometheus and Alertmanager."""
    return request.param


@pytest.fixture
def prometheus_program() -> Iterator[Callable[[dict[str, str] | Path, Generation], PrometheusServer]]:
    """Starts a Prometheus of a generation with the files given; all of them end with the test."""
    with ExitStack() as stack:
        yield lambda files, generation: stack.enter_context(PrometheusServer(files, generation))


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[socket.socket]:
    """The end of a notification socket at which systemd would listen."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as found:
        found.bind(str(tmp_path / "notify"))
        found.settimeout(scaled(10))
        yield found
