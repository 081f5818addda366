"""Resident memory of the exporter with every collector that can run here, with and without the Kubernetes client.

Both are watched at the same time, scraped every 15 s in both formats. Growth is judged over the second half of the
time: in the first one CPython takes the arenas, of 1 MiB each, that its objects of different ages need side by side.
Packages that only developers have are hidden from both: structlog takes `rich` in where it finds it.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from exporter.collectors import discover
from tools.bench.exporter.scrape import count_samples
from tools.bench.exporter.setup import Field, opened_field, read_collections, running_exporter
from tools.bench.load import get, resident_mib, send_many
from tools.bench.section import Options, Section, Target, at_most, table, targets
from tools.servers.kubernetes.cluster import Cluster, open_cluster
from tools.servers.sidecar import ExporterServer

NAMESPACE = "controlcore-memory"
API = "control-plane-api"
WARM_UP_SECONDS = 30.0
READING_SECONDS = 2.0
SCRAPE_SECONDS = 15.0
PLAIN, KUBERNETES = "without Kubernetes", "with the Kubernetes client"
LIMITS_MIB = {PLAIN: 80.0, KUBERNETES: 100.0}
STRETCH_MIB = 64.0
DEVELOPERS_ONLY = ("rich", "pygments")
"""In tools/lock/dev.txt and not in runtime.txt."""
JUDGED_MINUTES = 60.0
"""Shortest run for judging growth: a shorter one does not distinguish a relevant leak from the allocator's steps."""
GROWTH_MIB = 1.0
"""One arena of CPython: less is not measurable from outside, and a relevant leak exceeds it in half an hour."""


@dataclass(frozen=True, slots=True)
class Memory:
    """One exporter's readings in MiB over `minutes`."""

    name: str
    collectors: int
    samples: int
    minutes: float
    readings: tuple[float, ...]

    @property
    def settling(self) -> float:
        """MiB from the first tenth of the readings to the tenth in the middle."""
        return self._mean_at(0.5) - self._mean_at(0.0)

    @property
    def growth(self) -> float:
        """MiB from the tenth in the middle to the last one."""
        return self._mean_at(0.9) - self._mean_at(0.5)

    def _mean_at(self, place: float) -> float:
        """Mean of the tenth of the readings that begins there."""
        first = int(len(self.readings) * place)
        return statistics.mean(self.readings[first : first + max(1, len(self.readings) // 10)])


def workload() -> list[dict[str, Any]]:
    """The API's Deployment and Service, so that the collectors of Kubernetes have something to read."""
    labels = {"app": API}
    container = {"name": "api", "image": "controlcore/api:1", "resources": {"limits": {"memory": "64Mi"}}}
    meta = {"name": API, "namespace": NAMESPACE}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": meta,
            "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": template},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": meta,
            "spec": {"selector": labels | {"version": "blue"}, "ports": [{"port": 8000}]},
        },
    ]


def settings_of(field: Field, cluster: Cluster, folder: Path) -> dict[str, Any]:
    """Settings with a source for every collector that needs no Kubernetes."""
    token = folder / "token"
    token.write_text("made-up", encoding="utf-8")
    (folder / "full_backup_1.sql.gz").write_bytes(b"")
    settings = field.settings()
    place = urlsplit(cluster.server)
    settings["collectors"] |= {
        "backup": {"places": [{"kind": "database", "directory": str(folder)}], "settle_seconds": 0},
        "tls": {"endpoints": [{"name": "api-server", "host": str(place.hostname), "port": place.port}]},
        "telemetry": {"token_file": str(token)},
    }
    return settings


@contextmanager
def hidden(packages: Sequence[str], folder: Path) -> Iterator[None]:
    """Lets processes that start in the block find no package of these names."""
    for name in packages:
        (folder / f"{name}.py").write_text('raise ImportError("for developers only")\n', encoding="utf-8")
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(folder) if before is None else f"{folder}{os.pathsep}{before}"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


@contextmanager
def running_both() -> Iterator[dict[str, ExporterServer]]:
    """Starts one exporter of each kind on the same backends."""
    with ExitStack() as stack:
        cluster = stack.enter_context(open_cluster())
        cluster.create_namespace(NAMESPACE)
        stack.callback(cluster.delete_namespace, NAMESPACE)
        cluster.apply(workload())
        field = stack.enter_context(opened_field())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="controlcore-memory-")))
        plain = settings_of(field, cluster, folder)
        (folder / "hidden").mkdir()
        stack.enter_context(hidden(DEVELOPERS_ONLY, folder / "hidden"))
        kubernetes = {"namespace": NAMESPACE, "kubeconfig": str(cluster.kubeconfig_path)}
        yield {
            PLAIN: stack.enter_context(running_exporter(plain)),
            KUBERNETES: stack.enter_context(running_exporter({**plain, "kubernetes": kubernetes})),
        }


def watch(exporters: dict[str, ExporterServer], minutes: float, warm_up_seconds: float) -> list[Memory]:
    """The readings of both after the warm-up."""
    readings: dict[str, list[float]] = {name: [] for name in exporters}
    began = due = time.monotonic()
    while (now := time.monotonic()) < began + warm_up_seconds + minutes * 60:
        if now >= due:
            due += SCRAPE_SECONDS
            for exporter in exporters.values():
                scrape(exporter)
        for name, exporter in exporters.items():
            if now >= began + warm_up_seconds:
                readings[name].append(resident_mib(exporter.process.pid))
        time.sleep(READING_SECONDS)
    return [
        Memory(name, len(read_collections(exporter)), count_samples(exporter.port), minutes, tuple(readings[name]))
        for name, exporter in exporters.items()
    ]


def scrape(exporter: ExporterServer) -> None:
    """One scrape in each format."""
    for accept in ("text/plain;version=0.0.4", "application/openmetrics-text;version=1.0.0"):
        send_many(get(exporter.port, "/metrics", accept=accept), 1)


def describe(found: Sequence[Memory]) -> list[str]:
    """The table."""
    whole = len(discover())
    head = ("exporter", "collectors", "samples", "RSS at first", "at the end", "at most", "first half", "second half")
    rows = [
        (
            each.name,
            f"{each.collectors} of {whole}",
            each.samples,
            f"{each.readings[0]:.1f} MiB",
            f"{each.readings[-1]:.1f} MiB",
            f"{max(each.readings):.1f} MiB",
            f"{each.settling:+.2f} MiB",
            f"{each.growth:+.2f} MiB",
        )
        for each in found
    ]
    return table(head, rows)


def judge(found: Sequence[Memory]) -> list[Target]:
    """The bounds, the stretch bound, and growth."""
    aims: list[Target] = []
    for each in found:
        limit, most = LIMITS_MIB[each.name], max(each.readings)
        aims.append(at_most(f"{each.name}: RSS at most {limit:g} MiB", limit, most, "MiB", 1))
        if each.name == PLAIN:
            aims.append(at_most(f"stretch, {each.name}: at most {STRETCH_MIB:g} MiB", STRETCH_MIB, most, "MiB", 1))
        half = each.minutes / 2
        if each.minutes < JUDGED_MINUTES:
            continue
        aim = f"{each.name}: no growth from minute {half:g} to minute {each.minutes:g} (at most {GROWTH_MIB:g} MiB)"
        aims.append(at_most(aim, GROWTH_MIB, each.growth, "MiB"))
    return aims


def memory(options: Options) -> list[str]:
    """Both for as long as wanted."""
    with running_both() as exporters:
        found = watch(exporters, options.soak_minutes, WARM_UP_SECONDS)
    return [
        f"{options.soak_minutes:g} minutes after {WARM_UP_SECONDS:g} s of warm-up. Growth is judged over the second",
        f"half, from {JUDGED_MINUTES:g} minutes on: `make bench SOAK={JUDGED_MINUTES:g}`.",
        "",
        *describe(found),
        *targets(judge(found)),
    ]


SECTION = Section("memory", "Resident memory", memory)
