"""Finds policies that are well formed and yet make no sense: they can never match, or stand in each other's way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from remediations.matcher import Matcher, MatchType
from remediations.policy_model import REMEDIATION_LABEL, Policy, PolicySet


def find_nonsense(policy_set: PolicySet) -> Iterator[tuple[int, str, str]]:
    """Index of the policy, key, and the sentence of every such fault."""
    for index, policy in enumerate(policy_set.policies):
        label = _contradiction((*policy.match, *policy_set.identity)) if policy.match else None
        if label is not None:
            yield index, "match", f"can never match: two matchers want different values of {label}"
        for matcher in policy.match:
            if matcher.label == REMEDIATION_LABEL and matcher.type is MatchType.EQUAL and matcher.value != policy.name:
                yield index, "match", f"takes what asks for {matcher.value}: a policy is found by its own name anyway"
        for other in policy_set.policies[:index]:
            if _overlaps(policy, other):
                yield index, "match", f"the same alerts lead to the same action on the same target as in {other.name}"
        if policy.expires_seconds <= policy.retry_seconds:
            yield index, "expires_seconds", "must be longer than retry_seconds: a Hold would always be the last word"


def _contradiction(matchers: Sequence[Matcher]) -> str | None:
    """The label of which two matchers want different values; None when there is none."""
    wanted: dict[str, str] = {}
    for matcher in matchers:
        if matcher.type is MatchType.EQUAL and wanted.setdefault(matcher.label, matcher.value) != matcher.value:
            return matcher.label
    return next((matcher.label for matcher in matchers if _is_refused(matcher, wanted)), None)


def _is_refused(matcher: Matcher, wanted: dict[str, str]) -> bool:
    """Whether the value that another matcher wants does not satisfy this one."""
    return matcher.label in wanted and not matcher.matches(wanted)


def _overlaps(one: Policy, other: Policy) -> bool:
    """Whether both are found by the same matchers and do the same to one of the same targets."""
    return (
        bool(one.match)
        and set(one.match) == set(other.match)
        and one.action == other.action
        and not set(one.targets).isdisjoint(other.targets)
    )
