"""Whether a warning of the API server means that Pod Security would refuse new pods. Pure.

The server warns of a Deployment or Job whose pods break the namespace's level `warn`; pods are refused by its level
`enforce` (Kubernetes, "Pod Security Admission"). Both are labels of the namespace. If `warn` is stricter, a warning
need not mean a refusal. If it is less strict, there may be a refusal without a warning.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

WARNING = re.compile(r'would violate PodSecurity "(\w+)[^"]*": (.*)', re.DOTALL)
ENFORCE, WARN = "pod-security.kubernetes.io/enforce", "pod-security.kubernetes.io/warn"
LATEST = "latest"
VERSION = re.compile(r"v1\.(\d+)")
LEVELS = ("privileged", "baseline", "restricted")
"""From the most lenient to the strictest."""
ONLY_RESTRICTED = frozenset(
    {
        "allowPrivilegeEscalation != false",
        "unrestricted capabilities",
        "restricted volume types",
        "runAsNonRoot != true",
        "runAsUser=0",
        "seccompProfile",
    }
)
"""Violations of the level `restricted` only, in the server's words; everything else violates `baseline` too."""


def find_refusal(warnings: Iterable[str], labels: Mapping[str, str] | None) -> str:
    """The warning that means a refusal, or empty. `labels` are the namespace's; None if they cannot be read.

    Without labels the server's warning counts, because it may concern more than the level `warn`.
    """
    for warning in warnings:
        found = WARNING.search(warning)
        if found is not None and (labels is None or _is_enforced(found[1], found[2], labels.get(ENFORCE, LEVELS[0]))):
            return warning
    return ""


def find_doubt(labels: Mapping[str, str]) -> str:
    """Why pods may be refused without a warning, as text; empty if a warning would have come.

    The levels are interpreted as in the server (k8s.io/pod-security-admission v0.37, api.PolicyToEvaluate): an unknown
    level `enforce` counts as `restricted`, an unknown level `warn` as `privileged`, which gives no warnings. Without a
    level `warn` the server warns of the enforced one, unless that is unknown.
    """
    asked = labels.get(ENFORCE, LEVELS[0])
    enforced = asked if asked in LEVELS else LEVELS[-1]
    warned = labels.get(WARN, asked)
    warned = warned if warned in LEVELS else LEVELS[0]
    enforced_version = labels.get(f"{ENFORCE}-version", LATEST)
    warned_version = labels.get(f"{WARN}-version", LATEST if WARN in labels else enforced_version)
    is_older = _strictness(enforced) > 0 and _age(warned_version) < _age(enforced_version)
    if _strictness(warned) >= _strictness(enforced) and not is_older:
        return ""
    levels = f"{enforced}:{enforced_version}", f"{warned}:{warned_version}"
    given = [(name, labels[name]) for name in (ENFORCE, WARN) if name in labels]
    unknown = [f"{name}={level} is not a level" for name, level in given if level not in LEVELS]
    words = f"the namespace enforces {levels[0]} and warns only of {levels[1]}"
    return "; ".join([*unknown, f"{words}; set {WARN} to the enforced level"])


def _age(version: str) -> float:
    """A version of the standards as a number; the latest is the greatest."""
    found = VERSION.fullmatch(version)
    return float("inf") if found is None else float(found[1])


def _strictness(level: str) -> int:
    """A level's strictness; an unknown one is the strictest."""
    return LEVELS.index(level) if level in LEVELS else len(LEVELS)


def _is_enforced(warned: str, violations: str, enforced: str) -> bool:
    """Whether a violation of the warning's level violates the enforced one; an unknown level is the strictest."""
    strictness = _strictness(enforced)
    if strictness == 0:
        return False
    if warned not in LEVELS or LEVELS.index(warned) <= strictness:
        return True
    named = re.sub(r"\([^()]*(?:\([^()]*\)[^()]*)*\)", "", violations)
    return any(each.strip() not in ONLY_RESTRICTED for each in named.split(",") if each.strip())
