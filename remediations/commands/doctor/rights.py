"""Rights in Kubernetes: those that policies need and that are missing, and those that are not needed. Pure.

A rule is one of SelfSubjectRulesReview (authorization.k8s.io/v1), which has the form of a Role's rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from remediations.core.action import NEW_POD_READS
from remediations.core.decide import ACTIONS
from remediations.core.model.alert import Mode, Target
from remediations.core.policies.policy import Policy

READS = frozenset({"get", "list", "watch"})
EVERY = "*"
REVIEWS = frozenset({"authorization.k8s.io", "authentication.k8s.io"})
"""Groups in which `create` is only a review."""
KEDA_GROUP = "keda.sh"
EVENTS = ("create", "", "events")
NAMED = frozenset({("apps", "deployments"), ("apps", "deployments/scale"), ("batch", "cronjobs")})
"""Rights that are granted by the target's name. Autoscalers have other names."""
OPTIONAL = frozenset({*NEW_POD_READS, "get core/configmaps"})
"""Rights that hand-written Roles may leave out: a plan that needs them is then held, and the hold names them."""
FOLLOWING = frozenset({"get core/pods", "get batch/jobs"})
"""Rights to check an eviction or a Job after it was sent: only an acting policy needs them."""
SECRETS = "secrets"
DANGEROUS_VERBS = frozenset({EVERY, "escalate", "bind", "impersonate", "delete", "deletecollection"})
DANGEROUS_RESOURCES = frozenset(
    {EVERY, SECRETS, "pods", "pods/exec", "pods/attach", "pods/portforward", "pods/ephemeralcontainers", "nodes",
     "serviceaccounts/token", "roles", "rolebindings", "clusterroles", "clusterrolebindings"}
)  # fmt: skip
"""Writing these (for Secrets, reading) is equivalent to every right in the namespace."""


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """One right in a namespace; an empty name means every object."""

    verb: str
    group: str
    resource: str
    namespace: str
    name: str = ""

    @property
    def kind(self) -> str:
        """The resource in kubectl's form, such as deployments.apps/scale."""
        resource, slash, subresource = self.resource.partition("/")
        return f"{resource}{'.' if self.group else ''}{self.group}{slash}{subresource}"

    def __str__(self) -> str:
        """The right in words."""
        return f"{self.verb} {self.kind}{' ' if self.name else ''}{self.name} in {self.namespace}"


@dataclass(frozen=True, slots=True)
class HeldRule:
    """One rule that is in force for us in a namespace."""

    verbs: frozenset[str]
    groups: frozenset[str]
    resources: frozenset[str]
    names: frozenset[str] = frozenset()
    """Empty: every object."""

    def covers(self, right: Right) -> bool:
        """Whether the rule gives this right (k8s.io/kubernetes, pkg/apis/rbac/v1/evaluation_helpers.go)."""
        subresource = right.resource.partition("/")[2]
        resources = {EVERY, right.resource} | ({f"{EVERY}/{subresource}"} if subresource else set())
        has_name = not self.names or right.name in self.names
        return has_name and bool(
            self.verbs & {EVERY, right.verb} and self.groups & {EVERY, right.group} and self.resources & resources
        )


@dataclass(frozen=True, slots=True)
class NeededRight:
    """A right with the policies that need it."""

    right: Right
    policies: list[Policy] = field(default_factory=list)
    is_optional: bool = False


def needed_rights(
    targets: Mapping[Target, Sequence[Policy]], owners: Mapping[Target, Sequence[str]], *, has_keda: bool
) -> list[NeededRight]:
    """The rights that the policies need in their modes; `owners` are the names of each target's autoscalers.

    Write rights are needed only in the modes approve and auto: a dry run without the right runs locally.
    """
    found: dict[Right, NeededRight] = {}
    for target, policies in targets.items():
        for policy in policies:
            for text in ACTIONS[policy.action].rbac:
                for right in _rights(text, target, owners.get(target, ())):
                    if right.group == KEDA_GROUP and not has_keda:
                        continue
                    is_of_acting = right.verb not in READS or text in FOLLOWING
                    if is_of_acting and policy.mode not in {Mode.APPROVE, Mode.AUTO}:
                        continue
                    entry = found.setdefault(right, NeededRight(right, is_optional=text in OPTIONAL))
                    entry.policies.append(policy)
            if policy.mode is not Mode.OBSERVE:
                right = Right(*EVENTS, target.namespace)
                found.setdefault(right, NeededRight(right, is_optional=True)).policies.append(policy)
    return list(found.values())


def _rights(text: str, target: Target, owners: Sequence[str]) -> Iterator[Right]:
    """An action's right (`verb group/resource`) on one target; nothing for an autoscaler that does not exist."""
    verb, _, kind = text.partition(" ")
    group, _, resource = kind.partition("/")
    group = "" if group == "core" else group
    if resource == "configmaps":
        return  # limited to the names that a pod template refers to, which the plan itself reports
    if resource == "namespaces":
        yield Right(verb, group, resource, target.namespace, target.namespace)
    elif (group, resource) in NAMED:
        if not (resource == "deployments/scale" and verb == "patch" and owners):
            yield Right(verb, group, resource, target.namespace, target.name)
    elif resource in {"horizontalpodautoscalers", "scaledobjects"} and verb != "list":
        if group != KEDA_GROUP:
            yield from (Right(verb, group, resource, target.namespace, name) for name in owners)
    else:
        yield Right(verb, group, resource, target.namespace)


@dataclass(frozen=True, slots=True, order=True)
class ExcessRight:
    """A right that is not needed."""

    text: str
    is_dangerous: bool = False


def excess_rights(rules: Iterable[HeldRule], wanted: Sequence[NeededRight], used: frozenset[str]) -> list[ExcessRight]:
    """The rights in a namespace that no policy uses; read rights count only for Secrets.

    `used` are the action rights of policies with targets in this namespace, in any mode but observe.
    """
    found = set()
    for rule in rules:
        for group in rule.groups - REVIEWS:
            for resource in rule.resources:
                for verb in rule.verbs:
                    if not _is_harmless(rule, (verb, group, resource), wanted, used):
                        is_used = f"{verb} {group or 'core'}/{resource}" in used
                        unneeded = rule.names - _named(wanted, group, resource) if is_used else rule.names
                        names = f" named {', '.join(sorted(unneeded))}" if rule.names else ""
                        kind = f"{resource}{f'.{group}' if group else ''}"
                        found.add(ExcessRight(f"{verb} {kind}{names}", _is_dangerous(verb, resource)))
    return sorted(found)


def _is_dangerous(verb: str, resource: str) -> bool:
    """Whether the right is equivalent to many others."""
    return verb in DANGEROUS_VERBS or resource in DANGEROUS_RESOURCES


def _is_harmless(
    rule: HeldRule, what: tuple[str, str, str], wanted: Sequence[NeededRight], used: frozenset[str]
) -> bool:
    """Whether this part of a rule is a harmless read right, or a policy uses it within its limits."""
    verb, group, resource = what
    if verb in READS and resource == SECRETS:
        return bool(rule.names)  # single Secrets are read if a pod template takes its environment from them
    if verb in READS:
        return resource != EVERY or group not in {"", EVERY}
    is_used = f"{verb} {group or 'core'}/{resource}" in used or (what == EVENTS and bool(used))
    if EVERY in what or not is_used or verb == "create":
        return is_used and EVERY not in what
    return bool(rule.names) and (rule.names <= _named(wanted, group, resource) or (group, resource) not in NAMED)


def _named(wanted: Sequence[NeededRight], group: str, resource: str) -> frozenset[str]:
    """The objects of this kind that policies need by name."""
    return frozenset(item.right.name for item in wanted if (item.right.group, item.right.resource) == (group, resource))
