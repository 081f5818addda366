from __future__ import annotations

import json

import pytest

from remediations.commands.terminal import table
from remediations.commands.text import age_words, render_story
from remediations.core.model.alert import Alert
from remediations.journal.records import story_data
from tests.fakes.decisions import LABELS, a_remediation
from tests.fakes.engine import a_world


@pytest.fixture
async def story(tmp_path):
    """A repaired fault, from the alert to the proof."""
    async with a_world(tmp_path) as world:
        world.prometheus.answers = {**world.prometheus.answers, "controlcore_postgres_up == bool 1": False}
        await world.deliver()
        engine = world.engine()
        for _ in range(3):
            await engine.turn("worker")
            await world.clock.advance(15.0)
        world.prometheus.answers = {**world.prometheus.answers, "controlcore_postgres_up == bool 1": True}
        await world.work(engine)
        yield await world.journal.story((await world.newest()).id)


async def test_story_tells_alert_guards_facts_plan_write_and_proof(story):
    text = render_story(*story)

    for words in (
        "alert stored, then acknowledged",
        "HOLD dependency_down: postgres down  (and 2 times more the same)",
        "guards  kill_switch ok → expiry ok → identity ok → cold_start ok → ",
        " → allow_list ok → condition ok → dependency HOLD",
        "fact    dependency postgres: false",
        "ACT guards_passed: restart Deployment control-core/control-plane-api",
        "fact    workload: 0/3 ready, generation 3, CC_DROP_TABLES False",
        'plan        if metadata.resourceVersion = "41"',
        "write        done, generation 4",
        "verification succeeded: ",
    ):
        assert words in text


async def test_story_as_json_has_every_record(story):
    remediation, records = story

    document = json.loads(story_data(remediation, records))

    assert document["remediation"]["state"] == "succeeded"
    assert len(document["story"]) == len(records)
    assert {"claimed", "decision", "intent", "write", "observation", "verification"} <= {
        item["kind"] for item in document["story"]
    }


def test_terminal_is_not_given_orders_by_a_label():
    hostile = "\x1b[2J\x1b]0;owned\x07\r\n"
    remediation = a_remediation(alert=Alert(hostile, hostile, True, {**LABELS, hostile: hostile}))

    text = render_story(remediation, []) + table([(hostile, "x")])

    assert "\x1b" not in text
    assert "\x07" not in text
    assert "\r" not in text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0s"), (59, "59s"), (61, "1m1s"), (3600, "1h0m"), (90000, "1d1h"), (-5, "0s")]
)
def test_age_has_two_units(seconds, text):
    assert age_words(seconds) == text
