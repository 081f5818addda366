"""Checks of our rights in Kubernetes: missing rights, rights that are not needed, and the self-test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from shlex import quote
from typing import Any

from chassis.errors import BackendError, Reason
from chassis.kubernetes.client import JsonObject
from chassis.kubernetes.objects import reading
from chassis.kubernetes.paths import resource_path
from chassis.output.findings import Finding, Severity, ask_all, unchecked
from remediations.commands.doctor.installation import Installation, names_of, severity_of
from remediations.commands.doctor.rights import HeldRule, NeededRight, Right, excess_rights, needed_rights
from remediations.core.decide import ACTIONS
from remediations.core.model.alert import Mode, Target
from remediations.core.model.names import FIELD_MANAGER
from remediations.execution.self_test import FOREIGN_NAMESPACES, acting_targets, changes_of, prove
from remediations.facts.kubernetes.reader import ClusterReader
from remediations.facts.kubernetes.workload import read_autoscalers

REVIEWS = "authorization.k8s.io/v1"
AT_ONCE, REVIEW_SECONDS = 8, 8.0
"""Rights that are reviewed concurrently, and the time for all of them."""
SHOWN = 12
"""Most rights named in one finding."""
ROLE = "controlcore-remediator-needs"
APPLY = "--dry-run=client -o yaml | kubectl apply -f -"
"""Creates an object or changes an existing one; `kubectl create` alone fails the second time."""
ACCOUNT = "system:serviceaccount:"


@dataclass(frozen=True, slots=True)
class HeldRules:
    """The rules in force for us in one namespace."""

    rules: list[HeldRule]
    is_whole: bool
    """Whether the API server says that the list is complete."""


async def _create(place: Installation, plural: str, group_version: str, spec: Mapping[str, Any]) -> JsonObject:
    """An access review: the server answers it and stores nothing."""
    kind = {"selfsubjectrulesreviews": "SelfSubjectRulesReview", "selfsubjectaccessreviews": "SelfSubjectAccessReview",
            "selfsubjectreviews": "SelfSubjectReview"}[plural]  # fmt: skip
    body = {"apiVersion": group_version, "kind": kind, "spec": dict(spec)} if spec else {
        "apiVersion": group_version, "kind": kind
    }  # fmt: skip
    path = resource_path(group_version, plural)
    return await place.api.create(path, body, field_manager=FIELD_MANAGER, timeout_seconds=place.api_seconds)


async def read_held(place: Installation, namespace: str) -> HeldRules:
    """The rules that are in force for us in a namespace; raises BackendError."""
    document = await _create(place, "selfsubjectrulesreviews", REVIEWS, {"namespace": namespace})
    with reading("SelfSubjectRulesReview"):
        status = document["status"]
        rules = [
            HeldRule(*(frozenset(item.get(key) or ()) for key in ("verbs", "apiGroups", "resources", "resourceNames")))
            for item in status.get("resourceRules") or ()
        ]
        return HeldRules(rules, not status.get("incomplete", False))


async def _is_allowed(place: Installation, right: Right) -> bool:
    """The answer of all the API server's authorizers about one right."""
    resource, _, subresource = right.resource.partition("/")
    attributes = {"verb": right.verb, "group": right.group, "resource": resource, "subresource": subresource,
                  "namespace": right.namespace, "name": right.name}  # fmt: skip
    document = await _create(place, "selfsubjectaccessreviews", REVIEWS, {"resourceAttributes": attributes})
    with reading("SelfSubjectAccessReview"):
        return bool(document["status"]["allowed"])


async def read_user(place: Installation) -> str:
    """Our user name according to the API server; empty if the server does not say (Kubernetes before 1.28)."""
    try:
        document = await _create(place, "selfsubjectreviews", "authentication.k8s.io/v1", {})
        with reading("SelfSubjectReview"):
            return str(document["status"]["userInfo"]["username"])
    except BackendError:
        return ""


async def read_wanted(place: Installation) -> list[NeededRight]:
    """The rights that the policies need here; raises BackendError."""
    targets = place.targets()
    reader = place.reader
    owners: dict[Target, list[str]] = {}
    for target, policies in targets.items():
        if any("list autoscaling/horizontalpodautoscalers" in ACTIONS[policy.action].rbac for policy in policies):
            try:
                owners[target] = [item.name for item in await read_autoscalers(reader, target)]
            except BackendError as error:
                if error.reason is not Reason.PERMISSION:
                    raise
                continue  # the right to list them is missing, which is reported
    return needed_rights(targets, owners, has_keda=await _has_keda(reader))


async def _has_keda(reader: ClusterReader) -> bool:
    """Whether the cluster knows ScaledObjects; raises BackendError."""
    try:
        await reader.get("/apis/keda.sh")
    except BackendError as error:
        if error.reason is not Reason.MISSING:
            raise
        return False
    return True


async def check_rights(place: Installation, check: str) -> list[Finding]:
    """Rights that policies need and that we lack."""
    if place.cluster is None:
        return []  # reported by `check_cluster`
    wanted = await read_wanted(place)
    held = {name: await read_held(place, name) for name in sorted({item.right.namespace for item in wanted})}
    doubtful = [
        item for item in wanted if not any(rule.covers(item.right) for rule in held[item.right.namespace].rules)
    ]
    allowed = await ask_all([partial(_is_allowed, place, item.right) for item in doubtful], AT_ONCE, REVIEW_SECONDS)
    missing = [item for item, answer in zip(doubtful, allowed, strict=True) if answer is False]
    user = await read_user(place) if missing else ""
    found = []
    if None in allowed:
        evidence = f"{allowed.count(None)} of {len(allowed)} rights were not reviewed within {REVIEW_SECONDS:g} s"
        found.append(unchecked(check, evidence, "see why the API server is slow, then run doctor again"))
    for is_optional in (False, True):
        items = [item for item in missing if item.is_optional is is_optional]
        if items:
            found.append(_missing(check, items, user, is_optional=is_optional))
    return found


def _missing(check: str, items: Sequence[NeededRight], user: str, *, is_optional: bool) -> Finding:
    """One finding for all missing rights of one kind."""
    policies = [policy for item in items for policy in item.policies]
    problem = "rights that policies need are missing: their remediations are held"
    if is_optional:
        problem = "rights are missing: without them some plans are held or no Events are written"
    severity = Severity.WARNING if is_optional else severity_of(policies)
    rights = sorted(item.right for item in items)
    more = f" and {len(rights) - SHOWN} more" if len(rights) > SHOWN else ""
    evidence = f"{'; '.join(map(str, rights[:SHOWN]))}{more}; policies {names_of(policies)}"
    return Finding(severity, check, problem, evidence, grant_commands(rights, user))


def grant_commands(rights: Sequence[Right], user: str) -> str:
    """The kubectl commands that grant exactly these rights to a ServiceAccount or another user; may be run again.

    A role is named after its rights, so roles of an earlier run stay in force alongside those of a later one.
    """
    subject = f"--user={user or 'USER'}"
    if user.startswith(ACCOUNT):
        subject = f"--serviceaccount={user.removeprefix(ACCOUNT)}"
    verbs: dict[tuple[str, str, str], list[str]] = {}
    for right in rights:
        verbs.setdefault((right.namespace, right.kind, right.name), []).append(right.verb)
    lines = []
    for (namespace, kind, name), given in verbs.items():
        role = "-".join(filter(None, (ROLE, *given, kind.replace("/", "."), name)))
        named = f" --resource-name={name}" if name else ""
        lines += [
            f"kubectl create role {role} -n {namespace} --verb={','.join(given)} --resource={kind}{named} {APPLY}",
            f"kubectl create rolebinding {role} -n {namespace} --role={role} {quote(subject)} {APPLY}",
        ]
    return "\n".join([*lines, "# with the chart: helm upgrade, which derives the Role from the policies"])


async def check_excess(place: Installation, check: str) -> list[Finding]:
    """Rights that are not needed: a bug of this program could misuse them."""
    if place.cluster is None:
        return []
    wanted = await read_wanted(place)
    targets = place.targets()
    own = sorted({target.namespace for target in targets})
    foreign = next((name for name in FOREIGN_NAMESPACES if name not in own), FOREIGN_NAMESPACES[0])
    by_danger: dict[bool, dict[str, list[str]]] = {True: {}, False: {}}
    found = []
    for namespace in (*own, foreign):
        held = await read_held(place, namespace)
        used = frozenset(
            text
            for target, policies in targets.items()
            for policy in policies
            if target.namespace == namespace and policy.mode is not Mode.OBSERVE
            for text in ACTIONS[policy.action].rbac
        )
        here = [item for item in wanted if item.right.namespace == namespace]
        for right in excess_rights(held.rules, here, used):
            by_danger[right.is_dangerous].setdefault(right.text, []).append(namespace)
        if not held.is_whole:
            problem = f"not every right in {namespace} is known, so rights that are too wide may be missing here"
            remedy = f"kubectl auth can-i --list -n {namespace}   # and what the cluster's other authorizers allow"
            found.append(Finding(Severity.UNKNOWN, check, problem, "the API server calls its list incomplete", remedy))
    user = await read_user(place) if by_danger[True] or by_danger[False] else ""
    return [*(_excess(check, rights, user, is_dangerous=bad) for bad, rights in by_danger.items() if rights), *found]


def _excess(check: str, rights: Mapping[str, Sequence[str]], user: str, *, is_dangerous: bool) -> Finding:
    """One finding for all excess rights of one kind."""
    problem = "rights are held that no policy needs"
    if is_dangerous:
        problem = "dangerous rights are held that no policy needs"
    words = [f"{text} in {', '.join(places)}" for text, places in rights.items()]
    more = [f"{len(words) - SHOWN} more"] if len(words) > SHOWN else []
    name = user.rpartition(":")[2] or "NAME"
    remedy = (
        f"kubectl get rolebindings,clusterrolebindings -A -o wide | grep -w {name}   # which Role grants them\n"
        "take these rights and names out of that Role and keep the others; with the chart: helm upgrade, which derives "
        "the Role from the policies"
    )
    severity = Severity.ERROR if is_dangerous else Severity.WARNING
    return Finding(severity, check, problem, "; ".join([*words[:SHOWN], *more]), remedy)


async def check_self_test(place: Installation, check: str) -> list[Finding]:
    """The self-test of the program, as it runs before a policy acts: the API server refuses what no policy allows."""
    if place.cluster is None:
        return []
    found = []
    for namespace in acting_targets(place.policy_set):
        proof = await prove(place.api, changes_of(place.policy_set, namespace), place.api_seconds)
        if proof.value is False:
            problem = f"policies in auto wait for approval in {namespace}: our rights there are too wide"
            remedy = "remove what the check rights.excess names, then send SIGHUP to the program or wait an hour"
            found.append(Finding(Severity.WARNING, check, problem, proof.problem, remedy))
        elif proof.value is None:
            problem = f"it is unknown whether policies in auto may act in {namespace}"
            remedy = "fix what the check kubernetes names, then run doctor again"
            found.append(Finding(Severity.UNKNOWN, check, problem, proof.problem, remedy))
    return found
