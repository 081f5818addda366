"""Reads a YAML document strictly: every fault is collected with its path, unknown keys are answered with what is meant.

A `Node` is one value of the document together with where it stands. Its readers return a harmless stand-in after a
fault, so that reading goes on and one run reports everything.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from chassis.documents import expect_seconds, load_yaml
from chassis.errors import ConfigError, Fault

MAX_TEXT = 8192
"""Longest string accepted, in characters: nothing in a policy file is longer, and a mistake should not be stored."""


@dataclass(frozen=True, slots=True)
class Range:
    """Least and greatest number allowed."""

    least: float
    most: float


@dataclass(frozen=True, slots=True)
class Node:
    """One value of the document, its path, and the list that collects the faults of the whole document."""

    value: Any
    path: str
    faults: list[Fault]

    def fault(self, message: str) -> None:
        """Reports something wrong with this value."""
        self.faults.append(Fault(self.path, message))

    def keys(self, allowed: Iterable[str], required: Iterable[str] = ()) -> dict[str, Node]:
        """The entries of a mapping by key; reports what is no mapping, unknown or missing."""
        names = tuple(allowed)
        entries = self.entries()
        for name, node in entries.items():
            if name not in names:
                node.fault(unknown(name, names))
        for name in required:
            if name not in entries and isinstance(self.value, Mapping):
                self.child(name, None).fault("is required")
        return {name: node for name, node in entries.items() if name in names}

    def entries(self) -> dict[str, Node]:
        """The entries of a mapping whose keys are free."""
        if not isinstance(self.value, Mapping):
            self.fault(f"expected a mapping, found {_kind(self.value)}")
            return {}
        return {str(name): self.child(str(name), value) for name, value in self.value.items()}

    def child(self, name: str, value: Any) -> Node:
        """A value below this one, under a key."""
        separator = "." if self.path and not self.path.endswith(" ") else ""
        return Node(value, f"{self.path}{separator}{name}", self.faults)

    def items(self, *, may_be_empty: bool = True) -> list[Node]:
        """The entries of a list."""
        if not isinstance(self.value, list):
            self.fault(f"expected a list, found {_kind(self.value)}")
            return []
        if not self.value and not may_be_empty:
            self.fault("must not be empty")
        return [Node(value, f"{self.path}[{index}]", self.faults) for index, value in enumerate(self.value)]

    def text(self, pattern: re.Pattern[str] | None = None, rule: str = "") -> str:
        """A string that is not empty and, with a pattern, looks as `rule` says."""
        if not isinstance(self.value, str):
            self.fault(f"expected a string, found {_kind(self.value)}")
            return ""
        if not self.value.strip():
            self.fault("must not be empty")
        elif len(self.value) > MAX_TEXT:
            self.fault(f"is longer than {MAX_TEXT} characters")
        elif pattern is not None and pattern.fullmatch(self.value) is None:
            self.fault(f"{self.value!r} is not {rule}")
        return self.value

    def choice(self, allowed: Iterable[str]) -> str:
        """One of the allowed words; the first of them stands in after a fault."""
        words = tuple(allowed)
        if not isinstance(self.value, str) or self.value not in words:
            self.fault(not_allowed(str(self.value), words))
            return words[0]
        return self.value

    def number(self, limits: Range) -> float:
        """A finite number within the limits."""
        value = self.value
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            is_duration = isinstance(value, str) and self.path.endswith("seconds")
            self.fault(expect_seconds(str(value)) if is_duration else f"expected a number, found {_kind(value)}")
            return limits.least
        if not limits.least <= value <= limits.most:
            self.fault(f"must be between {limits.least:g} and {limits.most:g}, is {value:g}")
        return float(value)

    def integer(self, limits: Range) -> int:
        """A whole number within the limits."""
        if isinstance(self.value, bool) or not isinstance(self.value, int):
            self.fault(f"expected a whole number, found {_kind(self.value)}")
            return int(limits.least)
        return int(self.number(limits))


def read_yaml(text: str, source: str, faults: list[Fault]) -> Node:
    """The document's root; raises ConfigError when the text is no YAML at all."""
    try:
        value = load_yaml(text)
    except yaml.YAMLError as error:
        raise ConfigError((Fault(source, f"not YAML: {error}"),)) from error
    return Node(value, f"{source}: ", faults)


def unknown(name: str, allowed: Iterable[str]) -> str:
    """The sentence for an unknown key."""
    return f"unknown setting; {_hint(name, tuple(allowed))}"


def not_allowed(value: str, allowed: Iterable[str]) -> str:
    """The sentence for a value outside a closed set."""
    return f"{value!r} is not allowed; {_hint(value, tuple(allowed))}"


def _hint(name: str, allowed: tuple[str, ...]) -> str:
    """What was probably meant, and everything there is."""
    close = difflib.get_close_matches(name, allowed, n=1)
    meant = f"did you mean {close[0]}? " if close else ""
    return f"{meant}allowed here: {', '.join(sorted(allowed)) or 'nothing'}"


def _kind(value: Any) -> str:
    """The type of a YAML value in words of YAML."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "a boolean"
    names = {str: "a string", int: "a number", float: "a number", list: "a list", dict: "a mapping"}
    return names.get(type(value), f"a {type(value).__name__}")
