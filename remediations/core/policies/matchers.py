r"""Alertmanager's matchers: reading them and applying them to labels.

The classic syntax of Alertmanager's configuration: `label op value`, op one of `=`, `!=`, `=~`, `!~`, the value bare
or in double quotes with the escapes `\"`, `\\` and `\n`; several in one string are separated by commas, with or
without braces. Regular expressions are RE2's, anchored at both ends as in Alertmanager, so a matcher means the same in
both. The time for a match grows only with the length of the label, so no expression can block the program.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

import re2
from pydantic import AfterValidator, PlainValidator
from pydantic.json_schema import JsonSchemaValue

from remediations.core.fields import Found, Several, TextForm, kind_of, refuse

MAX_WORK = 20_000_000
"""Instructions of the compiled expression times bytes of the label: about a quarter of a second at worst. A list of a
thousand host names, applied to an address of 1,000 bytes, is just within the limit.
"""
MAX_MEMORY_BYTES = 2 * 1024 * 1024
"""Memory limit of one compiled expression. RE2 compiles without releasing the GIL, so this limits how long the event
loop waits: about 0.1 s; with RE2's default of 8 MiB 1 s. A list of 3,000 host names fits; Go compiles a few huge
expressions that this refuses."""
MAX_SHOWN = 200
"""Characters of an expression that a message quotes."""
MAX_OWN_INSTRUCTIONS = 2000
"""Limit for an expression in a policy file, so that it can be applied to all but absurdly long labels."""


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
        """Whether these labels satisfy the matcher; raises MatcherError if this cannot be computed in bounded time."""
        actual = labels.get(self.label, "")
        if self.type is MatchType.EQUAL:
            return actual == self.value
        if self.type is MatchType.NOT_EQUAL:
            return actual != self.value
        return _fits(self.value, actual) is (self.type is MatchType.REGEX)

    def __str__(self) -> str:
        """The matcher as Alertmanager writes it."""
        return f"{self.label}{self.type}{quote(self.value)}"


class MatcherError(ValueError):
    """A matcher cannot be read; the message says what was expected."""


_MATCHER = re.compile(
    r"""\s*(?P<label>[a-zA-Z_:][a-zA-Z0-9_:]*)\s*
        (?P<type>=~|!=|!~|=)\s*
        (?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^\s,{}"]*))\s*""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r'\\(["\\n])')
_ONE_BYTE = re.compile(r"(?<!\\)(?:\\\\)*\\C")
"""RE2 takes `\\C` for any byte; Go, and so Alertmanager, refuses it."""


def quote(value: str) -> str:
    """The value as a matcher's quoted string."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


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
    """The matcher of this regex match, with escapes resolved and its regular expression checked."""
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
    """Raises MatcherError when Alertmanager would not accept the expression, or when it is too large for a policy."""
    if _compile(value).programsize > MAX_OWN_INSTRUCTIONS:
        raise MatcherError(f"the expression is too large: {_shown(value)}; split it into several policies")


def forget_expressions() -> None:
    """Frees the compiled expressions, each of which may have grown to MAX_MEMORY_BYTES."""
    re2.purge()


def _compile(value: str) -> re2._Regexp:
    """The expression anchored at both ends, as Alertmanager compiles it; raises MatcherError.

    RE2 keeps the last 128 of them.
    """
    options = re2.Options()
    options.log_errors = False
    options.max_mem = MAX_MEMORY_BYTES
    # Groups are not needed, and capturing them makes the match several times slower.
    options.never_capture = True
    try:
        if _ONE_BYTE.search(value):
            raise MatcherError(f"not an expression of RE2 as Go reads it: {_shown(value)}: \\C")
        # Compiled alone first: `a)|(?:b` is valid only inside the brackets, and Alertmanager refuses it.
        re2.compile(value, options)
        return re2.compile(f"^(?:{value})$", options)
    except re2.error as error:
        text = error.args[0].decode("utf-8", "replace") if isinstance(error.args[0], bytes) else str(error)
        raise MatcherError(f"not an expression of RE2: {_shown(value)}: {text}") from error
    except UnicodeEncodeError as error:
        raise MatcherError(f"not UTF-8: {_shown(value)}") from error


def _fits(value: str, actual: str) -> bool:
    """Whether the expression matches the whole text; raises MatcherError if this cannot be computed in bounded time."""
    regex = _compile(value)
    try:
        content = actual.encode()
    except UnicodeEncodeError as error:
        raise MatcherError("the label's value is not UTF-8") from error
    if regex.programsize * len(content) > MAX_WORK:
        raise MatcherError(f"{_shown(value)} is too large for a label value of {len(content)} bytes")
    return regex.search(actual) is not None


def _shown(value: str) -> str:
    """The beginning of an expression, for a sentence."""
    return repr(value if len(value) <= MAX_SHOWN else f"{value[:MAX_SHOWN]}…")


class MatcherForm(TextForm):
    """One or several matchers in one text."""

    def schema(self) -> JsonSchemaValue:
        """The beginning of the first one."""
        return TextForm.schema(self) | {"pattern": r"[a-zA-Z_:][a-zA-Z0-9_:]*\s*(?:=~|!=|!~|=)"}


def _read_matchers(value: Any) -> tuple[Matcher, ...]:
    """Matchers as one string, or as a list of strings; raises ValidationError."""
    texts = value if isinstance(value, list) else [value]
    matchers: list[Matcher] = []
    faults: list[Found] = [] if texts else [((), "must not be empty")]
    for index, text in enumerate(texts):
        try:
            if not isinstance(text, str):
                raise ValueError(f"expected a string, found {kind_of(text)}")  # noqa: TRY004, TRY301 - a fault like the others
            matchers += parse_matchers(MatcherForm().require(text))
        except ValueError as error:
            faults.append(((index,) if isinstance(value, list) else (), str(error)))
    refuse(faults)
    return tuple(matchers)


def _need_labels(matchers: tuple[Matcher, ...]) -> tuple[Matcher, ...]:
    """Matchers that an alert without the label cannot satisfy; raises ValidationError."""
    refuse(
        ((), f"{matcher} is satisfied by an alert without the label: use = or =~ with a value")
        for matcher in matchers
        if matcher.type not in {MatchType.EQUAL, MatchType.REGEX} or matcher.matches({})
    )
    return matchers


_MatcherText = Annotated[str, MatcherForm()]
Matchers = Annotated[
    tuple[Matcher, ...], PlainValidator(_read_matchers, json_schema_input_type=_MatcherText | Several[_MatcherText])
]
Identity = Annotated[Matchers, AfterValidator(_need_labels)]
