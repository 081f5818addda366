"""The policy reader knows every collector that there is."""

from __future__ import annotations

from remediations.core.queries import COLLECTORS
from tools.generate.collectors import FILE, PLACE, put


def test_committed_names_are_those_of_the_exporter() -> None:
    """`make generate` writes them."""
    text = FILE.read_text(encoding="utf-8")
    assert put(text) == text == put(PLACE.sub("", text))
    assert "postgres_canary" in COLLECTORS
