from __future__ import annotations

from exporter.collectors.product_tables.decision_latency import DecisionLatencyCollector, DecisionLatencySettings
from tests.fakes.clock import ManualClock
from tests.fakes.sources import expose, make_sources

INSERT = "INSERT INTO audit_logs (event_type, outcome, environment, latency_ms) VALUES "
NAME = "controlcore_policy_decision_duration_seconds"


async def look(collector, clock, times=1):
    for _ in range(times):
        await clock.advance(10.0)
        families = (await collector.collect()).families
    return expose(families).splitlines()


async def test_durations_of_the_later_generation_fall_into_buckets(product):
    product.run("ALTER TABLE audit_logs ADD latency_ms float8; GRANT SELECT (latency_ms) ON audit_logs TO cc_exporter")
    product.run(f"{INSERT} ('ACCESS_GRANTED', 'PERMIT', 'production', 7)")
    clock = ManualClock()
    async with product.session() as session:
        sources = make_sources(postgres=session, clock=clock)
        async with DecisionLatencyCollector.open(DecisionLatencySettings(), sources) as collector:
            before = await look(collector, clock)
            product.run(
                f"{INSERT} ('ACCESS_GRANTED', 'PERMIT', 'production', 2.5), ('ACCESS_DENIED', 'DENY', 'production', 3),"
                " ('ACCESS_DENIED', 'DENY', 'production', 9000), ('ACCESS_DENIED', 'DENY', 'production', 'NaN'),"
                " ('ACCESS_DENIED', 'DENY', 'production', -1), ('ACCESS_DENIED', 'DENY', 'production', NULL),"
                " ('USER_LOGIN', 'SUCCESS', 'production', 1)"
            )
            after = await look(collector, clock, 3)
    production = 'policy_environment="production"'
    assert f"{NAME}_count{{{production}}} 0.0" in before
    assert f'{NAME}_bucket{{{production},le="0.001"}} 0.0' in after
    assert f'{NAME}_bucket{{{production},le="0.0025"}} 1.0' in after, "an upper bound belongs to its bucket"
    assert f'{NAME}_bucket{{{production},le="0.005"}} 2.0' in after
    assert f'{NAME}_bucket{{{production},le="2.5"}} 2.0' in after
    assert f'{NAME}_bucket{{{production},le="+Inf"}} 3.0' in after
    assert f"{NAME}_count{{{production}}} 3.0" in after


async def test_schema_without_durations_or_without_the_grant_publishes_nothing(product):
    clock = ManualClock()
    async with product.session() as session:
        sources = make_sources(postgres=session, clock=clock)
        async with DecisionLatencyCollector.open(DecisionLatencySettings(), sources) as collector:
            assert await look(collector, clock) == []
            product.run("ALTER TABLE audit_logs ADD latency_ms float8")
            assert await look(collector, clock, 2) == []
