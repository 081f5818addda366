"""The commands that show decisions and answer them, in the process of the test."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from remediations.__main__ import main
from remediations.commands.output.text import render_data
from remediations.core.codec import to_data, to_short_text
from remediations.core.decision_inputs import make_inputs
from remediations.core.model.alert import Delivery, Match
from remediations.core.model.facts import Fact, History
from remediations.core.model.remediation import Record, State
from remediations.core.model.stored import plan_hash
from remediations.journal.approvals import proposal_data
from remediations.journal.port import StateChange
from remediations.journal.sqlite.adapter import open_journal
from tests.fakes.decisions import API, NOW, a_policy_set, a_remediation, an_alert, facts, restart_policy
from tests.fakes.running_remediator import POLICIES
from tests.fakes.running_remediator import an_alert as a_payload_alert
from tests.unit.remediations.journal.test_approvals import PLAN
from tests.unit.remediations.test_main import run

pytestmark = pytest.mark.timeout(30)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "token").write_text("a-token-of-the-test-0001")
    (tmp_path / "policies.yaml").write_text(POLICIES)
    (tmp_path / "config.yaml").write_text(
        f"""
server: {{token_file: {tmp_path}/token}}
journal: {{path: {tmp_path}/journal.db}}
policies_file: {tmp_path}/policies.yaml
"""
    )
    return tmp_path / "config.yaml"


def given(folder: Path, *alerts: Any, **changes: Any) -> tuple[str, ...]:
    """The options of `plan` for a payload and recorded facts."""
    (folder / "payload.json").write_text(json.dumps({"version": "4", "alerts": alerts or [a_payload_alert()]}))
    recorded = facts(witnesses={"pods": Fact(True, "pods")}, dependencies={}, **changes)
    (folder / "facts.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(to_data(recorded)))))
    return ("plan", "--payload", f"{folder}/payload.json", "--facts", f"{folder}/facts.yaml")


def test_plan_that_would_be_carried_out_is_shown_with_guards_and_difference(capsys, config, tmp_path):
    status, out, err = run(capsys, config, *given(tmp_path))

    assert (status, err) == (0, "")
    assert out.index("kill_switch") < out.index("witnesses") < out.index("ACT guards_passed") < out.index("PATCH")
    assert "+ spec.template.metadata.annotations" in out
    assert not (tmp_path / "journal.db").exists()


@pytest.mark.parametrize(("mode", "words"), [("dry_run", "dry run"), ("observe", "observe")])
def test_plan_that_would_not_be_written_says_so(capsys, config, tmp_path, mode, words):
    """`ACT` reads as if it had been done."""
    (tmp_path / "policies.yaml").write_text(POLICIES.replace("mode: auto", f"mode: {mode}"))
    status, out, _ = run(capsys, config, *given(tmp_path))

    assert status == 0
    assert f"  WOULD ACT ({words}: nothing is written): restart" in out
    assert " ACT guards_passed" not in out


def test_plan_fits_the_terminal(capsys, config, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    out = run(capsys, config, *given(tmp_path, condition=Fact(None, "promql", "?" * 100)))[1]

    guards = out[: out.index("HOLD condition_unknown:")]
    assert max(len(line) for line in guards.splitlines()) == 80


@pytest.mark.parametrize(
    ("condition", "expected", "word"), [(None, 3, "condition_unknown"), (False, 4, "condition_gone")]
)
def test_status_says_whether_it_is_held_or_not_needed(capsys, config, tmp_path, condition, expected, word):
    status, out, _ = run(capsys, config, *given(tmp_path, condition=Fact(condition, "promql", "?")))

    assert status == expected
    assert word in out


def test_pause_in_the_journal_or_the_pause_file_holds_what_would_be_done(capsys, config, tmp_path, monkeypatch):
    async def harmless(*_asked: Any) -> Any:
        return facts(witnesses={"pods": Fact(True, "pods")}, dependencies={})

    async def opened(*_asked: Any) -> Any:
        return harmless

    monkeypatch.setattr("remediations.commands.simulate.opened_asking", opened)
    asking = given(tmp_path)[:3]
    assert run(capsys, config, *asking)[0] == 0
    store(tmp_path, {"decision": "hold"})  # so that there is a journal

    run(capsys, config, "pause", "migration", "--reason", "tables move", "--owner", "ann")
    paused = run(capsys, config, *asking)
    run(capsys, config, "resume", "migration")
    (tmp_path / "stop").write_text("everything off\n")
    config.write_text(config.read_text() + f"pause_file: {tmp_path}/stop\n")
    stopped = run(capsys, config, *asking)

    assert (paused[0], stopped[0]) == (3, 3)
    assert "tables move" in paused[1]
    assert "everything off" in stopped[1]


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_output_of_plan_can_be_given_back_as_recorded_facts(capsys, config, tmp_path, form):
    first = run(capsys, config, *given(tmp_path), "--output", form)
    (tmp_path / "told").write_text(first[1])

    again = run(capsys, config, *given(tmp_path)[:3], "--facts", f"{tmp_path}/told", "--output", form)

    assert (first, yaml.safe_load(first[1])[0]["decision"]) == (again, "act")


@pytest.mark.parametrize("spoil", ["payload.json", "facts.yaml"])
def test_file_that_cannot_be_read_is_a_fault(capsys, config, tmp_path, spoil):
    options = given(tmp_path)
    (tmp_path / spoil).write_text("{nonsense")

    status, _, err = run(capsys, config, *options)

    assert status == 2
    assert spoil in err


def test_payload_that_no_policy_wants_is_a_fault(capsys, config, tmp_path):
    status, _, err = run(capsys, config, *given(tmp_path, a_payload_alert(remediation="none")))

    assert status == 2
    assert "belongs to a policy" in err


def store(folder: Path, data: dict[str, Any]) -> str:
    """A held remediation whose newest decision is this."""

    async def fill() -> str:
        async with open_journal(folder / "journal.db") as journal:
            (name,) = (await journal.append(Delivery(NOW, (Match(an_alert(), "restart-api", API),)))).opened
            claim = await journal.claim("one", NOW, 10)
            assert claim is not None
            change = StateChange(Record(NOW, "decision", State.HELD, data), next_at=NOW)
            await journal.advance(claim, State.CLAIMED, State.HELD, NOW, change)
            return name

    return asyncio.run(fill())


def test_decision_is_replayed_and_a_difference_is_told(capsys, config, tmp_path):
    inputs = make_inputs(a_remediation(), restart_policy(), a_policy_set(), facts(), History(), NOW)
    stored = {"decision": "act", "reason": "guards_passed", "inputs": to_short_text(inputs)}
    store(tmp_path, stored)

    assert run(capsys, config, "replay", "last")[0] == 0

    (tmp_path / "journal.db").unlink()
    store(tmp_path, stored | {"decision": "hold", "reason": "cooldown"})
    status, out, _ = run(capsys, config, "replay", "last", "--output", "json")
    assert (status, json.loads(out)[0]["now"]) == (1, "act guards_passed")


def test_lines_to_copy_begin_as_people_call_the_program(capsys, config, tmp_path, monkeypatch):
    """first-day 2.9: in a pod the commands of `list` and `show` were none that a person outside could copy."""
    name = store(tmp_path, {"proposal": proposal_data(PLAN)})
    call = "kubectl -n ops exec deploy/remediator -- controlcore-remediator"
    config.write_text(f"{config.read_text()}alertmanager: {{announce_command: {call}}}\n")
    monkeypatch.setattr("remediations.__main__.CONFIG_FILE", config)

    def told(*words: str) -> str:
        with pytest.raises(SystemExit):
            main(words)
        return " ".join("".join(capsys.readouterr()).replace("\\\n", "").split())

    assert f"waits for approval: {call} show " in told("list")
    assert f"{call} approve {name} --plan" in told("show", "last")
    assert f"{call} approve {name} --plan" in told("approve", "last")
    assert f"end it: {call} resume everything" in told("pause", "--all", "--reason", "night")
    named = told("--config.file", str(config), "list")
    assert f"waits for approval: controlcore-remediator --config.file {config} show " in named


def test_yes_needs_the_plan_that_was_looked_at(capsys, config, tmp_path):
    name = store(tmp_path, {"proposal": proposal_data(PLAN)})

    status, out, err = run(capsys, config, "approve", "last")
    assert (status, plan_hash(PLAN) in out, f"approve {name} --plan {plan_hash(PLAN)}" in err) == (2, True, True)
    assert run(capsys, config, "approve", "last", "--plan", plan_hash(PLAN)[:12], "--by", "ann")[0] == 1

    status, out, _ = run(capsys, config, "approve", "last", "--plan", plan_hash(PLAN), "--by", "ann")
    assert (status, out) == (0, f"approved: {name}, plan {plan_hash(PLAN)}\n")
    status, out, _ = run(capsys, config, "show", name)
    assert "by ann (claimed): plan" in out
    assert "approved by ann (claimed)" in run(capsys, config, "list")[1]


def test_no_needs_no_plan(capsys, config, tmp_path):
    store(tmp_path, {"proposal": proposal_data(PLAN)})

    status, out, _ = run(capsys, config, "reject", "last", "--by", "ann", "--output", "yaml")

    assert (status, yaml.safe_load(out)["is_approved"]) == (0, False)


def test_answer_where_nothing_waits_is_refused_with_a_sentence(capsys, config, tmp_path):
    store(tmp_path, {"decision": "hold", "reason": "cooldown"})

    status, _, err = run(capsys, config, "reject", "last", "--by", "ann")

    assert status == 1
    assert "waits for approval" in err


@pytest.mark.parametrize("arguments", [("list",), ("check-config",), ("show", "last")])
def test_every_command_speaks_yaml(capsys, config, tmp_path, arguments):
    store(tmp_path, {})

    status, out, _ = run(capsys, config, *arguments, "--output", "yaml")

    assert status == 0
    assert "restart-api" in str(yaml.safe_load(out))


MARKS = "a\u202eb\u2066c\u200bd\u061ce\ufefff\x1bg\x7fh\x85i\U000e0041j"


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_marks_that_a_terminal_obeys_are_escaped_in_every_form(form):
    """L8: bidirectional and control marks of an alert's label or a reason do not reorder what is on the screen."""
    content = {"reason": MARKS, MARKS: ["plain", MARKS], "word": "Größe"}

    text = render_data(content, form)

    assert text.replace("\n", "").isprintable()
    assert (json.loads if form == "json" else yaml.safe_load)(text) == content
    assert "Größe" in render_data({"word": "Größe"}, "yaml")


def test_marks_are_escaped_in_tables_and_complaints(capsys, config, tmp_path):
    """L8."""
    store(tmp_path, {})
    run(capsys, config, "pause", MARKS, "--reason", MARKS, "--owner", MARKS)

    for arguments in (("pauses",), ("acts",), ("list",), ("show", MARKS), ("resume", f"{MARKS}x")):
        _, out, err = run(capsys, config, *arguments)
        assert (out + err).replace("\n", "").isprintable()


def test_policy_that_acts_is_refused_on_a_journal_that_forgets(capsys, config, tmp_path):
    """/dev/shm is a tmpfs on every Linux."""
    config.write_text(config.read_text().replace(f"{tmp_path}/journal.db", "/dev/shm/controlcore-none.db"))

    status, _, err = run(capsys, config, "serve", "--config.check")

    assert status == 2
    assert "journal.path: /dev/shm/controlcore-none.db is on tmpfs" in err
    assert "restart-api" in err

    config.write_text(config.read_text().replace("journal: {", "journal: {is_ephemeral_accepted: true, "))
    assert run(capsys, config, "serve", "--config.check")[0] == 0
