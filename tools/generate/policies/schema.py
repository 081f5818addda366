"""The JSON Schema of the policy file (draft 2020-12), for editors: pydantic makes it from the fields that are read.

Added here is what several fields say together. A schema cannot say everything (names that must exist, windows that end
before they begin): `controlcore-remediator check-config` says the rest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from chassis.config import merge
from chassis.output.settings_reference import meanings_of
from remediations.core import actions
from remediations.core.action import ActionSpec, Effect
from remediations.core.fields import Names
from remediations.core.model.alert import Mode
from remediations.core.policies.by_action import DATABASES
from remediations.core.policies.matchers import Matchers
from remediations.core.policies.policy import KUBELET, PolicySet, WitnessKind
from remediations.core.queries import Collectors, Promql

Schema = dict[str, Any]
ROOT = Path(__file__).parents[3]
FILE = ROOT / "remediations" / "shipped" / "policies.schema.json"
CHART = ROOT / "helm" / "controlcore-exporter" / "values.schema.json"
"""The schema of the chart's values. It is written by hand, but for the names of the actions."""
SHARED = {"matchers": Matchers, "collectors": Collectors, "promql": Promql, "names": Names}
"""Types of fields that many sections have: each appears once, in `$defs`."""
DATABASE = rf"(?:^|[-.])(?:{'|'.join(sorted(DATABASES))})(?:[-.]|$)"
"""A name that has the name of a database between its dots and dashes."""
PATCHING = "workload"
"""Name of the definition of targets other than databases."""


class PolicySchema(GenerateJsonSchema):
    """pydantic's schema with our sentences: the docstrings below the fields."""

    def field_title_should_be_set(self, _schema: Any) -> bool:
        """No titles: they repeat the keys."""
        return False

    def dataclass_schema(self, schema: core_schema.DataclassSchema) -> Schema:
        """A section, with a sentence for every key."""
        made = super().dataclass_schema(schema)
        del made["title"]
        kind: Any = schema["cls"]
        for name, text in meanings_of(kind).items():
            made["properties"][name.removesuffix("_")]["description"] = " ".join(text.split())
        return made

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> Schema:
        """The default in the file's form; none if leaving the key out has a separate meaning."""
        made = super().default_schema(schema)
        value = made.get("default")
        if not value and value is not False:
            made.pop("default", None)
        elif isinstance(value, float) and value.is_integer():
            made["default"] = int(value)
        return made

    def dict_schema(self, schema: core_schema.DictSchema) -> Schema:
        """A mapping by name: every other key is refused."""
        made = super().dict_schema(schema)
        for pattern, value in made.pop("patternProperties", {}).items():
            made |= {"propertyNames": {"pattern": pattern}, "additionalProperties": value}
        return made


def build_schema() -> Schema:
    """The whole schema."""
    shared = {name: _schema_of(kind) for name, kind in SHARED.items()}
    file = _schema_of(PolicySet)
    definitions = merge(file.pop("$defs"), _rules())
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Policies of controlcore-remediator",
        **_share(file | _needs_identity(), shared),
        "$defs": {name: _share(part, shared) for name, part in definitions.items()} | shared,
    }


def _schema_of(kind: Any) -> Schema:
    """The schema of one type."""
    return TypeAdapter(kind).json_schema(schema_generator=PolicySchema)


def _share(part: Any, shared: Mapping[str, Schema]) -> Any:
    """The same with references to `$defs`."""
    if isinstance(part, list):
        return [_share(item, shared) for item in part]
    if not isinstance(part, dict):
        return part
    for name, common in shared.items():
        if common.items() <= {key: value for key, value in part.items() if key in common}.items():
            part = {"$ref": f"#/$defs/{name}"} | {key: value for key, value in part.items() if key not in common}
    return {key: _share(value, shared) for key, value in part.items()}


def _needs_identity() -> Schema:
    """A policy that acts needs an identity."""
    acting = {"properties": {"mode": {"enum": [Mode.APPROVE, Mode.AUTO]}}, "required": ["mode"]}
    return {
        "if": {"properties": {"policies": {"contains": acting}}, "required": ["policies"]},
        "then": {"required": ["identity"]},
    }


def _rules() -> Mapping[str, Schema]:
    """The documentation of a section's fields, by the section's definition."""
    specs = actions.offered().values()
    is_http = {"properties": {"kind": {"const": WitnessKind.HTTP}}, "required": ["kind"]}
    is_pods = {"properties": {"kind": {"enum": sorted(KUBELET)}}, "required": ["kind"]}
    again, once = ("cron", "duration_seconds"), ("from", "to")
    return {
        "Policy": {"allOf": [_of_action(spec, is_own=True) for spec in specs]},
        "Rung": {"allOf": [_of_action(spec, is_own=False) for spec in specs]},
        "Witness": {
            "allOf": [
                {"if": is_http, "then": {"required": ["url"]}},
                {"if": is_pods, "then": {"properties": {"url": False}}},
            ]
        },
        "CustomGuard": {"oneOf": [{"required": ["collectors"]}, {"required": ["freshness"]}]},
        "WindowSection": {"oneOf": [_pair(again, once), _pair(once, again)]},
        "Target": {"properties": {"kind": {"enum": sorted({kind for spec in specs for kind in spec.kinds})}}},
        PATCHING: {"not": {"properties": {"name": {"pattern": DATABASE}}, "required": ["name"]}},
    }


def _of_action(spec: ActionSpec, *, is_own: bool) -> Schema:
    """What holds when this action is named."""
    target: Schema = {"properties": {"kind": {"enum": list(spec.kinds)}}}
    if Effect.PATCHES_WORKLOAD in spec.effects:
        target["allOf"] = [{"$ref": f"#/$defs/{PATCHING}"}]
    demands: Schema = {"properties": {"targets": {"items": target}, "parameters": _schema_of(spec.parameters)}}
    required = ["parameters"] if spec.required else []
    if is_own and Effect.STOPS_PODS in spec.effects:
        demands["properties"]["witnesses"] = {"minItems": 1}
        required.append("witnesses")
    if required:
        demands["required"] = required
    return {"if": {"properties": {"action": {"const": spec.name}}, "required": ["action"]}, "then": demands}


def _pair(wanted: tuple[str, ...], unwanted: tuple[str, ...]) -> Schema:
    """These keys and not those."""
    return {"required": list(wanted), "properties": dict.fromkeys(unwanted, False)}


def render_schema() -> str:
    """The schema's file."""
    return json.dumps(build_schema(), indent=1, ensure_ascii=False) + "\n"


def put_actions(text: str) -> str:
    """The schema of the chart's values with the actions that a policy and its rungs may name."""
    schema = json.loads(text)
    policies = schema["properties"]["remediator"]["properties"]["policies"]
    policy = policies["additionalProperties"]["properties"]
    for section in (policy, policy["ladder"]["items"]["properties"]):
        section["action"]["enum"] = sorted(actions.offered())
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
