"""Decides which rung of a policy's ladder is next: an action that did not help is not tried again at once."""

from __future__ import annotations

from remediations.core.model.alert import Target
from remediations.core.model.facts import History
from remediations.core.model.remediation import Remediation, State
from remediations.core.policies.policy import Policy, at_rung, choose_target

VERIFIED = frozenset({State.SUCCEEDED, State.FAILED, State.UNVERIFIED})
"""Outcomes that say something about a rung."""


def rung_number(policy: Policy, history: History, remediation: Remediation, now: float, reset_seconds: float) -> int:
    """How many rungs in a row have failed. This is also the number of the next one (0 is the policy's own action).

    A success, an unknown outcome, or a failure older than `reset_seconds` ends the row. A rung that is still being
    verified, or whose write never arrived, neither counts nor ends the row, so that the rungs that failed before it are
    not tried again.
    """
    number = 0
    for item in sorted(history.actions, key=lambda past: past.written_at, reverse=True):
        if item.policy != policy.name or item.remediation == remediation.id or item.state not in VERIFIED:
            continue
        if item.state is not State.FAILED or item.written_at <= now - reset_seconds:
            break
        number += 1
    return number


def target_of_rung(policy: Policy, number: int, remediation: Remediation) -> Target:
    """The object that this rung acts on for the remediation's alert: the remediation's own, if the rung lists it."""
    due = at_rung(policy, number)
    return remediation.target if remediation.target in due.targets else choose_target(due, remediation.alert.labels)
