"""Schedules the revert of a scale-up, and finds what a due revert has to undo.

The revert is stored in the transaction that closes the scale-up, so no crash comes between; until it is due it is held.
It is decided like any other remediation, by the policy `NAME:revert`, which is derived from the scale-up's own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from chassis.clock import format_timestamp
from remediations.core.codec import read_stored, to_data
from remediations.core.model.alert import Match
from remediations.core.model.plan import Plan
from remediations.core.model.remediation import Outcome, Remediation, Verdict
from remediations.core.model.undo import Revert, Undo, merge_undos
from remediations.core.policies.policy import Policy, Query, revert_name
from remediations.journal.port import FollowUp, Journal

KIND = "scheduled"
TRIES = 120
"""How often a held revert is decided again, at most, before it expires."""


def follow_up(remediation: Remediation, plan: Plan, judged: Verdict, now: float) -> FollowUp | None:
    """The revert of a verified write; None if it has no undo or none of it is left.

    If the write did not help, the revert is due at once, otherwise when its time is over.
    """
    undo = plan.undo
    if undo is None or judged.is_reverted:
        return None
    has_failed = judged.outcome is Outcome.FAILED
    if not has_failed and undo.after_seconds <= 0:
        return None
    written_at = remediation.written_at or now
    due_at = now if has_failed else max(now, written_at + undo.after_seconds)
    why = "it did not help" if has_failed else "its time is over"
    data = {
        "origin": remediation.id,
        "written_at": written_at,
        "due_at": due_at,
        "undo": to_data(undo),
        "detail": f"reverts {remediation.id} at {format_timestamp(due_at)}: {why}",
    }
    alert = replace(remediation.alert, fingerprint=remediation.id)
    return FollowUp(Match(alert, revert_name(remediation.policy), remediation.target), due_at, data)


async def read_taking_back(journal: Journal, remediation: Remediation) -> Revert | None:
    """The change that this revert undoes; None if its records do not say. Raises JournalError."""
    _, records = await journal.story(remediation.id)
    told = [record for record in records if record.kind == KIND]
    if not told:
        return None
    scheduled = [record.data for record in told]
    since = min(float(data["written_at"]) for data in scheduled)
    ours = [item.remediation for item in await journal.actions_since(since) if item.target == remediation.target]
    marks = dict.fromkeys([*(str(data["origin"]) for data in scheduled), *ours])
    undos = [read_stored(Undo, record.data.get("undo"), "record", record.number, "data.undo") for record in told]
    return Revert(merge_undos(undos), tuple(marks), float(scheduled[-1]["due_at"]))


def judged_by(policy: Policy, remediation: Remediation, taking: Revert) -> Policy:
    """The revert's policy, completed for this one: its condition is that the load is low enough for the old number."""
    newest = taking.newest
    lasts = taking.due_at + newest.give_up_seconds - remediation.created_at
    return replace(
        policy,
        condition=Query(taking.promql, newest.collectors),
        expires_seconds=max(0.0, lasts),
        retry_seconds=max(policy.retry_seconds, newest.give_up_seconds / TRIES),
    )


def revert_names(policies: Iterable[Policy]) -> list[str]:
    """Names of the reverts that policies may lead to, for metrics that begin at 0."""
    return [
        revert_name(policy.name)
        for policy in policies
        if "scale_workload" in {policy.action, *(rung.action for rung in policy.ladder)}
    ]
