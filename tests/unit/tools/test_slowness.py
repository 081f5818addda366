"""The factor by which every bound of the suite is scaled."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tools import slowness


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing measured or set yet; the run's own factor is back afterwards."""
    # Set first, so that the factor that the test measures is undone.
    monkeypatch.setenv(slowness.VARIABLE, "1")
    monkeypatch.delenv(slowness.VARIABLE)


@pytest.mark.usefixtures("unmeasured")
def test_measured_factor_is_at_least_one_and_handed_to_children() -> None:
    factor = slowness.slowness()
    command = [sys.executable, "-c", "from tools.slowness import slowness; print(slowness())"]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=slowness.scaled(10)).stdout
    assert factor >= 1
    assert float(told) == float(os.environ[slowness.VARIABLE]) == factor


@pytest.mark.usefixtures("unmeasured")
def test_set_factor_counts_instead_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(slowness.VARIABLE, "3")
    assert (slowness.slowness(), slowness.scaled(10)) == (3.0, 10 * 3 * slowness.HEADROOM)


def test_factor_below_one_is_one() -> None:
    assert slowness.read_factor("0.25") == 1.0


@pytest.mark.parametrize("text", ["fast", "", "nan", "inf"])
def test_unreadable_factor_names_the_variable(text: str) -> None:
    with pytest.raises(ValueError, match=f"{slowness.VARIABLE} is .{text}.: give a number"):
        slowness.read_factor(text)


def test_timeout_of_a_test_is_scaled(request: pytest.FixtureRequest) -> None:
    marker = request.node.get_closest_marker("timeout")
    assert marker.args == (slowness.scaled(float(request.config.getini("timeout"))),)


@pytest.mark.timeout(33)
def test_own_timeout_of_a_test_is_scaled(request: pytest.FixtureRequest) -> None:
    assert request.node.get_closest_marker("timeout").args == (slowness.scaled(33),)


@pytest.mark.parametrize(("earlier", "measured", "now"), [("2", 5.04, 5.0), ("7", 5.04, 7.0)])
def test_machine_that_is_measured_again_keeps_the_worse_factor(monkeypatch, earlier, measured, now) -> None:
    monkeypatch.setenv(slowness.VARIABLE, earlier)
    monkeypatch.setattr(slowness, "_measure", lambda: measured)
    assert slowness.renew() == slowness.slowness() == now
