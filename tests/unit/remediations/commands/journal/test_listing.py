"""What `list` shows of each remediation, and which it selects."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from chassis.output.terminal import CLEAR
from remediations.commands.journal.listing import render_list
from remediations.core.model.acts import Actor, ActSource
from remediations.core.model.alert import Delivery, Match
from remediations.core.model.facts import Approval
from remediations.core.model.remediation import Record, State
from remediations.journal.approvals import ApprovalAnswer, give_answer, proposal_data
from remediations.journal.port import StateChange
from remediations.journal.sqlite.adapter import open_journal
from remediations.journal.standing import Standing
from tests.fakes.decisions import API, NOW, a_remediation, an_alert
from tests.unit.remediations.journal.test_approvals import PLAN
from tests.unit.remediations.test_main import config, run  # noqa: F401 - a fixture

HELD = {"decision": "hold", "reason": "dependency_down", "detail": "database down", "mode": "auto"}


@pytest.fixture
def filled(tmp_path: Path) -> dict[str, str]:
    """Name of a policy → id of its remediation: held, waiting, rejected, dry run, and one that is new."""

    async def fill() -> dict[str, str]:
        names = ("a-held", "b-waiting", "c-rejected", "d-dry", "e-gone", "f-new")
        async with open_journal(tmp_path / "journal.db") as journal:
            matches = tuple(Match(an_alert(), name, API) for name in names)
            ids = dict(zip(names, (await journal.append(Delivery(NOW, matches))).opened, strict=True))
            for state, reason, data in (
                (State.HELD, "dependency_down", HELD),
                (State.HELD, "approval", {"mode": "approve", "proposal": proposal_data(PLAN)}),
                (State.HELD, "approval", {"mode": "approve", "proposal": proposal_data(PLAN)}),
                (State.DRY_RUN, "dry_run", {"mode": "dry_run"}),
                (State.NOT_NEEDED, "condition_gone", {"mode": "auto"}),
            ):
                claim = await journal.claim("one", NOW, 10)
                assert claim is not None
                change = StateChange(
                    Record(NOW, "decision", state, data), reason=reason, next_at=NOW + 1000, releases=True
                )
                await journal.advance(claim, State.CLAIMED, state, NOW, change)
            answer = ApprovalAnswer(Actor(ActSource.COMMAND_LINE, claimed="ann"), is_approved=False)
            await give_answer(journal, ids["c-rejected"], answer, NOW)
            claim = await journal.claim("one", NOW, 10)
            assert claim is not None
            change = StateChange(Record(NOW, "decision", State.EXPIRED, {"mode": "approve"}), reason="expired")
            await journal.advance(claim, State.CLAIMED, State.EXPIRED, NOW, change)
            return ids

    return asyncio.run(fill())


def listed(capsys: Any, config: Path, *arguments: str) -> list[str]:  # noqa: F811 - a fixture
    """The policies of the remediations, in order."""
    out = run(capsys, config, "list", "-o", "json", *arguments)[1]
    return [item["policy"][0] for item in json.loads(out)][::-1]


@pytest.mark.parametrize(
    ("arguments", "policies"),
    [
        ((), "abcdef"),
        (("--open",), "abf"),
        (("--state", "open"), "abf"),
        (("--state", "closed"), "cde"),
        (("--state", "held"), "ab"),
        (("--outcome", "rejected"), "c"),
        (("--outcome", "expired"), ""),
        (("--outcome", "would_have_acted"), "d"),
        (("--outcome", "dry_run"), "d"),
        (("--state", "open", "--outcome", "dry_run"), ""),
        (("--policy", "b-waiting"), "b"),
        (("--target", "control-plane-api"), "abcdef"),
        (("--target", "Deployment/control-core/control-plane-api"), "abcdef"),
        (("--target", "control-plane"), ""),
        (("--reason", "dependency_down"), "a"),
        (("--reason", "dependency-down"), "a"),
        (("--since", "1m"), ""),
        (("--since", "2023-01-01"), "abcdef"),
        (("--limit", "2"), "ef"),
        (("--limit", "0"), "abcdef"),
    ],
)
def test_filters_select(capsys, config, filled, arguments, policies):  # noqa: F811
    assert "".join(listed(capsys, config, *arguments)) == policies


def test_table_says_mode_state_outcome_and_what_is_waited_for(capsys, config, filled):  # noqa: F811
    _, out, _ = run(capsys, config, "list")
    rows = {line.split()[4]: " ".join(line.split()[6:]) for line in out.splitlines()[1:7]}

    assert rows == {
        "a-held": "dependency down: database down",
        "b-waiting": f"approval of plan {proposal_data(PLAN)['plan_hash'][:12]}",
        "c-rejected": "rejected",
        "d-dry": "would have acted",
        "e-gone": "not needed: condition gone",
        "f-new": "the first decision",
    }
    assert out.splitlines()[0].split() == ["ID", "AGE", "MODE", "STATE", "POLICY", "TARGET", "OUTCOME", "WAITS", "FOR"]
    assert out.splitlines()[7] == "6 remediations"
    assert out.splitlines()[8].endswith(f"--config.file {config} show {filled['b-waiting'][-8:]}")


@pytest.mark.parametrize(("columns", "has_target"), [(80, False), (120, True)])
def test_table_fits_the_terminal(capsys, config, filled, monkeypatch, columns, has_target):  # noqa: F811
    monkeypatch.setenv("COLUMNS", str(columns))

    lines = run(capsys, config, "list")[1].splitlines()[:8]

    assert max(len(line) for line in lines) <= columns
    assert ("TARGET" in lines[0]) is has_target
    assert lines[1].split()[0] == filled["f-new"][-8:]


def test_name_and_wide_are_for_scripts_and_for_everything(capsys, config, filled):  # noqa: F811
    assert run(capsys, config, "list", "-o", "name")[1].split() == list(filled.values())[::-1]
    wide = run(capsys, config, "list", "-o", "wide")[1]
    assert all(words in wide for words in (filled["a-held"], "dependency_down", "rejected by ann (claimed)", API.key))


def test_cut_list_says_how_many_there_are(capsys, config, filled):  # noqa: F811
    assert run(capsys, config, "list", "--limit", "2")[1].splitlines()[-1] == "2 of 6 remediations; --limit 0 lists all"
    assert "2 of 3" in run(capsys, config, "list", "--open", "--limit", "2")[1]
    status, out, err = run(capsys, config, "list", "--limit", "2", "-o", "json")
    assert (status, len(json.loads(out)), "2 of 6" in err) == (0, 2, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--limit", "-1"),
        ("--limit", "x"),
        ("--since", "soon"),
        ("--state", "hled"),
        ("--outcome", "good"),
        ("-wo", "json"),
    ],
)
def test_filter_that_cannot_be_meant_is_refused(capsys, config, filled, arguments):  # noqa: F811
    status, out, err = run(capsys, config, "list", *arguments)

    assert (status, out, bool(err)) == (2, "", True)


def test_json_has_how_each_stands_beside_what_it_had(capsys, config, filled):  # noqa: F811
    items = {item["policy"]: item for item in json.loads(run(capsys, config, "list", "-o", "json")[1])}

    assert {"id", "state", "reason", "target", "alert", "created_at", "answer"} <= items["a-held"].keys()
    found = {name: [items[name][key] for key in ("mode", "outcome", "waits_for")] for name in ("a-held", "c-rejected")}
    assert found == {
        "a-held": ["auto", None, "dependency down: database down"],
        "c-rejected": ["approve", "rejected", None],
    }


def test_json_has_the_words_of_the_table(capsys, config, filled):  # noqa: F811
    table = run(capsys, config, "list")[1]
    items = json.loads(run(capsys, config, "list", "-o", "json")[1])
    words = {item["outcome_text"] for item in items} - {None}
    assert len(words) > 1
    assert [text for text in words if text not in table] == []
    assert [item for item in items if (item["outcome"] is None) is not (item["outcome_text"] is None)] == []


def test_list_of_nothing_is_one_sentence(capsys, config, filled):  # noqa: F811
    assert render_list([], NOW, 0) == "no remediation is in the journal\n"
    assert run(capsys, config, "list", "--policy", "x")[1] == "no remediation matches\n"


@pytest.mark.parametrize(
    ("is_approved", "words"), [(True, "approved by kim"), (False, "rejected by kim"), (None, "approval of plan abc")]
)
def test_plan_that_a_person_has_answered_waits_for_nobody(is_approved, words):
    answer = None if is_approved is None else Approval("0001", "abc", "7", "kim", NOW, NOW, is_approved)
    standing = Standing(a_remediation(state=State.HELD, reason="approval"), {"proposal": {"plan_hash": "abc"}}, answer)
    assert (standing.waits_for, standing.outcome) == (words, "")


@pytest.mark.parametrize("is_terminal", [True, False])
def test_watch_shows_the_list_again_on_a_terminal_and_a_change_in_a_pipe(
    capsys,
    config,  # noqa: F811
    filled,
    monkeypatch,
    is_terminal,
):
    pauses = []

    async def interrupt_the_third(_clock: Any, seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("chassis.clock.SystemClock.sleep", interrupt_the_third)
    monkeypatch.setattr("sys.stdout.isatty", lambda: is_terminal, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("chassis.clock.SystemClock.now", lambda _clock: NOW + 5)

    status, out, _ = run(capsys, config, "list", "--watch", "--open")

    assert (status, pauses) == (0, [2.0] * 3)
    assert (out.count(CLEAR), out.count("3 remediations")) == ((3, 3) if is_terminal else (0, 1))
