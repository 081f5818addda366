"""The types of the fields of the policy file. The classes with these fields define the form of the file.

pydantic reads a `PolicySection` from YAML's values, and its JSON Schema is made from the same fields. After reading, a
section is a plain frozen dataclass.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, ClassVar, TypeVar, cast

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    Strict,
    ValidationError,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from chassis.documents import expect_seconds
from chassis.errors import not_allowed, unknown_name

MAX_TEXT = 8192
"""Longest string accepted, in characters: no valid value of a policy file is longer."""
DAY = 86400.0
"""Longest time of a policy, in seconds: decisions read no older history from the journal."""
Place = tuple[str | int, ...]
"""Keys and indexes below the value that is being read."""
Found = tuple[Place, str]
"""The location of a fault, and its sentence."""
KEY = "[key]"
"""What pydantic appends to the location if the key itself is wrong."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PolicySection:
    """A group of keys: a dataclass whose fields are the keys, each with the docstring that the documentation shows.

    An unknown key is a fault, and all faults of a section are found at once.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    def find_faults(self) -> Iterator[Found]:
        """Faults that concern several fields together."""
        yield from ()

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The fields, together with the unknown keys."""

        def read(value: Any, read_fields: core_schema.ValidatorFunctionWrapHandler) -> Any:
            if not isinstance(value, Mapping):
                raise ValueError(f"expected a mapping, found {kind_of(value)}")  # noqa: TRY004 - pydantic collects these
            names = key_names(cls)
            given = {str(key): item for key, item in value.items()}
            faults: list[Found] = [((key,), unknown_name(key, names)) for key in given if key not in names]
            known = {key: item for key, item in given.items() if key in names}
            section = _read_with(faults, lambda: read_fields(known))
            refuse(section.find_faults())
            return section

        # pydantic looks the section up again by this name, in a second field; the name must resolve to `read`.
        fields_alone = {**handler(cls)}
        ref = fields_alone.pop("ref", None)
        return core_schema.no_info_wrap_validator_function(read, cast("CoreSchema", fields_alone), ref=ref)


def key_names(section: type[PolicySection]) -> tuple[str, ...]:
    """The keys of a section: its fields; `from_` stands for the key `from`, which is a Python keyword."""
    return tuple(item.name.removesuffix("_") for item in fields(section))


def refuse(faults: Iterable[Found]) -> None:
    """Raises ValidationError with all faults; does nothing if there are none."""
    details = [
        InitErrorDetails(type=PydanticCustomError("policy", "{words}", {"words": words}), loc=place, input=None)
        for place, words in faults
    ]
    if details:
        raise ValidationError.from_exception_data("policy file", details)


def _read_with(faults: list[Found], read: Callable[[], T]) -> T:
    """The value; raises ValidationError with its faults and those known before."""
    try:
        value = read()
    except ValidationError as error:
        refuse((*faults_of(error), *faults))
        raise
    refuse(faults)
    return value


def faults_of(error: ValidationError) -> Iterator[Found]:
    """Every fault of an error of pydantic, in our words."""
    for item in error.errors(include_url=False):
        place = tuple(part for part in item["loc"] if part != KEY)
        yield place, _sentence(item["type"], str(place[-1]) if place else "", item)


def _sentence(kind: str, name: str, item: Mapping[str, Any]) -> str:
    """The fault in terms of YAML."""
    value = item["input"]
    if kind == "missing":
        return "is required"
    if kind == "enum":
        return not_allowed(str(value), re.findall(r"'([^']*)'", item["ctx"]["expected"]))
    if kind == "float_type" and name.endswith("seconds") and isinstance(value, str):
        return expect_seconds(value)
    expected = {
        "float_type": "a number",
        "int_type": "a whole number",
        "string_type": "a string",
        "bool_type": "true or false",
        "dict_type": "a mapping",
    }
    if kind in expected:
        return f"expected {expected[kind]}, found {kind_of(value)}"
    return str(item["msg"]).removeprefix("Value error, ")


def kind_of(value: Any) -> str:
    """The type of a YAML value in terms of YAML."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "a boolean"
    names = {str: "a string", int: "a number", float: "a number", list: "a list", dict: "a mapping"}
    return names.get(type(value), f"a {type(value).__name__}")


class ValueRule:
    """A constraint on a value of the annotated type; strict: a text is not a number, and a number is not a text."""

    def require(self, value: Any) -> Any:
        """The value; raises ValueError."""
        raise NotImplementedError

    def schema(self) -> JsonSchemaValue:
        """The same constraint as keywords of JSON Schema."""
        raise NotImplementedError

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The type, then the constraint."""
        inner = cast("CoreSchema", {**handler(source), "strict": True})
        return core_schema.no_info_after_validator_function(self.require, inner)

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The type, with the constraint."""
        return handler(core) | self.schema()


@dataclass(frozen=True, slots=True)
class Range(ValueRule):
    """Least and greatest number allowed."""

    least: float
    most: float

    def require(self, value: float) -> float:
        """The number."""
        if not self.least <= value <= self.most:
            raise ValueError(f"must be between {self.least:g} and {self.most:g}, is {value:g}")
        return value

    def schema(self) -> JsonSchemaValue:
        """The limits, whole where they are."""
        least, most = (int(limit) if float(limit).is_integer() else limit for limit in (self.least, self.most))
        return {"minimum": least, "maximum": most}


@dataclass(frozen=True, slots=True)
class TextForm(ValueRule):
    """A text that is not empty and, with a pattern, matches `rule` completely."""

    pattern: re.Pattern[str] | None = None
    rule: str = ""

    def require(self, value: str) -> str:
        """The text."""
        if not value.strip():
            raise ValueError("must not be empty")
        if len(value) > MAX_TEXT:
            raise ValueError(f"is longer than {MAX_TEXT} characters")
        if self.pattern is not None and self.pattern.fullmatch(value) is None:
            raise ValueError(f"{value!r} is not {self.rule}")
        return value

    def schema(self) -> JsonSchemaValue:
        """The pattern."""
        pattern = r"\S" if self.pattern is None else f"^(?:{self.pattern.pattern})$"
        return {"pattern": pattern, "maxLength": MAX_TEXT}


@dataclass(frozen=True, slots=True)
class OneOf(ValueRule):
    """A word of a closed set."""

    words: Callable[[], Iterable[str]]

    def require(self, value: str) -> str:
        """The word."""
        words = sorted(self.words())
        if value not in words:
            raise ValueError(not_allowed(value, words))
        return value

    def schema(self) -> JsonSchemaValue:
        """The words."""
        return {"enum": sorted(self.words())}


class Unique:
    """The list has no duplicates."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The list, then the constraint."""
        return core_schema.no_info_after_validator_function(_find_repeated, handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The same for editors."""
        return handler(core) | {"uniqueItems": True}


def _find_repeated(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """The list."""
    refuse(
        ((index,), f"{getattr(value, 'key', repr(value))} is listed twice")
        for index, value in enumerate(values)
        if value in values[:index]
    )
    return values


def find_shared_names(sections: Iterable[Any]) -> Iterator[Found]:
    """Sections of one list that repeat an earlier name; a name that could not be read is empty."""
    names = [section.name for section in sections]
    for index, name in enumerate(names):
        if name and name in names[:index]:
            yield (index, "name"), f"the name {name!r} is used {names.count(name)} times"


def expect_list(value: Any) -> Any:
    """The list of a document, or the default; raises ValueError for anything else, including a set of YAML."""
    if not isinstance(value, list | tuple):
        raise ValueError(f"expected a list, found {kind_of(value)}")  # noqa: TRY004 - pydantic collects these
    return value


@dataclass(frozen=True, slots=True)
class ReadAs:
    """The file represents the annotated type by another type."""

    form: Any
    convert: Callable[[Any], Any] = lambda value: value
    """From the form of the file to the annotated type; raises ValueError."""

    def __get_pydantic_core_schema__(self, _source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The form, then the conversion."""
        return core_schema.no_info_after_validator_function(self.convert, handler.generate_schema(self.form))


def _expect_some(value: Any) -> Any:
    """The list; raises ValueError for an empty one."""
    if not expect_list(value):
        raise ValueError("must not be empty")
    return value


NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?")
Listed = Annotated[tuple[T, ...], BeforeValidator(expect_list)]
Several = Annotated[tuple[T, ...], BeforeValidator(_expect_some), Field(json_schema_extra={"minItems": 1})]
"""A list that is not empty."""
Text = Annotated[str, TextForm()]
Name = Annotated[str, TextForm(NAME, "a name: lower-case letters, digits, - and _, at most 63 characters")]
Key = Annotated[Name, BeforeValidator(str)]
"""A name as a key: YAML reads some keys as numbers or dates."""
Names = Annotated[Listed[Name], Unique()]
Url = Annotated[
    str,
    TextForm(
        re.compile(r"https?://[^\s/?#@]+(?:[/?#]\S*)?"), "a URL without credentials, beginning with http:// or https://"
    ),
]
"""Calls are sent only to this origin."""
Flag = Annotated[bool, Strict()]
Count = Annotated[int, Range(1, 1000)]
UpToADay = Annotated[float, Range(0, DAY)]
WithinADay = Annotated[float, Range(1, DAY)]
Age = Annotated[float, Range(1, 3600)]
