"""A real Alertmanager's silences and a real Prometheus' partial answers, as others make them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from chassis.clock import SystemClock
from chassis.errors import BackendError
from chassis.http.client import HttpClient
from remediations.core.model.alert import Alert
from remediations.core.policies.limits import CustomGuard, HoldIf
from remediations.core.policies.policy import Query
from remediations.facts.alertmanager import Alertmanager
from remediations.facts.prometheus import PrometheusClient
from remediations.settings import AlertmanagerSettings, PrometheusSettings
from tests.fakes.waiting import wait_for
from tools.servers.alertmanager import AlertmanagerServer
from tools.servers.http import HttpError, call
from tools.servers.ports import free_port
from tools.servers.prometheus import PrometheusServer
from tools.servers.versions import Generation
from tools.slowness import scaled

pytestmark = pytest.mark.timeout(120)
CONFIGURATION = "route: {receiver: nobody, group_wait: 1s}\nreceivers: [{name: nobody}]\n"
LONG = "node-7.eu-west-1.compute.example.com.node-8.eu-west-1.compute.example.com!"
FORMS = (
    (r"(([a-z0-9]+)[.-]?)+:9090", LONG, False),
    (r"((.+)+)+#", LONG, False),
    (r"(([a-z0-9]+)[.-]?)+!", LONG, True),
    ("(?i)NODE-7.*", LONG, True),
    ("Kafka(?i)lag.*", "KafkaLAGHigh", True),
    (r"\p{Lu}\p{Ll}+", "Österreich", True),
    (r"\w+", "Österreich", False),
    ("[[:upper:]]+", "ABC", True),
    (r"\QA.B\E", "A.B", True),
    (r"a|b", "ab", False),
    (r"a$|b", "b", True),
    ("a.b", "a\nb", False),
    ("(?s)a.b", "a\nb", True),
    ("(?U)a+", "aaa", True),
    ("(?P<n>a)b", "ab", True),
    (r"a\z", "a", True),
    (r"\x{e9}t\x{e9}", "été", True),
    ("", "", True),
)
"""Expression, value, whether it fits; each is set as a silence of a real Alertmanager, which says so itself."""
REFUSED = (r"(a)\1", "(?=a)", "(?<!a)b", r"a\Z", "a++", "a{1001}", r"\C", "(", "*", "a)|(?:b")


@pytest.fixture(params=[Generation.PINNED])
def alertmanager(request: pytest.FixtureRequest) -> Iterator[AlertmanagerServer]:
    with AlertmanagerServer(CONFIGURATION, request.param) as server:
        yield server


@pytest.fixture
def clustered() -> Iterator[AlertmanagerServer]:
    with AlertmanagerServer(CONFIGURATION, is_clustered=True) as server:
        yield server


def silence(name: str, value: str, seconds: float = 3600.0) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        "matchers": [
            {"name": "alertname", "value": name, "isRegex": False, "isEqual": True},
            {"name": "instance", "value": value, "isRegex": True, "isEqual": True},
        ],
        "startsAt": now.isoformat(),
        "endsAt": (now + timedelta(seconds=seconds)).isoformat(),
        "createdBy": "test",
        "comment": "form",
    }


def post_silence(server: AlertmanagerServer, *arguments: Any) -> str:
    answer = call("POST", f"{server.url}/api/v2/silences", silence(*arguments))
    return str(answer["silenceID"])


def told(server: AlertmanagerServer) -> dict[str, Any]:
    return {item["labels"]["alertname"]: item for item in server.alerts()}


def silenced(server: AlertmanagerServer) -> set[str]:
    return {name for name, item in told(server).items() if item["status"]["silencedBy"]}


async def test_silences_of_every_form_mean_what_alertmanager_makes_of_them(alertmanager: AlertmanagerServer) -> None:
    """R1, R6: an empty value fits no silence here, because Alertmanager wants one matcher that is not empty."""
    labels = [{"alertname": f"Form{number}", "instance": value} for number, (_, value, _) in enumerate(FORMS)]

    def prepare() -> set[str]:
        for number, (expression, _, _) in enumerate(FORMS):
            post_silence(alertmanager, f"Form{number}", expression)
        alertmanager.post_alerts([{"labels": item} for item in labels])
        wait_for(lambda: len(told(alertmanager)) == len(FORMS), 30)
        wanted = {f"Form{number}" for number, (_, _, fits) in enumerate(FORMS) if fits}
        wait_for(lambda: silenced(alertmanager) >= wanted, 30)
        return silenced(alertmanager)

    theirs = await asyncio.to_thread(prepare)
    settings = AlertmanagerSettings(url=alertmanager.url, timeout_seconds=20.0)
    async with HttpClient.opened() as http:
        for number, item in enumerate(labels):
            # Another fingerprint and an additional label: only our own reading of the silences finds one.
            alert = Alert("other", item["alertname"], True, {**item, "extra": "x"}, {}, "")
            ours = await Alertmanager(http, settings).mutes(alert)
            is_silenced = item["alertname"] in theirs
            assert (bool(ours), is_silenced) == (FORMS[number][2], FORMS[number][2]), FORMS[number]


def test_expressions_that_we_refuse_are_refused_by_alertmanager(alertmanager: AlertmanagerServer) -> None:
    """R6: so none of them is in a silence."""
    for expression in REFUSED:
        with pytest.raises(HttpError):
            post_silence(alertmanager, "x", expression)


async def test_thousands_of_expired_silences_cost_no_decision(alertmanager: AlertmanagerServer) -> None:
    """R10: expired silences of 5 MB, and one that is in force."""

    def prepare() -> int:
        for number in range(250):
            identifier = post_silence(alertmanager, "x", "y" * 20_000 + str(number))
            alertmanager.expire_silence(identifier)
        post_silence(alertmanager, "Down", "a.*")
        return sum(len(item["matchers"][1]["value"]) for item in alertmanager.silences())

    size = await asyncio.to_thread(prepare)
    alert = Alert("f", "Down", True, {"alertname": "Down", "instance": "a1"}, {}, "")
    settings = AlertmanagerSettings(url=alertmanager.url, timeout_seconds=20.0)
    async with HttpClient.opened() as http:
        assert len(await Alertmanager(http, settings).mutes(alert)) == 1
        small = settings.model_copy(update={"max_answer_bytes": size})
        with pytest.raises(BackendError, match=r"alertmanager\.max_answer_bytes"):
            await Alertmanager(http, small).mutes(alert)


async def test_member_of_a_cluster_is_believed_once_it_has_settled(clustered: AlertmanagerServer) -> None:
    """R4: until then it answers without any silence, whatever the other members have."""
    alert = Alert("f", "Down", True, {"alertname": "Down"}, {}, "")
    settings = AlertmanagerSettings(url=clustered.url, timeout_seconds=20.0)
    async with HttpClient.opened() as http, asyncio.timeout(scaled(60)):
        with pytest.raises(BackendError, match="settling"):
            await Alertmanager(http, settings).mutes(alert)
        await asyncio.to_thread(wait_for, lambda: clustered.status()["cluster"]["status"] == "ready")
        assert await Alertmanager(http, settings).mutes(alert) == ()


PROMETHEUS = """
global: {{scrape_interval: 1s}}
scrape_configs: [{{job_name: self, static_configs: [{{targets: ["127.0.0.1:{own}"]}}]}}]
remote_read: [{{url: "http://127.0.0.1:{dead}/read", read_recent: true}}]
"""


@pytest.mark.parametrize("generation", list(Generation))
async def test_answer_without_a_dead_remote_read_is_none(generation: Generation, tmp_path: Path) -> None:
    """R4: HTTP 200, no samples and a warning; a guard that holds on samples must not read that as "nothing"."""
    configuration = PROMETHEUS.format(own=free_port(), dead=free_port())
    server = await asyncio.to_thread(PrometheusServer, {"prometheus.yml": configuration}, generation)
    with server:
        settings = PrometheusSettings(url=server.url, timeout_seconds=20.0)
        async with HttpClient.opened() as http:
            asked = PrometheusClient(http, settings, SystemClock())
            guard = await asked.has_samples(CustomGuard("g", "absent_here", HoldIf.NONEMPTY, "r"))
            answer = await asked.query(Query("count(absent_here) or vector(0)", (), 60.0))
            constant = await asked.query(Query("vector(1)", (), 60.0))
    assert (guard.value, answer.value, constant.value) == (None, None, True)
    assert "the answer is partial" in guard.problem


@pytest.mark.parametrize("generation", list(Generation))
async def test_hint_about_a_metrics_name_leaves_the_answer_whole(generation: Generation) -> None:
    """R4: a rate of what is not called a counter."""
    server = await asyncio.to_thread(PrometheusServer, {"prometheus.yml": "global: {}\n"}, generation)
    with server:
        async with HttpClient.opened() as http:
            asked = PrometheusClient(http, PrometheusSettings(url=server.url, timeout_seconds=20.0), SystemClock())
            fact = await asked.query(Query("count(rate(up[1m])) or vector(1)", (), 60.0))
    assert (fact.value, fact.problem) == (True, "")
