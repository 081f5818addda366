"""Forms of command-line arguments. Light: every start of the command line imports it."""

from __future__ import annotations

import argparse
import re

from remediations.core.model.acts import MAX_NAME

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def read_duration(text: str) -> float:
    """Seconds of a duration such as 90s, 15m, 1h30m, 2d."""
    parts = re.findall(r"(\d+)([smhd])", text)
    if not parts or "".join(f"{number}{unit}" for number, unit in parts) != text:
        raise argparse.ArgumentTypeError(f"expected a duration such as 90s, 15m, 1h30m or 2d, got {text!r}")
    return sum(int(number) * UNITS[unit] for number, unit in parts)


def read_name(text: str) -> str:
    """The name that somebody gives himself; at most MAX_NAME characters."""
    if not text.strip() or len(text) > MAX_NAME:
        raise argparse.ArgumentTypeError(f"expected a name of 1 to {MAX_NAME} characters")
    return text.strip()
