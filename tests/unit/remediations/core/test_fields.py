"""A section is read strictly, and every fault says where and what is meant."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from remediations.core.fields import (
    MAX_TEXT,
    Flag,
    Listed,
    OneOf,
    PolicySection,
    Range,
    Several,
    Text,
    TextForm,
    Unique,
    faults_of,
)


@dataclass(frozen=True, slots=True)
class Sample(PolicySection):
    """One field of each kind."""

    name: Annotated[str, TextForm(re.compile("[a-z]*"), "a word")] = "word"
    text: Text = "text"
    mode: Annotated[str, OneOf(lambda: ("auto", "observe"))] = "auto"
    share: Annotated[float, Range(1, 10)] = 1.5
    number: Annotated[int, Range(1, 10)] = 1
    flag: Flag = True
    items: Listed[Text] = ()
    some: Annotated[Several[Text], Unique()] = ("a",)


@dataclass(frozen=True, slots=True)
class Outer(PolicySection):
    """A section with another one in it."""

    top: Sample
    others: Listed[Sample] = ()


def read(text: str, kind: Any = Sample) -> Any:
    return TypeAdapter(kind).validate_python(yaml.safe_load(text))


def faults(text: str, kind: Any = Sample) -> list[tuple[str, str]]:
    with pytest.raises(ValidationError) as caught:
        read(text, kind)
    return [(".".join(map(str, place)), words) for place, words in faults_of(caught.value)]


def test_unknown_and_missing_keys_are_named_at_once() -> None:
    assert faults("others: [{modee: x, share: 99}, {zzz: 1}]\n5: x", Outer) == [
        ("top", "is required"),
        ("others.0.share", "must be between 1 and 10, is 99"),
        ("others.0.modee", f"unknown setting; did you mean mode? allowed here: {NAMES}"),
        ("others.1.zzz", f"unknown setting; allowed here: {NAMES}"),
        ("5", "unknown setting; allowed here: others, top"),
    ]
    assert len(faults("top: {zzz: 1}\nothers: [{zzz: 1}]", Outer)) == 2


NAMES = "flag, items, mode, name, number, share, some, text"


def test_key_where_none_is_allowed_says_so() -> None:
    assert faults("a: 1", PolicySection) == [("a", "unknown setting; allowed here: nothing")]


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
def test_what_is_no_mapping_is_named(text: str, found: str) -> None:
    assert faults(text) == [("", f"expected a mapping, found {found}")]


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("name: 1", "name", "expected a string, found a number"),
        ("name: !!binary aGk=", "name", "expected a string, found a bytes"),
        ("name: ' '", "name", "must not be empty"),
        ("name: UPPER", "name", "'UPPER' is not a word"),
        (f"text: {'x' * (MAX_TEXT + 1)}", "text", f"is longer than {MAX_TEXT} characters"),
        ("mode: auot", "mode", "'auot' is not allowed; did you mean auto? allowed here: auto, observe"),
        ("mode: [1]", "mode", "expected a string, found a list"),
        ("share: .nan", "share", "must be between 1 and 10, is nan"),
        ("share: .inf", "share", "must be between 1 and 10, is inf"),
        ("share: true", "share", "expected a number, found a boolean"),
        ("share: '5'", "share", "expected a number, found a string"),
        ("share: 0.5", "share", "must be between 1 and 10, is 0.5"),
        ("number: 1.5", "number", "expected a whole number, found a number"),
        ("number: true", "number", "expected a whole number, found a boolean"),
        ("number: '5'", "number", "expected a whole number, found a string"),
        ("number: 11", "number", "must be between 1 and 10, is 11"),
        ("flag: 1", "flag", "expected true or false, found a number"),
        ("items: x", "items", "expected a list, found a string"),
        ("items: !!set {a}", "items", "expected a list, found a set"),
        ("items: [x, 1]", "items.1", "expected a string, found a number"),
        ("some: []", "some", "must not be empty"),
        ("some: [a, b, a]", "some.2", "'a' is listed twice"),
    ],
)
def test_value_that_does_not_fit_is_one_fault_with_its_place(text: str, place: str, words: str) -> None:
    assert faults(text) == [(place, words)]


def test_what_fits_is_given_as_a_plain_value() -> None:
    assert read("{share: 2, number: 3, items: [x], flag: false}") == Sample(
        share=2.0, number=3, items=("x",), flag=False
    )
    assert read("{}") == Sample()


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(list(NAMES.split(", "))), inner),
    )
)
def test_any_value_is_read_or_reported(value: Any) -> None:
    with suppress(ValidationError):
        TypeAdapter(Outer).validate_python(value)
