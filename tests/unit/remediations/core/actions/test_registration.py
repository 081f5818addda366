"""Actions and guards are found without a second edit, and mistakes of registration are noticed."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import pytest

from chassis.errors import InvariantBroken
from remediations.core import actions, guards
from remediations.core.decide import ACTIONS, GUARDS

FOLDER = Path(actions.__file__).parent
RIGHTS = Path(__file__).parents[5] / "helm" / "controlcore-exporter" / "templates" / "_rights.tpl"
ACTION = '''
from remediations.core.action import action, refuses
from remediations.core.model.reasons import HoldReason

@action(kinds=("Deployment",), effects=frozenset(), refusals=frozenset({HoldReason.CUSTOM}), rbac=("get core/pods",))
def plan(request):
    """Does nothing."""
    return refuses(HoldReason.CUSTOM, "no")
'''
GUARD = '''
from remediations.core.guard import PASSED, guard

@guard(order=%d, reasons=frozenset())
def %s(request):
    """Lets everything pass."""
    return PASSED
'''


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Makes an importable package of the given files, under a unique name."""

    def make(**files: str) -> str:
        name = f"registered_{abs(hash(str(tmp_path)))}"
        folder = Path(tmp_path, name)
        folder.mkdir()
        (folder / "__init__.py").write_text("", encoding="utf-8")
        for module, text in files.items():
            (folder / f"{module}.py").write_text(text, encoding="utf-8")
        monkeypatch.syspath_prepend(str(tmp_path))
        return name

    yield make
    for name in [name for name in sys.modules if name.startswith("registered_")]:
        del sys.modules[name]


def test_actions_are_found_with_what_they_need():
    assert set(ACTIONS) == {path.stem for path in FOLDER.glob("*.py")} - {"__init__"}
    for name, spec in ACTIONS.items():
        assert spec.name == name
        assert len(spec.kinds) == 1
        assert spec.doc.splitlines()[0].endswith(".")


def test_follow_up_is_no_action_that_a_policy_may_name():
    assert set(ACTIONS) - set(actions.offered()) == {"revert_scale"}


def test_no_action_asks_for_more_than_it_writes():
    """Two actions may create, one resource each; none may delete or replace."""
    creating = {right for spec in ACTIONS.values() for right in spec.rbac if right.startswith("create ")}
    assert creating == {"create core/pods/eviction", "create batch/jobs"}
    verbs = {right.split()[0] for spec in ACTIONS.values() for right in spec.rbac}
    assert verbs <= {"get", "list", "patch", "create"}


@pytest.mark.parametrize("name", sorted(actions.offered()))
def test_chart_knows_the_rights_of_every_action(name):
    """Otherwise the chart refuses a policy with this action (tests/integration/helm renders it)."""
    assert f'"{name}"' in RIGHTS.read_text(encoding="utf-8"), f"say in {RIGHTS} which rights {name} needs"


def test_action_file_is_found_without_a_second_edit(package):
    found = actions.discover(package(reboot_toaster=ACTION))
    assert set(found) == {"reboot_toaster"}
    assert (found["reboot_toaster"].doc, found["reboot_toaster"].required) == ("Does nothing.", ())


@pytest.mark.parametrize("text", ["x = 1", "from remediations.core.actions.restart_workload import plan"])
def test_action_file_without_its_own_action_breaks_an_invariant(package, text):
    with pytest.raises(InvariantBroken, match="exactly one function decorated with @action"):
        actions.discover(package(empty=text))


def test_guard_file_is_found_in_its_place_without_a_second_edit(package):
    found = guards.discover(package(b=GUARD % (10, "earlier"), a=GUARD % (30, "latest") + GUARD % (20, "later")))
    assert [spec.name for spec in found] == ["earlier", "later", "latest"]


def test_guard_file_without_its_own_guard_breaks_an_invariant(package):
    with pytest.raises(InvariantBroken, match="must define a function decorated with @guard"):
        guards.discover(package(empty="x = 1"))


def test_two_guards_in_one_place_break_an_invariant(package):
    with pytest.raises(InvariantBroken, match="same order"):
        guards.discover(package(one=GUARD % (10, "one"), two=GUARD % (10, "two")))


def test_two_guards_of_one_name_break_an_invariant(package):
    with pytest.raises(InvariantBroken, match="two guards are called same"):
        guards.discover(package(one=GUARD % (10, "same"), two=GUARD % (20, "same")))


def test_shipped_guards_leave_room_between_them():
    orders = [spec.order for spec in GUARDS]
    assert min(after - before for before, after in pairwise(orders)) >= 10
