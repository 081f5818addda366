"""Finds policies that are valid but useless: they can never match, or conflict with each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import urlsplit

from remediations.core import actions
from remediations.core.action import Effect
from remediations.core.fields import NAME
from remediations.core.model.alert import Mode
from remediations.core.model.undo import NEW, OLD
from remediations.core.policies.matchers import Matcher, MatchType, matches_all
from remediations.core.policies.policy import REMEDIATION_LABEL, Policy, PolicySet

PLACEHOLDER = ".invalid"
"""Names below this top-level domain never exist (RFC 2606): a placeholder that the owner must replace."""

Nonsense = tuple[int, str, str]
"""Index of the policy, key, and the sentence."""


def place_of(path: str, name: str) -> str:
    """The path of a policy, with its name where that is one."""
    return f"{path} ({name})" if NAME.fullmatch(name) else path


def find_queries(policy_set: PolicySet) -> Iterator[tuple[str, str]]:
    """Every query to Prometheus: its location in the file and its PromQL."""
    for section, queries in (("dependencies", policy_set.dependencies), ("locks", policy_set.locks)):
        yield from ((f"{section}.{name}.promql", query.promql) for name, query in queries.items())
    for index, policy in enumerate(policy_set.policies):
        place = place_of(f"policies[{index}]", policy.name)
        yield from ((f"{place}.{key}", promql) for key, promql in _queries_of(policy) if promql)


def _queries_of(policy: Policy) -> Iterator[tuple[str, str]]:
    """The queries of one policy; missing ones are empty."""
    yield "condition.promql", policy.condition.promql
    yield "verify.promql", policy.verify.promql
    for number, guard in enumerate(policy.guards):
        yield f"guards[{number}].promql", guard.promql
        yield f"guards[{number}].freshness", guard.freshness
    if policy.connections is not None:
        yield "connections.limit", policy.connections.limit
    yield from _queries_among("parameters", policy.action, policy.parameters)
    for number, rung in enumerate(policy.ladder):
        yield from _queries_among(f"ladder[{number}].parameters", rung.action, rung.parameters)


def _queries_among(key: str, action: str, parameters: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """The queries among an action's parameters, with numbers in place of a scale-up's placeholders."""
    for name in actions.discover()[action].questions:
        promql = str(parameters.get(name) or "")
        yield f"{key}.{name}", promql.replace(OLD, "1").replace(NEW, "2")


def find_nonsense(policy_set: PolicySet) -> Iterator[Nonsense]:
    """Every such fault."""
    for index, policy in enumerate(policy_set.policies):
        for key, sentence in (*_of_matchers(policy, policy_set), *_of_times(policy), *_of_ladder(policy)):
            yield index, key, sentence
        for other in policy_set.policies[:index]:
            sentence = _of_two(policy, other)
            if sentence:
                yield index, "match", sentence
    for index, key, sentence in find_placeholders(policy_set):
        if policy_set.policies[index].mode in {Mode.APPROVE, Mode.AUTO}:
            yield index, key, sentence


def find_placeholders(policy_set: PolicySet) -> Iterator[Nonsense]:
    """Every address that is still the shipped placeholder, which never resolves, so nothing is called by mistake."""
    for index, policy in enumerate(policy_set.policies):
        places = list(_urls("parameters", policy.parameters))
        for number, rung in enumerate(policy.ladder):
            places += _urls(f"ladder[{number}].parameters", rung.parameters)
        places += [(f"witnesses[{number}].url", item.url) for number, item in enumerate(policy.witnesses)]
        for key, url in places:
            if (urlsplit(url).hostname or "").endswith(PLACEHOLDER):
                yield index, key, f"{url} is a placeholder: set the address in your installation"


def _urls(key: str, parameters: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Every address among an action's parameters, with its key."""
    for name, value in parameters.items():
        if name == "url":
            yield f"{key}.{name}", str(value)
        elif name == "urls" and isinstance(value, tuple):
            yield from ((f"{key}.{name}[{number}]", str(item)) for number, item in enumerate(value))


def _of_matchers(policy: Policy, policy_set: PolicySet) -> Iterator[tuple[str, str]]:
    """Matchers that no alert satisfies, or that match alerts of another policy."""
    label = _contradiction((*policy.match, *policy_set.identity)) if policy.match else None
    if label is not None:
        yield "match", f"can never match: two matchers require different values of {label}"
    for matcher in policy.match:
        if matcher.label == REMEDIATION_LABEL and matcher.type is MatchType.EQUAL and matcher.value != policy.name:
            yield "match", f"matches alerts for {matcher.value}: an alert's own policy name already selects its policy"


def _of_times(policy: Policy) -> Iterator[tuple[str, str]]:
    """Settings of one policy that contradict each other."""
    if policy.expires_seconds <= policy.retry_seconds:
        yield (
            "expires_seconds",
            "must be longer than retry_seconds: otherwise every remediation expires after its first Hold",
        )
    rungs = ((f"ladder[{number}].parameters", rung.parameters) for number, rung in enumerate(policy.ladder))
    for key, parameters in (("parameters", policy.parameters), *rungs):
        if parameters.get("revert_if") and parameters["revert_give_up_seconds"] <= policy.retry_seconds:
            yield f"{key}.revert_give_up_seconds", "must be longer than retry_seconds: a held revert is not tried again"
    if policy.verify.promql and policy.verify.promql == policy.condition.promql:
        yield "verify", "is the same query as condition: the fault itself would count as the repair"


def _of_ladder(policy: Policy) -> Iterator[tuple[str, str]]:
    """Rungs that could never act."""
    specs = actions.discover()
    if policy.ladder and policy.budget_actions < 1 + len(policy.ladder):
        yield "budget_actions", f"must be at least {1 + len(policy.ladder)}, else the last rung is never reached"
    for number, rung in enumerate(policy.ladder):
        spec = specs.get(rung.action)
        if spec is None:
            continue
        foreign = [target.kind for target in policy.targets if target.kind not in spec.kinds]
        if not rung.targets and foreign:
            yield f"ladder[{number}].targets", f"is required: {rung.action} does not act on a {foreign[0]}"
        if Effect.STOPS_PODS in spec.effects and not policy.witnesses:
            yield f"ladder[{number}].action", f"{rung.action} needs at least one of the policy's witnesses"


def _of_two(policy: Policy, other: Policy) -> str:
    """The conflict between two policies; empty if there is none."""
    if set(policy.targets).isdisjoint(other.targets) or not _share_alerts(policy, other):
        return ""
    if policy.action == other.action:
        return f"the same alerts lead to the same action on the same target as in {other.name}"
    specs = [actions.discover().get(item.action) for item in (policy, other)]
    if all(spec is not None and Effect.PATCHES_WORKLOAD in spec.effects for spec in specs):
        return f"the same alerts lead to {other.action} in {other.name}: let one be a rung of the other's ladder"
    return ""


def _share_alerts(policy: Policy, other: Policy) -> bool:
    """Whether an alert with the required values of both matches both."""
    both = (*policy.match, *other.match)
    if not policy.match or not other.match or _contradiction(both) is not None:
        return False
    return matches_all(both, {item.label: item.value for item in both if item.type is MatchType.EQUAL})


def _contradiction(matchers: Sequence[Matcher]) -> str | None:
    """The label for which two matchers require different values; None without one."""
    wanted: dict[str, str] = {}
    for matcher in matchers:
        if matcher.type is MatchType.EQUAL and wanted.setdefault(matcher.label, matcher.value) != matcher.value:
            return matcher.label
    return next((matcher.label for matcher in matchers if _is_refused(matcher, wanted)), None)


def _is_refused(matcher: Matcher, wanted: dict[str, str]) -> bool:
    """Whether the value that another matcher requires does not satisfy this one."""
    return matcher.label in wanted and not matcher.matches(wanted)
