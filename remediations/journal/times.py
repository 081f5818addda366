"""Times in JSON answers: each number of Unix seconds is accompanied by the same instant in RFC 3339."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chassis.clock import format_rfc3339

UNSUFFIXED = frozenset({"until", "since", "lease_until"})
"""Names of times that do not end in `_at`."""
AS_STORED = frozenset({"recorded_facts", "plan"})
"""Values that the program reads back or hashes: nothing is added inside."""


def add_times(content: Any) -> Any:
    """The same with `NAME_time` beside each `NAME_at`, `time` beside `at`, and `until_time` beside `until`."""
    if isinstance(content, list | tuple):
        return [add_times(item) for item in content]
    if not isinstance(content, Mapping):
        return content
    told: dict[Any, Any] = {}
    for name, value in content.items():
        told[name] = value if name in AS_STORED else add_times(value)
        other = _name(str(name))
        if other and other not in content and not isinstance(value, bool) and isinstance(value, int | float):
            told[other] = _told(value)
    return told


def _name(name: str) -> str:
    """The name of the RFC 3339 time beside a number; empty if the number is not a time."""
    if name in UNSUFFIXED:
        return f"{name}_time"
    is_time = name == "at" or name.endswith("_at")
    return f"{name.removesuffix('at')}time" if is_time else ""


def _told(unix_seconds: float) -> str | None:
    """The time in RFC 3339; None for a number that is not a date."""
    try:
        return format_rfc3339(unix_seconds)
    except (OverflowError, ValueError, OSError):
        return None
