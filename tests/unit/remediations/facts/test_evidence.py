"""Evidence is bounded, and a planted secret is in none of it."""

from __future__ import annotations

import json

import pytest

from chassis.errors import PermanentError, Reason
from chassis.output.redaction import remove_secrets
from remediations.facts.evidence import LOG_BYTES, MAX_PODS, gather
from tests.fakes.decisions import API
from tests.fakes.engine import raising
from tests.fakes.facts import sources_of
from tests.fakes.kubernetes import NAME, NAMESPACE, PODS, FakeCluster, a_cluster

PLANTED = "Xk2-planted-7719"


def a_sick_cluster(message: str, log: str = "") -> FakeCluster:
    cluster = a_cluster(ready=1)
    cluster.log = log
    for path, item in cluster.objects.items():
        if path.startswith(PODS):
            item["spec"] = {"containers": [{"name": "api", "env": [{"name": "DATABASE_URL", "value": PLANTED}]}]}
            ended = {"terminated": {"reason": "Error", "exitCode": 1, "message": message}}
            item["status"]["containerStatuses"] = [{"restartCount": 3, "lastState": ended}]
    cluster.objects[f"/api/v1/namespaces/{NAMESPACE}/events/one"] = {
        "metadata": {"name": "one"}, "involvedObject": {"name": f"{NAME}-2"}, "type": "Warning", "reason": "BackOff",
        "message": message, "lastTimestamp": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    return cluster


async def test_planted_secret_is_in_no_part_of_the_evidence():
    words = f"cannot log in with {PLANTED}; password=hunter2 Authorization: Bearer abcdefgh12345"
    found = json.dumps(await gather(sources_of(a_sick_cluster(words, words)), API))
    for secret in (PLANTED, "hunter2", "abcdefgh12345"):
        assert secret not in found
    assert "cannot log in with" in found
    assert "BackOff" in found


async def test_evidence_is_bounded_and_begins_with_the_pods_that_do_not_serve():
    found = await gather(sources_of(a_sick_cluster("x", "y" * 100_000)), API)
    assert len(found["pods"]) <= MAX_PODS
    assert not found["pods"][0]["is_ready"]
    assert all(len(text) <= LOG_BYTES for text in found["previous_logs"].values())


async def test_evidence_that_cannot_be_had_is_noted_and_stops_nothing():
    cluster = a_sick_cluster("x")
    cluster.before = raising(PermanentError(Reason.PERMISSION, "HTTP status 403"), "text")
    assert "permission" in json.dumps((await gather(sources_of(cluster), API))["previous_logs"])
    about = {"name": "one", "namespace": NAMESPACE}
    event = {"metadata": about, "involvedObject": {"name": NAME}, "type": "Warning", "reason": "Unhealthy"}
    cluster.objects = {f"/api/v1/namespaces/{NAMESPACE}/events/one": event}
    found = await gather(sources_of(cluster), API)
    assert found["problem"].startswith("missing")
    assert "Unhealthy" in found["events"][0], "what was had is kept all the same"


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://app:s3cr3t-word@db:5432/x",
        '{"api_key": "s3cr3t-word"}',
        "DB_PASSWORD=s3cr3t-word",
        "token: s3cr3t-word",
        "Authorization: Basic czNjcjN0LXdvcmQ=s3cr3t-word",
        "-----BEGIN RSA PRIVATE KEY-----\ns3cr3t-word",
    ],
)
def test_what_looks_like_a_credential_is_removed(text):
    assert "s3cr3t-word" not in remove_secrets(f"before {text}")
    assert remove_secrets(f"before {text}").startswith("before ")


def test_ordinary_words_stay():
    text = "GET /health 503 in 2.1 s: QueuePool limit of size 5 reached"
    assert remove_secrets(text) == text


async def test_pod_that_has_never_restarted_has_no_earlier_log_to_ask_for():
    cluster = a_sick_cluster("x")
    for path, item in cluster.objects.items():
        if path.startswith(PODS):
            item["status"]["containerStatuses"][0]["restartCount"] = 0

    found = await gather(sources_of(cluster), API)

    assert set(found["previous_logs"].values()) == {"(no container of this pod has ended yet)"}
    assert "text" not in {verb for verb, _ in cluster.calls}


async def test_events_about_others_are_not_asked_for():
    """A busy namespace has thousands of Events; each object has only a few."""
    cluster = a_sick_cluster("x")
    asked = []

    class Selecting(FakeCluster):
        async def list(self, path, *, timeout_seconds, label_selector=None, field_selector=None):
            asked.append((path.rsplit("/", 1)[1], field_selector))
            return await cluster.list(path, timeout_seconds=timeout_seconds, label_selector=label_selector)

    await gather(sources_of(Selecting(cluster.objects)), API)

    assert ("events", None) not in asked
    assert ("events", f"involvedObject.name={NAME}") in asked
