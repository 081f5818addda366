"""Whether a warning of the API server means that Pod Security would refuse new pods. Pure.

The server warns of a Deployment or Job whose pods break the namespace's level `warn`; pods are refused by its level
`enforce` (Kubernetes, "Pod Security Admission"). Both are labels of the namespace, and `warn` may be the stricter one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

WARNING = re.compile(r'would violate PodSecurity "(\w+)[^"]*": (.*)', re.DOTALL)
ENFORCE = "pod-security.kubernetes.io/enforce"
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
"""What the level `restricted` alone forbids, in the server's words; everything else breaks `baseline` too."""


def find_refusal(warnings: Iterable[str], labels: Mapping[str, str] | None) -> str:
    """The warning that means a refusal, or empty. `labels` are the namespace's; None where they cannot be read.

    The server's warning counts then: nobody can tell that it is about the level `warn` alone.
    """
    for warning in warnings:
        found = WARNING.search(warning)
        if found is not None and (labels is None or _is_enforced(found[1], found[2], labels.get(ENFORCE, LEVELS[0]))):
            return warning
    return ""


def is_about_pods(warnings: Iterable[str]) -> bool:
    """Whether any of the warnings is about Pod Security."""
    return any(WARNING.search(warning) for warning in warnings)


def _is_enforced(warned: str, violations: str, enforced: str) -> bool:
    """Whether what breaks the level of the warning breaks the enforced one; an unknown level is the strictest."""
    strictness = LEVELS.index(enforced) if enforced in LEVELS else len(LEVELS)
    if strictness == 0:
        return False
    if warned not in LEVELS or LEVELS.index(warned) <= strictness:
        return True
    named = re.sub(r"\([^()]*(?:\([^()]*\)[^()]*)*\)", "", violations)
    return any(each.strip() not in ONLY_RESTRICTED for each in named.split(",") if each.strip())
