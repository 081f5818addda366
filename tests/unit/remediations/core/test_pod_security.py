"""R5: which warnings of the API server mean that new pods would be refused."""

from __future__ import annotations

import pytest

from remediations.core.pod_security import ENFORCE, find_refusal, is_about_pods

PRIVILEGED = (
    'would violate PodSecurity "baseline:latest": privileged (container "api" must not set '
    "securityContext.privileged=true), host namespaces (hostNetwork=true)"
)
RESTRICTED = (
    'would violate PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "api" must set '
    'securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "api" must set '
    'securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container "api" must set '
    'securityContext.runAsNonRoot=true), seccompProfile (pod or container "api" must set '
    'securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")'
)
BOTH = RESTRICTED.replace("allowPrivilegeEscalation", 'hostPath volumes (volume "x"), allowPrivilegeEscalation', 1)
OTHER = "spec.template.spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14"


@pytest.mark.parametrize(
    ("warning", "labels", "is_refused"),
    [
        (RESTRICTED, {ENFORCE: "restricted"}, True),
        (RESTRICTED, {ENFORCE: "baseline"}, False),
        (RESTRICTED, {ENFORCE: "privileged"}, False),
        (RESTRICTED, {}, False),
        (RESTRICTED, None, True),
        (RESTRICTED, {ENFORCE: "no-such-level"}, True),
        (PRIVILEGED, {ENFORCE: "baseline"}, True),
        (PRIVILEGED, {ENFORCE: "restricted"}, True),
        (PRIVILEGED, {}, False),
        (BOTH, {ENFORCE: "baseline"}, True),
        (OTHER, {ENFORCE: "restricted"}, False),
        (OTHER, None, False),
    ],
)
def test_warning_means_a_refusal_when_the_level_that_is_broken_is_enforced(warning, labels, is_refused):
    assert find_refusal((OTHER, warning), labels) == (warning if is_refused else "")


def test_other_warnings_are_not_about_pods():
    assert not is_about_pods((OTHER,))
    assert is_about_pods((OTHER, RESTRICTED))
