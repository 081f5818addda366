"""The scenario library: each situation has its one right decision, and each guard is needed for one of them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from remediations.decide import GUARDS, judge
from remediations.decision import Act, Hold
from remediations.guards import GuardSpec
from tests.fakes.situations import NOBODY, Situation, read_situations, requests_of

SITUATIONS = read_situations()


def outcome(situation: Situation, specs: Sequence[GuardSpec] = GUARDS) -> str:
    """What is decided: `nobody` when no policy takes the alert, else act, not_needed, or the reason of a Hold."""
    requests = requests_of(situation)
    if not requests:
        return NOBODY
    (request,) = requests
    decision = judge(request, specs)
    if isinstance(decision, Hold):
        return decision.reason.value
    return "act" if isinstance(decision, Act) else "not_needed"


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.name)
def test_situation_has_its_decision(situation: Situation) -> None:
    assert outcome(situation) == situation.expect


@pytest.mark.parametrize("spec", GUARDS, ids=lambda spec: spec.name)
def test_removed_guard_turns_a_situation_red(spec: GuardSpec) -> None:
    others = [guard for guard in GUARDS if guard is not spec]
    assert [item.name for item in SITUATIONS if outcome(item, others) != item.expect]


def test_names_stand_once() -> None:
    names = [item.name for item in SITUATIONS]
    assert len(set(names)) == len(names)
