"""Secrets are found in the forms in which programs write them; ordinary words stay."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.output.redaction import MAX_TEXT, REMOVED, is_secret_name, remove_secrets
from tools.redaction import CONTEXTS, ENCODINGS, known_samples, missed, pattern_samples

PATTERN_RATE = 0.98


def test_known_values_are_found_in_every_form():
    """M7: 476 forms: encodings, splits, escapes and cuts, each in several surroundings."""
    samples, not_found = missed(known_samples(), is_known=True)
    assert len(samples) == len(ENCODINGS) * len(CONTEXTS) == 476
    assert not_found == {}


def test_patterns_find_what_programs_usually_print():
    """M7: patterns never find all; `python -m tools.redaction` prints which forms they miss."""
    samples, not_found = missed(pattern_samples(), is_known=False)
    assert not_found.total() <= (1 - PATTERN_RATE) * samples.total()


@given(st.text(min_size=8, max_size=40).filter(lambda text: len(text.strip()) >= 8), st.text(max_size=40), st.text())
def test_value_is_never_left_as_it_is(secret: str, before: str, behind: str):
    """M7: whatever characters a known value has."""
    assert secret not in remove_secrets(before + secret + behind, [secret]).replace(REMOVED, "\0")


@pytest.mark.parametrize("length", range(6, 24))
def test_piece_at_a_cut_end_is_removed(length: int):
    """M7: a server cut the text in the middle of a known value."""
    secret = "Xk2-planted-value-771-9zz"
    assert secret[:length] not in remove_secrets(f"login with {secret[:length]}", [secret])
    assert secret[-length:] not in remove_secrets(f"{secret[-length:]} was refused", [secret])


@pytest.mark.parametrize("secret", ["pin7", "0xA9", "Grüß"])
@pytest.mark.parametrize(
    "written", ["&#x{:x};", "\\u{{{:x}}}", "0x{:x}, ", "{:d} "], ids=["html", "u", "0x", "numbers"]
)
def test_short_value_is_found_in_every_escape(secret: str, written: str):
    """M7: a value of less than eight characters is not searched across line ends and quotes, but it is in escapes."""
    text = "".join(written.format(ord(character)) for character in secret).strip(" ,")
    assert text not in remove_secrets(f"is {text} now", [secret])


def test_piece_beside_an_ellipsis_is_found_as_fast_as_anything():
    """M7: a crafted text with cuts and repetitions cannot slow down the search."""
    known = [f"secret-{number}" for number in range(50)]
    text = remove_secrets("secret..." * 10_000 + "secret-" * 10_000 + "&#x73;ecret-1 > |" * 5_000, known)
    assert "secret..." not in text


@pytest.mark.parametrize(
    "text",
    [
        "GET /health 503 in 2.1 s: QueuePool limit of size 5 reached",
        "pod control-plane-api-5d4f8c7b9b-x2x2x, uid 8f14e45f-ceea-467f-a8d5-1b2c3d4e5f60",
        "image registry/api@sha256:" + "0a" * 32,
        "Traceback (most recent call last): File /usr/lib/python3.11/asyncio/base_events.py, line 654",
        "password authentication failed for user app",
        'would violate PodSecurity "restricted:latest": hostPath volumes (volume "secrets"), runAsNonRoot != true',
        "deployments.apps \"api\" is forbidden: ValidatingAdmissionPolicy 'own' with binding 'own' denied request: no",
        'HTTP status 409: Operation cannot be fulfilled on deployments.apps "api": the object has been modified',
        "2026-11-01T03:04:05.123456Z Back-off restarting failed container",
    ],
)
def test_ordinary_words_stay(text: str):
    assert remove_secrets(text) == text
    assert remove_secrets(text, ["hunter2hunter2", "s3cr3t-Word/77", "0123456789abcdef"]) == text


def test_long_text_is_cut_and_says_how_much_is_missing():
    """M7: a megabyte of foreign text took seconds. Half a secret at the cut is left out too."""
    known = [f"secret-{number}" for number in range(50)] + ["hunter2hunter2"]
    text = remove_secrets("hunter2hunter2 " + "x " * 32_750 + "z" * 99 + "y" * 1_000_000, known)
    assert text == f"{REMOVED} " + "x " * 32_749 + "x (cut: 1000100 more characters)"


def test_long_word_is_cut_where_the_bound_is():
    """M7: no space says where a word ends."""
    assert remove_secrets("x" * (MAX_TEXT + 5)) == "x" * MAX_TEXT + " (cut: 5 more characters)"
    assert remove_secrets("x" * MAX_TEXT) == "x" * MAX_TEXT


@pytest.mark.parametrize("known", [[f"value-{number}" for number in range(257)], ["x" * 20_000]], ids=["many", "long"])
def test_more_known_values_than_can_be_searched_leave_no_text(known: list[str]):
    """M7: a Deployment's author chooses how many values there are; a text that was not searched is not shown."""
    assert remove_secrets("a word", known) == (
        f"{REMOVED} (6 characters: there are more known secrets than can be searched)"
    )


def test_value_and_text_of_one_pattern_are_compared_so_often_and_no_more():
    """M7: a value that repeats itself, and a text that cuts a piece of it 7,000 times, took minutes to compare.

    The pieces that were not compared are removed.
    """
    text = remove_secrets("bcabca..." * 7_000, ["abc" * 5_000])
    assert len(text) < 100


@pytest.mark.parametrize(
    ("name", "expected"), [("DATABASE_URL", True), ("API_KEY", True), ("--pass", True), ("PORT", False)]
)
def test_names_of_secrets(name: str, *, expected: bool):
    assert is_secret_name(name) is expected


@pytest.mark.parametrize(
    "text", ["a \\ud83d\\ude80 b", "&#xD800; b", "&#55296;", "[55296,55297,55298,55299]", "\ud83d", "\\u{d83d}"]
)
def test_halves_of_utf_16_pairs_are_read_over(text: str) -> None:
    """M7: an emoji in a pod's log stopped every decision about it."""
    assert "supersecretvalue" not in remove_secrets(f"{text} supersecretvalue", ["supersecretvalue"])
