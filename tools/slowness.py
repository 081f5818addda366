"""How much slower this machine is now than the one for which the bounds were written; every bound is scaled by it.

A test waits for an event and fails after a bound. A generous bound costs nothing if the event comes, so each bound is
`scaled`. The first program that needs the factor measures it once and passes it to its children.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time

VARIABLE = "CONTROLCORE_TEST_SLOWNESS"
"""The environment variable that holds the factor: set it to skip the measurement, for example to 4."""
HEADROOM = 3.0
"""Allowed rise of the load after the measurement: other work begins, other tests run concurrently."""
MOST = 8.0
"""Upper limit of the measured factor: a test that hangs on an overloaded machine must still end."""
PROCESSES = 4
"""As many as the workers of `make test`: they share the cores as those will."""
WORK = "total = 0\nfor number in range(600_000): total += number * number % 7"
REFERENCE_WORK_SECONDS = 0.2
"""How long the processes take together on two idle cores of the machine on which the bounds were written."""
NAP_SECONDS = 0.01
REFERENCE_NAP_SECONDS = 0.0125
"""How long a sleep of NAP_SECONDS lasts there next to them."""


def slowness() -> float:
    """The factor, at least 1. Takes a fraction of a second the first time, unless the variable gives it."""
    given = os.environ.get(VARIABLE)
    return renew() if given is None else read_factor(given)


def renew() -> float:
    """Measures again and returns the factor, which holds from now on unless an earlier one was greater."""
    factor = max(round(_measure(), 1), read_factor(os.environ.get(VARIABLE, "1")))
    os.environ[VARIABLE] = str(factor)
    return factor


def scaled(seconds: float) -> float:
    """The bound on this machine for an operation that takes less than `seconds` where the test was written."""
    return seconds * HEADROOM * slowness()


def read_factor(text: str) -> float:
    """The factor as it is set, at least 1; ValueError names the variable."""
    try:
        factor = float(text)
    except ValueError:
        factor = math.nan
    if not math.isfinite(factor):
        raise ValueError(f"{VARIABLE} is {text!r}: give a number such as 2.5, or unset it to have it measured")
    return max(1.0, factor)


def _measure() -> float:
    """How much longer a fixed piece of work takes on all cores, or how late timers are, whichever is worse."""
    command = [sys.executable, "-I", "-S", "-c", WORK]
    began = time.monotonic()
    processes = [subprocess.Popen(command) for _ in range(PROCESSES)]
    naps = 0
    while any(process.poll() is None for process in processes):
        time.sleep(NAP_SECONDS)
        naps += 1
    seconds = time.monotonic() - began
    ratio = max(seconds / REFERENCE_WORK_SECONDS, seconds / naps / REFERENCE_NAP_SECONDS)
    return min(max(1.0, ratio), MOST)
