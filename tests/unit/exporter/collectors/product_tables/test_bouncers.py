from __future__ import annotations

import pytest

from chassis.errors import Reason, TransientError
from exporter.collector import NotConfiguredError
from exporter.collectors.product_tables.bouncers import (
    BouncersCollector,
    BouncersSettings,
    is_recent,
    read_bouncers,
    read_counts,
    read_pairs,
)
from exporter.metrics import plain_word
from exporter.settings import BouncerTarget, ExporterSettings
from tests.fakes.sources import FakeSql, expose, golden, make_sources, samples, value

ROW = {
    "bouncer": "b-production",
    "environment": "production",
    "mode": "sidecar",
    "version": "1.0.0",
    "is_connected": True,
    "intercepting_traffic": True,
    "heartbeat": 1_767_323_000.0,
    "age": 45.0,
}
SILENT = {
    "bouncer": "b-sandbox",
    "environment": "sandbox",
    "mode": None,
    "version": None,
    "is_connected": None,
    "intercepting_traffic": None,
    "heartbeat": None,
    "age": None,
}
PAIRS = [
    {"resource": "invoices", "sandbox": True, "production": False, "unpaired": 1},
    {"resource": "orders", "sandbox": True, "production": True, "unpaired": 1},
]
CONNECTED, HEARTBEAT = "controlcore_bouncer_connected", "controlcore_bouncer_last_heartbeat_timestamp_seconds"


def answers(**more):
    counts = [{"environment": "production", "bouncers": 1}, {"environment": "sandbox", "bouncers": 1}]
    return {"is_connected": [ROW, SILENT], "count(*) AS bouncers": counts, "protected_resources": PAIRS} | more


async def collect(sql, settings=None):
    sources = make_sources(settings, postgres=sql)
    async with BouncersCollector.open(BouncersSettings(), sources) as collector:
        return (await collector.collect()).families


async def test_registered_bouncers_give_the_golden_page():
    assert expose(await collect(FakeSql(answers()))) == golden("bouncers")


def test_bouncer_that_never_registered_shows_none_of_its_tables_defaults():
    """P1, P12: POST /peps/ leaves bouncer_id null, and version, mode and the flags at unreported defaults."""
    defaults = {"is_connected": False, "intercepting_traffic": False, "mode": "reverse-proxy", "version": "v2.1.0"}
    families = read_bouncers([ROW, SILENT | {"bouncer": "17"} | defaults], 90.0)
    mine = {name: found for name, found in samples(families).items() if any(labels[0] == "17" for labels in found)}
    assert set(mine) == {"controlcore_bouncer_info"}
    assert ("17", "sandbox", "", "") in mine["controlcore_bouncer_info"]


def test_bouncer_of_both_environments_counts_in_each_and_once_in_all():
    """P5."""
    registered, omitted = read_counts([{"environment": "both", "bouncers": 2}], 1)
    assert samples([registered])["controlcore_bouncers_registered"] == {("sandbox",): 2, ("production",): 2}
    assert value([omitted], "controlcore_bouncers_omitted") == 1


async def test_bouncer_that_was_never_heard_of_has_no_heartbeat_and_no_verdict():
    families = await collect(FakeSql(answers()))
    assert value(families, HEARTBEAT, "b-sandbox", "sandbox") is None
    assert value(families, CONNECTED, "b-sandbox", "sandbox") is None


def test_products_own_flag_does_not_make_a_silent_bouncer_connected():
    families = read_bouncers([ROW | {"age": 3600.0}], 90.0)
    assert value(families, CONNECTED, "b-production", "production") == 0
    assert value(families, "controlcore_bouncer_declared_connected", "b-production", "production") == 1


@pytest.mark.parametrize(
    ("age", "expected"),
    [(0.0, True), (89.9, True), (90.0, False), (-30.0, True), (-90.0, None), (float("-inf"), None), (None, None)],
)
def test_age_of_the_heartbeat_decides(age, expected):
    assert is_recent(age, 90.0) is expected


def test_infinite_heartbeat_is_absent():
    assert HEARTBEAT not in samples(read_bouncers([ROW | {"heartbeat": float("inf")}], 90.0))


@pytest.mark.parametrize(
    ("text", "label"),
    [("reverse-proxy", "reverse-proxy"), ("1.0.0+b7", "1.0.0+b7"), (None, ""), ("a\nb", "other"), ("x" * 51, "other")],
)
def test_forged_words_do_not_become_labels(text, label):
    assert plain_word(text) == label


async def test_configured_bouncers_are_asked_for_first():
    sql = FakeSql(answers())
    await collect(sql, ExporterSettings(bouncers=(BouncerTarget(name="b", url="http://b:1"),)))
    assert sql.asked[0][1] == (["b"], 200)


async def test_bouncers_over_the_limit_are_counted():
    counts = [{"environment": "sandbox", "bouncers": 10_000}]
    families = await collect(FakeSql(answers(**{"count(*) AS bouncers": counts})))
    assert value(families, "controlcore_bouncers_omitted") == 9_998
    assert value(families, "controlcore_bouncers_registered", "sandbox") == 10_000


def test_limit_of_resources_leaves_the_number_of_unpaired_ones():
    families = read_pairs(PAIRS[:1], 0)
    assert samples(families) == {"controlcore_resources_unpaired": {(): 1}}


async def test_database_without_an_answer_raises_instead_of_publishing():
    with pytest.raises(TransientError):
        await collect(FakeSql({"is_connected": TransientError(Reason.TIMEOUT, "frozen")}))


async def test_no_database_is_not_configured():
    with pytest.raises(NotConfiguredError):
        async with BouncersCollector.open(BouncersSettings(), make_sources()):
            pass
