"""Reads foreign documents (JSON, YAML) within limits on depth, size and expansion.

Only this module parses foreign documents, so all limits are here. Results are nested at most MAX_DEPTH deep and hold
only numbers that fit into a float: code may walk them and calculate with them.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError

MAX_DEPTH = 64
"""Deepest nesting. Kubernetes objects and policies are nested about 15 deep; each level costs stack frames here."""
MAX_VALUES = 400_000
"""Most commas and brackets of one JSON document. An empty list takes 56 bytes of memory and 3 of the document."""
MAX_DIGITS = 300
"""Digits of a whole number; a float ends at 309."""
MAX_YAML_CHARACTERS = 4 * 1024 * 1024
"""Characters of one YAML document; a file of a thousand discovered bouncers has about 100,000."""
MAX_YAML_NODES = 100_000
"""Nodes of one YAML document, each alias counted with its whole content."""
MAX_QUOTED = 40
"""Characters of a key or value that an error quotes."""
DURATION = re.compile(r"(\d{1,9})(ms|[smhdwy])")
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, "y": 31536000.0}
"""Duration units of Prometheus and Alertmanager, in seconds."""
STRING = re.compile(r""""(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`""")
COMMENT = re.compile(r"#[^\n]*")
NO_NAMES = re.compile(
    r"\{[^}]*\}|\[[^\]]*\]|\boffset\s+-?\s*\w+|\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)",
    re.IGNORECASE,
)
"""The parts of PromQL that hold label names or durations."""
NAME = re.compile(r"(?<![\w.:$])[a-zA-Z_:][\w:]*(?!\s*\(|[\w:])")
KEYWORDS = frozenset({"and", "or", "unless", "bool", "atan2", "inf", "nan", "group_left", "group_right"})
MAX_ITEM_CHARACTERS = 1024 * 1024
"""Longest item of a JSON list that is read piece by piece, in characters."""


class DocumentError(ValueError):
    """A document is malformed or too large; the message quotes nothing of it."""


class UnreadableError(ValueError):
    """A file cannot be read; the message names its path and says why."""


class TooManyValuesError(DocumentError):
    """A document would take far more memory than its length."""


def parse_json(body: bytes | str) -> Any:
    """The document; raises DocumentError, also for NaN, Infinity and numbers that do not fit into a float."""
    text = body if isinstance(body, bytes) else body.encode("utf-8", "surrogatepass")
    if text.count(b",") + text.count(b"[") + text.count(b"{") > MAX_VALUES:
        raise TooManyValuesError(f"the document holds more than {MAX_VALUES} values")
    try:
        value = json.loads(body, parse_int=_whole, parse_float=_finite, parse_constant=_refuse)  # noqa: TID251 - here
    except DocumentError:
        raise
    except (ValueError, RecursionError) as error:
        raise DocumentError("not JSON") from error
    require_shallow(value)
    return value


def require_shallow(value: Any) -> None:
    """Raises DocumentError for a value that is nested deeper than MAX_DEPTH."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_DEPTH):
        if not level:
            return
        level = [
            child
            for item in level
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, dict | list)
        ]
    if level:
        raise DocumentError(f"the document is nested deeper than {MAX_DEPTH} levels")


@dataclass(frozen=True, slots=True)
class ItemForm:
    """Where the items of an answer are, and how large each may be."""

    member: str = ""
    """The only member of the object, whose value is the list, as in `{"result": […]}`; empty for a bare list."""
    max_characters: int = MAX_ITEM_CHARACTERS
    limit_setting: str = ""
    """The setting behind `max_characters`, which the error names; empty without one."""
    is_any_depth: bool = False
    """Whether items may be nested deeper than MAX_DEPTH; if so, code must not walk them."""


PLAIN_LIST = ItemForm()


class ItemReader:
    """Reads a JSON list of any length item by item; holds one item and one piece of the body in memory."""

    def __init__(self, form: ItemForm = PLAIN_LIST) -> None:
        self._form = form
        self._bytes = codecs.getincrementaldecoder("utf-8")()
        self._json = json.JSONDecoder(parse_int=_whole, parse_float=_finite, parse_constant=_refuse)
        self._text = ""
        self._state = _ParseState.OBJECT if form.member else _ParseState.START

    @property
    def pending_characters(self) -> int:
        """Length of the incomplete next item, which is parsed again with each piece."""
        return len(self._text)

    def feed(self, piece: bytes, *, is_last: bool = False) -> list[Any]:
        """The items that are complete after this piece of the body; raises DocumentError."""
        try:
            self._text += self._bytes.decode(piece, is_last)
        except UnicodeDecodeError as error:
            raise DocumentError("not JSON") from error
        items = list(self._items(is_last=is_last))
        if len(self._text) > self._form.max_characters:
            named = f"; the limit is the setting {self._form.limit_setting}" if self._form.limit_setting else ""
            raise DocumentError(f"an item is larger than {self._form.max_characters} characters{named}")
        if is_last and (self._state is not _ParseState.END or self._text):
            raise DocumentError("not a JSON list, or not all of it")
        return items

    def _items(self, *, is_last: bool) -> Iterator[Any]:
        """The complete items at the beginning of the text; the rest is the beginning of the next one."""
        position = _after_space(self._text, 0)
        while position < len(self._text):
            following = _FOLLOWING.get((self._state, self._text[position]))
            if following is not None:
                is_all = following is _ParseState.LIST_END and not self._form.member
                self._state = _ParseState.END if is_all else following
                position = _after_space(self._text, position + 1)
                continue
            if self._state not in {_ParseState.MEMBER, _ParseState.FIRST, _ParseState.ITEM}:
                raise DocumentError("not a JSON list")
            try:
                value, end = self._json.raw_decode(self._text, position)
            except DocumentError:
                raise
            except (ValueError, RecursionError):
                break  # the rest of the item is still to come; a malformed item ends by exceeding the length limit
            if self._state is _ParseState.MEMBER:
                if value != self._form.member:
                    raise DocumentError(f"expected an object with the list {self._form.member} alone")
                self._state = _ParseState.COLON
                position = _after_space(self._text, end)
                continue
            if not is_last and self._text[end : end + 1] not in _AFTER_ITEM:
                break  # the number may continue
            if not self._form.is_any_depth:
                require_shallow(value)
            yield value
            self._state = _ParseState.COMMA
            position = _after_space(self._text, end)
        self._text = self._text[position:]


class _ParseState(Enum):
    """What comes next in a JSON list."""

    OBJECT = auto()
    """The beginning of the object that holds the list."""
    MEMBER = auto()
    """The list's name, or the end of an object without it (an empty list)."""
    COLON = auto()
    START = auto()
    FIRST = auto()
    """An item, or the end of an empty list."""
    ITEM = auto()
    COMMA = auto()
    """A comma, or the end."""
    LIST_END = auto()
    END = auto()


_FOLLOWING = {
    (_ParseState.OBJECT, "{"): _ParseState.MEMBER,
    (_ParseState.MEMBER, "}"): _ParseState.END,
    (_ParseState.COLON, ":"): _ParseState.START,
    (_ParseState.LIST_END, "}"): _ParseState.END,
    (_ParseState.START, "["): _ParseState.FIRST,
    (_ParseState.FIRST, "]"): _ParseState.LIST_END,
    (_ParseState.COMMA, ","): _ParseState.ITEM,
    (_ParseState.COMMA, "]"): _ParseState.LIST_END,
}


_AFTER_ITEM = (",", "]", " ", "\t", "\r", "\n")


def _after_space(text: str, position: int) -> int:
    """The position of the next JSON character that is not white space."""
    while position < len(text) and text[position] in " \t\r\n":
        position += 1
    return position


def load_yaml(text: str, *, is_strict: bool = True) -> Any:
    """The document; raises yaml.YAMLError. With `is_strict`, a duplicate key in a mapping is an error.

    An alias counts with its whole content, so a short document cannot expand to millions of nodes.
    """
    if len(text) > MAX_YAML_CHARACTERS:
        raise yaml.MarkedYAMLError(problem=f"the document is larger than {MAX_YAML_CHARACTERS} characters")
    return yaml.load(text, Loader=_StrictLoader if is_strict else _BoundedLoader)  # noqa: S506, TID251 - both are SafeLoaders  # nosec B506


def yaml_problem(error: yaml.YAMLError) -> str:
    """The fault of a document and its place, without quoting a line."""
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark
        place = f" in line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        return f"not YAML: {error.problem}{place}"
    return f"not YAML: {getattr(error, 'reason', type(error).__name__)}"


def read_file(path: Path) -> str:
    """The text of a file; raises UnreadableError."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableError(f"cannot read {path}: {why_unreadable(error)}") from error


def why_unreadable(error: OSError | UnicodeDecodeError) -> str:
    """The reason why a file cannot be read."""
    return (error.strerror if isinstance(error, OSError) else None) or "it is not UTF-8 text"


class YamlLines:
    """Finds the lines of a document that `load_yaml` has read."""

    def __init__(self, text: str) -> None:
        self._root = _StrictLoader(text).get_single_node()

    def find(self, place: Iterable[str | int]) -> int:
        """The line of the value at these keys and indexes, as far as they exist; the first line is 1."""
        node, line = self._root, 1
        for part in place:
            if isinstance(node, yaml.MappingNode):
                marks = {key.value: (key.start_mark, value) for key, value in node.value}
            elif isinstance(node, yaml.SequenceNode):
                marks = {index: (value.start_mark, value) for index, value in enumerate(node.value)}
            else:
                break
            if part not in marks:
                break
            mark, node = marks[part]
            line = mark.line + 1
        return line


class _BoundedLoader(yaml.SafeLoader):
    """A SafeLoader with limits on depth and on the number of nodes, aliases counted in full."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = 0
        self._nodes = 0
        self._sizes: dict[int, int] = {}
        """Number of nodes in each composed node, by its identity."""

    def get_single_data(self) -> Any:
        """The document; text that the scanner cannot read (a code point beyond Unicode) is a YAML error too."""
        with _as_yaml_error(self.get_mark):
            return super().get_single_data()

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """One node with all its children; an alias refers to an earlier node."""
        event = self.peek_event()  # type: ignore[no-untyped-call] # the stubs leave it out
        mark, is_alias = event.start_mark, isinstance(event, yaml.AliasEvent)
        if self._depth >= MAX_DEPTH:
            raise ComposerError(None, None, f"nested deeper than {MAX_DEPTH} levels", mark)
        self._depth += 1
        before = self._nodes
        self._nodes += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        if not is_alias:
            self._sizes[id(node)] = self._nodes - before
        elif id(node) in self._sizes:
            self._nodes = before + self._sizes[id(node)]
        else:
            raise ComposerError(None, None, "an alias contains itself", mark)
        if self._nodes > MAX_YAML_NODES:
            raise ComposerError(None, None, f"more than {MAX_YAML_NODES} nodes, aliases counted in full", mark)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: ARG002, FBT001, FBT002 - the signature of the base
        """The value of a node and its children; a value that no constructor can read is a YAML error with its place.

        Always deep: otherwise PyYAML fills collections later, where the place of a fault is unknown.
        """
        is_number = node.tag in {"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"}
        if is_number and len(node.value) > MAX_DIGITS:
            raise ConstructorError(None, None, "the number is too long", node.start_mark)
        with _as_yaml_error(lambda: node.start_mark):
            return super().construct_object(node, deep=True)


class _StrictLoader(_BoundedLoader):
    """Refuses a duplicate key in a mapping: YAML would silently keep the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 - the signature of the base
        """The mapping; raises ConstructorError for a repeated key or a key that is not a scalar."""
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise ConstructorError(None, None, "a key must be a plain value", key.start_mark)
            if key.value in seen:
                raise ConstructorError(None, None, f"the key {key.value[:MAX_QUOTED]} appears twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def duration_seconds(text: str) -> float:
    """A Prometheus duration such as 1m30s, in seconds (model.ParseDuration); 0 for any other text."""
    return sum(int(number) * UNITS[unit] for number, unit in DURATION.findall(text))


def without_texts(promql: str) -> str:
    """The PromQL without comments and quoted strings."""
    return COMMENT.sub("", STRING.sub('""', promql))


def asked_names(promql: str) -> frozenset[str]:
    """The series names in a PromQL: its identifiers without functions, keywords, labels, variables and strings."""
    names = NAME.findall(NO_NAMES.sub(" ", without_texts(promql)))
    return frozenset(name for name in names if name.lower() not in KEYWORDS)


def expect_seconds(value: str) -> str:
    """The error for a text instead of seconds; for a duration such as 15m it gives the seconds."""
    parts = DURATION.findall(value)
    is_duration = bool(parts) and "".join(number + unit for number, unit in parts) == value
    seconds = duration_seconds(value) if is_duration else 900
    return f'expected a number of seconds, for example {seconds:.15g}; found "{value[:MAX_QUOTED]}"'


@contextmanager
def _as_yaml_error(place: Callable[[], yaml.Mark]) -> Iterator[None]:
    """Turns every other exception into a YAMLError: PyYAML raises KeyError and others for a wrongly typed value."""
    try:
        yield
    except yaml.YAMLError:
        raise
    except Exception as error:
        raise ConstructorError(None, None, "the value cannot be read", place()) from error


def _whole(text: str) -> int:
    """A whole number; raises DocumentError if it is too large to be added to a float."""
    if len(text) > MAX_DIGITS:
        raise DocumentError("a number is too long")
    return int(text)


def _finite(text: str) -> float:
    """A number; raises DocumentError if it does not fit into a float."""
    number = float(text)
    if math.isinf(number):
        raise DocumentError("a number is too large")
    return number


def _refuse(text: str) -> float:
    """Refuses NaN and Infinity, which Python reads but JSON does not have."""
    raise DocumentError(f"{text} is not JSON")
