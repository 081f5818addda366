from __future__ import annotations

import pytest

from remediations.commands.output.text import age_words


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0s"), (59, "59s"), (61, "1m1s"), (3600, "1h0m"), (90000, "1d1h"), (-5, "0s")]
)
def test_age_has_two_units(seconds, text):
    assert age_words(seconds) == text
