"""The remediator's own metrics before anything has happened."""

from __future__ import annotations

import re
from pathlib import Path

from remediations.commands.serve import make_telemetry
from remediations.core.policies.reader import parse_policies
from remediations.metrics import ActionOutcome
from remediations.shipped import read_policies

RULES = Path(__file__).parents[3] / "rules"


def test_every_outcome_that_a_rule_counts_begins_at_zero():
    """R3's kind: the increase of a series that begins at 1 is 0, so the first event would be missed."""
    outcomes = re.findall(
        r'controlcore_remediation_actions_total\{outcome=~?"([a-z|_]+)"',
        "".join(path.read_text() for path in RULES.glob("*.yml")),
    )
    counted = {outcome for group in outcomes for outcome in group.split("|")}

    telemetry = make_telemetry(parse_policies(read_policies(), "policies"))

    labels = {"remediation": "restart-api", "action": "restart_workload"}
    name = "controlcore_remediation_actions_total"
    values = {each: telemetry.registry.get_sample_value(name, labels | {"outcome": each}) for each in counted}
    assert values == dict.fromkeys(counted, 0)
    assert {"failed", "changed", "replayed"} <= counted


def test_every_other_outcome_begins_at_zero_too() -> None:
    """The first dry run after a start would otherwise be in no graph, and dry_run is the default."""
    telemetry = make_telemetry(parse_policies(read_policies(), "policies"))
    labels = {"remediation": "restart-api", "action": "restart_workload"}
    name = "controlcore_remediation_actions_total"
    found = {each: telemetry.registry.get_sample_value(name, labels | {"outcome": each}) for each in ActionOutcome}
    assert found == dict.fromkeys(ActionOutcome, 0)


def test_the_first_repair_after_a_start_is_an_increase() -> None:
    """The duration of a repair too: the dashboard would otherwise say that there was none."""
    telemetry = make_telemetry(parse_policies(read_policies(), "policies"))
    name, action = "controlcore_remediation_duration_seconds", {"action": "restart_workload"}
    assert telemetry.registry.get_sample_value(f"{name}_count", action) == 0
    assert telemetry.registry.get_sample_value(f"{name}_bucket", {**action, "le": "+Inf"}) == 0
