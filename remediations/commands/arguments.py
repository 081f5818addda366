"""Forms of command-line arguments. Light: every start of the command line imports it."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from datetime import datetime

from remediations.core.model.acts import MAX_NAME

STATES = (
    "open", "closed", "received", "claimed", "held", "planned", "writing", "verifying", "succeeded", "failed",
    "unverified", "not_needed", "expired", "observed", "dry_run",
)  # fmt: skip
"""Copies of names in `remediations.core.model.remediation`, so that a start without a command need not import it; a
test compares them."""
OUTCOMES = (
    "dry_run", "expired", "failed", "not_needed", "observed", "succeeded", "unverified", "rejected", "would_have_acted",
)  # fmt: skip
"""See above."""

MAX_DAYS = 3650
"""Longest duration in days, so that every time can be printed as a date."""
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def read_duration(text: str) -> float:
    """Seconds of a duration such as 90s, 15m, 1h30m, 2d; at most MAX_DAYS."""
    parts = re.findall(r"(\d{1,9})([smhd])", text)
    if not parts or "".join(f"{number}{unit}" for number, unit in parts) != text:
        raise argparse.ArgumentTypeError(f"expected a duration such as 90s, 15m, 1h30m or 2d, got {text[:MAX_NAME]!r}")
    seconds = sum(int(number) * UNITS[unit] for number, unit in parts)
    if seconds > MAX_DAYS * UNITS["d"]:
        raise argparse.ArgumentTypeError(f"expected a duration of at most {MAX_DAYS}d, got {text[:MAX_NAME]!r}")
    return seconds


def read_span(text: str) -> float:
    """Seconds of a duration above zero: a pause or an answer of length zero would have no effect."""
    seconds = read_duration(text)
    if not seconds:
        raise argparse.ArgumentTypeError(f"expected a duration above 0, got {text!r}")
    return seconds


def read_name(text: str) -> str:
    """The name that the caller claims; at most MAX_NAME characters."""
    if not text.strip() or len(text) > MAX_NAME:
        raise argparse.ArgumentTypeError(f"expected a name of 1 to {MAX_NAME} characters")
    return text.strip()


def read_since(text: str) -> Callable[[float], float]:
    """Unix seconds at which the wanted period begins: a duration before now, or an ISO time (local by default)."""
    try:
        seconds = read_duration(text)
    except argparse.ArgumentTypeError:
        try:
            moment = datetime.fromisoformat(text).astimezone().timestamp()
        except ValueError:
            raise argparse.ArgumentTypeError(
                f"expected a duration such as 2h, or a time such as 2026-11-29T08:30, got {text!r}"
            ) from None
        return lambda _now: moment
    return lambda now: now - seconds


def read_limit(text: str) -> int:
    """The number of listed entries; 0 means all."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a number, 0 for all, got {text!r}")
    return int(text)
