"""Reads the policy file: all faults at once, each with its line and path; a file with faults is never used.

The keys are the fields of the classes in policy.py. A value that would be unsafe to guess is required: a freshness for
every query, an identity for auto, a witness for actions that stop pods.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from chassis.documents import YamlLines, load_yaml, yaml_problem
from chassis.errors import ConfigError, Fault, not_allowed
from remediations.core.fields import Found, faults_of, find_shared_names
from remediations.core.model.alert import Mode
from remediations.core.policies.lint import find_nonsense, place_of
from remediations.core.policies.policy import Policy, PolicySet, Query, Witness, WitnessKind

UNREAD = Policy("", "", (), Query("", ()), Query("", ()), witnesses=(Witness("", WitnessKind.PODS_READY),))
"""Placeholder for a policy that could not be read at all; no rule objects to it."""
NEUTRAL: Mapping[str, Any] = {"expires_seconds": math.inf, "retry_seconds": 0.0, "budget_actions": sys.maxsize}
"""Placeholder for a faulty value, so that no other value is reported as too large or too small."""


def parse_policies(text: str, source: str) -> PolicySet:
    """The policies in a YAML text, or ConfigError with every fault; `source` (a path) begins each fault's path."""
    try:
        document = load_yaml(text)
    except yaml.YAMLError as error:
        raise ConfigError((Fault(source, yaml_problem(error)),)) from error
    kept: list[dict[str, Any]] = [{}]
    faults: list[Found] = []
    try:
        parsed = _reader().validate_python(document, context=kept)
    except ValidationError as error:
        faults += faults_of(error)
        policies = tuple(_half_read(document, index, fields) for index, fields in enumerate(kept[1:]))
        parsed = PolicySet(**{**kept[0], "policies": policies})
    if isinstance(document, Mapping):
        faults += _find_contradictions(parsed, document)
    if faults:
        lines = YamlLines(text)
        raise ConfigError(
            tuple(Fault(f"{source}:{lines.find(place)}: {_path(document, place)}", words) for place, words in faults)
        )
    policies = tuple(
        replace(policy, dependencies=closure(policy.dependencies, parsed.graph)) for policy in parsed.policies
    )
    return replace(parsed, policies=policies)


@cache
def _reader() -> TypeAdapter[PolicySet]:
    """Made once: that takes longer than reading a file with it."""
    return TypeAdapter(PolicySet)


def _half_read(document: Any, index: int, fields: Mapping[str, Any]) -> Policy:
    """A policy as far as it could be read; a missing key has its default, and a faulty one is neutral."""
    given = document["policies"][index]
    neutral = {key: value for key, value in NEUTRAL.items() if isinstance(given, Mapping) and key in given}
    return replace(UNREAD, **{**neutral, **fields})


def _path(document: Any, place: tuple[str | int, ...]) -> str:
    """The path of a value, with the policy's name, so that people need not count entries."""
    path, here = "", document
    for depth, part in enumerate(place):
        here = _below(here, part)
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
        name = here.get("name") if depth == 1 and place[0] == "policies" and isinstance(here, Mapping) else None
        path = place_of(path, name) if isinstance(name, str) else path
    return path or "(top)"


def _below(value: Any, part: str | int) -> Any:
    """The value under a key or index; None without one."""
    if isinstance(value, list) and isinstance(part, int):
        return value[part]
    return value.get(part) if isinstance(value, Mapping) else None


def _find_contradictions(parsed: PolicySet, document: Mapping[str, Any]) -> Iterator[Found]:
    """Faults that concern several parts: names used twice, undefined dependencies, auto without identity.

    Names are those of the document, so a query with a fault still counts as defined.
    """
    given = document.get("dependencies")
    known = tuple(str(name) for name in given) if isinstance(given, Mapping) else ()
    yield from _find_graph_faults(parsed.graph, known)
    for index, policy in enumerate(parsed.policies):
        for dependency in closure(policy.dependencies, parsed.graph):
            if dependency not in known:
                yield ("policies", index, "dependencies"), not_allowed(dependency, known)
    acting = [policy.name for policy in parsed.policies if policy.mode in {Mode.AUTO, Mode.APPROVE}]
    if acting and "identity" not in document:
        yield ("identity",), f"is required, because these policies are approve or auto: {', '.join(acting)}"
    for index, key, sentence in find_nonsense(parsed):
        parts = (int(part) if part.isdigit() else part for part in re.findall(r"\w+", key))
        yield ("policies", index, *parts), sentence
    yield from ((("policies", *place), words) for place, words in find_shared_names(parsed.policies))


def _find_graph_faults(graph: Mapping[str, tuple[str, ...]], known: tuple[str, ...]) -> Iterator[Found]:
    """Undefined dependencies, and cycles."""
    for name, below in graph.items():
        yield from ((("graph", name), not_allowed(other, known)) for other in (name, *below) if other not in known)
        if name in closure(below, graph):
            yield ("graph", name), "depends on itself"


def closure(names: tuple[str, ...], graph: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The names and all their dependencies, each once; a root cause comes after its symptom."""
    found: list[str] = []
    waiting = list(names)
    while waiting:
        name = waiting.pop(0)
        if name not in found:
            found.append(name)
            waiting += graph.get(name, ())
    return tuple(found)
