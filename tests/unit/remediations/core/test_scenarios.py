"""The scenario library: each situation has its one right decision, and each guard is needed for one of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from remediations.core.decide import ACTIONS, GUARDS, judge
from remediations.core.guard import GuardSpec
from remediations.core.model.decision import Act, Hold
from remediations.core.model.reasons import HoldReason
from tests.fakes.scenario_files import Situation, read_situations, requests_of

SCENARIOS = "tests/scenarios/*.yaml (what `facts:` may say: READERS in tests/fakes/scenario_files.py)"
SITUATIONS = read_situations()
RULES = Path(__file__).parents[4] / "rules"
ALERTS = [
    rule
    for path in sorted(RULES.glob("*.yml"))
    for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
    if "alert" in rule
]
HOME = "ControlCoreAPIDown"
"""The subject of a situation that names no alert."""
GUIDE = {"HighCPUUsage": "scale-api", "PolicyEvaluationSlow": "scale-bouncer"}
"""The guide's alerts carry no label; these are found by name."""
SAID = (*(spec.reasons for spec in GUARDS), *(spec.refusals for spec in ACTIONS.values()))
SAID_BY = Counter(reason for reasons in SAID for reason in reasons)
REASONS = {reason for spec in GUARDS for reason in spec.reasons}


def policy_of(alert: dict[str, Any]) -> str:
    """The shipped policy that may act on the alert, or `none`."""
    name: str = alert["labels"].get("remediation", GUIDE.get(alert["alert"], "none"))
    return name


def outcome(situation: Situation, specs: Sequence[GuardSpec] = GUARDS) -> str:
    """The decision: act, not_needed, or the reason of a Hold."""
    (request,) = requests_of(situation)
    decision = judge(request, specs)
    if isinstance(decision, Hold):
        return decision.reason.value
    return "act" if isinstance(decision, Act) else "not_needed"


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.name)
def test_situation_has_its_decision(situation: Situation) -> None:
    assert outcome(situation) == situation.expect


@pytest.mark.parametrize("spec", GUARDS, ids=lambda spec: spec.name)
def test_removed_guard_lets_something_act_that_must_not(spec: GuardSpec) -> None:
    others = [guard for guard in GUARDS if guard is not spec]
    held = [item for item in SITUATIONS if item.expect != "act"]
    found = [item.name for item in held if outcome(item, others) == "act"]
    assert found, f"no situation in tests/scenarios acts without the guard {spec.name}: add one that only it holds"


@pytest.mark.parametrize("reason", sorted(REASONS), ids=lambda reason: reason.value)
def test_every_reason_has_a_situation(reason: HoldReason) -> None:
    assert reason.value in {item.expect for item in SITUATIONS}, f"add a situation with `expect: {reason}`: {SCENARIOS}"


@pytest.mark.parametrize("spec", GUARDS, ids=lambda spec: spec.name)
def test_whatever_a_guard_alone_can_say_is_not_said_without_it(spec: GuardSpec) -> None:
    """Each situation held for a reason that is this guard's own is decided otherwise once it is removed."""
    others = [guard for guard in GUARDS if guard is not spec]
    own = {reason.value for reason in spec.reasons if SAID_BY[reason] == 1}
    held = [item for item in SITUATIONS if item.expect in own]
    assert [item.name for item in held if outcome(item, others) == item.expect] == []


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_alert_reaches_the_policy_that_its_rule_names_and_no_other(alert: dict[str, Any]) -> None:
    labels = {"alertname": alert["alert"], **alert["labels"]}
    requests = requests_of(Situation(alert["alert"], "", {"labels": labels}))
    assert {request.policy.name for request in requests} == {policy_of(alert)} - {"none"}


@pytest.mark.parametrize(
    "alert", [alert for alert in ALERTS if policy_of(alert) != "none"], ids=lambda alert: alert["alert"]
)
def test_alert_with_a_policy_has_a_situation_and_the_innocent_twin(alert: dict[str, Any]) -> None:
    """A fault that is repaired and, for the same policy, one that only resembles it."""
    name, policy = alert["alert"], policy_of(alert)
    named = {item.told.get("labels", {}).get("alertname", HOME) for item in SITUATIONS}
    assert name in named, f"add a situation with `labels: {{alertname: {name}, …}}`: {SCENARIOS}"
    expected = {item.expect for item in SITUATIONS if policy in {one.policy.name for one in requests_of(item)}}
    assert {"act", "not_needed"} <= expected, f"{policy} lacks a situation that expects one of these: {SCENARIOS}"


def test_names_stand_once() -> None:
    names = [item.name for item in SITUATIONS]
    assert len(set(names)) == len(names)
