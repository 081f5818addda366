"""The JSON Schema of the policy file (draft 2020-12), for editors.

Everything that has a limit, a default or a closed set of words takes it from the code that reads the file; the
sentences stand in `tools.generate.policies.words`. A schema cannot say everything (names that must exist, windows that
end before they begin): `controlcore-remediator check-config` says the rest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from remediations.core import actions, queries
from remediations.core.action import ActionSpec, Effect, Parameter, ParameterKind
from remediations.core.model.alert import Mode
from remediations.core.policies import reader, sections
from remediations.core.policies.limits import (
    BreakerLimit,
    ConnectionBudget,
    Consent,
    CustomGuard,
    HoldIf,
    LimitScope,
    StormLimit,
)
from remediations.core.policies.policy import KUBELET, Policy, PolicySet, Query, Rung, Witness, WitnessKind
from tools.generate.policies.parts import (
    Schema,
    array,
    as_json,
    closed,
    integer,
    mapping,
    name_text,
    number,
    refer,
    text,
    url_text,
    whole,
)
from tools.generate.policies.words import WORDS

FILE = Path(__file__).parents[3] / "remediations" / "shipped" / "policies.schema.json"
QUERY_PARTS = ("promql", "collectors", "max_age_seconds")
COLLECTOR_NAMES = array(refer("collector"), least=1, is_unique=True)
ACTING = (Mode.APPROVE, Mode.AUTO)
DATABASE = rf"(?:^|[-.])(?:{'|'.join(sorted(reader.DATABASES))})(?:[-.]|$)"
"""A name that has the name of a database between its dots and dashes."""
PATCHING = "workload"
"""Name of the definition of targets that are no database."""


def build_schema() -> Schema:
    """The whole schema (draft 2020-12)."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Policies of controlcore-remediator",
        "description": WORDS["file"][""],
        **closed("file", PolicySet, _top(), ("policies",)),
        "if": _some_policy_acts(),
        "then": {"required": ["identity"]},
        "$defs": _definitions(),
    }


def _top() -> dict[str, Schema]:
    """The keys of the file."""
    return {
        "version": {"const": reader.VERSION},
        "identity": refer("matchers"),
        "dependencies": mapping(refer("query")),
        "graph": {"type": "object", "additionalProperties": refer("names")},
        "max_actions": integer(sections.COUNT),
        "max_actions_seconds": number("max_actions_seconds"),
        "budgets": array(refer("budget")),
        "freeze": array(refer("window")),
        "locks": mapping(refer("query")),
        "storm": refer("storm"),
        "breaker": refer("breaker"),
        "policies": array(refer("policy"), least=1),
    }


def _definitions() -> dict[str, Schema]:
    """The parts that several places share."""
    return {
        "policy": _policy(),
        "rung": _rung(),
        "target": _target(),
        PATCHING: {"not": {"properties": {"name": {"pattern": DATABASE}}, "required": ["name"]}},
        "query": closed("query", Query, _query_parts(), ("promql", "collectors")),
        "witness": _witness(),
        "guard": _guard(),
        "connections": closed("connections", ConnectionBudget, _connections(), ("per_replica", "limit", "collectors")),
        "budget": closed("budget", None, _budget(), ("scope", "most", "seconds")),
        "storm": closed("storm", StormLimit, _storm(), ()),
        "breaker": closed("breaker", BreakerLimit, _breaker(), ()),
        "window": _window(),
        "matchers": _matchers(),
        "names": array(name_text(), is_unique=True),
        "collector": {"enum": list(queries.COLLECTORS)},
        "promql": text() | {"not": {"pattern": queries.ALERTS.pattern}},
    }


def _policy() -> Schema:
    """One policy; what its action demands hangs on the action's name."""
    seconds = {name: number(name) for name in reader.POLICY_SECONDS}
    parts = {
        "name": name_text() | {"not": {"const": reader.RESERVED}},
        "action": {"enum": sorted(actions.offered())},
        "mode": {"enum": [mode.value for mode in Mode]},
        "match": refer("matchers"),
        "targets": array(refer("target"), least=1, is_unique=True),
        "parameters": {"type": "object"},
        "condition": refer("query"),
        "verify": refer("query"),
        "witnesses": array(refer("witness")),
        "dependencies": refer("names"),
        "guards": array(refer("guard")),
        "accept": array({"enum": [word.value for word in Consent]}),
        "connections": refer("connections"),
        "schedule": array(refer("window")),
        "freeze": array(refer("window")),
        "budget_actions": integer(sections.COUNT),
        "ladder": array(refer("rung"), least=1),
        **seconds,
    }
    required = ("name", "action", "targets", "condition", "verify")
    specs = actions.offered().values()
    return closed("policy", Policy, parts, required) | {"allOf": [_of_action(spec, is_own=True) for spec in specs]}


def _rung() -> Schema:
    """One rung of a ladder."""
    parts: dict[str, Schema] = {
        "action": {"enum": sorted(actions.offered())},
        "parameters": {"type": "object"},
        "targets": array(refer("target"), least=1, is_unique=True),
    }
    branches = [_of_action(spec, is_own=False) for spec in actions.offered().values()]
    return closed("rung", Rung, parts, ("action",)) | {"allOf": branches}


def _of_action(spec: ActionSpec, *, is_own: bool) -> Schema:
    """What holds when this action is named."""
    target: Schema = {"properties": {"kind": {"enum": list(spec.kinds)}}}
    if Effect.PATCHES_WORKLOAD in spec.effects:
        target["allOf"] = [refer(PATCHING)]
    demands: Schema = {"properties": {"targets": {"items": target}, "parameters": _parameters(spec)}}
    required = ["parameters"] if spec.required else []
    if is_own and Effect.STOPS_PODS in spec.effects:
        demands["properties"]["witnesses"] = {"minItems": 1}
        required.append("witnesses")
    if required:
        demands["required"] = required
    return {"if": {"properties": {"action": {"const": spec.name}}, "required": ["action"]}, "then": demands}


def _parameters(spec: ActionSpec) -> Schema:
    """The action's own settings, as its file declares them."""
    properties = {item.name: _parameter(item) for item in spec.parameters}
    schema: Schema = {"properties": properties, "additionalProperties": False}
    return schema | ({"required": list(spec.required)} if spec.required else {})


def _parameter(item: Parameter) -> Schema:
    """One setting of an action."""
    kinds: Mapping[ParameterKind, Schema] = {
        ParameterKind.FLAG: {"type": "boolean"},
        ParameterKind.URL: url_text(),
        ParameterKind.URLS: array(url_text(), least=1),
        ParameterKind.COLLECTORS: COLLECTOR_NAMES,
        ParameterKind.PROMQL: refer("promql"),
    }
    schema = integer(item.limits) if item.kind is ParameterKind.INTEGER else kinds[item.kind]
    default = {} if item.default is None else {"default": as_json(item.default)}
    return {**schema, "description": item.doc, **default}


def _target() -> Schema:
    """An object on the allow-list."""
    parts = {
        "namespace": whole(reader.LABEL.pattern),
        "kind": {"enum": sorted({kind for spec in actions.offered().values() for kind in spec.kinds})},
        "name": whole(reader.SUBDOMAIN.pattern),
    }
    return closed("target", None, parts, tuple(parts))


def _query_parts() -> dict[str, Schema]:
    """A question to Prometheus and its freshness."""
    collectors = COLLECTOR_NAMES
    return dict(zip(QUERY_PARTS, (refer("promql"), collectors, number("max_age_seconds")), strict=True))


def _witness() -> Schema:
    """A second opinion; only one that asks over HTTP has a URL."""
    parts = {
        "name": name_text(),
        "kind": {"enum": [kind.value for kind in WitnessKind]},
        "url": url_text(),
        "timeout_seconds": number("timeout_seconds"),
    }
    is_http = {"properties": {"kind": {"const": WitnessKind.HTTP.value}}, "required": ["kind"]}
    is_pods = {"properties": {"kind": {"enum": sorted(kind.value for kind in KUBELET)}}, "required": ["kind"]}
    branches = [
        {"if": is_http, "then": {"required": ["url"]}},
        {"if": is_pods, "then": {"properties": {"url": False}}},
    ]
    return closed("witness", Witness, parts, ("name", "kind")) | {"allOf": branches}


def _guard() -> Schema:
    """A question of the policy's owner: either collectors or a freshness of its own."""
    parts = {
        "name": name_text(),
        "hold_if": {"enum": [word.value for word in HoldIf]},
        "reason": text(),
        "freshness": refer("promql"),
        **_query_parts(),
    }
    either = [{"required": ["collectors"]}, {"required": ["freshness"]}]
    return closed("guard", CustomGuard, parts, ("name", "promql", "hold_if", "reason")) | {"oneOf": either}


def _window() -> Schema:
    """A span of time: by a cron line, or between two moments."""
    by_cron, by_moments = ("cron", "duration_seconds"), ("from", "to")
    parts = {
        "name": text(),
        "timezone": text(),
        "cron": text(),
        "duration_seconds": number("duration_seconds"),
        "from": text(),
        "to": text(),
    }
    either = [_pair(by_cron, by_moments), _pair(by_moments, by_cron)]
    return closed("window", None, parts, ("name", "timezone")) | {"oneOf": either}


def _pair(wanted: tuple[str, ...], unwanted: tuple[str, ...]) -> Schema:
    """These keys and not those."""
    return {"required": list(wanted), "properties": dict.fromkeys(unwanted, False)}


def _connections() -> dict[str, Schema]:
    """What a replica costs the database."""
    query = _query_parts()
    return {
        "per_replica": integer(sections.COUNT),
        "limit": query["promql"],
        "collectors": query["collectors"],
        "max_age_seconds": query["max_age_seconds"],
        "share": number("share"),
    }


def _budget() -> dict[str, Schema]:
    """At most so many writes in so much time."""
    return {
        "scope": {"enum": [word.value for word in LimitScope]},
        "most": integer(sections.COUNT),
        "seconds": number("seconds"),
    }


def _storm() -> dict[str, Schema]:
    """When alerts are a storm."""
    names = ("window_seconds", "cooldown_seconds")
    return {"alerts": integer(sections.ARRIVALS), **{name: number(name) for name in names}}


def _breaker() -> dict[str, Schema]:
    """When repairs that do not help stop."""
    return {"failures": integer(sections.COUNT), "close_seconds": number("close_seconds")}


def _matchers() -> Schema:
    """Matchers in Alertmanager's words."""
    one = text() | {"pattern": r"[a-zA-Z_:][a-zA-Z0-9_:]*\s*(?:=~|!=|!~|=)"}
    return {"anyOf": [one, array(one, least=1)]}


def _some_policy_acts() -> Schema:
    """Whether a policy may act, and so needs an identity."""
    acting = {"properties": {"mode": {"enum": [mode.value for mode in ACTING]}}, "required": ["mode"]}
    return {"properties": {"policies": {"contains": acting}}, "required": ["policies"]}


def render_schema() -> str:
    """The schema's file."""
    return json.dumps(build_schema(), indent=1, ensure_ascii=False) + "\n"
