from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog
from aiohttp import web
from structlog.testing import CapturingLogger

from chassis.errors import ConfigError, Fault
from chassis.http.server import serving
from chassis.process.lifecycle import Lifecycle
from exporter.collector import Result
from exporter.commands.configuration import load_settings
from exporter.commands.serve import Exporter
from exporter.exposition.negotiation import Form
from exporter.settings import ExporterSettings
from tests.fakes.clock import ManualClock
from tests.fakes.collector import UP, ScriptedCollector

FINE = Result((UP.value(1),))
PLAIN = Form(is_openmetrics=False, is_gzip=False)


@dataclass
class Run:
    """A running exporter in this very loop."""

    exporter: Exporter
    clock: ManualClock
    life: Lifecycle
    capture: CapturingLogger

    def events(self, name: str) -> list[dict[str, Any]]:
        return [dict(call.kwargs) for call in self.capture.calls if call.args[0] == name]

    async def until(self, holds: Callable[[], bool]) -> None:
        """Runs the program until a condition holds."""
        while not holds():
            await asyncio.sleep(0.001)
            await self.clock.advance(0.1)

    async def get(self, path: str) -> tuple[int, str]:
        started = self.events("program.started")[0]
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://{started['host']}:{started['port']}{path}") as answer,
        ):
            return answer.status, await answer.text()


async def settings_for(*collectors: ScriptedCollector, **overrides: Any) -> tuple[ExporterSettings, tuple[Any, ...]]:
    specs = tuple(collector.spec(f"c{number}") for number, collector in enumerate(collectors))
    values = {"server": {"host": "127.0.0.1", "port": 0}, **overrides}
    return await asyncio.to_thread(load_settings, specs, None, values), specs


@asynccontextmanager
async def running(
    *collectors: ScriptedCollector, load: Callable[[], ExporterSettings] | None = None, **overrides: Any
) -> AsyncIterator[Run]:
    settings, specs = await settings_for(*collectors, **overrides)
    capture, clock = CapturingLogger(), ManualClock()
    logger = structlog.wrap_logger(capture, processors=[lambda _logger, _name, event: ((event.pop("event"),), event)])
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        life = Lifecycle(stack)
        exporter = Exporter(settings, load or (lambda: settings), specs, clock, logger)
        group.create_task(exporter.run(life))
        run = Run(exporter, clock, life, capture)
        await run.until(lambda: bool(run.events("program.started")))
        yield run
        life.stop.set()


async def test_ready_once_every_collector_has_ended_a_collection() -> None:
    released = asyncio.Event()

    async def wait() -> Result:
        await released.wait()
        return FINE

    async with running(ScriptedCollector([FINE]), ScriptedCollector([wait])) as run:
        await run.until(lambda: run.exporter.pending() == ("c1",))
        assert (await run.get("/-/ready"))[0] == 503
        released.set()
        await run.until(lambda: not run.exporter.pending())
        assert (await run.get("/-/ready"))[0] == 200


async def test_page_and_landing_page_are_served() -> None:
    async with running(ScriptedCollector([FINE])) as run:
        await run.until(lambda: b"example_up 1.0" in run.exporter.publisher.snapshot.body(PLAIN))
        assert "example_up 1.0\n" in (await run.get("/metrics"))[1]
        assert 'controlcore_exporter_scope_info{scope="deployment"} 1.0' in (await run.get("/metrics"))[1]
        assert "<code>c0</code>" in (await run.get("/"))[1]


async def test_stop_closes_what_was_opened() -> None:
    collector = ScriptedCollector([FINE])
    async with running(collector) as run:
        await run.until(lambda: collector.opened == 1)
    assert (collector.closed, len(run.events("exporter.stopped"))) == (1, 1)


async def test_disabled_collector_does_not_run() -> None:
    on, off = ScriptedCollector([FINE]), ScriptedCollector([FINE])
    async with running(on, off, collectors={"c1": {"enabled": False}}) as run:
        await run.until(lambda: on.collected > 0)
        assert [record.spec.name for record in run.exporter.ledger.records()] == ["c0"]
    assert off.opened == 0


async def test_reload_ends_the_old_collectors_and_starts_the_new_ones() -> None:
    first, second = ScriptedCollector([FINE]), ScriptedCollector([FINE])
    changed, _ = await settings_for(first, second, collectors={"c0": {"enabled": False}})
    async with running(first, second, load=lambda: changed, collectors={"c1": {"enabled": False}}) as run:
        await run.until(lambda: first.collected > 0)
        run.life.request_reload()
        await run.until(lambda: second.collected > 0)
        assert (first.closed, len(run.events("config.reloaded"))) == (1, 1)


async def test_rejected_reload_leaves_the_collectors_alone() -> None:
    collector = ScriptedCollector([FINE])

    def fail() -> ExporterSettings:
        raise ConfigError((Fault("api.url", "no URL"),))

    async with running(collector, load=fail) as run:
        await run.until(lambda: collector.collected > 0)
        run.life.request_reload()
        await run.until(lambda: not run.exporter.publisher.is_reload_successful)
        assert (collector.closed, run.events("config.rejected")) == (0, [{"faults": ["api.url: no URL"]}])
        assert "the previous one is in force" in run.exporter.describe()


async def test_reload_with_another_address_says_that_it_needs_a_restart() -> None:
    collector = ScriptedCollector([FINE])
    changed, _ = await settings_for(collector, server={"host": "127.0.0.1", "port": 1})
    async with running(collector, load=lambda: changed) as run:
        run.life.request_reload()
        await run.until(lambda: bool(run.events("config.reloaded")))
        assert len(run.events("config.listen_address_ignored")) == 1


async def test_reload_by_http_waits_for_its_result() -> None:
    collector = ScriptedCollector([FINE])
    answers: list[Any] = [ConfigError((Fault("api.url", "no URL"),))]
    changed, _ = await settings_for(collector)

    def load() -> ExporterSettings:
        if answers:
            raise answers.pop()
        return changed

    async with running(collector, load=load) as run:
        await run.until(lambda: collector.collected > 0)
        assert await run.exporter.reload() == ("api.url: no URL",)
        assert await run.exporter.reload() == ()
        await run.until(lambda: collector.opened == 2)
        assert len(run.exporter.records()[""][0].history) >= 1


async def test_every_deployment_has_its_own_page_and_collectors() -> None:
    collector = ScriptedCollector([FINE])
    async with running(collector, deployments={"berlin": {}, "oslo": {}}) as run:
        await run.until(lambda: not run.exporter.pending())
        assert (collector.opened, sorted(run.exporter.records())) == (3, ["", "berlin", "oslo"])
        await run.until(lambda: b"example_up" in run.exporter._watches["oslo"].publisher.snapshot.body(PLAIN))
        status, page = await run.get("/probe?target=oslo")
        assert (status, "example_up 1.0" in page, "build_info" in page) == (200, True, False)
        assert (await run.get("/probe?target=paris"))[0] == 404


async def test_reload_removes_a_deployment_and_keeps_what_another_showed() -> None:
    collector = ScriptedCollector([FINE])
    fewer, _ = await settings_for(collector, deployments={"oslo": {}})
    async with running(collector, load=lambda: fewer, deployments={"berlin": {}, "oslo": {}}) as run:
        await run.until(lambda: not run.exporter.pending())
        before = run.exporter._watches["oslo"]
        assert await run.exporter.reload() == ()
        await run.until(lambda: sorted(run.exporter.records()) == ["", "oslo"])
        assert run.exporter._watches["oslo"] is before
        assert (await run.get("/probe?target=berlin"))[0] == 404


async def test_scrape_in_mode_on_scrape_sees_what_it_asked_for() -> None:
    collector = ScriptedCollector([Result((UP.value(0),)), FINE])
    async with running(collector, collection={"mode": "on-scrape", "on_scrape_min_seconds": 0}) as run:
        await run.until(lambda: b"example_up 0.0" in run.exporter.publisher.snapshot.body(PLAIN))
        assert "example_up 1.0" in (await run.get("/metrics"))[1]


async def test_phase_is_published_once_a_scraper_is_known() -> None:
    async with running(ScriptedCollector([FINE]), collection={"mode": "phase"}) as run:
        await run.until(lambda: b"phase_locked 0.0" in run.exporter.publisher.snapshot.body(PLAIN))
        for _ in range(6):
            await run.get("/metrics")
            await run.clock.advance(15.0)
        assert "controlcore_exporter_collection_phase_locked 1.0" in (await run.get("/metrics"))[1]


async def test_discovered_bouncers_restart_the_collectors_without_reading_the_file_again(tmp_path: Path) -> None:
    file, collector = tmp_path / "bouncers.yml", ScriptedCollector([FINE])
    file.write_text("- {targets: ['b1:8080']}")

    def load() -> ExporterSettings:
        raise AssertionError("the configuration is not read again")

    async with running(collector, load=load, bouncer_discovery={"files": [str(file)]}) as run:
        await run.until(lambda: collector.opened == 1)
        assert [item.name for item in collector.sources[0].settings.bouncers] == ["b1-8080"]
        await asyncio.to_thread(file.write_text, "- {targets: ['b1:8080', 'b2:8080']}")
        await run.until(lambda: collector.opened == 2)
        assert len(collector.sources[1].settings.bouncers) == 2
        assert collector.sources[1].kept is collector.sources[0].kept, "what was learned stays: P3, P4, P12"
        assert collector.sources[1].product_zone is collector.sources[0].product_zone
        await run.until(lambda: b"discovered_bouncers 2.0" in run.exporter.publisher.snapshot.body(PLAIN))
        assert run.events("config.reloaded") == []


@dataclass
class Cluster:
    """An API server that lists pods, and a kubeconfig for it."""

    pods: list[Any]
    kubeconfig: Path


@asynccontextmanager
async def cluster_with_a_bouncer(folder: Path) -> AsyncIterator[Cluster]:
    metadata = {"name": "b-1", "labels": {"bouncer": "one"}}
    cluster = Cluster([{"metadata": metadata, "status": {"phase": "Running", "podIP": "10.0.0.1"}}], folder / "config")

    async def listing(_request: web.Request) -> web.Response:
        return web.json_response({"kind": "PodList", "items": cluster.pods})

    app = web.Application()
    app.router.add_get("/api/v1/namespaces/controlcore/pods", listing)
    async with serving(app, "127.0.0.1", 0) as (host, port):
        server = {"name": "a", "cluster": {"server": f"http://{host}:{port}"}}
        context = {"name": "a", "context": {"cluster": "a"}}
        content = json.dumps({"current-context": "a", "clusters": [server], "contexts": [context]})
        await asyncio.to_thread(cluster.kubeconfig.write_text, content)
        yield cluster


def found_and_vanished(collector: ScriptedCollector) -> list[tuple[list[str], list[str]]]:
    """The names that each generation of a collector was given."""
    return [([each.name for each in given.settings.bouncers], [each.name for each in given.vanished])
            for given in collector.sources]  # fmt: skip


async def test_discovered_pod_that_ends_reaches_the_collectors_as_vanished(tmp_path: Path) -> None:
    """P4: from the API server's list to what a collector is given."""
    collector = ScriptedCollector([FINE])
    async with cluster_with_a_bouncer(tmp_path) as cluster:
        wanted = {"kubernetes": {"kubeconfig": str(cluster.kubeconfig)}, "bouncer_discovery": {"kubernetes": {}}}
        async with running(collector, **wanted) as run:
            await run.until(lambda: collector.opened == 1)
            cluster.pods.clear()
            await run.until(lambda: collector.opened == 2)
    assert found_and_vanished(collector) == [(["one"], []), ([], ["one"])]


@pytest.mark.parametrize("ends", [False, True])
async def test_rejected_reload_changes_nothing_that_discovery_knows(tmp_path: Path, *, ends: bool) -> None:
    """P4: it would name bouncers by another label, and its second deployment cannot be opened."""
    collector, broken = ScriptedCollector([FINE]), tmp_path / "broken"
    await asyncio.to_thread(broken.write_text, "{}")
    async with cluster_with_a_bouncer(tmp_path) as cluster:
        kubernetes = {"kubeconfig": str(cluster.kubeconfig)}
        changed, _ = await settings_for(
            collector,
            kubernetes=kubernetes,
            bouncer_discovery={"kubernetes": {"name_label": "team"}},
            deployments={"oslo": {"kubernetes": {"kubeconfig": str(broken)}}},
        )
        wanted = {"kubernetes": kubernetes, "bouncer_discovery": {"kubernetes": {}}}
        async with running(collector, load=lambda: changed, **wanted) as run:
            await run.until(lambda: collector.collected > 0)
            if ends:
                cluster.pods.clear()
            assert "has no current-context" in str(await run.exporter.reload())
            looked_until = run.clock.monotonic() + 90
            await run.until(lambda: run.clock.monotonic() > looked_until)
    assert found_and_vanished(collector) == [(["one"], []), *([([], ["one"])] if ends else [])]
