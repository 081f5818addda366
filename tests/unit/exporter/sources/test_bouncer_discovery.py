from __future__ import annotations

import asyncio
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import CapturingLogger

from chassis.errors import PermanentError, Reason, TransientError
from exporter.settings import BouncerDiscovery, BouncerTarget, ExporterSettings, KubernetesDiscovery, KubernetesSettings
from exporter.sources.bouncer_discovery import Discovery, find_objects, read_file
from tests.fakes.clock import ManualClock
from tests.fakes.sources import FakeKubernetes, make_sources

PODS = "/api/v1/namespaces/controlcore/pods"
SERVICES = "/api/v1/namespaces/controlcore/services"


def pod(name: str, ip: str | None = "10.0.0.1", phase: str = "Running", **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels}, "status": {"phase": phase, "podIP": ip}}


def discovering(logged: CapturingLogger | None = None) -> Discovery:
    return Discovery(structlog.wrap_logger(logged or CapturingLogger(), processors=[]))


def settings(*files: Path, **wanted: Any) -> ExporterSettings:
    return ExporterSettings(
        bouncers=(BouncerTarget(name="given", url="http://given:8080"),),
        bouncer_discovery=BouncerDiscovery(files=files, **wanted),
        kubernetes=KubernetesSettings(),
    )


@pytest.mark.parametrize("suffix", ["json", "yml"])
def test_file_of_prometheus_format_gives_bouncers(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"bouncers.{suffix}"
    groups = [
        {"targets": ["b1:8080"], "labels": {"bouncer": "one", "policy_environment": "sandbox", "__scheme__": "https"}},
        {"targets": ["b2:8080", "b3:8080"], "labels": {"bouncer": "many", "environment": "elsewhere"}},
    ]
    file.write_text(json.dumps(groups))
    assert [(item.name, item.url, item.environment) for item in read_file(file)] == [
        ("one", "https://b1:8080", "sandbox"),
        ("b2-8080", "http://b2:8080", "production"),
        ("b3-8080", "http://b3:8080", "production"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "a: b",
        "- targets: b1:8080",
        "- 5",
        "- {targets: ['http://u:p@x']}",
        "- {targets: ['x:port']}",
        "- {targets: [b1], labels: [x]}",
        "!!python/object/apply:os.system ['true']",
        "[" * 200_000,
        "- &a [*a]",
        "- {targets: [b1], labels: {a: 2020-99-99}}",
        "- {targets: [b1], targets: [b2]}",
    ],
)
def test_file_that_cannot_be_used_is_a_malformed_source(tmp_path: Path, text: str) -> None:
    file = tmp_path / "bouncers.yml"
    file.write_text(text)
    with pytest.raises(PermanentError) as caught:
        read_file(file)
    assert caught.value.reason is Reason.MALFORMED


@pytest.mark.parametrize("name", ["bouncers.yml", "bouncers.json"])
async def test_file_nested_without_end_keeps_the_last_bouncers_and_is_told(tmp_path: Path, name: str) -> None:
    """M6."""
    logged = CapturingLogger()
    discovery, file = discovering(logged), tmp_path / name
    file.write_text('[{"targets": ["b1:1"]}]')
    before = await discovery.find(settings(file), make_sources())
    file.write_text("[" * 200_000)
    assert await discovery.find(settings(file), make_sources()) == before
    assert discovery.is_successful is False
    assert [call.kwargs["event"] for call in logged.calls] == ["discovery.failed"]


@pytest.mark.parametrize("scheme", ["ftp", "HTTPS ", "http://elsewhere/?x=", 5, ["https"], {"a": 1}])
def test_scheme_that_is_none_is_refused_by_name(tmp_path: Path, scheme: Any) -> None:
    """L7: another scheme would lead to another address."""
    file = tmp_path / "bouncers.json"
    file.write_text(json.dumps([{"targets": ["b1:1"], "labels": {"__scheme__": scheme}}]))
    with pytest.raises(PermanentError, match="__scheme__"):
        read_file(file)


async def test_running_pods_with_the_label_are_bouncers() -> None:
    leaving = pod("leaving")
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    pods = [
        pod("b-1", "10.0.0.1", bouncer="one", environment="sandbox"),
        pod("b-2", "fd00::2"),
        pod("pending", None, "Pending"),
        leaving,
    ]
    client: Any = FakeKubernetes({PODS: pods})
    found = await find_objects(client, "controlcore", KubernetesDiscovery(selector="app=b", port=9000))
    assert found.unusable == 0
    assert [(item.name, item.url, item.environment) for item in found.targets] == [
        ("one", "http://10.0.0.1:9000", "sandbox"),
        ("b-2", "http://[fd00::2]:9000", "production"),
    ]
    assert client.selectors == {PODS: "app=b"}


async def test_services_with_the_label_are_bouncers() -> None:
    client: Any = FakeKubernetes({SERVICES: [{"metadata": {"name": "cc-bouncer"}, "spec": {}}]})
    found = await find_objects(client, "controlcore", KubernetesDiscovery(kind="services"))
    assert [(item.name, item.url) for item in found.targets] == [
        ("cc-bouncer", "http://cc-bouncer.controlcore.svc:8080")
    ]


@pytest.mark.parametrize(
    "bad", [None, {}, {"metadata": None}, {"metadata": {"name": 7}}, {"metadata": {"name": "-"}, "status": [1]}]
)
async def test_object_that_cannot_be_used_costs_no_other_and_is_told(bad: Any) -> None:
    """P1: the sources of bouncers."""
    logged, wanted = CapturingLogger(), settings(kubernetes=KubernetesDiscovery())
    objects: dict[str, Any] = {PODS: [pod("b-1"), bad, pod("b-2"), pod("b-3", "no address")]}
    discovery = discovering(logged)
    found = await discovery.find(wanted, make_sources(kubernetes=FakeKubernetes(objects)))
    assert [item.name for item in found] == ["given", "b-1", "b-2"]
    assert discovery.is_successful is False
    assert "2 pods cannot be used" in str(logged.calls[0])


async def test_configured_bouncers_win_and_discovered_ones_are_bounded(tmp_path: Path) -> None:
    file = tmp_path / "bouncers.json"
    groups = [{"targets": [f"b{n:05}:8080"]} for n in range(10_000)]
    groups.append({"targets": ["evil:1"], "labels": {"bouncer": "given"}})  # type: ignore[dict-item]
    file.write_text(json.dumps(groups))
    logged = CapturingLogger()
    discovery = discovering(logged)
    found = await discovery.find(settings(file, max_bouncers=100), make_sources())
    assert (len(found), found[0].url, found[1].name) == (101, "http://given:8080", "b00000-8080")
    assert (discovery.is_successful, len(logged.calls)) == (False, 1)


async def test_source_that_fails_takes_no_bouncer_away_and_is_written_once(tmp_path: Path) -> None:
    file = tmp_path / "bouncers.yml"
    file.write_text("- {targets: ['b1:8080']}")
    objects: dict[str, Any] = {PODS: [pod("b-1")]}
    sources = make_sources(kubernetes=FakeKubernetes(objects))
    wanted, logged = settings(file, kubernetes=KubernetesDiscovery()), CapturingLogger()
    discovery = discovering(logged)
    before = await discovery.find(wanted, sources)
    assert (len(before), discovery.is_successful) == (3, True)
    await asyncio.to_thread(file.write_text, "{")
    sources.kubernetes.objects[PODS] = TransientError(Reason.TIMEOUT, "no answer")  # type: ignore[union-attr]
    for _ in range(3):
        assert await discovery.find(wanted, sources) == before
    assert (discovery.is_successful, len(logged.calls)) == (False, 1)
    await asyncio.to_thread(file.write_text, "[]")
    sources.kubernetes.objects[PODS] = []  # type: ignore[union-attr]
    assert [item.name for item in await discovery.find(wanted, sources)] == ["given"]


def owned(name: str, ip: str = "10.0.0.1", *, kind: str = "ReplicaSet", **labels: str) -> dict[str, Any]:
    """A pod of a Deployment `cc-bouncer`, or of a StatefulSet."""
    owner = {"kind": kind, "name": "cc-bouncer-abc" if kind == "ReplicaSet" else "cc-bouncer", "controller": True}
    item = pod(name, ip, **labels, **{"pod-template-hash": "abc"})
    item["metadata"]["ownerReferences"] = [owner]
    return item


class Cluster:
    """Discovery in a cluster whose pods the test changes."""

    def __init__(self, **wanted: Any) -> None:
        self.clock = ManualClock()
        self.objects: dict[str, Any] = {}
        self.discovery = discovering()
        self.settings = settings(kubernetes=KubernetesDiscovery(**wanted))
        self.sources = make_sources(kubernetes=FakeKubernetes(self.objects), clock=self.clock)

    async def vanished(self, *pods: Any) -> list[str]:
        """The names of those that are gone, once these pods are there."""
        self.sources.kubernetes.objects[PODS] = list(pods)  # type: ignore[union-attr]
        await self.discovery.find(self.settings, self.sources)
        return [target.name for target in self.discovery.vanished]


ENDED: dict[str, tuple[Any, ...]] = {
    "deleted": (),
    "evicted": (pod("cc-bouncer-abc-1", phase="Failed"),),
    "pending": (pod("cc-bouncer-abc-1", None, "Pending"),),
}


@pytest.mark.parametrize("ended", ENDED)
async def test_last_bouncer_that_is_gone_stays_known_for_an_hour(ended: str) -> None:
    """P4: its series would end together with it, and no alert could fire."""
    cluster = Cluster()
    assert await cluster.vanished(owned("cc-bouncer-abc-1")) == []
    for _ in range(3):
        assert await cluster.vanished(*ENDED[ended]) == ["cc-bouncer-abc-1"]
        await cluster.clock.advance(1199.0)
    assert await cluster.vanished(*ENDED[ended]) == ["cc-bouncer-abc-1"]
    await cluster.clock.advance(3.0)
    assert await cluster.vanished(*ENDED[ended]) == []


async def test_replaced_pod_of_a_workload_is_not_gone() -> None:
    """P4, the other way: a rollout must not look like a bouncer that is down."""
    cluster = Cluster()
    await cluster.vanished(owned("cc-bouncer-abc-1"), owned("cc-bouncer-abc-2"))
    following = owned("cc-bouncer-def-3")
    following["metadata"]["labels"]["pod-template-hash"] = "def"
    following["metadata"]["ownerReferences"][0]["name"] = "cc-bouncer-def"
    assert await cluster.vanished(owned("cc-bouncer-abc-2"), following) == []
    assert await cluster.vanished(following) == []
    assert await cluster.vanished() == ["cc-bouncer-def-3"]
    assert await cluster.vanished(owned("cc-bouncer-abc-4")) == [], "it has come back"


async def test_bouncer_with_a_name_of_its_own_is_that_name_whichever_pod_is_it() -> None:
    cluster = Cluster()
    both = owned("a-1", bouncer="one"), owned("a-2", bouncer="two")
    assert await cluster.vanished(*both) == []
    assert await cluster.vanished(owned("a-3", bouncer="one")) == ["two"]
    assert await cluster.vanished(owned("a-3", bouncer="one"), owned("a-4", bouncer="two")) == []


async def test_pod_that_cannot_be_read_or_listed_is_not_gone() -> None:
    """R4: it is unknown whether it exists."""
    cluster = Cluster()
    await cluster.vanished(owned("a-1", bouncer="one"), owned("a-2", bouncer="two"))
    assert await cluster.vanished(owned("a-1", bouncer="one"), owned("a-2", "no address", bouncer="two")) == []
    assert await cluster.vanished(owned("a-1", bouncer="one")) == ["two"], "and then it is"
    cluster.sources.kubernetes.objects[PODS] = TransientError(Reason.TIMEOUT, "no answer")  # type: ignore[union-attr]
    await cluster.discovery.find(cluster.settings, cluster.sources)
    assert [target.name for target in cluster.discovery.vanished] == ["two"]


async def test_vanished_bouncers_are_forgotten_where_the_setting_says_so() -> None:
    cluster = Cluster(vanished_seconds=0)
    await cluster.vanished(owned("a-1"))
    assert await cluster.vanished() == []


@pytest.mark.parametrize("place", ["configured", "file"])
async def test_name_that_is_found_elsewhere_is_not_gone(tmp_path: Path, place: str) -> None:
    """P4, the other way: a bouncer that moved out of the cluster is up."""
    cluster, file = Cluster(), tmp_path / "bouncers.yml"
    before = cluster.settings
    await cluster.vanished(owned("a-1", bouncer="one"), owned("a-2", bouncer="two"))
    assert await cluster.vanished() == ["one", "two"]
    if place == "configured":
        moved = BouncerTarget(name="one", url="http://elsewhere:8080")
        cluster.settings = before.model_copy(update={"bouncers": (moved,)})
    else:
        await asyncio.to_thread(file.write_text, "- {targets: ['elsewhere:8080'], labels: {bouncer: one}}")
        cluster.settings = settings(file, kubernetes=KubernetesDiscovery())
    assert await cluster.vanished() == ["two"]
    cluster.settings = before
    assert await cluster.vanished() == ["two"], "its pod ended long ago"


LOOKED_FOR: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "kind": ({}, {"kind": "services"}),
    "selector": ({}, {"selector": "app=other"}),
    "name_label": ({}, {"name_label": "team"}),
    "environment_label": ({}, {"environment_label": "stage"}),
    "namespace": ({"namespace": "other"}, {}),
    "kubeconfig": ({"kubeconfig": Path("other")}, {}),
}


@pytest.mark.parametrize("is_listed", [True, False])
@pytest.mark.parametrize("changed", LOOKED_FOR)
async def test_reload_that_looks_for_something_else_finds_nothing_gone(changed: str, *, is_listed: bool) -> None:
    """P4, the other way: the earlier bouncers are no longer searched."""
    place, wanted = LOOKED_FOR[changed]
    cluster = Cluster()
    await cluster.vanished(owned("a-1", bouncer="one"), owned("a-2", bouncer="two"))
    assert await cluster.vanished(owned("a-2", bouncer="two")) == ["one"]
    cluster.settings = cluster.settings.model_copy(
        update={
            "kubernetes": KubernetesSettings(**place),
            "bouncer_discovery": BouncerDiscovery(kubernetes=KubernetesDiscovery(**wanted)),
        }
    )
    objects = cluster.sources.kubernetes.objects  # type: ignore[union-attr]
    if not is_listed:
        objects[PODS] = TransientError(Reason.TIMEOUT, "no answer")
        await cluster.discovery.find(cluster.settings, cluster.sources)
        assert cluster.discovery.vanished == ()
    objects |= {path: [] for path in (PODS, SERVICES, PODS.replace("controlcore", "other"))}
    await cluster.discovery.find(cluster.settings, cluster.sources)
    assert (cluster.discovery.found, cluster.discovery.vanished) == ((), ())


async def test_reload_with_another_time_or_limit_keeps_what_is_gone() -> None:
    """P4: the same objects are searched."""
    cluster = Cluster()
    await cluster.vanished(owned("a-1", bouncer="one"))
    wanted = BouncerDiscovery(max_bouncers=5, kubernetes=KubernetesDiscovery(vanished_seconds=60))
    cluster.settings = cluster.settings.model_copy(
        update={"bouncer_discovery": wanted, "kubernetes": KubernetesSettings(workloads=("other",))}
    )
    assert await cluster.vanished() == ["one"]


async def test_nothing_to_discover_is_no_failure() -> None:
    discovery = discovering()
    assert len(await discovery.find(settings(), make_sources())) == 1
    assert discovery.is_successful is None


@pytest.mark.looptime
async def test_file_that_hangs_is_told_and_takes_one_thread_only(tmp_path: Path) -> None:
    place, discovery = tmp_path / "bouncers.yml", discovering()
    os.mkfifo(place)  # opening it waits for a writer
    wanted = settings(place)
    for _ in range(3):
        assert [each.name for each in await discovery.find(wanted, make_sources(wanted))] == ["given"]
        assert discovery.faults == (f"{place}: not read within 5 s",)
    assert len([each for each in threading.enumerate() if each.name == "discovery"]) == 1
    os.close(os.open(place, os.O_WRONLY))
