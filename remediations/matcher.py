r"""Alertmanager's matchers: reading them and applying them to labels.

The classic syntax of Alertmanager's configuration: `label op value`, op one of `=`, `!=`, `=~`, `!~`, the value bare
or in double quotes with the escapes `\"`, `\\` and `\n`; several in one string are separated by commas, with or
without braces. Regular expressions are anchored at both ends; what RE2 does not know (look-around, back-references) is
refused, because a matcher must mean the same here and in Alertmanager.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class MatchType(StrEnum):
    """Alertmanager's matcher operators."""

    EQUAL = "="
    NOT_EQUAL = "!="
    REGEX = "=~"
    NOT_REGEX = "!~"


@dataclass(frozen=True, slots=True)
class Matcher:
    """One Alertmanager matcher; regular expressions are anchored, an absent label is the empty string."""

    label: str
    type: MatchType
    value: str

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether these labels satisfy the matcher."""
        actual = labels.get(self.label, "")
        if self.type is MatchType.EQUAL:
            return actual == self.value
        if self.type is MatchType.NOT_EQUAL:
            return actual != self.value
        return (re.fullmatch(self.value, actual) is not None) is (self.type is MatchType.REGEX)

    def __str__(self) -> str:
        """The matcher as Alertmanager writes it."""
        value = self.value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'{self.label}{self.type}"{value}"'


class MatcherError(ValueError):
    """A matcher cannot be read; the message says what was expected."""


_MATCHER = re.compile(
    r"""\s*(?P<label>[a-zA-Z_:][a-zA-Z0-9_:]*)\s*
        (?P<type>=~|!=|!~|=)\s*
        (?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^\s,{}"]*))\s*""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r'\\(["\\n])')
_NOT_RE2 = re.compile(r"(?<!\\)(?:\\\\)*(?:\(\?(?:=|!|<=|<!|P=|>|\(|#)|\\[1-9])")


def parse_matchers(text: str) -> tuple[Matcher, ...]:
    """The matchers in a string such as `{alertname="A", severity=~"warning|critical"}`; raises MatcherError."""
    body = text.strip()
    if body.startswith("{") != body.endswith("}"):
        raise MatcherError("braces must be opened and closed")
    body = body.removeprefix("{").removesuffix("}")
    matchers: list[Matcher] = []
    position = 0
    while position < len(body) or not matchers:
        found = _MATCHER.match(body, position)
        if found is None:
            raise MatcherError(f'expected `label="value"` with =, !=, =~ or !~ at {body[position:]!r}')
        matchers.append(_read(found))
        position = found.end()
        if position < len(body) and body[position] != ",":
            raise MatcherError(f"expected a comma at {body[position:]!r}")
        position += 1
    return tuple(matchers)


def matches_all(matchers: Iterable[Matcher], labels: Mapping[str, str]) -> bool:
    """Whether every matcher is satisfied; true when there is none."""
    return all(matcher.matches(labels) for matcher in matchers)


def _read(found: re.Match[str]) -> Matcher:
    """The matcher that the expression found, its escapes resolved and its regular expression checked."""
    kind = MatchType(found["type"])
    quoted = found["quoted"]
    value = found["bare"] if quoted is None else _ESCAPE.sub(_unescape, quoted)
    if kind in {MatchType.REGEX, MatchType.NOT_REGEX}:
        _check_regex(value)
    return Matcher(found["label"], kind, value)


def _unescape(found: re.Match[str]) -> str:
    """The character that an escape stands for."""
    return "\n" if found[1] == "n" else found[1]


def _check_regex(value: str) -> None:
    """Raises MatcherError when the expression is broken or means something else in RE2."""
    try:
        re.compile(value)
    except re.error as error:
        raise MatcherError(f"not a regular expression: {value!r}: {error}") from error
    if _NOT_RE2.search(value):
        raise MatcherError(f"look-around and back-references do not exist in Alertmanager's expressions: {value!r}")
