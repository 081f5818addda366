"""Finds the value of CC_DROP_TABLES in a new pod of a template, without reading any other value.

The product drops every table at start when this variable is true, so a restart or an added replica would destroy data.
The value may come from a literal, from a key of a ConfigMap or Secret, or from a whole one by envFrom. An unreadable
value is unknown, and unknown holds.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chassis.errors import BackendError, Reason
from chassis.kubernetes.containers import containers_of
from chassis.kubernetes.paths import source_path

if TYPE_CHECKING:
    from remediations.facts.kubernetes.reader import ClusterReader

VARIABLE = "CC_DROP_TABLES"
FALSE_WORDS = frozenset({"", "0", "false", "no", "off", "n", "f"})
"""Every other value counts as true, because the product may accept it in future."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """Whether the variable is true; None if it could not be read, and then `problem` says why."""

    value: bool | None
    problem: str = ""


class UnknownValueError(Exception):
    """A source of the variable cannot be read; the message names it."""


class Environment:
    """Reads single keys of ConfigMaps and Secrets in one namespace."""

    def __init__(self, reader: ClusterReader, namespace: str) -> None:
        self._reader = reader
        self._namespace = namespace

    async def key(self, kind: str, name: str, key: str, *, is_optional: bool) -> str | None:
        """The value of one key, None when the key (or an optional object) is absent; raises UnknownValueError."""
        try:
            document = await self._reader.get(source_path(kind, self._namespace, name))
        except BackendError as error:
            if error.reason is Reason.MISSING and is_optional:
                return None
            raise UnknownValueError(f"{kind} {name}: {error.reason.value}") from error
        value = (document.get("data") or {}).get(key)
        if value is None or kind != "Secret":
            return None if value is None else str(value)
        try:
            return base64.b64decode(value, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise UnknownValueError(f"{kind} {name}: the value of {key} is not text") from error


async def resolve_drop_tables(environment: Environment, template: Mapping[str, Any]) -> Resolved:
    """Whether any container of the pod template would start with the variable set to a true value."""
    problems = []
    for container in containers_of(template):
        try:
            value = await _in_container(environment, container)
        except UnknownValueError as error:
            problems.append(f"container {container['name']}: {error}")
            continue
        if value is not None and value.strip().lower() not in FALSE_WORDS:
            return Resolved(value=True, problem=f"container {container['name']} sets {VARIABLE}")
    return Resolved(None, "; ".join(problems)) if problems else Resolved(value=False)


async def _in_container(environment: Environment, container: Mapping[str, Any]) -> str | None:
    """The variable's value in one container: `env` wins over `envFrom`, a later entry over an earlier one."""
    for entry in reversed(container.get("env") or ()):
        if entry["name"] == VARIABLE:
            return await _from_entry(environment, entry)
    for source in reversed(container.get("envFrom") or ()):
        value = await _from_source(environment, source)
        if value is not None:
            return value
    return None


async def _from_entry(environment: Environment, entry: Mapping[str, Any]) -> str | None:
    """The value of one `env` entry (core/v1 EnvVar)."""
    origin = entry.get("valueFrom")
    if not origin:
        value = str(entry.get("value") or "")
        if "$(" in value:
            raise UnknownValueError("the value refers to other variables")
        return value
    for field, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
        if field in origin:
            reference = origin[field]
            return await environment.key(
                kind, reference["name"], reference["key"], is_optional=bool(reference.get("optional"))
            )
    raise UnknownValueError(f"the value comes from {', '.join(sorted(origin))}")


async def _from_source(environment: Environment, source: Mapping[str, Any]) -> str | None:
    """The variable in one `envFrom` source (core/v1 EnvFromSource), its prefix taken into account."""
    prefix = source.get("prefix") or ""
    if not VARIABLE.startswith(prefix):
        return None
    for field, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
        if field in source:
            reference = source[field]
            return await environment.key(
                kind, reference["name"], VARIABLE.removeprefix(prefix), is_optional=bool(reference.get("optional"))
            )
    raise UnknownValueError(f"a source of an unknown kind: {', '.join(sorted(source))}")
