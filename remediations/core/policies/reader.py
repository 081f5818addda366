"""Reads the policy file: every fault at once, each with its path, and nothing half understood.

The keys are the fields of the classes in policy.py. A value that would be unsafe to guess is required: a freshness for
every query, an identity for auto, a witness for actions that stop pods.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any

from chassis.errors import ConfigError, Fault
from remediations.core import actions
from remediations.core.action import ActionSpec, Effect
from remediations.core.model.alert import Mode, Target
from remediations.core.policies.lint import find_nonsense, place_of
from remediations.core.policies.matchers import Matcher, MatcherError, MatchType, parse_matchers
from remediations.core.policies.policy import Policy, PolicySet, Query, Rung, Witness, WitnessKind
from remediations.core.policies.sections import (
    NAME,
    NAME_RULE,
    closure,
    read_breaker,
    read_connections,
    read_consents,
    read_graph,
    read_guards,
    read_limits,
    read_names,
    read_numbers,
    read_queries,
    read_query,
    read_storm,
    read_windows,
)
from remediations.core.yaml_node import Node, not_allowed, read_yaml

LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
SUBDOMAIN = re.compile(rf"{LABEL.pattern}(?:\.{LABEL.pattern})*")
URL = re.compile(r"https?://[^\s/?#@]+(?:[/?#]\S*)?")
DATABASES = frozenset({"postgres", "postgresql", "redis"})
RESERVED = "none"
"""An alert rule's label `remediation: none` says that no policy is wanted."""
VERSION = 1
TOP = tuple(item.name for item in fields(PolicySet))
POLICY = tuple(item.name for item in fields(Policy))
SET_SECTIONS: Mapping[str, Callable[[Node], Any]] = {
    "freeze": read_windows,
    "locks": read_queries,
    "budgets": read_limits,
    "storm": read_storm,
    "breaker": read_breaker,
}
POLICY_SECTIONS: Mapping[str, Callable[[Node], Any]] = {
    "schedule": read_windows,
    "freeze": read_windows,
    "guards": read_guards,
    "accept": read_consents,
    "connections": read_connections,
}
POLICY_SECONDS = (
    "cooldown_seconds",
    "budget_seconds",
    "verify_timeout_seconds",
    "expires_seconds",
    "retry_seconds",
    "human_quiet_seconds",
    "change_quiet_seconds",
    "approval_seconds",
)


def parse_policies(text: str, source: str) -> PolicySet:
    """The policies in a YAML text, or ConfigError with every fault; `source` (a path) begins each fault's path."""
    faults: list[Fault] = []
    root = read_yaml(text, source, faults)
    nodes = root.keys(TOP, ("policies",))
    dependencies = read_queries(nodes["dependencies"]) if "dependencies" in nodes else {}
    graph = read_graph(nodes["graph"], dependencies) if "graph" in nodes else {}
    policies = (
        [_policy(_named(item), graph) for item in nodes["policies"].items(may_be_empty=False)]
        if "policies" in nodes
        else []
    )
    parsed = PolicySet(
        policies=tuple(policy for policy in policies if policy is not None),
        identity=_identity(nodes["identity"]) if "identity" in nodes else (),
        dependencies=dependencies,
        graph=graph,
        version=_version(nodes["version"]) if "version" in nodes else VERSION,
        **_sections(nodes, SET_SECTIONS),
        **read_numbers(nodes, ("max_actions_seconds",), ("max_actions",)),
    )
    if "policies" in nodes:
        _check_together(parsed, policies, nodes["policies"])
    if faults:
        raise ConfigError(tuple(faults))
    return parsed


def _named(node: Node) -> Node:
    """The entry of a policy, with its name in its path: nobody counts to the ninth."""
    name = node.value.get("name") if isinstance(node.value, Mapping) else None
    return node if not isinstance(name, str) else replace(node, path=place_of(node.path, name))


def _version(node: Node) -> int:
    """The version of the file's form."""
    if node.value != VERSION:
        node.fault(f"this program reads version {VERSION}")
    return VERSION


def _sections(nodes: dict[str, Node], readers: Mapping[str, Callable[[Node], Any]]) -> dict[str, Any]:
    """The sections that are given; the others keep their defaults."""
    return {name: read(nodes[name]) for name, read in readers.items() if name in nodes}


def _policy(node: Node, graph: Mapping[str, tuple[str, ...]]) -> Policy | None:
    """One policy; None when it is no mapping. Its dependencies include what they stand on themselves."""
    nodes = node.keys(POLICY, ("name", "action", "targets", "condition", "verify"))
    if not nodes:
        return None
    name = nodes["name"].text(NAME, NAME_RULE) if "name" in nodes else ""
    if name == RESERVED:
        nodes["name"].fault(f"{RESERVED!r} is what alerts say that want no policy")
    specs = actions.offered()
    action = nodes["action"].choice(sorted(specs)) if "action" in nodes else ""
    spec = specs.get(action) if "action" in nodes and nodes["action"].value == action else None
    return Policy(
        name=name,
        action=action,
        targets=_targets(nodes["targets"], spec) if "targets" in nodes else (),
        condition=read_query(nodes["condition"]) if "condition" in nodes else Query(""),
        verify=read_query(nodes["verify"]) if "verify" in nodes else Query(""),
        mode=_mode(nodes["mode"]) if "mode" in nodes else Mode.DRY_RUN,
        match=_matchers(nodes["match"]) if "match" in nodes else (),
        parameters=_parameters(node, nodes, spec),
        witnesses=_witnesses(node, nodes, spec),
        dependencies=closure(read_names(nodes["dependencies"]), graph) if "dependencies" in nodes else (),
        ladder=_ladder(nodes["ladder"]) if "ladder" in nodes else (),
        **_sections(nodes, POLICY_SECTIONS),
        **read_numbers(nodes, POLICY_SECONDS, ("budget_actions",)),
    )


def _ladder(node: Node) -> tuple[Rung, ...]:
    """What is tried after the policy's own action has failed, in order."""
    rungs = []
    specs = actions.offered()
    for item in node.items(may_be_empty=False):
        nodes = item.keys(("action", "parameters", "targets"), ("action",))
        if "action" in nodes:
            spec = specs.get(nodes["action"].choice(sorted(specs)))
            targets = _targets(nodes["targets"], spec) if "targets" in nodes else ()
            rungs.append(Rung(nodes["action"].value, _parameters(item, nodes, spec), targets))
    return tuple(rungs)


def _mode(node: Node) -> Mode:
    """How far the policy may go."""
    return Mode(node.choice([Mode.DRY_RUN, Mode.OBSERVE, Mode.APPROVE, Mode.AUTO]))


def _targets(node: Node, spec: ActionSpec | None) -> tuple[Target, ...]:
    """The allow-list."""
    targets: list[Target] = []
    for item in node.items(may_be_empty=False):
        nodes = item.keys(("namespace", "kind", "name"), ("namespace", "kind", "name"))
        kinds = spec.kinds if spec is not None else ("Deployment",)
        target = Target(
            nodes["namespace"].text(LABEL, "the name of a namespace") if "namespace" in nodes else "",
            nodes["kind"].choice(kinds) if "kind" in nodes else "",
            nodes["name"].text(SUBDOMAIN, "the name of an object") if "name" in nodes else "",
        )
        is_workload = spec is None or Effect.PATCHES_WORKLOAD in spec.effects
        if is_workload and DATABASES & set(re.split(r"[-.]", target.name)):
            item.fault(f"{target.name!r}: PostgreSQL and Redis are never restarted or scaled")
        if target in targets:
            item.fault(f"{target.key} stands here twice")
        targets.append(target)
    return tuple(targets)


def _matchers(node: Node) -> tuple[Matcher, ...]:
    """Matchers as one string, or as a list of strings."""
    matchers: list[Matcher] = []
    for item in [node] if isinstance(node.value, str) else node.items(may_be_empty=False):
        try:
            matchers += parse_matchers(item.text())
        except MatcherError as error:
            item.fault(str(error))
    return tuple(matchers)


def _identity(node: Node) -> tuple[Matcher, ...]:
    """Matchers that an alert from elsewhere cannot satisfy by saying nothing."""
    matchers = _matchers(node)
    for matcher in matchers:
        if matcher.type not in {MatchType.EQUAL, MatchType.REGEX} or matcher.matches({}):
            node.fault(f"{matcher} is satisfied by an alert without the label: use = or =~ with a value")
    return matchers


def _parameters(policy: Node, nodes: dict[str, Node], spec: ActionSpec | None) -> dict[str, Any]:
    """The action's parameters, as its file declares them."""
    if spec is None:
        return {}
    return spec.read_parameters(nodes.get("parameters", policy.child("parameters", {})))


def _witnesses(policy: Node, nodes: dict[str, Node], spec: ActionSpec | None) -> tuple[Witness, ...]:
    """The independent opinions; what stops pods needs at least one."""
    items = nodes["witnesses"].items() if "witnesses" in nodes else []
    witnesses = tuple(_witness(item) for item in items)
    names = [witness.name for witness in witnesses]
    for item, name in zip(items, names, strict=True):
        if names.count(name) > 1:
            item.fault(f"the name {name!r} stands here {names.count(name)} times")
    if spec is not None and Effect.STOPS_PODS in spec.effects and not items:
        policy.child("witnesses", None).fault(f"{spec.name} needs at least one witness independent of the exporter")
    return witnesses


def _witness(node: Node) -> Witness:
    """One witness."""
    nodes = node.keys(("name", "kind", "url", "timeout_seconds"), ("name", "kind"))
    kind = WitnessKind(nodes["kind"].choice(list(WitnessKind))) if "kind" in nodes else WitnessKind.PODS_READY
    if kind is WitnessKind.HTTP and "url" not in nodes:
        node.child("url", None).fault("is required")
    if kind is not WitnessKind.HTTP and "url" in nodes:
        nodes["url"].fault("only a witness of kind http has a url")
    return Witness(
        nodes["name"].text(NAME, NAME_RULE) if "name" in nodes else "",
        kind,
        nodes["url"].text(URL, "a URL without credentials, beginning with http:// or https://")
        if "url" in nodes
        else "",
        **read_numbers(nodes, ("timeout_seconds",), ()),
    )


def _check_together(parsed: PolicySet, policies: list[Policy | None], node: Node) -> None:
    """Reports what no policy shows alone: names used twice, dependencies that nobody defines, auto without identity.

    `policies` has None where an entry could not be read, so that its indexes are those of the file.
    """
    names = [policy.name for policy in parsed.policies]
    for index, policy in enumerate(policies):
        if policy is None:
            continue
        here = Node(None, place_of(f"{node.path}[{index}]", policy.name), node.faults)
        for dependency in policy.dependencies:
            if dependency not in parsed.dependencies:
                here.child("dependencies", None).fault(not_allowed(dependency, parsed.dependencies))
        if policy.mode in {Mode.AUTO, Mode.APPROVE} and not parsed.identity:
            here.child("mode", None).fault(f"{policy.mode} requires `identity` matchers at the top of the file")
    if None not in policies:
        for index, key, sentence in find_nonsense(parsed):
            place = place_of(f"{node.path}[{index}]", parsed.policies[index].name)
            Node(None, f"{place}.{key}", node.faults).fault(sentence)
    for name in sorted({name for name in names if name and names.count(name) > 1}):
        node.fault(f"the name {name!r} is used {names.count(name)} times")
