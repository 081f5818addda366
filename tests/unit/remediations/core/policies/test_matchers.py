"""Alertmanager's matcher syntax means here what it means there."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediations.core.policies.matchers import Matcher, MatcherError, MatchType, matches_all, parse_matchers

ATOMS = ("[a-z0-9.]", ".", "(a|ab|b)", "(a|a)", "[^!]", r"\w?", "\u00e9?")
EVIL = tuple(
    f"({form})#"
    for atom in ATOMS
    for form in (f"({atom}+)+", f"({atom}*)*", f"(({atom}+)+)+", f"({atom}|{atom}+)*", f"({atom}?){{30}}{atom}{{30}}")
)


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
        ('a=~"("', "not an expression of RE2"),
        ('a=~"(?=x)"', "not an expression of RE2"),
        (r'a=~"(x)\\1"', "not an expression of RE2"),
        ("a=~*", "not an expression of RE2"),
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


@given(
    nested=st.sampled_from(EVIL), filler=st.sampled_from(["a", "ab", "a.", "0-", "\u00e9"]), size=st.integers(20, 4000)
)
def test_no_expression_takes_longer_than_its_size_times_the_label(nested, filler, size):
    """R1: each of these takes Python's backtracking engine practically for ever at 30 characters."""
    value = filler * size
    with suppress(MatcherError):
        assert Matcher("a", MatchType.REGEX, nested).matches({"a": value[:size] + "!"}) is False


def test_label_too_long_for_a_large_expression_is_refused():
    with pytest.raises(MatcherError, match="too large for a label value of 60000 bytes"):
        Matcher("a", MatchType.REGEX, "((a|b|c|ab|bc)*){1,900}").matches({"a": "ab" * 30_000})


@pytest.mark.parametrize("expression", [r"(\pL{1,100}){1,8}", r"(?i)(\pL{0,900}|\pN{0,50})x"])
def test_expression_that_blocks_while_it_is_compiled_is_refused(expression):
    """R1: RE2 lets no other thread run meanwhile, so its memory bounds how long the event loop waits."""
    with pytest.raises(MatcherError, match="too large"):
        Matcher("a", MatchType.REGEX, expression).matches({"a": "b"})


def test_list_of_three_thousand_hosts_is_an_expression():
    hosts = [f"host-{number:05d}.example.internal" for number in range(3000)]
    assert Matcher("a", MatchType.REGEX, "|".join(hosts)).matches({"a": hosts[2000]})


def test_policy_with_an_expression_of_many_instructions_is_refused():
    with pytest.raises(MatcherError, match="too large"):
        parse_matchers('a=~"(abc){900}"')


@pytest.mark.parametrize(
    ("expression", "value", "expected"),
    [
        ("Kafka(?i)lag.*", "KafkaLAGs", True),
        (r"\p{Lu}\w+", "\u00c9t\u00e9", False),
        (r"\p{Lu}.+", "\u00c9tat", True),
        ("[[:alpha:]]+", "abc", True),
        (r"\Qa.b\E", "a.b", True),
        ("(?P<n>a)|b", "b", True),
        ("a.b", "a\nb", False),
    ],
)
def test_expression_in_the_dialect_of_re2_is_read(expression, value, expected):
    """R6."""
    assert Matcher("a", MatchType.REGEX, expression).matches({"a": value}) is expected


@pytest.mark.parametrize(
    "expression", [r"(a)\1", "(?=a)", "(?<!a)", r"a\Z", "a++", "a{1001}", r"\C", "(?#x)", "\ud800", "a)|(?:b"]
)
def test_expression_that_alertmanager_refuses_is_refused(expression):
    """R6."""
    with pytest.raises(MatcherError):
        Matcher("a", MatchType.REGEX, expression).matches({"a": "a"})
