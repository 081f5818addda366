from __future__ import annotations

from pathlib import Path

from exporter.collectors import discover
from exporter.commands.metrics_reference import write
from tests.fakes.collector import ScriptedCollector
from tests.fakes.golden import read_generated

PAGE = Path(__file__).parents[4] / "docs" / "metrics.md"


def test_committed_page_is_what_the_code_declares() -> None:
    assert write(discover()) == read_generated(PAGE)


def test_collector_has_its_own_table_with_pace_and_always() -> None:
    text = write((ScriptedCollector([]).spec("lamp", doc="Lights up.\n\nMore."),))
    assert "## Collector `lamp`\n\nLights up. Scope `deployment`, every 10 s, deadline 5 s.\n" in text
    assert "| `example_up` | gauge | - | stable, always | Whether the example is up. |" in text
    assert "| `example_size_bytes` | gauge | `part` | stable | Size of the example. |" in text
