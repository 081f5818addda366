"""The policy file: read completely, or refused with every fault at once."""

from __future__ import annotations

import copy
from contextlib import suppress

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.errors import ConfigError
from remediations.core.model.alert import Mode
from remediations.core.policies.matchers import Matcher, MatchType
from remediations.core.policies.policy import Query, Witness, WitnessKind
from remediations.core.policies.reader import parse_policies
from tests.fakes.decisions import restart_policy

RESTART = {
    "name": "restart-api",
    "action": "restart_workload",
    "mode": "auto",
    "match": ['alertname="ControlCoreApiDown"', "severity=critical"],
    "targets": [{"namespace": "control-core", "kind": "Deployment", "name": "control-plane-api"}],
    "condition": {"promql": "controlcore_api_up == bool 0", "collectors": ["api"], "max_age_seconds": 30},
    "verify": {"promql": "controlcore_api_up == bool 1", "collectors": ["api"]},
    "witnesses": [
        {"name": "pods", "kind": "pods_ready"},
        {"name": "health", "kind": "http", "url": "http://api:8082/health", "timeout_seconds": 1},
    ],
    "dependencies": ["postgres"],
    "cooldown_seconds": 60,
    "budget_actions": 3,
    "budget_seconds": 7200,
    "verify_timeout_seconds": 120,
    "expires_seconds": 300,
    "retry_seconds": 2,
}
SCALE = {
    "name": "scale-api",
    "action": "scale_workload",
    "targets": RESTART["targets"],
    "condition": RESTART["condition"],
    "verify": RESTART["verify"],
    "parameters": {"max_replicas_cap": 12},
}
DOCUMENT = {
    "identity": 'cluster="demo"',
    "dependencies": {"postgres": {"promql": "controlcore_postgres_up", "collectors": ["postgres_canary"]}},
    "max_actions": 4,
    "max_actions_seconds": 600,
    "policies": [RESTART, SCALE],
}
ABSENT = object()
FAULTS = [
    ("policies.0.mode", "atuo", "policies[0] (restart-api).mode: 'atuo' is not allowed; did you mean auto?"),
    ("identity", ABSENT, "identity: is required, because these policies are approve or auto: restart-api"),
    ("identity", [], "identity: must not be empty"),
    ("identity", 'cluster!="other"', 'identity: cluster!="other" is satisfied by an alert without the label'),
    ("identity", 'cluster=~".*"', 'identity: cluster=~".*" is satisfied by an alert without the label'),
    ("identity", 'cluster!~"other"', "identity: cluster!~"),
    (
        "policies.0.cooldwon_seconds",
        5,
        "(restart-api).cooldwon_seconds: unknown setting; did you mean cooldown_seco",
    ),
    ("polices", [], "polices: unknown setting; did you mean policies?"),
    ("policies", ABSENT, "policies: is required"),
    ("policies", [], "policies: must not be empty"),
    ("policies", "none", "policies: expected a list, found a string"),
    ("policies.1", "scale", "policies[1]: expected a mapping, found a string"),
    ("policies.0.name", ABSENT, "policies[0].name: is required"),
    ("policies.0.name", "Restart API", "policies[0].name: 'Restart API' is not a name"),
    ("policies.0.name", "none", "policies[0] (none).name: 'none' is the value of alerts without a policy"),
    ("policies.0.name", "scale-api", "policies[1] (scale-api).name: the name 'scale-api' is used 2 times"),
    ("policies.0.action", ABSENT, "(restart-api).action: is required"),
    (
        "policies.0.action",
        "restart_worklaod",
        "(restart-api).action: 'restart_worklaod' is not allowed; did you mea",
    ),
    ("policies.0.targets", ABSENT, "(restart-api).targets: is required"),
    ("policies.0.targets", [], "(restart-api).targets: must not be empty"),
    (
        "policies.0.targets",
        RESTART["targets"] * 2,
        "(restart-api).targets[1]: Deployment/control-core/control-plane",
    ),
    (
        "policies.0.targets.0.kind",
        "StatefulSet",
        "(restart-api).targets[0].kind: 'StatefulSet' is not allowed",
    ),
    ("policies.0.targets.0.kind", ABSENT, "(restart-api).targets[0].kind: is required"),
    ("policies.0.targets.0.name", ABSENT, "(restart-api).targets[0].name: is required"),
    ("policies.0.targets.0.namespace", ABSENT, "(restart-api).targets[0].namespace: is required"),
    (
        "policies.0.targets.0.namespace",
        "Control_Core",
        "(restart-api).targets[0].namespace: 'Control_Core' is not t",
    ),
    (
        "policies.0.targets.0.name",
        "api/../x",
        "(restart-api).targets[0].name: 'api/../x' is not the name of an obje",
    ),
    ("policies.0.targets.0.name", "*", "(restart-api).targets[0].name: '*' is not the name of an object"),
    (
        "policies.0.targets.0.name",
        "my-redis.main",
        "(restart-api).targets[0]: 'my-redis.main': PostgreSQL and Redis",
    ),
    ("policies.0.targets.0.name", "control-core-postgres", "PostgreSQL and Redis are never restarted or scaled"),
    ("policies.0.condition", ABSENT, "(restart-api).condition: is required"),
    ("policies.0.verify", ABSENT, "(restart-api).verify: is required"),
    ("policies.0.condition.promql", "", "(restart-api).condition.promql: must not be empty"),
    ("policies.0.condition.promql", ABSENT, "(restart-api).condition.promql: is required"),
    (
        "policies.0.condition.promql",
        'ALERTS{alertname="X"}',
        "(restart-api).condition.promql: ALERTS shows the state ",
    ),
    ("policies.0.condition.promql", "ALERTS_FOR_STATE", "(restart-api).condition.promql: ALERTS shows"),
    (
        "policies.0.condition.promql",
        "max(up == bool 0",
        "(restart-api).condition.promql: not PromQL: ( in c",
    ),
    ("policies.0.condition.collectors", ["apis"], "collectors[0]: 'apis' is not allowed; did you mean api? allowed h"),
    ("policies.1.parameters.revert_collectors", ["workload"], "'workload' is not allowed; did you mean workloads?"),
    ("policies.1.parameters.revert_if", "up == (1", "(scale-api).parameters.revert_if: not PromQL"),
    ("policies.0.verify.collectors", ABSENT, "(restart-api).verify.collectors: is required"),
    (
        "policies.0.verify.collectors",
        [],
        "(restart-api).verify.collectors: must not be empty: without a collector",
    ),
    (
        "policies.0.verify.collectors",
        ["api", "api"],
        "(restart-api).verify.collectors[1]: 'api' is listed twice",
    ),
    ("policies.0.verify.collectors", 'a"}', "(restart-api).verify.collectors: expected a list"),
    ("policies.0.verify.collectors", ['a"} or vector(1)'], "(restart-api).verify.collectors[0]:"),
    (
        "policies.0.verify.max_age_seconds",
        0,
        "(restart-api).verify.max_age_seconds: must be between 1 and 3600, is ",
    ),
    ("policies.0.match", ["alertname"], "(restart-api).match[0]: expected `label"),
    ("policies.0.match", [], "(restart-api).match: must not be empty"),
    ("policies.0.match", 'a=~"("', "(restart-api).match: not an expression of RE2"),
    ("policies.0.match", [5], "(restart-api).match[0]: expected a string, found a number"),
    (
        "policies.0.witnesses",
        ABSENT,
        "(restart-api).witnesses: restart_workload needs at least one witness",
    ),
    ("policies.0.witnesses", [], "(restart-api).witnesses: restart_workload needs at least one witness"),
    (
        "policies.0.witnesses.1.name",
        "pods",
        "(restart-api).witnesses[1].name: the name 'pods' is used 2 times",
    ),
    ("policies.0.witnesses.1.name", ABSENT, "(restart-api).witnesses[1].name: is required"),
    ("policies.0.witnesses.1.kind", ABSENT, "(restart-api).witnesses[1].kind: is required"),
    (
        "policies.0.witnesses.1.kind",
        "htpp",
        "(restart-api).witnesses[1].kind: 'htpp' is not allowed; did you mean h",
    ),
    ("policies.0.witnesses.1.url", ABSENT, "(restart-api).witnesses[1].url: is required"),
    ("policies.0.witnesses.1.url", "ftp://api", "(restart-api).witnesses[1].url: 'ftp://api' is not a URL"),
    ("policies.0.witnesses.1.url", "http://user:pass@api/", "is not a URL without credentials"),
    (
        "policies.0.witnesses.0.url",
        "http://api",
        "(restart-api).witnesses[0].url: only a witness of kind http has a",
    ),
    (
        "policies.0.witnesses.1.timeout_seconds",
        99,
        "(restart-api).witnesses[1].timeout_seconds: must be between 0.1",
    ),
    (
        "policies.0.dependencies",
        ["postgre"],
        "(restart-api).dependencies: 'postgre' is not allowed; did you mean po",
    ),
    ("policies.1.dependencies", ["redis"], "(scale-api).dependencies: 'redis' is not allowed"),
    (
        "dependencies",
        ABSENT,
        "(restart-api).dependencies: 'postgres' is not allowed; allowed here: nothing",
    ),
    ("dependencies.postgres.promql", ABSENT, "dependencies.postgres.promql: is required"),
    ("dependencies", {"Post Gres": DOCUMENT["dependencies"]["postgres"]}, "dependencies.Post Gres: 'Post Gres' is"),
    ("policies.1.parameters", ABSENT, "(scale-api).parameters.max_replicas_cap: is required"),
    (
        "policies.1.parameters.max_replicas_cap",
        0,
        "(scale-api).parameters.max_replicas_cap: must be between 1 and",
    ),
    ("policies.1.parameters.step", 1.5, "(scale-api).parameters.step: expected a whole number"),
    ("policies.1.parameters.stpe", 1, "(scale-api).parameters.stpe: unknown setting; did you mean step?"),
    (
        "policies.0.parameters",
        {"step": 1},
        "(restart-api).parameters.step: unknown setting; allowed here: nothing",
    ),
    (
        "policies.0.cooldown_seconds",
        -1,
        "(restart-api).cooldown_seconds: must be between 0 and 86400, is -1",
    ),
    (
        "policies.0.cooldown_seconds",
        "15m",
        'cooldown_seconds: expected a number of seconds, for example 900; found "15m"',
    ),
    ("policies.0.budget_actions", 0, "(restart-api).budget_actions: must be between 1 and 1000"),
    ("policies.0.ladder", [{"action": ["x"]}], "(restart-api).ladder[0].action: expected a string, found a list"),
    ("policies.0.freeze", [{"tiemzone": "UTC"}], "freeze[0].tiemzone: unknown setting; did you mean timezone?"),
    ("max_actions", True, "max_actions: expected a whole number, found a boolean"),
]
"""Path, value, and the reported fault."""


def parse(document):
    return parse_policies(document if isinstance(document, str) else yaml.safe_dump(document), "p.yaml")


def changed(path: str, value) -> dict:
    """The document with the value at a path such as `policies.0.mode` replaced or removed."""
    document = copy.deepcopy(DOCUMENT)
    *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    place = document
    for part in way:
        place = place[part]
    if value is ABSENT:
        del place[last]
    else:
        place[last] = value
    return document


def faults_of(document) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(document)
    return [str(fault) for fault in caught.value.faults]


def test_complete_file_is_read_completely():
    parsed = parse(DOCUMENT)
    first, second = parsed.policies
    assert parsed.identity == (Matcher("cluster", MatchType.EQUAL, "demo"),)
    assert (parsed.max_actions, parsed.max_actions_seconds) == (4, 600)
    assert parsed.dependencies == {"postgres": Query("controlcore_postgres_up", ("postgres_canary",))}
    assert first == restart_policy(
        condition=Query("controlcore_api_up == bool 0", ("api",), 30),
        match=(
            Matcher("alertname", MatchType.EQUAL, "ControlCoreApiDown"),
            Matcher("severity", MatchType.EQUAL, "critical"),
        ),
        witnesses=(
            Witness("pods", WitnessKind.PODS_READY),
            Witness("health", WitnessKind.HTTP, "http://api:8082/health", 1),
        ),
        cooldown_seconds=60,
        budget_actions=3,
        budget_seconds=7200,
        verify_timeout_seconds=120,
        expires_seconds=300,
        retry_seconds=2,
        parameters={},
    )
    assert second.parameters["max_replicas_cap"] == 12
    assert (second.mode, second.match, second.witnesses, second.dependencies) == (Mode.DRY_RUN, (), (), ())
    assert parsed.named("scale-api") is second
    assert parsed.named("other") is None


def test_identity_may_be_a_list_of_matchers():
    parsed = parse(changed("identity", ['cluster="demo"', 'namespace=~"control-.+"']))
    assert [item.label for item in parsed.identity] == ["cluster", "namespace"]


@pytest.mark.parametrize(("path", "value", "fault"), FAULTS)
def test_fault_is_reported_with_its_path(path, value, fault):
    faults = faults_of(changed(path, value))
    assert [text for text in faults if text.startswith("p.yaml:") and fault in text], faults


def test_all_faults_are_reported_at_once():
    document = changed("policies.0.mode", "sometimes")
    document["policies"][1]["parameters"] = {}
    document["policies"][1]["targets"] = []
    assert len(faults_of(document)) == 3


def test_fault_has_its_line():
    text = "policies:\n- name: restart-api\n  mode: atuo\n"
    places = [fault.partition(" ")[0] for fault in faults_of(text) if "mode" in fault or "targets" in fault]
    assert places == ["p.yaml:2:", "p.yaml:3:"]


def test_fault_of_one_key_hides_no_contradiction():
    """The policy's other values are valid, and are checked against the rest of the file."""
    document = changed("policies.0.cooldown_seconds", "15m")
    document["policies"][0] |= {"dependencies": ["postgre"], "expires_seconds": 1, "name": "scale-api"}
    document["dependencies"]["postgres"]["max_age_seconds"] = 0
    del document["identity"]
    places = [fault.split(": ")[1] for fault in faults_of(document)]
    assert sorted(places) == [
        "dependencies.postgres.max_age_seconds",
        "identity",
        "policies[0] (scale-api).cooldown_seconds",
        "policies[0] (scale-api).dependencies",
        "policies[0] (scale-api).expires_seconds",
        "policies[1] (scale-api).name",
    ]


def test_missing_identity_is_one_fault_for_all_policies():
    document = changed("policies.1.mode", "approve")
    del document["identity"]

    (fault,) = faults_of(document)
    assert fault.endswith("identity: is required, because these policies are approve or auto: restart-api, scale-api")


def test_one_mistake_is_one_fault():
    assert len(faults_of(changed("policies.0.action", "restart"))) == 1


@pytest.mark.parametrize(
    ("wrong", "others"),
    [
        ({"expires_seconds": "20m"}, {"retry_seconds": 1000}),
        ({"retry_seconds": "5s"}, {"expires_seconds": 10}),
        ({"budget_actions": "3"}, {"ladder": [{"action": "restart_workload"}] * 2}),
    ],
)
def test_fault_of_a_value_is_not_told_as_a_contradiction_of_its_default(wrong, others):
    document = changed("policies.0.cooldown_seconds", 60)
    document["policies"][0] |= wrong | others
    (fault,) = faults_of(document)
    assert f"(restart-api).{next(iter(wrong))}: expected a" in fault


@pytest.mark.parametrize("text", ["", "[]", "policies: [", "policies:\n- {name: a, name: b}"])
def test_text_that_is_no_policy_file_is_refused(text):
    assert faults_of(text)


@pytest.mark.timeout(60)
@settings(max_examples=40)  # reading YAML is slow, and every change is one document
@given(st.data())
def test_any_change_is_read_or_refused_as_a_configuration(data):
    paths = [
        "policies.0",
        *(f"policies.0.{key}" for key in RESTART),
        *(f"policies.1.{key}" for key in SCALE),
        *DOCUMENT,
    ]
    value = data.draw(st.sampled_from([None, 0, -1, 1.5, True, "", "x", [], ["x"], [None], {}, {"x": 1}, [[]], [{}]]))
    with suppress(ConfigError):
        parse(changed(data.draw(st.sampled_from(paths)), value))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("policies:\n- {name: a", "p.yaml: not YAML: expected ',' or '}', but got '<stream end>' in line 2, column 11"),
        ("policies: \x01", "p.yaml: not YAML: special characters are not allowed"),
    ],
)
def test_file_that_is_no_yaml_is_told_with_its_name_and_line(text: str, fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert [str(each) for each in caught.value.faults] == [fault]
