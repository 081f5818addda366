"""R5: which warnings of the API server mean that new pods would be refused."""

from __future__ import annotations

import pytest

from remediations.execution.pod_security import ENFORCE, WARN, find_doubt, find_refusal

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


def levels(enforce=None, warn=None, **versions):
    """The namespace's labels; `enforce_version` and `warn_version` too."""
    given = {ENFORCE: enforce, WARN: warn}
    given |= {f"{ENFORCE}-version": versions.get("enforce_version"), f"{WARN}-version": versions.get("warn_version")}
    return {name: value for name, value in given.items() if value is not None}


@pytest.mark.parametrize(
    ("labels", "is_doubtful"),
    [
        (levels("restricted", "baseline"), True),
        (levels("restricted", "privileged"), True),
        (levels("baseline", "privileged"), True),
        (levels("no-such-level", "restricted"), False),  # an unknown level is enforced as restricted
        (levels("no-such-level", "baseline"), True),
        (levels("no-such-level"), True),  # and is not what is warned of then
        (levels("baseline", "no-such-level"), True),  # of an unknown level nothing is warned
        (levels("restricted", "Restricted"), True),
        (levels("privileged", "no-such-level"), False),
        (levels(None, "no-such-level"), False),
        (levels("restricted", "restricted", warn_version="v1.24"), True),
        (levels("restricted", "restricted", enforce_version="v1.30", warn_version="v1.24"), True),
        (levels("baseline", "restricted", warn_version="v1.24"), True),
        (levels("restricted", warn_version="v1.24"), True),
        (levels(), False),
        (levels("restricted"), False),
        (levels("restricted", enforce_version="v1.24"), False),
        (levels("restricted", "restricted"), False),
        (levels("restricted", "restricted", enforce_version="v1.24", warn_version="v1.24"), False),
        (levels("restricted", "restricted", enforce_version="v1.24"), False),
        (levels("baseline", "restricted"), False),
        (levels("privileged", "privileged", warn_version="v1.24"), False),
        (levels(None, "baseline"), False),
    ],
)
def test_silence_of_the_server_means_nothing_where_it_warns_of_less_than_it_enforces(labels, is_doubtful):
    assert bool(find_doubt(labels)) is is_doubtful


def test_label_that_is_no_level_is_named():
    """R5: `warn` with a slip of the pen counted as the strictest level, so that its silence was believed."""
    assert find_doubt(levels("baseline", "restrictd")).startswith(f"{WARN}=restrictd is not a level; the namespace ")
