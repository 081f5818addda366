"""State outlives a configuration, within a limit."""

from __future__ import annotations

from exporter.sources.kept_state import MAX_KEPT, KeptState


def test_entry_is_made_once_for_each_key() -> None:
    kept = KeptState()
    first = kept.of(list, "name", "b1")
    first.append(1)
    assert kept.of(list, "name", "b1") is first
    assert kept.of(list, "name", "b2") == []


def test_names_that_come_and_go_push_out_what_was_not_asked_for() -> None:
    kept = KeptState()
    asked, forgotten = kept.of(list, "asked"), kept.of(list, "forgotten")
    for number in range(MAX_KEPT):
        kept.of(list, "pod", number)
        kept.of(list, "asked")
    assert kept.of(list, "asked") is asked
    assert kept.of(list, "forgotten") is not forgotten
