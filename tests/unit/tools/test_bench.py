"""What the benchmarks say of a target follows from the figures, and one failing section leaves the others theirs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from exporter.collectors.bouncer_caches import BouncerCachesSettings
from exporter.collectors.policy import PolicySettings
from tools.bench import __main__ as bench
from tools.bench import bouncers, farm, frozen, growth, scrape
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
    told = [frozen.Verdict("x", 10.0, seconds) for seconds in (11.9, 12.1, None)]
    assert verdicts(frozen.judge(spread(1, 4.9), told)) == [True, True, False, False]
    assert verdicts(frozen.judge(spread(1, 5.1), [])) == [False]


def probing(rounds: tuple[float, ...], failures: int, sockets: int) -> bouncers.Probing:
    return bouncers.Probing(1000, rounds, failures, 0.2, sockets, 100.0, spread(1, 2))


def test_round_over_the_bouncers_holds_only_when_all_were_reached_with_bounded_sockets() -> None:
    assert verdicts(bouncers.judge([probing((4.0, 14.0), 0, 24)])) == [True, True]
    assert verdicts(bouncers.judge([probing((4.0, 15.1), 0, 25)])) == [False, False]
    assert verdicts(bouncers.judge([probing((4.0, 14.0), 1, 24)])) == [False, True]


def test_bench_of_bouncers_names_the_shipped_concurrency() -> None:
    shipped = {"policy": PolicySettings().max_concurrent, "bouncer_caches": BouncerCachesSettings().max_concurrent}
    assert shipped == bouncers.CONCURRENT


async def test_farm_answers_as_a_bouncer_does() -> None:
    answers = await farm.make_answers()
    allowed = farm.choose(answers, b"/7/api/v1/authorize", b'{"user":{"id":"canary-allow"}}')
    denied = farm.choose(answers, b"/7/api/v1/authorize", b'{"user":{"id":"canary-deny"}}')
    assert b'"allow": true' in allowed
    assert b'"allow": false' in denied
    assert b'"status": "healthy"' in farm.choose(answers, b"/7/health", b"")
    assert b'"decision_cache"' in farm.choose(answers, b"/7/api/v1/metrics", b"")
    assert farm.choose(answers, b"/7/elsewhere", b"") == farm.NOT_FOUND
