"""What keeps existing objects from being acted on, and what policies call."""

from __future__ import annotations

from typing import Any

import pytest

from chassis.errors import PermanentError, Reason, TransientError
from chassis.http.call import Response
from chassis.postgres.address import PostgresAddress
from remediations.commands.doctor.objects import (
    check_cluster,
    check_database,
    check_endpoints,
    check_objects,
    endpoints,
    judge_autoscalers,
    judge_object,
    judge_template,
    unseen_sessions,
)
from remediations.core.model.alert import Mode, Target
from remediations.core.model.cluster import Template, TemplateSource
from remediations.core.policies.limits import Consent
from remediations.core.policies.policy import Rung, Witness, WitnessKind
from remediations.settings import RemediatorKubernetesSettings, RemediatorSettings
from tests.fakes.decisions import API, a_policy_set, a_workload, an_autoscaler, restart_policy, scale_policy
from tests.fakes.installation import AskedHttp, a_place, found_by, told
from tests.fakes.kubernetes import FakeCluster, a_cluster, a_deployment

PROBED = {"readinessProbe": {"httpGet": {"path": "/health", "port": 8000}}}
CRON = Target(API.namespace, "CronJob", "postgres-backup")
BACKUP = restart_policy(name="run-backup", action="run_backup_job", targets=(CRON,), witnesses=())
UNREAD = TemplateSource("ConfigMap/api-env", None, "permission")
BY_PODS = restart_policy(witnesses=(Witness("pods", WitnessKind.PODS_READY),))


def judged(policy: Any = None, target: Target = API, **spec: Any) -> list[str]:
    document = a_deployment(ready=3, **PROBED)
    document["spec"] |= spec.pop("spec", {})
    document["metadata"] |= spec
    return [item.problem for item in judge_object("check", target, [policy or restart_policy()], document)]


def test_good_deployment_has_no_finding() -> None:
    assert judged() == judged(BY_PODS) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"annotations": {"controlcore.io/hands-off": "true"}}, "is not changed: it has"),
        ({"spec": {"paused": True}}, "is paused"),
        ({"spec": {"replicas": 0}}, "scaled to zero"),
    ],
)
def test_object_that_would_be_held_is_told(changes: dict[str, Any], words: str) -> None:
    (problem,) = judged(**changes)
    assert words in problem


def test_cron_job_that_is_suspended_is_told() -> None:
    (problem,) = judged(BACKUP, CRON, spec={"suspend": True})
    assert "suspended" in problem
    assert judged(BACKUP, CRON) == []


def test_witness_of_pods_needs_a_readiness_probe_unless_another_may_confirm() -> None:
    bare = a_deployment(ready=3)
    for policy, number in ((BY_PODS, 1), (restart_policy(), 0)):
        assert len(list(judge_object("check", API, [policy], bare))) == number


@pytest.mark.parametrize(
    ("workload", "template", "words", "remedy"),
    [
        ({"drop_tables": True}, Template(), "delete every table", "kubectl set env -n control-core deployment/"),
        (
            {"drop_tables": None, "drop_tables_problem": "ConfigMap x: 403"},
            Template(),
            "unreadable",
            "configmaps --",
        ),
        ({}, Template(sources=(UNREAD,)), "configuration_unknown", "--resource-name=api-env"),
        ({}, Template(unpinned=("api: api:latest",)), "image_unpinned", "unpinned_image"),
        ({"drop_tables": None}, Template(sources=(UNREAD,)), "template_unreadable", "readableSecrets"),
    ],
)
def test_template_that_would_be_held_is_told(
    workload: dict[str, Any], template: Template, words: str, remedy: str
) -> None:
    (found,) = judge_template("check", API, [restart_policy()], (a_workload(**workload), template), "ann")
    assert (found.severity.value, words in found.problem, remedy in found.remedy) == ("error", True, True)


def test_template_that_a_policy_accepts_is_no_finding() -> None:
    template = Template(unpinned=("api: api:latest",), sources=(UNREAD, TemplateSource("Secret/read", 1.0)))
    policy = restart_policy(accept=frozenset({Consent.UNPINNED_IMAGE, Consent.UNREAD_CONFIGURATION}))
    assert list(judge_template("check", API, [policy], (a_workload(), template), "ann")) == []


async def test_template_is_read_where_an_action_starts_pods() -> None:
    dropping = a_cluster(ready=3, env=[{"name": "CC_DROP_TABLES", "value": "true"}], **PROBED)
    (found,) = await found_by(check_objects, a_place(a_policy_set(restart_policy()), cluster=dropping))
    assert "delete every table" in found.problem


@pytest.mark.parametrize(
    ("found", "severity", "words"),
    [
        ((), "info", "no HorizontalPodAutoscaler"),
        ((an_autoscaler(), an_autoscaler(name="other")), "error", "several autoscalers"),
        ((an_autoscaler(is_active=False),), "error", "autoscaler_blind"),
        ((an_autoscaler(maximum=14),), "error", "the policy cannot raise it"),
    ],
)
def test_owner_of_the_number_of_pods_is_judged(found: tuple[Any, ...], severity: str, words: str) -> None:
    (finding,) = judge_autoscalers("check", API, [scale_policy()], found)
    assert (finding.severity.value, words in finding.problem) == (severity, True)


def test_good_autoscaler_has_no_finding() -> None:
    assert list(judge_autoscalers("check", API, [scale_policy()], (an_autoscaler(is_active=None),))) == []


async def test_objects_are_looked_up_in_the_cluster() -> None:
    there = a_place(a_policy_set(BY_PODS), cluster=a_cluster(ready=3, **PROBED))
    assert await found_by(check_objects, there) == []
    gone = a_place(a_policy_set(restart_policy(), BACKUP), cluster=FakeCluster())
    found = await found_by(check_objects, gone)
    assert {item.problem for item in found} == {f"{API.key} does not exist", f"{CRON.key} does not exist"}
    assert any("kubectl get cronjobs -n control-core" in item.remedy for item in found)


async def test_severity_of_a_missing_object_follows_the_mode() -> None:
    place = a_place(a_policy_set(restart_policy(mode=Mode.DRY_RUN)), cluster=FakeCluster())
    assert [severity for severity, _ in told(await found_by(check_objects, place))] == ["warning"]


async def test_object_that_may_not_be_read_or_is_malformed_is_unknown() -> None:
    def refuse(_verb: str, _path: str) -> None:
        raise PermanentError(Reason.PERMISSION, "HTTP status 403")

    for cluster in (FakeCluster(before=refuse), FakeCluster({path: {"spec": 7} for path in a_cluster().objects})):
        place = a_place(a_policy_set(restart_policy()), cluster=cluster)
        assert {severity for severity, _ in told(await found_by(check_objects, place))} == {"unknown"}


async def test_scaling_asks_for_the_autoscalers() -> None:
    cluster = a_cluster(ready=3, **PROBED)
    hpas = {path for path in cluster.objects if "horizontalpodautoscalers" in path}
    for path in hpas:
        del cluster.objects[path]
    place = a_place(a_policy_set(scale_policy()), cluster=cluster)
    assert told(await found_by(check_objects, place))[0][0] == "info"


async def test_cluster_that_is_not_configured_or_cannot_be_reached_is_told() -> None:
    (absent,) = await found_by(check_cluster, a_place(a_policy_set()))
    assert "kubernetes: {}" in absent.remedy
    settings = RemediatorSettings(kubernetes=RemediatorKubernetesSettings())
    (without,) = await found_by(check_cluster, a_place(a_policy_set(), settings=settings, cluster_problem="no token"))
    assert without.evidence == "no token"

    def refuse(_verb: str, _path: str) -> None:
        raise TransientError(Reason.REFUSED, "no")

    down = a_place(a_policy_set(), settings=settings, cluster=FakeCluster(before=refuse))
    (refused,) = await found_by(check_cluster, down)
    assert (refused.severity.value, refused.evidence) == ("error", "connection refused")
    assert await found_by(check_cluster, a_place()) == []


def test_endpoints_are_origins_of_every_rung_without_placeholders() -> None:
    url = "http://opal-client:7000"
    policy = restart_policy(
        parameters={"url": url, "urls": ("http://bouncer.invalid:8080",)},
        witnesses=(Witness("own", WitnessKind.HTTP, f"{url}/ready"),),
        ladder=(Rung("clear_bouncer_cache", {"urls": ("http://b1:8080/x", "http://b2:8080")}),),
    )
    place = a_place(a_policy_set(policy))
    assert list(endpoints(place.rungs())) == [url, "http://b1:8080", "http://b2:8080"]


@pytest.mark.parametrize(("answer", "number"), [(Response(404, b"", 0.0), 0), (TransientError(Reason.DNS, "no"), 1)])
async def test_address_that_answers_anything_is_good(answer: Any, number: int) -> None:
    http = AskedHttp(lambda _: answer)
    found = await found_by(check_endpoints, a_place(a_policy_set(restart_policy()), http=http))
    assert len(found) == number
    assert [call.method for call in http.calls] == ["GET"]


async def test_database_that_is_away_is_not_asked_for_grants() -> None:
    idle = restart_policy(action="terminate_idle_sessions", targets=(Target("cc", "Database", "control-plane"),))
    settings = RemediatorSettings(database={"url": "postgresql://ann@127.0.0.1:1/product"})
    (found,) = await found_by(check_database, a_place(a_policy_set(idle), settings=settings))
    assert (found.severity.value, found.problem) == ("error", "the database does not answer")
    assert found.evidence.startswith("refused: ")
    assert "grants" not in found.remedy


async def test_database_that_a_policy_needs_must_be_configured() -> None:
    idle = restart_policy(action="terminate_idle_sessions", targets=(Target("cc", "Database", "control-plane"),))
    (found,) = await found_by(check_database, a_place(a_policy_set(idle)))
    assert (found.severity.value, "database: {url" in found.remedy) == ("error", True)
    assert await found_by(check_database, a_place(a_policy_set())) == []


@pytest.mark.parametrize(
    ("why", "problem", "remedies"),
    [
        (
            'missing: database "produkt" does not exist (SQLSTATE 3D000)',
            "the configured database does not exist",
            ["set database.url in /etc/remediator.yaml to the product's database; list the databases with: psql -h db"],
        ),
        (
            'missing: schema "controlcore_remediator" does not exist (SQLSTATE 3F000)',
            "the database does not let the remediator read idle sessions",
            ["grants --role ann | psql -d produkt   # as", "or set database.url in /etc/remediator.yaml to "],
        ),
    ],
)
def test_wrong_name_of_the_database_is_told_from_a_missing_grant(why: str, problem: str, remedies: list[str]) -> None:
    target = PostgresAddress.parse("postgresql://ann@db/produkt").target()
    found = unseen_sessions(a_place(a_policy_set()), "check", [restart_policy()], why, target)
    assert found.problem == problem
    assert [words in line for words, line in zip(remedies, found.remedy.splitlines(), strict=True)] == [True] * len(
        remedies
    )
