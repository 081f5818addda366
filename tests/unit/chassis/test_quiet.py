from __future__ import annotations

from chassis.log import KEYS_MAX, Quiet
from tests.fakes.clock import ManualClock


async def test_one_line_a_minute_and_key_counts_what_was_left_out() -> None:
    """L6: what anybody can cause writes no log without bound."""
    clock = ManualClock()
    quiet = Quiet(clock)
    assert [quiet.count("a") for _ in range(5)] == [1, 0, 0, 0, 0]
    assert quiet.count("b") == 1
    await clock.advance(60.0)
    assert quiet.count("a") == 5


def test_number_of_keys_is_bounded() -> None:
    quiet = Quiet(ManualClock())
    for number in range(10 * KEYS_MAX):
        assert quiet.count(number) == 1
    assert len(quiet._written) == KEYS_MAX
