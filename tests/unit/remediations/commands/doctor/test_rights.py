"""Which rights policies need and which nothing needs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from chassis.errors import Reason, TransientError
from chassis.output.findings import Severity
from remediations.commands.doctor.access import (
    AT_ONCE,
    REVIEW_SECONDS,
    check_excess,
    check_rights,
    check_self_test,
    grant_commands,
)
from remediations.commands.doctor.rights import HeldRule, NeededRight, Right, excess_rights, needed_rights
from remediations.core.decide import ACTIONS
from remediations.core.model.alert import Mode, Target
from tests.fakes.decisions import API, a_policy_set, restart_policy, scale_policy
from tests.fakes.installation import a_place, found_by, told

NAMESPACE = API.namespace
CRON = Target(NAMESPACE, "CronJob", "postgres-backup")


def a_rule(verbs: str, group: str, resources: str, *names: str) -> HeldRule:
    return HeldRule(frozenset(verbs.split()), frozenset({group}), frozenset(resources.split()), frozenset(names))


@pytest.mark.parametrize(
    ("rule", "is_covered"),
    [
        (a_rule("get patch", "apps", "deployments"), True),
        (a_rule("patch", "apps", "deployments", API.name), True),
        (a_rule("patch", "apps", "deployments", "other"), False),
        (a_rule("get", "apps", "deployments"), False),
        (a_rule("patch", "", "deployments"), False),
        (a_rule("patch", "apps", "deployments/scale"), False),
        (a_rule("*", "*", "*"), True),
    ],
)
def test_rule_covers_as_rbac_does(rule: HeldRule, is_covered: bool) -> None:  # noqa: FBT001
    assert rule.covers(Right("patch", "apps", "deployments", NAMESPACE, API.name)) is is_covered


def test_subresources_of_everything_are_covered_by_a_star() -> None:
    right = Right("patch", "apps", "deployments/scale", NAMESPACE)
    assert a_rule("patch", "apps", "*/scale").covers(right)
    assert not a_rule("list", "", "pods", "one").covers(Right("list", "", "pods", NAMESPACE))


def needed(policy: Any, *owners: str, has_keda: bool = False) -> dict[str, bool]:
    """Each right in words → whether it is optional."""
    found = needed_rights({API: [policy]}, {API: owners}, has_keda=has_keda)
    return {str(item.right).removesuffix(f" in {NAMESPACE}"): item.is_optional for item in found}


def test_writes_are_needed_where_a_policy_acts_only() -> None:
    restart = f"patch deployments.apps {API.name}"
    assert restart in needed(restart_policy())
    assert restart in needed(restart_policy(mode=Mode.APPROVE))
    for mode in (Mode.DRY_RUN, Mode.OBSERVE):
        assert restart not in needed(restart_policy(mode=mode))
    assert f"get deployments.apps {API.name}" in needed(restart_policy(mode=Mode.OBSERVE))
    assert "create events" not in needed(restart_policy(mode=Mode.OBSERVE))
    assert needed(restart_policy())["create events"] is True


def test_number_of_pods_is_changed_on_its_owner() -> None:
    alone, owned = needed(scale_policy()), needed(scale_policy(), "api-hpa")
    scaling = f"patch deployments.apps/scale {API.name}"
    assert (scaling in alone, scaling in owned) == (True, False)
    assert "patch horizontalpodautoscalers.autoscaling api-hpa" in owned
    assert not [right for right in alone if "keda" in right]
    assert "list scaledobjects.keda.sh" in needed(scale_policy(), has_keda=True)
    assert owned["list resourcequotas"] is True
    assert owned[f"get namespaces {NAMESPACE}"] is True


def excess(rule: HeldRule, *policies: Any) -> list[tuple[str, bool]]:
    """The excess rights of a rule for these policies."""
    wanted = needed_rights({API: list(policies)}, {}, has_keda=False)
    used = frozenset(
        text for policy in policies if policy.mode is not Mode.OBSERVE for text in ACTIONS[policy.action].rbac
    )
    return [(item.text, item.is_dangerous) for item in excess_rights([rule], wanted, used)]


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        (a_rule("patch", "apps", "deployments", API.name), []),
        (a_rule("patch", "apps", "deployments", "x"), [("patch deployments.apps named x", False)]),
        (a_rule("patch", "apps", "deployments", "x", API.name), [("patch deployments.apps named x", False)]),
        (a_rule("patch", "apps", "deployments"), [("patch deployments.apps", False)]),
        (a_rule("get list watch", "apps", "deployments"), []),
        (a_rule("get list", "", "pods configmaps"), []),
        (a_rule("create", "", "events"), []),
        (a_rule("create", "authorization.k8s.io", "selfsubjectaccessreviews"), []),
        (a_rule("get", "", "secrets", "api-env"), []),
        (a_rule("get", "", "secrets"), [("get secrets", True)]),
        (a_rule("get", "*", "*"), [("get *.*", True)]),
        (a_rule("get", "apps", "*"), []),
        (a_rule("create", "", "pods"), [("create pods", True)]),
        (a_rule("create", "", "pods/exec"), [("create pods/exec", True)]),
        (a_rule("create", "", "pods/eviction"), [("create pods/eviction", False)]),
        (a_rule("delete", "apps", "deployments", API.name), [(f"delete deployments.apps named {API.name}", True)]),
        (a_rule("*", "*", "*"), [("* *.*", True)]),
        (a_rule("impersonate", "", "users"), [("impersonate users", True)]),
    ],
)  # fmt: skip
def test_rights_that_nothing_needs_are_found(rule: HeldRule, found: list[tuple[str, bool]]) -> None:
    assert excess(rule, restart_policy()) == found


def test_names_of_autoscalers_are_their_own_and_must_be_given() -> None:
    hpas = ("patch", "autoscaling", "horizontalpodautoscalers")
    assert excess(a_rule(*hpas, "any"), scale_policy()) == []
    assert excess(a_rule(*hpas), scale_policy()) == [("patch horizontalpodautoscalers.autoscaling", False)]
    assert excess(a_rule(*hpas, "any"), scale_policy(mode=Mode.OBSERVE)) != []


def test_remedy_grants_exactly_what_is_missing_and_may_be_run_again() -> None:
    rights = [Right("patch", "apps", "deployments/scale", "cc", "api"), Right("list", "", "pods", "cc")]
    lines = grant_commands(rights, "system:serviceaccount:cc:remediator").splitlines()
    first, again = "controlcore-remediator-needs-patch-deployments.apps.scale-api", " --dry-run=client -o yaml | "
    rule = "--verb=patch --resource=deployments.apps/scale --resource-name=api"
    assert lines[0] == f"kubectl create role {first} -n cc {rule}{again}kubectl apply -f -"
    subject = "--serviceaccount=cc:remediator"
    assert lines[1] == f"kubectl create rolebinding {first} -n cc --role={first} {subject}{again}kubectl apply -f -"
    assert " controlcore-remediator-needs-list-pods -n cc --verb=list --resource=pods --dry-run" in lines[2]
    assert "'--user=ann of ops'" in grant_commands(rights, "ann of ops")
    assert "--user=USER" in grant_commands(rights, "")


def test_role_of_one_run_is_not_replaced_by_that_of_another() -> None:
    """The second run misses another right of the same object: its Role must not take the first one's place."""
    first, second = (grant_commands([Right(verb, "apps", "deployments", "cc", "api")], "") for verb in ("get", "patch"))
    assert first.split()[3] != second.split()[3]


class Reviews:
    """An API server that answers reviews."""

    def __init__(self, *rules: dict[str, Any], allowed: bool = False, is_incomplete: bool = False) -> None:
        self.rules, self.allowed, self.is_incomplete = rules, allowed, is_incomplete

    async def create(self, path: str, body: dict[str, Any], **_: Any) -> dict[str, Any]:
        if "rules" in path:
            return {"status": {"resourceRules": list(self.rules), "incomplete": self.is_incomplete}}
        if path.endswith("selfsubjectreviews"):
            return {"status": {"userInfo": {"username": "system:serviceaccount:cc:remediator"}}}
        assert body["spec"]["resourceAttributes"]["namespace"] == NAMESPACE
        return {"status": {"allowed": self.allowed}}

    async def list(self, *_: Any, **__: Any) -> list[Any]:
        return []

    async def get(self, *_: Any, **__: Any) -> dict[str, Any]:
        return {}


EVERYTHING = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}


@pytest.mark.parametrize("call", ["get", "list"])
async def test_rights_are_not_judged_by_objects_that_could_not_be_asked_for(
    call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any, **__: Any) -> Any:
        raise TransientError(Reason.TIMEOUT, "no answer")

    reviews = Reviews()
    monkeypatch.setattr(reviews, call, fail)
    with pytest.raises(TransientError):
        await found_by(check_rights, a_place(a_policy_set(scale_policy()), cluster=reviews))


async def test_missing_rights_are_an_error_and_those_one_can_do_without_a_warning() -> None:
    found = await found_by(check_rights, a_place(a_policy_set(restart_policy()), cluster=Reviews()))
    assert [(item.severity.value, "create events" in item.evidence) for item in found] == [
        ("error", False),
        ("warning", True),
    ]
    (dry, _) = await found_by(check_rights, a_place(a_policy_set(restart_policy(mode=Mode.DRY_RUN)), cluster=Reviews()))
    assert dry.severity.value == "warning"


async def test_authorizer_that_lists_nothing_and_allows_is_believed() -> None:
    assert await found_by(check_rights, a_place(a_policy_set(), cluster=Reviews(allowed=True))) == []
    assert await found_by(check_rights, a_place(a_policy_set(), cluster=Reviews(EVERYTHING))) == []


@pytest.mark.looptime
async def test_rights_that_were_not_reviewed_in_time_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    reviews, answered = Reviews(), 0

    async def create(path: str, body: dict[str, Any], **_: Any) -> dict[str, Any]:
        nonlocal answered
        if "access" in path:
            answered += 1
            await asyncio.sleep(REVIEW_SECONDS if answered > AT_ONCE else 1.0)
        return await Reviews().create(path, body)

    monkeypatch.setattr(reviews, "create", create)
    found = await found_by(check_rights, a_place(a_policy_set(restart_policy()), cluster=reviews))
    (unknown,) = (each for each in found if each.severity is Severity.UNKNOWN)
    needed = len(needed_rights({API: [restart_policy()]}, {}, has_keda=True))
    assert unknown.evidence == f"{needed - AT_ONCE} of {needed} rights were not reviewed within {REVIEW_SECONDS:g} s"
    assert [each.severity for each in found if each.severity is Severity.ERROR]


async def test_every_right_is_dangerous_in_every_namespace() -> None:
    (found,) = await found_by(check_excess, a_place(a_policy_set(), cluster=Reviews(EVERYTHING)))
    assert (found.severity.value, found.evidence) == ("error", f"* *.* in {NAMESPACE}, kube-system")
    assert "grep -w remediator" in found.remedy


async def test_incomplete_list_is_unknown() -> None:
    found = await found_by(check_excess, a_place(a_policy_set(), cluster=Reviews(is_incomplete=True)))
    assert {severity for severity, _ in told(found)} == {"unknown"}


async def test_without_a_cluster_its_own_check_tells() -> None:
    for check in (check_rights, check_excess, check_self_test):
        assert await found_by(check, a_place(a_policy_set())) == []


def test_a_needed_right_knows_its_policies() -> None:
    (first, *_) = needed_rights({API: [restart_policy(), scale_policy()]}, {}, has_keda=False)
    assert isinstance(first, NeededRight)
    assert [policy.name for policy in first.policies] == ["restart-api", "scale-api"]
