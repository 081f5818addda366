"""The README and `doctor` know exactly the rights that the chart gives."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from remediations.commands.doctor.rights import HeldRule, excess_rights, needed_rights
from remediations.core.decide import ACTIONS
from remediations.core.model.alert import Mode
from remediations.core.policies.reader import parse_policies
from remediations.shipped import read_policies
from tests.fakes.installation import a_place
from tools.chart import remediator_rights
from tools.generate.rbac_table import rights_table

README = Path(__file__).resolve().parents[3] / "README.md"
KEYS = ("verbs", "apiGroups", "resources", "resourceNames")


def test_readme_shows_the_rights_of_the_chart() -> None:
    assert rights_table() in README.read_text(encoding="utf-8")


@pytest.mark.parametrize("mode", list(Mode))
def test_doctor_finds_no_right_of_the_chart_missing_or_too_much(mode: Mode) -> None:
    """With the shipped policies, all of them in one mode; the chart guesses the names of autoscalers."""
    whole = yaml.safe_load(read_policies().replace(".invalid:", ".example:"))
    for policy in whole["policies"]:
        policy["mode"] = mode.value
    policies = parse_policies(yaml.safe_dump(whole | {"identity": ['cluster="any"']}), "policies")
    roles = [item for item in remediator_rights(whole["policies"], "controlcore") if item["kind"] == "Role"]
    rules = [HeldRule(*(frozenset(rule.get(key) or ()) for key in KEYS)) for role in roles for rule in role["rules"]]
    targets = a_place(policies).targets()
    owners = {target: (f"{target.name}-hpa",) for target in targets if target.kind == "Deployment"}
    wanted = needed_rights(targets, owners, has_keda=True)
    used = {text for users in targets.values() for policy in users for text in ACTIONS[policy.action].rbac}
    assert [str(item.right) for item in wanted if not any(rule.covers(item.right) for rule in rules)] == []
    assert excess_rights(rules, wanted, frozenset(used) if mode is not Mode.OBSERVE else frozenset()) == []
