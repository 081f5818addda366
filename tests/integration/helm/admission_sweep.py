"""Generates one write for every field that the API server's own schema gives a kind, in every form of a patch."""

from __future__ import annotations

import copy
import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tools.servers.kubernetes.client import APPLY_PATCH, JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tools.servers.kubernetes.client import KubernetesClient, Manifest

Path = tuple["str | int", ...]
"""Where a field is: names, and 0 for the first item of a list."""
DEEPEST = 12
KEY = "sweep"
"""Key that is written into maps."""


@dataclass(frozen=True)
class Schema:
    """The OpenAPI document of one API group."""

    schemas: Mapping[str, Any]

    @classmethod
    def of(cls, client: KubernetesClient, group: str) -> Schema:
        """The schemas of a group, such as `apis/apps/v1`."""
        return cls(client.get(f"/openapi/v3/{group}")["components"]["schemas"])

    def fields(self, name: str) -> Iterator[tuple[Path, object]]:
        """Each field of a kind that has its own value, with a value of its type."""
        yield from self._walk(self.schemas[name], ())

    def _walk(self, schema: Mapping[str, Any], path: Path) -> Iterator[tuple[Path, object]]:
        resolved = self._resolve(schema)
        if len(path) > DEEPEST:
            return
        if "properties" in resolved:
            for name, child in resolved["properties"].items():
                yield from self._walk(child, (*path, name))
        elif resolved.get("type") == "array":
            yield from self._walk(resolved["items"], (*path, 0))
        elif "additionalProperties" in resolved:
            yield from self._walk(resolved["additionalProperties"], (*path, KEY))
        else:
            yield path, _value(resolved)

    def _resolve(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """The schema behind a reference."""
        for reference in (schema, *schema.get("allOf", ())):
            if "$ref" in reference:
                found: Mapping[str, Any] = self.schemas[reference["$ref"].rsplit("/", 1)[1]]
                return found
        return schema


def _value(schema: Mapping[str, Any]) -> object:
    """A value of the schema's type that is unlikely to be there already."""
    if schema.get("format") == "date-time":
        return "2026-01-02T03:04:05Z"
    if schema.get("format") == "int-or-string" or "oneOf" in schema:
        return 7
    values = {"string": KEY, "integer": 7, "number": 7, "boolean": True, "object": {KEY: KEY}}
    return values.get(schema.get("type", ""), {KEY: KEY})


def changed(manifest: Manifest, path: Path, value: object) -> Manifest:
    """A copy with this field set; a boolean that has the value already gets the other one. Lists keep their items."""
    made = copy.deepcopy(manifest)
    node: Any = made
    for step, following in itertools.pairwise(path):
        node = _child(node, step, following)
    last = path[-1]
    if isinstance(last, int):
        node[last:] = [value]
    else:
        node[last] = (not value) if isinstance(value, bool) and node.get(last) is value else value
    return made


def _child(node: Any, step: str | int, following: str | int) -> Any:
    """The container below, made where it is missing."""
    empty: Any = [] if isinstance(following, int) else {}
    if isinstance(step, int):
        if not node:
            node.append(empty)
        return node[0]
    if node.get(step) is None:
        node[step] = empty
    return node[step]


def paths(document: Any, path: Path = ()) -> Iterator[Path]:
    """Where every field and item of a document is, groups included."""
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for name, child in items:
        yield (*path, name)
        yield from paths(child, (*path, name))


def without(manifest: Manifest, path: Path) -> Manifest:
    """A copy without this field or item."""
    made = copy.deepcopy(manifest)
    node: Any = made
    for step in path[:-1]:
        node = node[step]
    del node[path[-1]]
    return made


@dataclass(frozen=True)
class Patch:
    """One PATCH of one field."""

    path: Path
    content_type: str
    body: object

    def __str__(self) -> str:
        """The form and the field."""
        return f"{self.content_type.split('/')[1].split('+')[0]} {'.'.join(map(str, self.path))}"


def patches(manifest: Manifest, path: Path, value: object) -> Iterator[Patch]:
    """The same change of one field in all four forms."""
    made = changed(manifest, path, value)
    # The branch of the tree that holds the field; lists go whole, or the first items would be lost.
    branch: dict[str, Any] = {}
    source: Any = made
    node: Any = branch
    names = path[: path.index(0)] if 0 in path else path
    for name in names[:-1]:
        source, node = source[name], node.setdefault(name, {})
    node[names[-1]] = source[names[-1]]
    yield Patch(path, MERGE_PATCH, branch)
    yield Patch(path, STRATEGIC_PATCH, branch)
    root = str(path[0])
    operation = "replace" if root in manifest else "add"
    yield Patch(path, JSON_PATCH, [{"op": operation, "path": f"/{root}", "value": made[root]}])
    named = {"apiVersion": manifest["apiVersion"], "kind": manifest["kind"]}
    metadata = {"name": manifest["metadata"]["name"]} | (branch.get("metadata") or {})
    yield Patch(path, APPLY_PATCH, {**named, **branch, "metadata": metadata})


def differences(before: Any, after: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Where two documents differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in sorted(before.keys() | after.keys()):
            yield from differences(before.get(name), after.get(name), (*path, name))
    elif json.dumps(before, sort_keys=True) != json.dumps(after, sort_keys=True):
        yield path
