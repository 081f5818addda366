"""A benchmark's result for a target follows from the figures, and one failing section does not affect the others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from exporter.collectors.policy_engine.bouncer_caches import BouncerCachesSettings
from exporter.collectors.policy_engine.policy import PolicySettings
from tools.bench import __main__ as bench
from tools.bench.exporter import (
    age,
    api_impact,
    bouncers,
    database,
    fake_bouncers,
    growth,
    memory,
    scrape,
    stopped_backends,
)
from tools.bench.load import Spread
from tools.bench.section import Options, Section, Target, at_least, at_most, table


def test_target_up_to_a_limit_holds_at_the_limit_and_not_above() -> None:
    verdicts = [at_most("x", 5.0, measured, "ms").holds for measured in (4.0, 5.0, 5.001, None)]
    assert verdicts == [True, True, False, None]


def test_target_from_a_limit_on_holds_at_the_limit_and_not_below() -> None:
    assert [at_least("x", 10.0, measured, "times").holds for measured in (10.0, 9.99, None)] == [True, False, None]


def test_target_says_its_figure_and_verdict() -> None:
    assert at_most("p50 at most 5 ms", 5.0, 6.5, "ms").describe() == "- p50 at most 5 ms: 6.50 ms: **does not hold**"
    assert Target("x", "0 of 3", holds=None).describe().endswith("**unknown**")


def test_table_has_one_line_for_each_row() -> None:
    assert table(("a", "b"), [(1, "x"), (2, "y")]) == ["| a | b |", "|---|---|", "| 1 | x |", "| 2 | y |"]


def test_section_that_fails_leaves_the_others_their_figures(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(_: Options) -> list[str]:
        raise RuntimeError("no server")

    sections = (Section("a", "First", fail), Section("b", "Second", lambda options: [f"{options.soak_minutes} min"]))
    text, is_whole = bench.measure_all(sections, Options(soak_minutes=3.0))
    assert not is_whole
    assert "Not measured: RuntimeError, no server" in text
    assert text.endswith("## Second\n\n3.0 min\n")
    assert "## Second" in capsys.readouterr().out


def test_names_choose_sections_in_their_order() -> None:
    first, second, *_ = bench.SECTIONS
    assert bench.choose((second.name, first.name)) == (second, first)
    assert bench.choose(()) == bench.SECTIONS


def test_every_section_has_a_name_of_its_own() -> None:
    assert len({section.name for section in bench.SECTIONS}) == len(bench.SECTIONS)


def spread(p50_ms: float, p99_ms: float, cpu_ms: float | None = None) -> Spread:
    cpu = None if cpu_ms is None else cpu_ms / 1e3
    return Spread(p50_ms / 1e3, p99_ms / 1e3, p50_ms / 1e3, p99_ms / 1e3, 100, cpu, 1000)


def verdicts(found: Iterable[Target]) -> list[bool | None]:
    return [target.holds for target in found]


def racer(name: str, seconds: float, cpu_seconds: float | None = None) -> scrape.Racer:
    return scrape.Racer(name, 1, 1, times=[seconds] * 10, rounds=[seconds], cpu_seconds=cpu_seconds)


def test_scrape_targets_follow_from_times_and_ratios() -> None:
    peers = [racer(scrape.POSTGRES, 0.010), racer(scrape.REDIS, 0.002)]
    assert verdicts(scrape.judge([racer(scrape.OURS, 0.0005, 0.0001), *peers])) == [True, True, True, True, True]
    assert verdicts(scrape.judge([racer(scrape.OURS, 0.0031, 0.0003), *peers])) == [False, False, False, False, False]
    assert verdicts(scrape.judge([racer(scrape.OURS, 0.0005)])) == [True, True, None, None, None]


def test_growth_target_is_that_of_the_largest_page() -> None:
    small, large = (growth.Growth(size, spread(1, 2), spread(9, 9), 70.0) for size in (1_000, 100_000))
    slow = replace(large, ours=spread(19, 21))
    assert verdicts(growth.judge([large, small])) == [True, True]
    assert verdicts(growth.judge([small, slow])) == [True, False]


def test_frozen_backend_that_is_told_too_late_or_never_does_not_hold() -> None:
    told = [stopped_backends.Verdict("x", 10.0, seconds) for seconds in (11.9, 12.1, None)]
    assert verdicts(stopped_backends.judge(spread(1, 4.9), told)) == [True, True, False, False]
    assert verdicts(stopped_backends.judge(spread(1, 5.1), [])) == [False]


def probing(rounds: tuple[float, ...], failures: int, sockets: int) -> bouncers.Probing:
    return bouncers.Probing(1000, rounds, failures, 0.2, sockets, 100.0, 29_000, spread(1, 2))


def test_round_over_the_bouncers_holds_only_when_all_were_reached_with_bounded_sockets() -> None:
    assert verdicts(bouncers.judge([probing((4.0, 14.0), 0, 24)])) == [True, True]
    assert verdicts(bouncers.judge([probing((4.0, 15.1), 0, 25)])) == [False, False]
    assert verdicts(bouncers.judge([probing((4.0, 14.0), 1, 24)])) == [False, True]


def test_bench_of_bouncers_names_the_shipped_concurrency() -> None:
    shipped = {"policy": PolicySettings().max_concurrent, "bouncer_caches": BouncerCachesSettings().max_concurrent}
    assert shipped == bouncers.CONCURRENT


async def test_farm_answers_as_a_bouncer_does() -> None:
    answers = await fake_bouncers.make_answers()
    allowed = fake_bouncers.choose(answers, b"/7/api/v1/authorize", b'{"user":{"id":"canary-allow"}}')
    denied = fake_bouncers.choose(answers, b"/7/api/v1/authorize", b'{"user":{"id":"canary-deny"}}')
    assert b'"allow": true' in allowed
    assert b'"allow": false' in denied
    assert b'"status": "healthy"' in fake_bouncers.choose(answers, b"/7/health", b"")
    assert b'"decision_cache"' in fake_bouncers.choose(answers, b"/7/api/v1/metrics", b"")
    assert fake_bouncers.choose(answers, b"/7/elsewhere", b"") == fake_bouncers.NOT_FOUND


def test_ages_hold_up_to_a_second_for_who_is_to_be_served_and_never_collect_twice() -> None:
    one = age.Age(age.PHASE, 5, "a", (0.3, 0.9), 1.0)
    pair = [age.Age(age.PAIR, 5, replica, ages, 1.01) for replica, ages in (("a", (2.0, 2.0)), ("b", (0.4, 0.5)))]
    other = age.Age(age.INTERVAL, 5, "a", (4.0,), 1.0)
    assert [name for name, _ in age.rank([other, *pair, one])][1:3] == [
        "phase, a pair: one",
        "phase, a pair: the other",
    ]
    assert verdicts(age.judge([one, *pair, other])) == [True, True, True]
    assert verdicts(age.judge([replace(one, ages=(1.1,) * 9), replace(other, collections=1.5)])) == [False, False]
    assert verdicts(age.judge([replace(one, ages=(), collections=None)])) == [None, None]


def test_age_watches_the_collectors_with_a_short_interval() -> None:
    assert {"postgres", "redis", "api", "policy"} <= set(age.fast_collectors())
    assert not {"tls", "tuning", "telemetry"} & set(age.fast_collectors())


def test_memory_holds_within_its_bounds_and_without_growth() -> None:
    flat = memory.Memory(memory.PLAIN, 27, 900, 60.0, (60.0,) * 20)
    assert verdicts(memory.judge([flat])) == [True, True, True]
    grown = replace(flat, readings=tuple(70.0 + number for number in range(20)))
    assert (grown.settling, grown.growth) == (10.0, 8.0)
    assert verdicts(memory.judge([replace(grown, minutes=2.0)])) == [False, False], "too short to judge growth"
    settled = replace(flat, readings=(60.0,) * 10 + (63.0,) * 10)
    assert (settled.settling, settled.growth) == (3.0, 0.0)
    assert verdicts(memory.judge([grown])) == [False, False, False]
    assert verdicts(memory.judge([replace(grown, name=memory.KUBERNETES)])) == [True, False]


def test_database_holds_with_two_connections_and_not_with_three() -> None:
    seen = [database.Load(60.0, {database.OURS: count, database.PEER: 9}, ()) for count in (2, 3)]
    assert [verdicts(database.judge(load)) for load in seen] == [[True], [False]]


def test_statements_are_told_by_the_minute_on_one_short_line() -> None:
    text = "SELECT a | b\n  FROM t"
    load = database.Load(30.0, {}, (database.Statement(database.OURS, text, 10, 5.0, 20),))
    assert "| `SELECT a \\| b FROM t` | 20 | 0.500 ms | 10.0 ms | 2 |" in database.describe(load)
    assert database.shorten("x" * 200, 10) == f"{'x' * 9}…"


def test_harm_is_judged_against_the_api_alone_and_must_be_visible() -> None:
    alone, ours = api_impact.Health(api_impact.ALONE, spread(1, 10)), api_impact.Health(api_impact.OURS, spread(1, 14))
    naive = api_impact.Health(api_impact.NAIVE, spread(9000, 9000))
    assert verdicts(api_impact.judge([alone, ours, naive])) == [True, True, True]
    harmful = api_impact.Health(api_impact.OURS, spread(1, 5000))
    assert verdicts(api_impact.judge([alone, harmful, api_impact.Health(api_impact.NAIVE, spread(1, 10))])) == [
        False,
        False,
        False,
    ]
