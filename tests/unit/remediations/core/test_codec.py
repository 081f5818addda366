"""The codec reads its own output as the same value, and an error names its place."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, ClassVar, Literal, TypeVar, Union, get_args, get_origin, get_type_hints
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remediations.core.codec import CodecError, from_data, from_json, parse_stored, read_stored, to_data, to_json
from remediations.core.decision_inputs import Inputs
from remediations.core.model.acts import HumanAct
from remediations.core.model.alert import Alert, Delivery
from remediations.core.model.decision import Act, Hold, NotNeeded
from remediations.core.model.errors import DamagedRecordError
from remediations.core.model.facts import Approval, BreakerReset, Facts, History, PastAction, Pause
from remediations.core.model.plan import Plan, SendOutcome
from remediations.core.model.remediation import Record, Remediation, Verdict
from remediations.core.model.stored import plan_from_data, plan_hash, plan_to_data
from remediations.core.model.undo import Revert, Undo
from remediations.core.policies.time_windows import Window
from remediations.core.verdict import Observation
from tests.fakes.decisions import an_alert, facts

ROOT = Path(__file__).parents[4]
KINDS = (
    *(Alert, Delivery, Remediation, Record, HumanAct, Approval, BreakerReset, Pause, PastAction),
    *(Facts, History, Plan, Act, Hold, NotNeeded, SendOutcome, Observation, Verdict, Undo, Revert, Inputs),
)
NUMBERS = st.floats(allow_nan=False)
PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(max_size=10),
    int: st.integers(),
    float: NUMBERS,
    bool: st.booleans(),
    type(None): st.none(),
    ZoneInfo: st.sampled_from([ZoneInfo("UTC"), ZoneInfo("Europe/Berlin")]),
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | NUMBERS | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)


def values_of(hint: Any, inner: Any = Any) -> st.SearchStrategy[Any]:  # noqa: PLR0911 - one for each form of annotation
    """Values of an annotation; `inner` stands for a generic's parameter."""
    origin, arguments = get_origin(hint) or hint, get_args(hint)
    if hint is Any or isinstance(hint, TypeVar):
        return JSON if hint is Any else values_of(inner)
    if origin in PLAIN:
        return PLAIN[origin]
    if origin is Annotated or origin is Literal:
        return values_of(arguments[0], inner) if origin is Annotated else st.sampled_from(arguments)
    if origin in {Union, UnionType}:
        return st.one_of([values_of(item, inner) for item in arguments])
    if origin in {tuple, frozenset}:
        return st.lists(values_of(arguments[0], inner), max_size=2).map(origin)
    if origin is Mapping:
        return st.dictionaries(st.text(max_size=5), values_of(arguments[1], inner), max_size=2)
    if issubclass(origin, Enum):
        return st.sampled_from(origin)
    named = {name: values_of(item, *arguments) for name, item in get_type_hints(origin).items() if is_field(item)}
    return st.builds(origin, **named)


def is_field(hint: Any) -> bool:
    return get_origin(hint) is not ClassVar


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_every_record_is_the_same_after_json(kind: Any, data: st.DataObject) -> None:
    value = data.draw(values_of(kind))
    assert from_data(kind, from_json(to_json(value))) == value


@settings(max_examples=15, deadline=None)
@given(plan=values_of(Plan))
def test_plan_is_stored_in_its_first_form_and_keeps_its_hash(plan: Plan) -> None:
    stored = from_json(to_json(plan_to_data(plan)))

    assert plan_from_data(stored, "0001") == plan
    assert plan_hash(plan_from_data(stored, "0001")) == plan_hash(plan)
    assert not [step for step in stored["steps"] if step.get("kind") == "patch"]
    assert ("undo" in stored) is (plan.undo is not None)


def test_half_a_character_of_an_alert_is_stored_and_read() -> None:
    """Alertmanager may send one half of a pair of escapes; UTF-8 cannot express it."""
    alert = an_alert(annotations={"summary": "\ud83d"})

    assert to_json(alert).isascii()
    assert from_data(Alert, from_json(to_json(alert))) == alert


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("$.workload.value.generation", "many", "Expected `int`"),
        ("$.pauses[0].until", "noon", "Expected `float | null`"),
        ("$.workload.value.colour", "green", "no such field"),
        ("$.pauses[0].colour", "green", "no such field"),
        ("$.colour", "green", "no such field"),
    ],
)
def test_fault_names_its_field(place: str, value: str, words: str) -> None:
    data = from_json(to_json(facts(pauses=(Pause("night", "ann", "freeze", None),))))
    *path, last = place.removeprefix("$.").replace("[0]", ".0").split(".")
    inner = data
    for name in path:
        inner = inner[0] if name == "0" else inner[name]
    inner[last] = value

    with pytest.raises(CodecError, match=words) as caught:
        from_data(Facts, data)
    assert str(caught.value).startswith(f"{place}: ")


def test_half_a_character_where_no_text_belongs_is_refused() -> None:
    with pytest.raises(CodecError, match=r"^\$: .*surrogates"):
        from_data(Facts, {"condition": {"value": "\ud83d", "source": ""}})


@pytest.mark.parametrize("data", [[], "text", 5, None])
def test_what_is_no_object_at_all_is_refused(data: object) -> None:
    with pytest.raises(CodecError, match=r"^\$: Expected `object`"):
        from_data(Facts, data)


@pytest.mark.parametrize("zone", ["nowhere", "../etc/passwd", 5, None])
def test_time_zone_that_there_is_not_is_refused(zone: object) -> None:
    with pytest.raises(CodecError, match=r"^\$\.zone: "):
        from_data(Window, {"name": "sale", "zone": zone})


def test_what_is_stored_and_damaged_is_named_by_table_id_and_field() -> None:
    with pytest.raises(DamagedRecordError, match=r"^pause night: until: Expected `float \| null`, got `str`$"):
        read_stored(Pause, {"name": "night", "owner": "a", "reason": "", "until": "noon"}, "pause", "night")
    with pytest.raises(DamagedRecordError, match=r"^record 7: data\.undo\.after: Expected `int`"):
        read_stored(Undo, {"owner": "uid", "field": "replicas", "before": 1, "after": "x"}, "record", 7, "data.undo")
    with pytest.raises(DamagedRecordError, match=r"^record 7: data: not JSON: "):
        parse_stored('{"a": ', "record", 7, "data")


def test_type_that_the_codec_does_not_know_is_told() -> None:
    with pytest.raises(NotImplementedError, match="object cannot be stored"):
        to_data(object())
    with pytest.raises(NotImplementedError, match="Path cannot be read"):
        from_data(Path, "/tmp")


FIRST_READING_IN_TWO_THREADS = """
import sys, threading
from remediations.core.codec import from_data
from remediations.core.model.remediation import Remediation
from remediations.core.decision_inputs import Inputs

sys.setswitchinterval(1e-6)
barrier = threading.Barrier(4)

def read(kind):
    barrier.wait()
    for _ in range(20):
        try:
            from_data(kind, {})
        except ValueError:
            pass

threads = [threading.Thread(target=read, args=(kind,)) for kind in (Inputs, Remediation, Inputs, Remediation)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def test_first_reading_in_two_threads_does_not_end_the_process() -> None:
    """The journal's thread and the event loop read the same types at the start, and some starts ended by SIGSEGV."""
    command = [sys.executable, "-c", FIRST_READING_IN_TWO_THREADS]
    ends = [subprocess.run(command, cwd=ROOT, check=False) for _ in range(12)]

    assert [end.returncode for end in ends] == [0] * len(ends)
