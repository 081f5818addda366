"""What doctor says of its checks, and with which status it ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import pytest
import yaml

from chassis.errors import PermanentError, Reason
from chassis.output.findings import (
    Check,
    Finding,
    Severity,
    ask_all,
    exit_status,
    render_findings,
    run_checks,
    unchecked,
)


def finding(severity: Severity, evidence: str = "seen") -> Finding:
    return Finding(severity, "store.address", "the store is away", evidence, "set store.url\nand reload")


@pytest.mark.parametrize(
    ("severities", "status"),
    [
        ([], 0),
        ([Severity.INFO], 0),
        ([Severity.WARNING], 1),
        ([Severity.ERROR, Severity.UNKNOWN], 1),
        ([Severity.UNKNOWN, Severity.INFO], 3),
    ],
)
def test_status_tells_faults_from_what_is_unknown(severities: list[Severity], status: int) -> None:
    assert exit_status([finding(severity) for severity in severities]) == status


async def test_checks_run_side_by_side_and_the_worst_finding_comes_first() -> None:
    met = asyncio.Barrier(2)

    async def slow(shared: str, name: str) -> Sequence[Finding]:
        await met.wait()
        return [Finding(Severity.INFO, name, shared, "", "")]

    async def bad(shared: str, name: str) -> Sequence[Finding]:
        await met.wait()
        return [Finding(Severity.ERROR, name, shared, "", "")]

    found = await run_checks("context", [Check("slow", slow), Check("bad", bad)])

    assert [(each.severity, each.check, each.problem) for each in found] == [
        (Severity.ERROR, "bad", "context"),
        (Severity.INFO, "slow", "context"),
    ]


async def test_check_that_hangs_or_fails_is_unknown_and_the_others_tell() -> None:
    async def hangs(_: None, name: str) -> Sequence[Finding]:
        await asyncio.Event().wait()
        return []

    async def fails(_: None, name: str) -> Sequence[Finding]:
        raise PermanentError(Reason.AUTH, "no entry")

    async def breaks(_: None, name: str) -> Sequence[Finding]:
        raise KeyError("x")

    async def finds(_: None, name: str) -> Sequence[Finding]:
        return [finding(Severity.WARNING)]

    server = ("the server", "server.timeout_seconds")
    checks = [
        Check("hangs", hangs, 0.01, *server),
        Check("fails", fails),
        Check("breaks", breaks),
        Check("finds", finds),
    ]
    found = await run_checks(None, checks)

    assert [(each.severity, each.check, each.evidence) for each in found] == [
        (Severity.WARNING, "store.address", "seen"),
        (Severity.UNKNOWN, "hangs", "the server gave no answer within 0.01 s"),
        (Severity.UNKNOWN, "fails", "no entry"),
        (Severity.UNKNOWN, "breaks", "KeyError: 'x'"),
    ]
    limit = "(server.timeout_seconds ends one call to it)"
    assert found[1].remedy == f"see why the server is slow {limit}, then run doctor again"


def test_table_shows_evidence_and_a_whole_remedy() -> None:
    found = [finding(Severity.ERROR, "evil\x1b[2J"), unchecked("clock", "no answer", "try again")]

    assert render_findings(found, ["store.address", "clock"], "table") == (
        "ERROR    store.address: the store is away\n"
        "  found  evil\\x1b[2J\n"
        "  do     set store.url\n"
        "         and reload\n\n"
        "UNKNOWN  clock: not checked\n"
        "  found  no answer\n"
        "  do     try again\n\n"
        "2 checks: 1 error, 0 warnings, 1 unknown, 0 info\n"
    )


def test_nothing_found_says_how_much_was_checked() -> None:
    assert render_findings([], ["a", "b"], "table") == "2 checks: nothing found\n"


def test_data_has_the_counts_and_every_field() -> None:
    expected = {
        "checks": ["store.address"],
        "counts": {"error": 0, "warning": 1, "unknown": 0, "info": 0},
        "findings": [
            {
                "severity": "warning",
                "check": "store.address",
                "problem": "the store is away",
                "evidence": "seen",
                "remedy": "set store.url\nand reload",
            }
        ],
    }
    found = [finding(Severity.WARNING)]

    assert json.loads(render_findings(found, ["store.address"], "json")) == expected
    assert yaml.safe_load(render_findings(found, ["store.address"], "yaml")) == expected


@pytest.mark.parametrize("form", ["table", "json", "yaml"])
def test_problem_and_evidence_show_no_secret(form: str) -> None:
    said = "postgresql://cc:hunter22@db/x said opensesame"
    found = [replace(finding(Severity.ERROR, said), problem=said)]

    text = render_findings(found, ["store.address"], form, secrets=["opensesame"])

    assert "hunter22" not in text
    assert "opensesame" not in text


async def test_error_of_a_question_asked_beside_others_is_told_as_it_is() -> None:
    async def fail(error: Exception) -> None:
        raise error

    async def ask(errors: Sequence[Exception], _name: str) -> Sequence[Finding]:
        async with asyncio.TaskGroup() as group:
            for error in errors:
                group.create_task(fail(error), name="question")
        return []

    missing = PermanentError(Reason.MISSING, "HTTP status 404")
    (server,) = await run_checks([missing, missing], [Check("c", ask)])
    assert (server.evidence, server.remedy) == ("HTTP status 404", "fix what the evidence names, then run doctor again")
    (own,) = await run_checks([missing, KeyError("x")], [Check("c", ask)])
    assert own.evidence == "KeyError: 'x'"
    assert "bug in doctor" in own.remedy


@pytest.mark.looptime
async def test_questions_that_time_leaves_no_answer_for_are_none() -> None:
    running = most = 0

    async def ask(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            await asyncio.sleep(1.0)
        finally:
            running -= 1
        return number

    answers = await ask_all([partial(ask, number) for number in range(10)], 3, 2.5)
    assert answers == [0, 1, 2, 3, 4, 5, None, None, None, None]
    assert (running, most) == (0, 3)


async def test_error_of_one_of_many_questions_is_raised_as_if_asked_alone() -> None:
    async def fail(error: Exception) -> None:
        raise error

    missing = PermanentError(Reason.MISSING, "HTTP status 404")
    with pytest.raises(PermanentError):
        await ask_all([partial(fail, missing), partial(fail, missing)], 3, 2.5)
    with pytest.raises(KeyError):
        await ask_all([partial(fail, missing), partial(fail, KeyError("x"))], 3, 2.5)
