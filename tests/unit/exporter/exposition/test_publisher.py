from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import structlog
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from chassis.errors import Reason
from exporter.collector import CollectorSpec
from exporter.exposition.negotiation import Form
from exporter.exposition.publisher import THREAD_FROM_BYTES, Publisher
from exporter.results.change_log import StateLog
from exporter.results.ledger import Ledger
from exporter.results.limits import Admitted
from exporter.results.record import CollectionOutcome, CollectorRecord
from tests.fakes.clock import ManualClock, settle
from tests.fakes.collector import UP, ScriptedCollector, sizes

PLAIN, PACKED = Form(is_openmetrics=False, is_gzip=False), Form(is_openmetrics=False, is_gzip=True)
SPEC: CollectorSpec = ScriptedCollector([]).spec()


def publisher_of(clock: ManualClock, *names: str) -> Publisher:
    ledger = Ledger()
    specs = [ScriptedCollector([]).spec(name) for name in names or ("example",)]
    ledger.enrol(CollectorRecord(spec, 10.0, 5.0, clock.monotonic()) for spec in specs)
    return Publisher(clock, ledger, StateLog(clock, structlog.get_logger()))


def outcome(clock: ManualClock, name: str = "example", *, size: float = 1.0) -> CollectionOutcome:
    return CollectionOutcome(name, clock.now(), clock.monotonic(), 0.1, Admitted((UP.value(1), sizes(a=size))))


@asynccontextmanager
async def running(publisher: Publisher) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(publisher.run())
        await settle()
        yield
        task.cancel()


def has(publisher: Publisher, line: str) -> bool:
    return line.encode() in publisher.snapshot.body(PLAIN)


async def test_form_that_was_asked_for_is_ready_on_the_following_pages_and_no_other() -> None:
    """Compressing a page takes longer than rendering it, and Prometheus requests one form of the four."""
    publisher = publisher_of(clock := ManualClock())
    assert publisher.snapshot.ready(PACKED) is None
    publisher.snapshot.body(PACKED)
    publisher.finish(outcome(clock))
    await publisher.publish()
    ready = publisher.snapshot.ready(PACKED)
    assert ready == publisher.snapshot.body(PACKED)
    assert publisher.snapshot.ready(PLAIN) is None


async def test_all_forms_of_the_page_say_the_same() -> None:
    publisher = publisher_of(clock := ManualClock())
    publisher.finish(outcome(clock))
    await publisher.publish()
    snapshot = publisher.snapshot
    text, om_text = (snapshot.body(Form(is_openmetrics=kind, is_gzip=False)) for kind in (False, True))
    packed, om_packed = (snapshot.body(Form(is_openmetrics=kind, is_gzip=True)) for kind in (False, True))
    assert (gzip.decompress(packed), gzip.decompress(om_packed)) == (text, om_text)
    parsed = [sample for family in text_string_to_metric_families(text.decode()) for sample in family.samples]
    assert len(parsed) == snapshot.page.samples
    again = [sample for family in openmetrics(om_text.decode()) for sample in family.samples]
    assert {(sample.name, str(sample.labels)): sample.value for sample in parsed} == {
        (sample.name, str(sample.labels)): sample.value for sample in again
    }


async def test_page_before_any_collection_has_the_program_itself() -> None:
    publisher = publisher_of(ManualClock(now=1_700_000_000.0))
    async with running(publisher):
        await settle()
        await publisher.publish()
    assert has(publisher, "controlcore_exporter_start_timestamp_seconds 1700000000.0\n")
    assert has(publisher, "controlcore_exporter_build_info{")
    assert has(publisher, "controlcore_exporter_config_last_reload_successful 1.0\n")


async def test_collectors_that_finish_together_cause_one_rendering() -> None:
    clock = ManualClock()
    names = [f"c{number}" for number in range(8)]
    publisher = publisher_of(clock, *names)
    pages = []
    async with running(publisher):
        await clock.advance(0.5)
        for name in names:
            publisher.finish(outcome(clock, name))
            pages.append(publisher.snapshot)
            await clock.advance(0.005)
        before = publisher.snapshot
        await clock.advance(0.05)
    assert len({id(page) for page in pages}) == 1
    assert before is pages[0]
    assert publisher.snapshot is not before


async def test_values_go_by_time_alone() -> None:
    """No collector finishes any more, and the page still says so."""
    clock = ManualClock()
    publisher = publisher_of(clock)
    async with running(publisher):
        publisher.finish(outcome(clock))
        await clock.advance(59.0)
        assert has(publisher, "example_size_bytes{")
        await clock.advance(3.0)
    assert not has(publisher, "example_size_bytes{")
    assert has(publisher, 'controlcore_scrape_collector_stale{collector="example"} 1.0\n')


async def test_collection_that_ignores_its_deadline_is_published_as_failed() -> None:
    clock = ManualClock()
    publisher = publisher_of(clock)
    async with running(publisher):
        publisher.finish(outcome(clock))
        publisher.begin("example", clock.monotonic())
        await clock.advance(8.0)
    assert has(publisher, 'controlcore_scrape_collector_success{collector="example"} 0.0\n')
    assert has(publisher, "example_up 0.0\n")


async def test_nothing_is_published_again_while_nothing_changes() -> None:
    clock = ManualClock()
    publisher = publisher_of(clock)
    async with running(publisher):
        publisher.finish(outcome(clock))
        await clock.advance(1.0)
        before = publisher.snapshot
        await clock.advance(30.0)
    assert publisher.snapshot is before


async def test_equal_page_is_not_compressed_again() -> None:
    publisher = publisher_of(ManualClock())
    await publisher.publish()
    before = publisher.snapshot
    await publisher.publish()
    assert publisher.snapshot is before


async def test_page_tells_what_its_last_rendering_took_and_that_alone_renders_nothing() -> None:
    clock = ManualClock()
    publisher = publisher_of(clock)
    await publisher.publish()
    assert not has(publisher, "controlcore_exporter_render_duration_seconds ")
    publisher.finish(outcome(clock))
    await publisher.publish()
    assert has(publisher, "controlcore_exporter_render_duration_seconds 0.0\n")
    before = publisher.snapshot
    publisher._render_seconds = 0.25
    await publisher.publish()
    assert publisher.snapshot is before
    publisher.finish(outcome(clock, size=2.0))
    await publisher.publish()
    assert has(publisher, "controlcore_exporter_render_duration_seconds 0.25\n")


async def test_large_page_is_compressed_off_the_loop_and_equal() -> None:
    clock = ManualClock()
    publisher = publisher_of(clock)
    many = sizes(**{f"part{number:05}": number for number in range(3000)})
    publisher.finish(CollectionOutcome("example", clock.now(), clock.monotonic(), 0.1, Admitted((many,))))
    await publisher.publish()
    assert len(publisher.snapshot.body(PLAIN)) > THREAD_FROM_BYTES
    assert gzip.decompress(publisher.snapshot.body(PACKED)) == publisher.snapshot.body(PLAIN)


async def test_failed_reload_is_published() -> None:
    publisher = publisher_of(ManualClock())
    publisher.note_reload(is_successful=False)
    await publisher.publish()
    assert has(publisher, "controlcore_exporter_config_last_reload_successful 0.0\n")


@pytest.mark.parametrize("reason", [Reason.REFUSED, Reason.INTERNAL])
async def test_failure_is_published_within_a_moment(reason: Reason) -> None:
    clock = ManualClock()
    publisher = publisher_of(clock)
    async with running(publisher):
        await clock.advance(1.0)
        publisher.finish(CollectionOutcome("example", clock.now(), clock.monotonic(), 0.1, reason=reason, message="x"))
        await clock.advance(0.05)
    assert has(publisher, 'controlcore_scrape_collector_success{collector="example"} 0.0\n')
