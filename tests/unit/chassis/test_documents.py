"""Foreign documents are read within limits on depth, size and expansion."""

from __future__ import annotations

import itertools
import json
from contextlib import suppress

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from yaml.constructor import ConstructorError

from chassis.documents import (
    MAX_DEPTH,
    MAX_ITEM_CHARACTERS,
    DocumentError,
    ItemForm,
    ItemReader,
    YamlLines,
    asked_names,
    duration_seconds,
    expect_seconds,
    load_yaml,
    parse_json,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"[" * 100_000, "not JSON"),
        (b'{"a":' * 100_000, "not JSON"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "nested deeper"),
        (b'{"a":' * (MAX_DEPTH + 1) + b"0" + b"}" * (MAX_DEPTH + 1), "nested deeper"),
        (b"[" + b"[]," * 400_000 + b"0]", "more than 400000 values"),
        (b"[" + b"1" * 5000 + b"]", "too long"),
        (b"1" * 301, "too long"),
        (b"1e999", "too large"),
        (b"NaN", "not JSON"),
        (b"[-Infinity]", "not JSON"),
        (b"\xff", "not JSON"),
        (b"", "not JSON"),
    ],
)
def test_json_beyond_the_limits_is_refused(body, words):
    """S5, M6, L9: refused before anybody walks it or calculates with it."""
    with pytest.raises(DocumentError, match=words):
        parse_json(body)


def test_json_as_deep_as_allowed_is_read():
    assert parse_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)


@given(JSON)
def test_json_is_read_as_it_was_written(value):
    with suppress(DocumentError):
        assert parse_json(json.dumps(value)) == value


def merges(levels: int, width: int = 9) -> str:
    """A chain of mappings, each merged `width` times into the next one: S5."""
    lines = ["a0: &a0 {k: v}"]
    lines += [f"a{n}: &a{n}\n  <<: [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, levels)]
    return "\n".join(lines)


def aliases(levels: int, width: int = 9) -> str:
    """A chain of lists, each standing `width` times in the next one."""
    lines = ["a0: &a0 [x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 200_000, "nested deeper"),
        ("{a: " * 200_000, "nested deeper"),
        ("- " * 200_000, "nested deeper"),
        ("? " * 200_000, "nested deeper"),
        (merges(12), "more than 100000 nodes"),
        (aliases(12), "more than 100000 nodes"),
        ("a: &a [*a]", "an alias contains itself"),
        ("a: &a {<<: *a}", "an alias contains itself"),
        ("a: " + "9" * 5000, "too long"),
        ("a: 0x" + "f" * 5000, "too long"),
        ("a: " + "1:" * 5000 + "1", "too long"),
        ("a: 2020-99-99", "cannot be read"),
        ("{a: 1, a: 2}", "twice"),
        ("{[a]: 1}", "a key must be a plain value"),
        ("? &x {a: 1}\n: 1", "a key must be a plain value"),
        ("a: *nothing", "undefined alias"),
        ("!!python/object/apply:os.getcwd []", "could not determine a constructor"),
        ("x" * (4 * 1024 * 1024 + 1), "larger than"),
    ],
    ids=lambda value: value[:24],
)
def test_yaml_beyond_the_limits_is_refused(text, words):
    """S5, M6: in a moment, with a YAMLError that names the place."""
    with pytest.raises(yaml.YAMLError, match=words):
        load_yaml(text)


TAGS = ("null", "bool", "int", "float", "binary", "timestamp", "omap", "pairs", "set", "str", "seq", "map", "merge",
        "value", "python/tuple", "nonsense")  # fmt: skip
VALUES = ("", "foo", "''", "-", "+0x", "0b", "1e", "1_", "-.", ":", "2026-13-45", "2026-01-01T99:00:00Z", "é=", "[a]",
          "[[a]]", "[a: b]", "[{a: 1, b: 2}]", "{a: 1}", "{}", "[]")  # fmt: skip
PLACES = ("{}", "- {}", "a: {}", "a: {{b: [{}]}}", "? {}\n: 1", "<<: {}", "a: &x {}\nb: *x")
TYPED_YAML = [
    place.format(f"!!{tag} {value}") for place, tag, value in itertools.product(PLACES, TAGS, VALUES)
]  # fmt: skip


@pytest.mark.parametrize("is_strict", [True, False])
def test_value_of_any_tag_is_read_or_a_yaml_error_with_its_place(is_strict):
    """M6, S5: PyYAML lets KeyError, IndexError, AttributeError and TypeError out for a value that is not of its tag."""
    marks = []
    for text in (*TYPED_YAML, r'"\UFFFFFFFF"', "%YAML 1." + "9" * 5000 + "\n--- a"):
        try:
            load_yaml(text, is_strict=is_strict)
        except yaml.MarkedYAMLError as error:
            marks.append(error.problem_mark)
    assert len(marks) > len(TYPED_YAML) / 4
    assert None not in marks


@pytest.mark.parametrize(
    ("text", "line"),
    [("a: 1\nb:\n- !!bool foo\n", 2), ("a: 1\nb: {c: !!set [a]}\n", 1), ('a: 1\n\nb: "\\UFFFFFFFF"', 2)],
)
def test_fault_in_a_typed_value_names_its_line(text, line):
    with pytest.raises(ConstructorError) as caught:
        load_yaml(text)
    assert caught.value.problem_mark is not None
    assert caught.value.problem_mark.line == line


def test_yaml_with_a_few_anchors_and_merges_is_read():
    text = "base: &base {a: 1, b: [x]}\none: {<<: *base, a: 2}\ntwo: *base\n"
    assert load_yaml(text) == {"base": {"a": 1, "b": ["x"]}, "one": {"a": 2, "b": ["x"]}, "two": {"a": 1, "b": ["x"]}}


@given(st.text(alphabet="[]{}&*<:a-? \n,!'\"|>0", max_size=60))
def test_any_text_is_yaml_or_a_yaml_error(text):
    with suppress(yaml.YAMLError):
        load_yaml(text)


@given(
    JSON.map(lambda value: [value, value]) | st.lists(JSON, max_size=5), st.integers(1, 9), st.sampled_from([None, 1])
)
def test_list_is_read_item_by_item_however_it_is_cut(value, step, indent):
    """R10."""
    body = json.dumps(value, indent=indent).encode()
    reader, found = ItemReader(), []
    for start in range(0, len(body), step):
        found += reader.feed(body[start : start + step])
    found += reader.feed(b"", is_last=True)
    assert found == value


RESULT = ItemForm("result")


@given(st.lists(JSON, max_size=5), st.integers(1, 9), st.sampled_from([None, 1]))
def test_list_in_an_object_is_read_item_by_item_however_it_is_cut(value, step, indent):
    """R10."""
    body = json.dumps({"result": value}, indent=indent).encode()
    reader, found = ItemReader(RESULT), []
    for start in range(0, len(body), step):
        found += reader.feed(body[start : start + step])
    assert found + reader.feed(b"", is_last=True) == value


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"[]", "not a JSON list"),
        (b'{"other": []}', "the list result alone"),
        (b'{"result": null}', "not a JSON list"),
        (b'{"result": []', "not all of it"),
        (b'{"result": [] , "more": 1}', "not a JSON list"),
        (b'{"result": []}}', "not a JSON list|not all"),
        (b'{"resu', "not all of it"),
        (b"", "not all of it"),
    ],
)
def test_object_without_the_list_is_refused(body, words):
    with pytest.raises(DocumentError, match=words):
        ItemReader(RESULT).feed(body, is_last=True)


def test_object_without_a_member_is_an_empty_list():
    assert ItemReader(RESULT).feed(b"{}", is_last=True) == []


def test_item_may_be_as_deep_and_long_as_its_form_says():
    """R10: and the error names the setting."""
    form = ItemForm(max_characters=1000, limit_setting="its_setting", is_any_depth=True)
    assert len(ItemReader(form).feed(b"[" * 101 + b"]" * 101, is_last=True)) == 1
    with pytest.raises(DocumentError, match="1000 characters; the limit is the setting its_setting"):
        ItemReader(form).feed(b'["' + b"a" * 1000)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{}", "not a JSON list"),
        (b"[1 2]", "not a JSON list"),
        (b"[1,]", "not a JSON list"),
        (b"[1", "not all of it"),
        (b"[]]", "not a JSON list|not all"),
        (b"", "not all of it"),
        (b"[nonsense]", "not all of it"),
        (b'["\xff"]', "not JSON"),
        (b"[" + b"[" * 5000, "not all of it"),
        (b"[" + b"[" * 100 + b"]" * 100 + b"]", "nested deeper"),
        (b"[" + b"1" * 400 + b"]", "too long"),
        (b'["' + b"a" * (MAX_ITEM_CHARACTERS + 1), "an item is larger"),
    ],
)
def test_text_that_is_no_list_is_refused(body, words):
    with pytest.raises(DocumentError, match=words):
        ItemReader().feed(body, is_last=True)


@pytest.mark.parametrize(
    ("text", "seconds"), [("15m", "900"), ("1h30m", "5400"), ("500ms", "0.5"), ("1d", "86400"), ("soon", "900")]
)
def test_duration_is_answered_with_its_seconds(text, seconds):
    assert expect_seconds(text) == f'expected a number of seconds, for example {seconds}; found "{text}"'


@pytest.mark.parametrize(
    ("place", "line"),
    [((), 1), (("b",), 3), (("b", 1), 5), (("b", 0, "c"), 4), (("b", 0, "missing"), 4), (("b", 9), 3), (("z", 0), 1)],
)
def test_place_in_a_document_has_its_line(place, line):
    assert YamlLines("# head\na: {x: 1}\nb:\n  - c: 1\n  - d\n").find(place) == line


@pytest.mark.parametrize(
    ("text", "seconds"), [("1m30s", 90.0), ("15s", 15.0), ("100ms", 0.1), ("", 0.0), ("1h", 3600.0)]
)
def test_duration(text: str, seconds: float) -> None:
    assert duration_seconds(text) == seconds


@pytest.mark.parametrize(
    ("promql", "names"),
    [
        ('max(a_up{component="api"}) == bool 0', ["a_up"]),
        ("sum by (x, y) (rate(a_total[5m] offset 5m)) / on (x) group_left(y) b:c > bool 1e3", ["a_total", "b:c"]),
        ("absent(a) or vector(1) unless b", ["a", "b"]),
        ("time() - min(a_seconds) # and b", ["a_seconds"]),
        ('label_replace(a, "x", "$1", "y", "(.*)")', ["a"]),
        ("histogram_quantile(0.95, sum by (le) (rate(a_bucket[5m]))) * $new / 2", ["a_bucket"]),
        ("1 == bool 1", []),
    ],
)
def test_names_of_series_are_read_from_promql(promql: str, names: list[str]) -> None:
    assert sorted(asked_names(promql)) == names
