"""What a fluentd's output means: every line once, with its own fields, and no error event."""

from __future__ import annotations

import json

from tools.fluentd import LINES, events, read

GOOD = "".join(f"{json.dumps({'event': 'line.written', 'number': number})}\n" for number in range(LINES))


def test_all_lines_once_is_good_whatever_was_warned_of_at_the_start() -> None:
    assert read(0, f"2026-01-02 03:04:05 +0000 [warn]: LoadError\n{GOOD}").is_good


def test_lost_doubled_or_complained_of_is_not_good() -> None:
    first = GOOD.split("\n", 1)[0] + "\n"
    assert not read(0, GOOD.removeprefix(first)).is_good
    assert not read(0, first + GOOD).is_good
    assert not read(1, GOOD).is_good
    assert not read(0, f"{GOOD}2026-01-02 03:04:05 +0000 [warn]: send an error event to @ERROR: pattern\n").is_good


def test_events_hold_every_hard_value_and_the_keys_that_parsers_take() -> None:
    found = list(events())
    assert len(found) == LINES
    assert {"time", "message", "timestamp"} <= set(found[0])
    assert any(event["value"] != event["value"] for event in found), "NaN"
