"""Alertmanager's matcher syntax means here what it means there."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediations.matcher import Matcher, MatcherError, MatchType, matches_all, parse_matchers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("alertname=Watchdog", [("alertname", "=", "Watchdog")]),
        ('alertname = "Watch dog"', [("alertname", "=", "Watch dog")]),
        ('severity=~"warning|critical"', [("severity", "=~", "warning|critical")]),
        ("a!=b", [("a", "!=", "b")]),
        ('a!~"b.*"', [("a", "!~", "b.*")]),
        ('{a="1", b=~"2,3",}', [("a", "=", "1"), ("b", "=~", "2,3")]),
        ('a="1",b="2"', [("a", "=", "1"), ("b", "=", "2")]),
        (" { a = 1 } ", [("a", "=", "1")]),
        ('a=""', [("a", "=", "")]),
        ("a=", [("a", "=", "")]),
        (r'a="say \"hi\" \\ and\nbye \d"', [("a", "=", 'say "hi" \\ and\nbye \\d')]),
    ],
)
def test_matchers_are_read(text, expected):
    assert [(item.label, item.type.value, item.value) for item in parse_matchers(text)] == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected `label"),
        ("{}", "expected `label"),
        ("alertname", "expected `label"),
        ("1a=b", "expected `label"),
        ("a=b c=d", "expected a comma"),
        ('a="b', "expected"),
        ('{a="b"', "braces"),
        ('a=~"("', "not a regular expression"),
        ('a=~"(?=x)"', "look-around"),
        (r'a=~"(x)\\1"', "back-references"),
        ("a=~*", "not a regular expression"),
    ],
)
def test_text_that_is_no_matcher_is_refused(text, words):
    with pytest.raises(MatcherError, match=words):
        parse_matchers(text)


def test_escaped_backslash_before_a_digit_is_no_back_reference():
    (matcher,) = parse_matchers(r'a=~"\\\\1"')
    assert matcher.matches({"a": "\\1"})


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ('a="b"', "b", True),
        ('a="b"', "B", False),
        ('a!="b"', "c", True),
        ('a!="b"', None, True),
        ('a=""', None, True),
        ('a=~"b|c"', "c", True),
        ('a=~"b|c"', "bc", False),
        ('a=~"b"', "ab", False),
        ('a=~"b"', "b\n", False),
        ('a=~".*"', None, True),
        ('a!~"b.*"', "bcd", False),
        ('a!~"b"', "ab", True),
    ],
)
def test_matcher_is_anchored_and_takes_an_absent_label_for_empty(text, value, expected):
    (matcher,) = parse_matchers(text)
    assert matcher.matches({} if value is None else {"a": value}) is expected


def test_every_matcher_must_be_satisfied():
    matchers = parse_matchers('a="1",b="2"')
    assert matches_all(matchers, {"a": "1", "b": "2", "c": "3"})
    assert not matches_all(matchers, {"a": "1"})
    assert matches_all((), {})


@given(
    st.sampled_from([MatchType.EQUAL, MatchType.NOT_EQUAL]), st.text(alphabet=st.characters(exclude_categories=["Cs"]))
)
def test_written_matcher_is_read_back(kind, value):
    matcher = Matcher("label", kind, value)
    assert parse_matchers(str(matcher)) == (matcher,)


@given(st.text())
def test_any_text_is_read_or_refused(text):
    with suppress(MatcherError):
        assert parse_matchers(text)
