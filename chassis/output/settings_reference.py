"""Writes the reference of a program's settings as Markdown, from the models that read them.

Every setting appears once, with its form, limits, default and meaning. A shared section is described at its first use;
other uses link to it.
"""

from __future__ import annotations

import ast
import inspect
import types
from collections.abc import Iterator
from dataclasses import dataclass, field, is_dataclass
from enum import Enum
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

HEAD = "| setting | form | default | meaning |\n|---|---|---|---|"
SIMPLE = {str: "text", int: "whole number", float: "number", bool: "true or false", Path: "path", SecretStr: "text"}
LIMITS = (("ge", "at least"), ("gt", "above"), ("le", "at most"), ("lt", "below"))
ABSENT = "absent"


@dataclass(slots=True)
class _SettingsPage:
    """The text written so far."""

    common: type[BaseModel] | None
    places: dict[type[BaseModel], str] = field(default_factory=dict)
    """Where each section is described."""
    parts: list[str] = field(default_factory=list)


def write(kind: type[BaseModel], common: type[BaseModel] | None = None) -> str:
    """Every setting of `kind`; those of `common`, which many sections inherit, are in one table with the defaults."""
    page = _SettingsPage(common)
    _section(page, kind, "", "")
    return "\n".join(page.parts)


def _section(page: _SettingsPage, kind: type[BaseModel], path: str, note: str) -> None:
    """One table with the settings of a section, then the sections inside it."""
    own, inner, families = [], [], []
    for name, item in kind.model_fields.items():
        model, suffix = _model_in(item.annotation)
        if page.common is not None and name in page.common.model_fields and issubclass(kind, page.common):
            continue
        if model is None or model in page.places:
            text = meanings_of(kind).get(name) or (model.__doc__ if model is not None else None)
            own.append(_row(page, f"{path}{name}", item, (model, text)))
        elif page.common is not None and issubclass(model, page.common):
            families.append((f"{path}{name}", model))
        else:
            page.places[model] = f"{path}{name}{suffix}"
            inner.append((f"{path}{name}{suffix}", model, _absence(item, suffix)))
    title = path.rstrip(".")
    if title:
        page.parts += [f"### `{title}`\n"]
        page.parts += [f"{about}\n"] if (about := f"{_sentences(kind.__doc__)}{note}") else []
    if own:
        page.parts += ["\n".join((HEAD, *own)), ""]
    for place, model, absence in inner:
        _section(page, model, f"{place}.", absence)
    if families:
        _families(page, families)


def _families(page: _SettingsPage, families: list[tuple[str, type[BaseModel]]]) -> None:
    """The settings that all these sections share, in one table; then each section's own."""
    common = page.common.model_fields if page.common is not None else {}
    if page.common is not None:
        page.parts += [f"- `{name}`: {_sentences(meanings_of(page.common).get(name))}" for name in common]
    rows = [
        "| " + " | ".join((f"`{place}`", *(_default(model.model_fields[name]) for name in common))) + " |"
        for place, model in families
    ]
    heads = ("| section | " + " | ".join(f"`{name}`" for name in common) + " |", "|---" * (len(common) + 1) + "|")
    page.parts += ["", "\n".join((*heads, *rows)), ""]
    for place, model in families:
        if model.model_fields.keys() - common.keys():
            page.places[model] = place
            _section(page, model, f"{place}.", "")


def _row(page: _SettingsPage, path: str, item: FieldInfo, meaning: tuple[type[BaseModel] | None, str | None]) -> str:
    """One setting as a table row; `meaning` is its section, if it is one, and its text."""
    model, text = meaning
    link = f"as [`{page.places[model]}`](#{anchor(page.places[model])})" if model is not None else None
    cells = (f"`{path}`", link or form_of(item), _default(item), _sentences(text))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


@cache
def meanings_of(kind: type[object]) -> dict[str, str]:
    """The docstring below each field, by the field's name; a subclass's own wins.

    Read here from the source instead of by pydantic's `use_attribute_docstrings`, which would read the source of every
    section at each start of the program.
    """
    texts: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        if not issubclass(each, BaseModel) and not is_dataclass(each):
            continue
        try:
            (tree,) = ast.parse(inspect.getsource(each)).body
        except OSError:  # made by create_model, so there is no source
            continue
        for declared, below in pairwise(getattr(tree, "body", ())):
            match declared, below:
                case ast.AnnAssign(target=ast.Name(name)), ast.Expr(ast.Constant(str(text))):
                    texts[name] = text
    return texts


def anchor(title: str) -> str:
    """The fragment of a heading, as GitHub makes it."""
    return "".join(letter for letter in title.lower() if letter.isalnum() or letter in "_-")


def _absence(item: FieldInfo, suffix: str) -> str:
    """The meaning of leaving out the whole section."""
    if suffix == "[]":
        return " A list; empty by default."
    if suffix:
        return " A mapping by name; empty by default."
    return " Absent by default." if item.default is None else ""


def form_of(item: FieldInfo) -> str:
    """The form of a value, with its limits."""
    limits = []
    for each in item.metadata:
        bounds = ((word, getattr(each, name, None)) for name, word in LIMITS)
        limits += [f"{word} {_number(bound)}" for word, bound in bounds if bound is not None]
    return ", ".join((_form(item.annotation), *limits))


def _form(annotation: Any) -> str:
    """The form of an annotation."""
    origin, inner = get_origin(annotation), get_args(annotation)
    wrapped = {Annotated: "{}", tuple: "list of: {}", list: "list of: {}", dict: "mapping of name to: {}"}
    if origin is Literal:
        return ", ".join(f"`{word}`" for word in inner)
    if origin in (Union, types.UnionType):
        return " or ".join(_form(each) for each in inner if each is not type(None))
    if origin in wrapped:
        return wrapped[origin].format(_form(inner[1 if origin is dict else 0]))
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return ", ".join(f"`{word.value}`" for word in annotation)
    return SIMPLE.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _default(item: FieldInfo) -> str:
    """The default as written in YAML."""
    value = PydanticUndefined if item.is_required() else item.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "required"
    if value is None:
        return ABSENT
    if isinstance(value, BaseModel):
        return "its own defaults"
    text = _listed(value)
    return f"`{text}`" if text not in ("", "[]", "{}") else "empty"


def _listed(value: Any) -> str:
    """A value in YAML's flow form."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json", exclude_defaults=True)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_listed(each)}" for name, each in value.items()) + "}"
    if isinstance(value, tuple | list | frozenset):
        return "[" + ", ".join(_listed(each) for each in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return _number(value) if isinstance(value, int | float) else str(getattr(value, "value", value))


def _number(value: float) -> str:
    """A number without a needless fraction."""
    return str(int(value)) if float(value).is_integer() else str(value)


def _sentences(text: str | None) -> str:
    """A docstring on one line; a section's reference is its first paragraph."""
    return " ".join((text or "").split("\n\n", maxsplit=1)[0].split())


def _model_in(annotation: Any) -> tuple[type[BaseModel] | None, str]:
    """The section inside an annotation, and the form of its path: `[]` in a list, `.NAME` in a mapping."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, ""
    origin = get_origin(annotation)
    own = {tuple: "[]", list: "[]", dict: ".NAME"}.get(origin, "") if origin is not None else ""
    for inner in get_args(annotation):
        model, suffix = _model_in(inner)
        if model is not None:
            return model, own + suffix
    return None, ""


def models_of(kind: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """`kind` and every section reachable from it, each once."""
    seen: set[type[BaseModel]] = set()
    waiting = [kind]
    while waiting:
        current = waiting.pop()
        if current in seen:
            continue
        seen.add(current)
        yield current
        waiting += [model for item in current.model_fields.values() if (model := _model_in(item.annotation)[0])]
