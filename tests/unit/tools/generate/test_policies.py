"""The schema of the policy file says what the reader says, as far as a schema can, and the page says it to people."""

from __future__ import annotations

import copy
import json
from dataclasses import fields
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.errors import ConfigError
from remediations.core import actions
from remediations.core.policies.policy import Policy, PolicySet
from remediations.core.policies.reader import parse_policies
from remediations.shipped import read_policies
from tests.fakes.golden import read_generated
from tests.fakes.json_schema import find_faults
from tests.unit.remediations.core.policies import test_reader, test_sections
from tests.unit.remediations.core.policies.test_reader import ABSENT, DOCUMENT, RESTART, SCALE, changed
from tools.generate.policies.page import PAGE, render_page
from tools.generate.policies.schema import CHART, FILE, build_schema, put_actions, render_schema

SCHEMA: Any = build_schema()
REFERS = "refers to what stands elsewhere in the file"
MEANS = "needs the meaning of a text"
BEYOND = {
    "the name 'scale-api' is used 2 times": REFERS,
    "the name 'pods' is used 2 times": REFERS,
    "'postgre' is not allowed": REFERS,
    "dependencies: 'redis'": REFERS,
    "'postgres' is not allowed": REFERS,
    "graph.api: 'api' is not allowed": REFERS,
    "depends on itself": REFERS,
    "not PromQL": MEANS,
    "is satisfied by an alert without": MEANS,
    "identity: cluster!~": MEANS,
    "not an expression of RE2": MEANS,
    "is not a time zone": MEANS,
    "expected five fields": MEANS,
    "ends before": MEANS,
}
"""Faults that only `check-config` finds, and why."""


def document_of(top: Any, **changes: Any) -> Any:
    """A whole file of one policy, in the words of the tests of the sections."""
    return {"policies": [test_sections.POLICY | changes], **(top or {})}


FAULTY = [
    *((fault, changed(path, value)) for path, value, fault in test_reader.FAULTS),
    *((fault, document_of({}, **change)) for change, fault in test_sections.POLICY_FAULTS),
    *((fault, document_of(top)) for top, fault in test_sections.TOP_FAULTS),
]


def is_beyond(fault: str) -> bool:
    return any(words in fault for words in BEYOND)


@pytest.mark.parametrize(("fault", "document"), FAULTY, ids=lambda item: item if isinstance(item, str) else "")
def test_schema_refuses_every_fault_that_a_schema_can_express(fault: str, document: Any) -> None:
    assert bool(find_faults(SCHEMA, document)) is not is_beyond(fault)


def test_every_exception_is_one() -> None:
    assert [words for words in BEYOND if not any(words in fault for fault, _ in FAULTY)] == []


@pytest.mark.parametrize("document", [DOCUMENT, yaml.safe_load(read_policies())], ids=["complete", "shipped"])
def test_schema_accepts_what_the_reader_accepts(document: Any) -> None:
    parse_policies(yaml.safe_dump(document), "p.yaml")
    assert find_faults(SCHEMA, document) == []


@pytest.mark.timeout(60)
@settings(max_examples=60)  # every change is one document that is read twice
@given(st.data())
def test_schema_never_refuses_what_the_reader_accepts(data: st.DataObject) -> None:
    """An editor that marks a valid line teaches people to ignore marks."""
    paths = [*(f"policies.0.{key}" for key in RESTART), *(f"policies.1.{key}" for key in SCALE), *DOCUMENT]
    value = data.draw(st.sampled_from([0, 1, 1.5, 60, True, "", "x", "a=b", "dry_run", [], ["x"], ["a=b"], {}, ABSENT]))
    document = changed(data.draw(st.sampled_from(paths)), value)
    try:
        parse_policies(yaml.safe_dump(document), "p.yaml")
    except ConfigError:
        return
    assert find_faults(SCHEMA, document) == []


def test_committed_files_are_what_the_code_says() -> None:
    assert read_generated(FILE) == render_schema()
    assert read_generated(PAGE) == render_page(SCHEMA)


def test_chart_accepts_the_actions_that_a_policy_may_name() -> None:
    text = read_generated(CHART)
    assert put_actions(text) == text == put_actions(text.replace('"evict_pod"', '"reboot_toaster"'))


def test_every_key_of_the_reader_is_in_the_schema_with_a_sentence() -> None:
    keys = SCHEMA["properties"].keys(), SCHEMA["$defs"]["Policy"]["properties"].keys()
    assert keys == ({item.name for item in fields(PolicySet)}, {item.name for item in fields(Policy)})
    for part in (SCHEMA, *SCHEMA["$defs"].values()):
        for name, item in part.get("properties", {}).items():
            assert item["description"].endswith("."), name


def test_every_parameter_of_every_action_is_in_the_schema() -> None:
    branches = {
        branch["if"]["properties"]["action"]["const"]: branch["then"]["properties"]["parameters"]
        for branch in SCHEMA["$defs"]["Policy"]["allOf"]
    }
    assert branches.keys() == actions.offered().keys()
    for name, spec in actions.offered().items():
        assert branches[name]["properties"].keys() == {item.name for item in fields(spec.parameters)}
        assert set(branches[name].get("required", ())) == set(spec.required)


def test_page_names_every_key_of_the_schema() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for part in (SCHEMA, *SCHEMA["$defs"].values()):
        for name, item in part.get("properties", {}).items():
            assert f"| `{name}` |" in page
            assert item["description"] in page


def test_shipped_file_names_its_schema_without_an_address() -> None:
    assert read_policies().splitlines()[0] == f"# yaml-language-server: $schema={FILE.name}"
    assert json.loads(FILE.read_text(encoding="utf-8")) == SCHEMA


def test_file_of_another_version_is_refused_and_none_is_the_first() -> None:
    later = copy.deepcopy(DOCUMENT) | {"version": 2}
    assert find_faults(SCHEMA, later)
    assert parse_policies(yaml.safe_dump(DOCUMENT), "p.yaml").version == 1
