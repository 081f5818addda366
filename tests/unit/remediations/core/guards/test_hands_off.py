from __future__ import annotations

import pytest

from remediations.core.model.facts import Fact
from remediations.core.model.names import ANNOTATION_HANDS_OFF
from remediations.core.model.reasons import HoldReason
from tests.fakes.decisions import a_workload, an_autoscaler, ask, facts, unknown


def marked(value: str):
    return {ANNOTATION_HANDS_OFF: value}


@pytest.mark.parametrize(("value", "holds"), [("true", True), ("until monday", True), ("false", False), ("", False)])
def test_mark_on_the_workload_holds_unless_it_says_no(value, holds):
    outcome = ask("hands_off", facts=facts(workload=Fact(a_workload(annotations=marked(value)), "w")))
    assert (outcome.reason is HoldReason.HANDS_OFF) is holds


def test_mark_on_the_autoscaler_holds():
    autoscalers = Fact((an_autoscaler(annotations=marked("true")),), "hpa")
    assert ask("hands_off", facts=facts(autoscalers=autoscalers)).reason is HoldReason.HANDS_OFF


def test_what_cannot_be_read_is_left_to_the_target_guard():
    assert ask("hands_off", facts=facts(workload=unknown(), autoscalers=unknown())).reason is None
    assert ask("target", facts=facts(workload=unknown())).reason is HoldReason.TARGET_UNKNOWN
