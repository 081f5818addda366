"""Decides whether a write has helped, from observations made since; never from a resolved alert.

Proof has three parts, in this order: the cluster shows the effect of the write (a finished rollout, the autoscaler's
new bound); then every collector behind the `verify` query has collected at least twice (not: was scraped twice, since a
sample scraped after the write may have been collected before it); then the query is true.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from remediations.core.model.cluster import Autoscaler, Workload
from remediations.core.model.facts import Fact
from remediations.core.model.names import ANNOTATION_OPERATION
from remediations.core.model.plan import Plan
from remediations.core.model.remediation import Outcome, Verdict
from remediations.core.policies.policy import Policy

CALLED = "called"
"""The effect of a call or a statement: complete once it has been answered."""
BOUNDS = {"minReplicas", "maxReplicas"}


@dataclass(frozen=True, slots=True)
class Observation:
    """The state at one moment after the write. `collected_at` of the two queries is the time of their data."""

    at: float
    """Unix seconds at which the last answer had arrived: the effect was complete no later than this."""
    verify: Fact[bool]
    condition: Fact[bool]
    workload: Fact[Workload] = field(default_factory=lambda: Fact(None, "", "not asked"))
    autoscalers: Fact[tuple[Autoscaler, ...]] = field(default_factory=lambda: Fact(None, "", "not asked"))
    effect: Fact[bool] = field(default_factory=lambda: Fact(None, "", "not asked"))
    """For effects other than a rollout or an autoscaler's change: whether it is complete."""
    kept: Fact[bool] = field(default_factory=lambda: Fact(None, "", "not asked"))
    """For the same effects: whether the written value is still in place."""


def verdict(policy: Policy, plan: Plan, observations: Sequence[Observation], written_at: float, now: float) -> Verdict:
    """The state of the verification now (Unix seconds); PENDING until there is proof or the policy's time is over.

    At the timeout: FAILED if everything is known and the condition still holds, UNVERIFIED in every other case.
    """
    seen = sorted((item for item in observations if item.at >= written_at), key=lambda item: item.at)
    if seen and is_kept(plan, seen[-1]) is False:
        words = f"someone else undid the write within {seen[-1].at - written_at:.0f} s"
        return Verdict(Outcome.FAILED, words, is_reverted=True)
    ended_at = _effect_ended_at(plan, seen)
    missing = _missing(policy, plan, seen, ended_at)
    if not missing:
        return Verdict(Outcome.SUCCEEDED, f"{policy.verify.promql} is true, {_count(seen, ended_at)} collections later")
    if now < written_at + policy.verify_timeout_seconds:
        return Verdict(Outcome.PENDING, missing)
    waited = f"after {now - written_at:.0f} s"
    unknown = _unknown(plan, seen, written_at)
    if unknown:
        return Verdict(Outcome.UNVERIFIED, f"{waited}: {missing}; {unknown}")
    if seen[-1].condition.value:
        return Verdict(Outcome.FAILED, f"{waited} the condition still holds: {missing}")
    return Verdict(Outcome.UNVERIFIED, f"{waited} the condition is gone, but {missing}")


def is_effective(plan: Plan, observation: Observation) -> bool | None:
    """Whether the cluster shows the whole effect of the plan; None if unknown."""
    expected = plan.expected
    if expected.get("effect") == "rollout":
        workload = observation.workload.value
        return None if workload is None else _is_rolled_out(plan, workload)
    if expected.get("effect") == "autoscaler":
        autoscalers = observation.autoscalers.value
        return None if autoscalers is None else any(_has_bound(plan, item) for item in autoscalers)
    return True if expected.get("effect") == CALLED else observation.effect.value


def is_kept(plan: Plan, observation: Observation) -> bool | None:
    """Whether the written values are still in place; None if unknown, or if nothing remains that could be undone.

    After the API server has accepted a write, it shows that write or a later one (reads of one object are consistent),
    so anything else was written by another user or program.
    """
    effect = plan.expected.get("effect")
    if effect == "rollout":
        workload = observation.workload.value
        return None if workload is None else _has_template(plan, workload)
    if effect == "autoscaler":
        autoscalers = observation.autoscalers.value
        return None if autoscalers is None else any(_has_bound(plan, item) for item in autoscalers)
    return observation.kept.value


def _has_template(plan: Plan, workload: Workload) -> bool:
    """Whether the same Deployment has this operation's template, rolled out or not."""
    mark = workload.template_annotations.get(ANNOTATION_OPERATION)
    return bool(workload.uid == plan.expected["uid"] and mark == plan.expected["template_operation_id"])


def _is_rolled_out(plan: Plan, workload: Workload) -> bool:
    """Whether the same Deployment runs this operation's template in every pod."""
    return _has_template(plan, workload) and workload.is_rolled_out


def _has_bound(plan: Plan, autoscaler: Autoscaler) -> bool:
    """Whether this is the autoscaler of the plan, with the bound that was written."""
    bounds = {"minReplicas": autoscaler.minimum, "maxReplicas": autoscaler.maximum}
    wanted = {name: value for name, value in plan.expected.items() if name in BOUNDS}
    return autoscaler.uid == plan.expected["uid"] and wanted.items() <= bounds.items()


def _effect_ended_at(plan: Plan, seen: Sequence[Observation]) -> float | None:
    """When the effect was first seen complete and has been so since; None if it is incomplete.

    An observation with an unknown effect does not count.
    """
    ended_at: float | None = None
    for item in seen:
        is_complete = is_effective(plan, item)
        if is_complete is False:
            ended_at = None
        elif is_complete and ended_at is None:
            ended_at = item.at
    return ended_at


def _count(seen: Sequence[Observation], ended_at: float | None) -> int:
    """How many different collection times after the end of the effect were seen behind the verify query."""
    times = {item.verify.collected_at for item in seen if item.verify.collected_at is not None}
    return sum(1 for time in times if ended_at is not None and time > ended_at)


def _missing(policy: Policy, plan: Plan, seen: Sequence[Observation], ended_at: float | None) -> str:
    """The parts still missing for a proof; empty if none.

    A collection time is the oldest of the last successes of the query's n collectors. n + 1 different such times can
    only be seen when every one of them has collected again after its first collection: so each has collected twice.
    """
    if ended_at is None or is_effective(plan, seen[-1]) is None:
        return "the effect is not complete on the cluster"
    needed, count = len(policy.verify.collectors) + 1, _count(seen, ended_at)
    if count < needed:
        return f"{count} of {needed} collections later than the end of the effect were seen"
    newest = seen[-1].verify
    if newest.value is None or newest.collected_at is None or newest.collected_at <= ended_at:
        return f"no fresh answer: {newest.problem or 'collected before the end of the effect'}"
    return "" if newest.value else f"{policy.verify.promql} is false"


def _problem(observation: Observation) -> str:
    """Why the effect is unknown."""
    facts = (observation.effect, observation.workload, observation.autoscalers)
    return next((fact.problem for fact in facts if fact.problem and fact.problem != "not asked"), "not asked")


def _unknown(plan: Plan, seen: Sequence[Observation], written_at: float) -> str:
    """The unknown facts at the timeout; empty if everything is known."""
    if not seen:
        return "nothing was observed"
    newest = seen[-1]
    if is_effective(plan, newest) is None:
        return f"the cluster's state is unknown: {_problem(newest)}"
    for name, fact in (("verify", newest.verify), ("condition", newest.condition)):
        if fact.value is None or fact.collected_at is None:
            return f"{name} is unknown: {fact.problem or 'its time of collection is unknown'}"
        if fact.collected_at <= written_at:
            return f"{name} is unknown: collected before the write"
    return ""
