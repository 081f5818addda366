from __future__ import annotations

import base64
from typing import Any

import pytest

from chassis.errors import PermanentError, Reason
from remediations.facts.kubernetes.drop_tables import Environment, resolve_drop_tables
from remediations.facts.kubernetes.reader import ClusterReader
from tests.fakes.kubernetes import NAMESPACE, FakeCluster

CONFIG = f"/api/v1/namespaces/{NAMESPACE}/configmaps/settings"
SECRET = f"/api/v1/namespaces/{NAMESPACE}/secrets/hidden"


def a_template(*containers: dict[str, Any], first: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    named = [{"name": f"c{number}", **container} for number, container in enumerate(containers)]
    started = [{"name": f"i{number}", **container} for number, container in enumerate(first)]
    return {"spec": {"containers": named, "initContainers": started}}


async def resolve(template: dict[str, Any], **data: dict[str, str]) -> bool | None:
    """The answer with these ConfigMaps (`settings`) and Secrets (`hidden`)."""
    return (await resolved(template, **data)).value


async def resolved(template: dict[str, Any], settings: Any = None, hidden: Any = None) -> Any:
    cluster = FakeCluster()
    if settings is not None:
        cluster.objects[CONFIG] = {"metadata": {"resourceVersion": "1"}, "data": settings}
    if hidden is not None:
        encoded = {name: base64.b64encode(value.encode()).decode() for name, value in hidden.items()}
        cluster.objects[SECRET] = {"metadata": {"resourceVersion": "1"}, "data": encoded}
    return await resolve_drop_tables(Environment(ClusterReader(cluster, 1.0), NAMESPACE), template)


def literal(value: str) -> dict[str, Any]:
    return {"env": [{"name": "CC_DROP_TABLES", "value": value}]}


async def test_absent_variable_is_false():
    assert await resolve(a_template({"env": [{"name": "OTHER", "value": "true"}]})) is False


@pytest.mark.parametrize("value", ["true", "True", " TRUE ", "1", "yes", "on", "maybe"])
async def test_any_word_that_is_not_no_is_true(value):
    assert await resolve(a_template({}, literal(value))) is True


@pytest.mark.parametrize("value", ["", "false", "0", "No", "off"])
async def test_words_for_no_are_false(value):
    assert await resolve(a_template(literal(value))) is False


async def test_init_container_counts():
    assert await resolve(a_template({}, first=(literal("true"),))) is True


async def test_value_made_of_other_variables_is_unknown():
    answer = await resolved(a_template(literal("$(DROP)")))

    assert answer.value is None
    assert "other variables" in answer.problem


async def test_env_from_config_map_is_read():
    template = a_template({"envFrom": [{"configMapRef": {"name": "settings"}}]})

    assert await resolve(template, settings={"CC_DROP_TABLES": "true"}) is True
    assert await resolve(template, settings={"CC_DROP_TABLES": "false"}) is False
    assert await resolve(template, settings={"OTHER": "true"}) is False


async def test_env_from_secret_is_read_for_that_key_alone():
    template = a_template({"envFrom": [{"secretRef": {"name": "hidden"}}]})

    assert await resolve(template, hidden={"CC_DROP_TABLES": "true", "PASSWORD": "x"}) is True
    assert await resolve(template, hidden={"PASSWORD": "x"}) is False


async def test_prefix_is_taken_into_account():
    template = a_template({"envFrom": [{"prefix": "CC_", "configMapRef": {"name": "settings"}}]})

    assert await resolve(template, settings={"DROP_TABLES": "true"}) is True
    assert await resolve(template, settings={"CC_DROP_TABLES": "true"}) is False


async def test_prefix_that_cannot_give_the_name_is_not_read():
    template = a_template({"envFrom": [{"prefix": "X_", "secretRef": {"name": "hidden"}}]})

    assert await resolve(template) is False


async def test_env_wins_over_env_from_and_later_over_earlier():
    source = {"envFrom": [{"configMapRef": {"name": "settings"}}]}

    assert await resolve(a_template({**source, **literal("false")}), settings={"CC_DROP_TABLES": "true"}) is False
    twice = {"env": [{"name": "CC_DROP_TABLES", "value": "true"}, {"name": "CC_DROP_TABLES", "value": "false"}]}
    assert await resolve(a_template(twice)) is False


async def test_single_key_references_are_read():
    from_map = {"configMapKeyRef": {"name": "settings", "key": "drop"}}
    from_secret = {"secretKeyRef": {"name": "hidden", "key": "drop"}}

    def with_origin(origin: Any) -> Any:
        return a_template({"env": [{"name": "CC_DROP_TABLES", "valueFrom": origin}]})

    assert await resolve(with_origin(from_map), settings={"drop": "true"}) is True
    assert await resolve(with_origin(from_secret), hidden={"drop": "true"}) is True
    assert await resolve(with_origin({"fieldRef": {"fieldPath": "metadata.name"}})) is None


async def test_missing_source_is_unknown_unless_optional():
    def template(**extra: Any) -> Any:
        return a_template({"envFrom": [{"configMapRef": {"name": "settings", **extra}}]})

    assert await resolve(template()) is None
    assert await resolve(template(optional=True)) is False


async def test_secret_that_may_not_be_read_is_unknown_and_named():
    cluster = FakeCluster()

    def refuse(_verb: str, _path: str) -> None:
        raise PermanentError(Reason.PERMISSION, "HTTP status 403")

    cluster.before = refuse
    template = a_template({"envFrom": [{"secretRef": {"name": "hidden"}}]})

    answer = await resolve_drop_tables(Environment(ClusterReader(cluster, 1.0), NAMESPACE), template)

    assert answer.value is None
    assert answer.problem == "container c0: Secret hidden: permission"


async def test_one_container_that_is_true_locks_although_another_is_unreadable():
    unreadable = {"envFrom": [{"secretRef": {"name": "hidden"}}]}

    assert await resolve(a_template(unreadable, literal("true"))) is True
    assert await resolve(a_template(unreadable, literal("false"))) is None
