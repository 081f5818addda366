"""The output of `show`: the state, the possible commands, the plan, and the records."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest

from chassis.output.terminal import table
from remediations.commands.output.story import StoryView, render_story
from remediations.core.model.alert import Alert, Mode
from remediations.core.model.facts import Approval, Pause
from remediations.core.model.remediation import Record, State
from remediations.core.model.stored import plan_hash
from remediations.journal.approvals import ApprovalAnswer, give_answer, proposal_data
from remediations.journal.records import story_content
from remediations.journal.standing import Standing, read_standings
from tests.fakes.decisions import LABELS, NOW, SAM, a_remediation, restart_policy
from tests.fakes.engine import a_world
from tests.fakes.kubernetes import DEPLOYMENT
from tests.unit.remediations.journal.test_approvals import PLAN

VIEW = StoryView(NOW + 100, "controlcore-remediator")


@pytest.fixture(autouse=True)
def _zone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TZ", "CET-1")
    monkeypatch.delenv("COLUMNS", raising=False)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


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
        newest = await world.newest()
        (standing,) = await read_standings(world.journal, [newest])
        yield standing, (await world.journal.story(newest.id))[1]


def held(answer: Approval | None = None, **data: object) -> Standing:
    """A held remediation with such a decision."""
    remediation = a_remediation(state=State.HELD, reason="approval", next_at=NOW + 110, created_at=NOW)
    return Standing(remediation, {"mode": "approve", "expires_at": NOW + 900, **data}, answer)


def summary(standing: Standing, view: StoryView = VIEW) -> dict[str, str]:
    """The lines of the summary by name."""
    head = render_story(standing, [], view).split("\n\n")[0].splitlines()[1:]
    return {line[:11].strip(): line[11:] for line in head if line[2] != " "}


async def test_story_tells_alert_plan_decisions_write_and_proof(story):
    text = render_story(*story, VIEW)

    for words in (
        "mode     auto (acts by itself)",
        "state    closed: succeeded: controlcore_api_up == bool 1 is true, 2 collections later",
        "next     nothing (closed ",
        'if metadata.resourceVersion = "41"',
        "alert stored, then acknowledged",
        "held: dependency down: postgres down (repeated 2 times, until 23:13:50)",
        "13 guards passed, then dependency held (-v shows each)",
        "acts: restart Deployment control-core/control-plane-api",
        "fact    workload: 0/3 ready, generation 3, CC_DROP_TABLES False",
        "write         done, generation 4",
        "verification  succeeded: ",
    ):
        assert words in text
    assert "kill_switch" not in text
    assert text.index("\nplan\n") < text.index("\ntimeline")


def test_held_story_says_what_to_do_and_where_more_stands():
    told = summary(held())
    assert told["help"].startswith("Look at it with `show ID`, then `approve ID --plan HASH`")
    assert told["help"].endswith("(docs/reasons.md#approval)")


async def test_verbose_story_has_every_guard_with_codes_and_sources(story):
    text = render_story(*story, replace(VIEW, is_verbose=True))

    for words in (
        "labels   alertname=",
        "code    hold dependency_down",
        "guard   kill_switch: ok",
        "guard   dependency: HOLD dependency_down - postgres down",
        "fact    dependency postgres: false  ← controlcore_postgres_up == bool 1",
    ):
        assert words in text


async def test_times_are_told_here_and_in_utc(story):
    (standing, records) = story
    text = render_story(standing, records, VIEW)

    assert "received 2023-11-14 23:13:20 CET (22:13:20 UTC), 1m40s ago" in text
    assert "timeline (CET, UTC)\n  2023-11-14\n  23:13:20.000  22:13:20Z  received " in text


async def test_times_in_utc_stand_once(story, monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    text = render_story(*story, VIEW)

    assert "timeline (UTC)\n  2023-11-14\n  22:13:20.000  received " in text


@pytest.mark.parametrize("columns", [80, 120])
async def test_story_fits_the_terminal_but_for_the_plan(story, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    head, _plan, timeline = render_story(*story, VIEW).split("\n\n")

    assert max(len(line) for line in (head + "\n" + timeline).splitlines()) <= columns


def test_plan_that_waits_is_told_with_lines_to_copy():
    standing = held(proposal=proposal_data(PLAN))
    text = render_story(standing, [], VIEW)

    assert summary(standing)["state"].startswith("held, waits for approval of plan ")
    assert summary(standing)["next"] == "decides again at 23:15:10 CET (in 10s); expires at 23:28:20 CET (in 13m20s)"
    assert f"    controlcore-remediator approve 0001 --plan {plan_hash(PLAN)}\n" in text
    assert "    controlcore-remediator reject 0001\n" in text
    assert f"hash {plan_hash(PLAN)}" in text


def test_long_line_to_copy_goes_on_behind_a_backslash(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    text = render_story(held(proposal=proposal_data(PLAN)), [], VIEW)

    assert f"    controlcore-remediator approve 0001 --plan \\\n      {plan_hash(PLAN)}\n" in text


def test_rejected_plan_can_still_be_approved_and_not_be_rejected_again():
    answer = Approval("0001", "h", "7", "ann", NOW, NOW + 900, is_approved=False)
    standing = held(answer, proposal=proposal_data(PLAN))
    text = render_story(standing, [], VIEW)

    assert summary(standing)["state"] == "held: rejected by ann"
    assert ("approve 0001" in text, "reject 0001" in text) == (True, False)
    expired = replace(standing, remediation=replace(standing.remediation, state=State.EXPIRED))
    assert summary(expired)["state"] == "closed: rejected by ann, and expired"


async def test_approval_that_counts_no_more_can_be_given_again(tmp_path):
    """The object changed after the approval: the list said "approved by", and no line showed how to approve again."""
    async with a_world(tmp_path) as world:
        world.set_policy(mode=Mode.APPROVE)
        await world.deliver()
        engine = world.engine()
        await engine.turn("worker")
        name = (await world.newest()).id

        async def tell() -> tuple[Standing, str]:
            (standing,) = await read_standings(world.journal, [await world.newest()])
            return standing, render_story(standing, [], VIEW)

        (waiting, _) = await tell()
        given = ApprovalAnswer(SAM, True, waiting.proposal["plan_hash"], 900.0)
        await give_answer(world.journal, name, given, world.clock.now())
        (approved, text) = await tell()
        assert (approved.waits_for, f"approve {name}" in text) == ("approved by sam", False)

        world.cluster.objects[DEPLOYMENT]["metadata"]["resourceVersion"] = "99"
        await world.clock.advance(1.0)
        await engine.turn("worker")
        (again, text) = await tell()

    assert again.waits_for.endswith(" (the answer of sam is no longer valid)")
    assert f"controlcore-remediator approve {name} --plan {again.proposal['plan_hash']}" in text


@pytest.mark.parametrize(
    ("decision", "words"),
    [
        ({}, "unknown before the first decision"),
        ({"detail": "x"}, "not recorded by the version that made the decision"),
    ],
)
def test_mode_that_nobody_noted_is_told_as_unknown(decision, words):
    assert summary(Standing(a_remediation(), decision, None))["mode"] == words


def test_open_remediation_that_nobody_looks_at_says_so():
    late = replace(VIEW, now=NOW + 500)
    assert summary(held(detail="x"), late)["next"].endswith("6m30s ago: does `serve` run on this journal?")


def test_pause_that_stops_it_can_be_ended():
    paused = replace(VIEW, pauses=(Pause("night", "ann", "racks", None),))
    text = render_story(held(detail="x"), [], paused)

    assert "controlcore-remediator resume night\n" in text
    assert "pause --policy" not in text
    assert "controlcore-remediator pause --policy restart-api --reason WHY\n" in render_story(held(), [], VIEW)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"dry_run": True}, "would have acted; the server accepted the dry run"),
        ({"dry_run": True, "detail": "not sent: no dry run"}, "would have acted; not sent: no dry run"),
        ({"dry_run": True, "result": "refused", "detail": "no"}, "but the dry run was answered: refused: no"),
        ({"generation": 4}, "write         done, generation 4\n"),
    ],
)
def test_write_is_told_in_words(data, words):
    assert words in render_story(held(), [Record(NOW, "write", State.WRITING, {"result": "done", **data})], VIEW)


async def test_dry_run_would_have_acted(tmp_path):
    async with a_world(tmp_path, restart_policy(mode=Mode.DRY_RUN)) as world:
        await world.deliver()
        await world.work(world.engine())
        newest = await world.newest()
        (standing,) = await read_standings(world.journal, [newest])
        text = render_story(standing, (await world.journal.story(newest.id))[1], VIEW)

    assert "state    closed: would have acted: restart Deployment" in text
    assert "would act: restart Deployment" in text
    assert "set `mode: approve` or `auto` under restart-api" in text


async def test_story_as_json_has_every_record(story):
    standing, records = story
    remediation = standing.remediation

    document = json.loads(json.dumps(story_content(remediation, records)))

    assert document["remediation"]["state"] == "succeeded"
    assert len(document["story"]) == len(records)
    assert {"claimed", "decision", "intent", "write", "observation", "verification"} <= {
        item["kind"] for item in document["story"]
    }


def decided(at: float, **data: object) -> Record:
    """A hold."""
    return Record(at, "decision", State.HELD, {"decision": "hold", "reason": "cooldown", **data})


def test_decision_that_was_made_again_is_told_as_it_was_last():
    """Its text and facts were those of the first of many, minutes ago, although it said that it is held now."""
    workload = {"generation": 3, "replicas_desired": 3, "drop_tables": False}
    records = [
        decided(
            NOW + 15 * n, detail=f"until then {n}", facts={"workload": {"value": {**workload, "replicas_ready": n}}}
        )
        for n in range(3)
    ]

    text = render_story(held(), records, VIEW)

    assert "until then 2 (repeated 2 times, until 23:13:50)" in text
    assert ("workload: 2/3 ready" in text, "workload: 0/3 ready" in text) == (True, False)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (State.RECEIVED, "decides at 23:15:10 CET (in 10s); has expired, and is closed at the next decision"),
        (State.HELD, "decides again at 23:15:10 CET (in 10s); has expired, and is closed at the next decision"),
        (State.WRITING, "reads whether the write arrived at 23:15:10 CET (in 10s)"),
        (State.VERIFYING, "observes whether it helped at 23:15:10 CET (in 10s)"),
    ],
)
def test_next_step_is_the_one_of_the_state(state, words):
    """A write without an answer "decides again", and what has expired "expires in 0s"."""
    standing = held(expires_at=NOW + 50)
    assert summary(replace(standing, remediation=replace(standing.remediation, state=state)))["next"] == words


def test_what_is_not_known_is_not_made_up():
    """P12's kind: a record without a number of alerts, a fact without a problem, a label that was cut."""
    fact = {"value": None, "source": "s"}
    facts = {"condition": fact, "locks": {"backup": {"value": False, "source": "s"}}, "custom": {"mine": fact}}
    received = Record(NOW, "received", State.RECEIVED, {})
    standing = held()
    alert = replace(standing.remediation.alert, labels={"instance": "x" * 61, "job": "y" * 60})
    standing = replace(standing, remediation=replace(standing.remediation, alert=alert))

    text = render_story(standing, [received, decided(NOW, facts=facts)], replace(VIEW, is_verbose=True))

    for words in (
        "received      alert stored, then acknowledged\n",
        "fact    condition: unknown (not asked)  ← s\n",
        "fact    lock backup is held: false  ← s\n",
        "fact    samples of guard mine: unknown (not asked)  ← s\n",
        f"instance={'x' * 59}…, job={'y' * 60}\n",
        "decision      held: cooldown\n",
    ):
        assert words in text


def test_terminal_is_not_given_orders_by_a_label():
    hostile = "\x1b[2J\x1b]0;owned\x07\r\n"
    remediation = a_remediation(alert=Alert(hostile, hostile, True, {**LABELS, hostile: hostile}))

    text = render_story(Standing(remediation, {}, None), [], VIEW) + table([(hostile, "x")])

    assert "\x1b" not in text
    assert "\x07" not in text
    assert "\r" not in text
