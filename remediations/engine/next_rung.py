"""Begins the next rung after one has failed: a remediation of the next rung's object."""

from __future__ import annotations

from dataclasses import replace

from remediations.core.model.alert import Delivery, Match
from remediations.core.model.facts import History
from remediations.core.model.remediation import Remediation
from remediations.core.policies.ladder import rung_number, target_of_rung
from remediations.core.policies.policy import PolicySet
from remediations.journal.decision_history import HISTORY_SECONDS
from remediations.journal.port import Journal

MOST_OPEN = 1000


async def begin_next_rung(journal: Journal, policy_set: PolicySet, remediation: Remediation, now: float) -> bool:
    """Stores a remediation of the same policy and alert for the next rung, unless one is open already.

    Returns whether the ladder has a rung that has not failed yet.

    A crash before the end loses nothing: the alert is sent again, and the next rung is found then.
    """
    policy = policy_set.named(remediation.policy)
    if policy is None or not policy.ladder:
        return False
    history = History(tuple(await journal.actions_since(now - HISTORY_SECONDS)))
    # Its own write counts here, because it has failed.
    number = rung_number(policy, history, replace(remediation, id=""), now, policy_set.breaker.close_seconds)
    target = target_of_rung(policy, number, remediation)
    opened = await journal.listing(only_open=True, limit=MOST_OPEN)
    if not any((item.policy, item.target) == (policy.name, target) for item in opened):
        await journal.append(Delivery(now, (Match(remediation.alert, policy.name, target),)))
    return number <= len(policy.ladder)
