"""The right name in the wrong cluster is refused."""

from __future__ import annotations

from remediations.core.guard import PASSED, GuardInput, guard, holds
from remediations.core.model.alert import Mode
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.reasons import HoldReason
from remediations.core.policies.matchers import MatcherError


@guard(order=200, reasons=frozenset({HoldReason.FOREIGN_TARGET}))
def check(request: GuardInput) -> GuardOutcome:
    """Holds unless the alert's labels satisfy every identity matcher; auto without any matcher holds too."""
    matchers = request.policy_set.identity
    if not matchers and request.policy.mode is Mode.AUTO:
        return holds(HoldReason.FOREIGN_TARGET, "auto needs identity matchers and the policy file has none")
    labels = request.remediation.alert.labels
    try:
        failed = [str(matcher) for matcher in matchers if not matcher.matches(labels)]
    except MatcherError as error:
        return holds(HoldReason.FOREIGN_TARGET, str(error))
    if failed:
        return holds(HoldReason.FOREIGN_TARGET, f"the alert's labels do not satisfy {', '.join(failed)}")
    return PASSED
