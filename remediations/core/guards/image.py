"""A restart does not install another version."""

from __future__ import annotations

from remediations.core.action import Effect
from remediations.core.guard import PASSED, GuardInput, guard, holds
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.reasons import HoldReason
from remediations.core.policies.limits import Consent


@guard(order=1320, reasons=frozenset({HoldReason.IMAGE_UNPINNED, HoldReason.TEMPLATE_UNREADABLE}))
def check(request: GuardInput) -> GuardOutcome:
    """Holds while an image is named by a tag and pulled at every start: what the tag means may have changed."""
    if not request.has(Effect.STARTS_PODS):
        return PASSED
    template = request.facts.template
    if template.value is None:
        return holds(HoldReason.TEMPLATE_UNREADABLE, template.problem)
    if template.value.unpinned and Consent.UNPINNED_IMAGE not in request.policy.accept:
        return holds(HoldReason.IMAGE_UNPINNED, f"{', '.join(template.value.unpinned)}: pulled anew at every start")
    return PASSED
