"""What the benchmarks say of a target follows from the figures, and one failing section leaves the others theirs."""

from __future__ import annotations

import pytest

from tools.bench import __main__ as bench
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
