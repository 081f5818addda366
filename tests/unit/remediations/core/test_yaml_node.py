"""A document is read strictly, and every fault says where and what is meant."""

from __future__ import annotations

import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from chassis.errors import ConfigError
from remediations.core.yaml_node import MAX_TEXT, Range, read_yaml


def read(text: str):
    faults: list = []
    return read_yaml(text, "file.yaml", faults), faults


def messages(faults):
    return [str(fault) for fault in faults]


@pytest.mark.parametrize("text", ["a: [", "a: 1\na: 2", "a:\n  b: 1\n  b: 2", "? [x]\n: 1\n? [x]\n: 2", "\x00"])
def test_text_that_is_no_yaml_or_repeats_a_key_is_refused(text):
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert caught.value.faults[0].path == "file.yaml"


def test_unknown_and_missing_keys_are_named_with_their_path():
    root, faults = read("top:\n  modee: 1\n  zzz: 2")
    nodes = root.keys(["top"])["top"].keys(["mode", "name"], ["name"])
    assert nodes == {}
    assert messages(faults) == [
        "file.yaml: top.modee: unknown setting; did you mean mode? allowed here: mode, name",
        "file.yaml: top.zzz: unknown setting; allowed here: mode, name",
        "file.yaml: top.name: is required",
    ]


def test_key_where_none_is_allowed_says_so():
    root, faults = read("a: 1")
    root.keys([])
    assert messages(faults) == ["file.yaml: a: unknown setting; allowed here: nothing"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "nothing"),
        ("1", "a number"),
        ("yes", "a boolean"),
        ("[1]", "a list"),
        ("x", "a string"),
        ("2026-01-01", "a date"),
    ],
)
def test_what_is_no_mapping_is_named(text, found):
    root, faults = read(text)
    assert root.keys(["a"], ["a"]) == {}
    assert messages(faults) == [f"file.yaml: : expected a mapping, found {found}"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1", "expected a string, found a number"),
        ("a: ' '", "must not be empty"),
        ("a: UPPER", "'UPPER' is not a word"),
        (f"a: {'x' * (MAX_TEXT + 1)}", "longer than"),
    ],
)
def test_text_that_does_not_fit_is_a_fault(text, words):
    root, faults = read(text)
    root.keys(["a"])["a"].text(re.compile("[a-z]*"), "a word")
    assert len(faults) == 1
    assert words in str(faults[0])


def test_text_that_fits_is_given():
    root, faults = read("a: word")
    assert root.keys(["a"])["a"].text(re.compile("[a-z]*"), "a word") == "word"
    assert root.keys(["a"])["a"].text() == "word"
    assert faults == []


@pytest.mark.parametrize("text", ["a: [1]", "a: auot", "a: 5"])
def test_choice_outside_the_set_lists_it(text):
    root, faults = read(text)
    assert root.keys(["a"])["a"].choice(["auto", "observe"]) == "auto"
    assert "allowed here: auto, observe" in str(faults[0])


@pytest.mark.parametrize("text", ["a: .nan", "a: .inf", "a: true", "a: '5'", "a: 0.5", "a: 11"])
def test_number_outside_the_limits_is_a_fault(text):
    root, faults = read(text)
    root.keys(["a"])["a"].number(Range(1, 10))
    assert len(faults) == 1


@pytest.mark.parametrize("text", ["a: 1.5", "a: true", "a: '5'", "a: 11"])
def test_whole_number_outside_the_limits_is_a_fault(text):
    root, faults = read(text)
    root.keys(["a"])["a"].integer(Range(1, 10))
    assert len(faults) == 1


def test_numbers_inside_the_limits_are_given():
    root, faults = read("a: 1\nb: 2.5")
    nodes = root.keys(["a", "b"])
    assert (nodes["a"].integer(Range(1, 10)), nodes["b"].number(Range(1, 10)), faults) == (1, 2.5, [])


def test_items_have_their_index_in_the_path():
    root, faults = read("a: [x, 1]")
    for item in root.keys(["a"])["a"].items():
        item.text()
    assert messages(faults) == ["file.yaml: a[1]: expected a string, found a number"]


@pytest.mark.parametrize(
    ("text", "words"), [("a: []", "must not be empty"), ("a: 1", "expected a list, found a number")]
)
def test_list_that_is_empty_or_none_is_a_fault(text, words):
    root, faults = read(text)
    assert root.keys(["a"])["a"].items(may_be_empty=False) == []
    assert words in str(faults[0])


@pytest.mark.timeout(60)  # a hundred documents through PyYAML take five seconds on an idle machine
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_document_is_read_or_reported(value):
    text = yaml.safe_dump(value)
    try:
        root, faults = read(text)
    except ConfigError:
        return
    root.keys(["a"], ["a"])
    root.items()
    root.text()
    root.choice(["a"])
    root.number(Range(0, 1))
    root.integer(Range(0, 1))
    assert faults
