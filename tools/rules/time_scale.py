"""Divides every time window of a rule file by a factor and changes nothing else.

`python -m tools.rules.time_scale FACTOR SOURCE TARGET` copies `*.yml` from one folder to another. The demo and
the fault runs use the shipped rules through this transform, so that minutes become seconds while every name, label,
threshold and operator stays the same. Windows are `for`, `keep_firing_for`, a group's `interval` and `query_offset`,
range selectors, subqueries (`[5m]`, `[30m:1m]`) and offsets. A compared age (`time() - x > 300`) is not a window and
stays. Divide the scrape interval too: a range selector needs two samples.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000, "y": 31_536_000_000}
_PART = re.compile(r"(\d+)(ms|[smhdwy])")
_DURATION = re.compile(r"(?:\d+(?:ms|[smhdwy]))+")
# Strings and comments first, so that nothing inside them is taken for a window.
_TOKEN = re.compile(
    r"""(?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`)"""
    r"""|(?P<comment>\#[^\n]*)"""
    r"""|(?P<bracket>\[[^\]"'`]*\])"""
    r"""|(?P<offset>\boffset\s+-?\s*[^\s()\[\],+*/%^=<>!]+)""",
    re.IGNORECASE,
)
_RULE_WINDOWS = ("for", "keep_firing_for")
_GROUP_WINDOWS = ("interval", "query_offset")


class WindowError(ValueError):
    """A window is not written as a duration such as 5m or 1h30m, so dividing it could change its meaning."""


def divide_rules(text: str, factor: float) -> str:
    """The rule file with every window divided; comments and layout are not kept. Raises WindowError."""
    document = yaml.safe_load(text)
    for group in document["groups"]:
        _divide_fields(group, _GROUP_WINDOWS, factor)
        for rule in group["rules"]:
            _divide_fields(rule, _RULE_WINDOWS, factor)
            rule["expr"] = divide_expression(str(rule["expr"]), factor)
    return yaml.safe_dump(document, sort_keys=False, width=10_000)


def divide_expression(promql: str, factor: float) -> str:
    """The expression with every range, subquery step and offset divided."""
    return map_windows(promql, lambda duration: divide_duration(duration, factor))


def map_windows(promql: str, change: Callable[[str], str]) -> str:
    """The expression with `change` applied to every duration that is a window; everything else letter by letter."""

    def replace(token: re.Match[str]) -> str:
        found = token.group()
        if token.lastgroup in {"string", "comment"}:
            return found
        head, body = ("[", found[1:-1]) if token.lastgroup == "bracket" else _split_offset(found)
        tail = "]" if token.lastgroup == "bracket" else ""
        return head + ":".join(_change_padded(part, change) for part in body.split(":")) + tail

    return _TOKEN.sub(replace, promql)


def divide_duration(duration: str, factor: float) -> str:
    """The duration divided, rounded to whole milliseconds, at least one; 0s stays. Raises WindowError."""
    milliseconds = _milliseconds(duration)
    if milliseconds == 0:
        return duration
    return _say(max(1, round(milliseconds / factor)))


def _change_padded(part: str, change: Callable[[str], str]) -> str:
    """A part of a bracket with its spaces kept; the empty step of `[5m:]` stays empty."""
    stripped = part.strip()
    return part.replace(stripped, change(stripped), 1) if stripped else part


def _split_offset(found: str) -> tuple[str, str]:
    """`offset -5m` as (`offset -`, `5m`)."""
    head = re.match(r"offset\s+-?\s*", found, re.IGNORECASE)
    length = head.end() if head is not None else 0
    return found[:length], found[length:]


def _divide_fields(mapping: dict[str, Any], names: Sequence[str], factor: float) -> None:
    for name in names:
        if name in mapping:
            mapping[name] = divide_duration(str(mapping[name]), factor)


def _milliseconds(duration: str) -> int:
    if duration == "0":
        return 0
    if not _DURATION.fullmatch(duration):
        raise WindowError(f"{duration!r} is not a duration such as 5m or 1h30m")
    return sum(int(number) * _UNITS[unit] for number, unit in _PART.findall(duration))


def _say(milliseconds: int) -> str:
    """Milliseconds in the largest units that say them exactly, as Prometheus writes durations."""
    words = []
    for unit, size in (("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)):
        number, milliseconds = divmod(milliseconds, size)
        if number:
            words.append(f"{number}{unit}")
    return "".join(words)


def divide_folder(source: Path, target: Path, factor: float) -> list[Path]:
    """Writes every rule file of `source`, divided, into `target`; returns the files written."""
    target.mkdir(parents=True, exist_ok=True)
    written = []
    for path in sorted(source.glob("*.yml")):
        copy = target / path.name
        copy.write_text(divide_rules(path.read_text(encoding="utf-8"), factor), encoding="utf-8")
        written.append(copy)
    return written


def main() -> None:
    """The command of the module's docstring."""
    parser = argparse.ArgumentParser(
        prog="tools.rules.time_scale", description="Divide the time windows of rule files."
    )
    parser.add_argument("factor", type=float)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    options = parser.parse_args()
    for path in divide_folder(options.source, options.target, options.factor):
        print(path)


if __name__ == "__main__":
    main()
