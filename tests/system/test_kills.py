"""The remediator is killed between webhook and verification, again and again, on a real Kubernetes API."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.remediations.running import RemediatorServer, an_alert
from tests.system.kill_points import OPEN_STATES, POLICIES, Killer, Product, SlowNetwork, watching
from tools.chart import render

if TYPE_CHECKING:
    from tools.servers.kubernetes import Cluster

KILLS = int(os.environ.get("CONTROLCORE_CHAOS_KILLS", "20"))
SECONDS_PER_KILL = 30
MOST_TRIES = 10
MOST_KILLS_EACH = 5
"""So often one remediation is interrupted, once of these while it is verified; then it is left alone to end."""
SETTINGS = {
    "worker": {"lease_seconds": 2.5, "facts_timeout_seconds": 2.0, "verify_seconds": 0.2, "idle_seconds": 0.05},
}


@pytest.fixture
def product(cluster: Cluster, namespace: str) -> Product:
    return Product(cluster, namespace)


@pytest.fixture
def remediator(cluster: Cluster, namespace: str, product: Product, tmp_path: Path) -> Iterator[RemediatorServer]:
    with watching(product) as url, SlowNetwork(cluster.server) as network:
        # The rights are exactly those of the chart, with a real token of its ServiceAccount.
        objects = render({"remediator": {"tokenSecret": {"name": "webhook"}}}, "controlcore", namespace)
        cluster.apply([item for item in objects if item["kind"] in {"ServiceAccount", "Role", "RoleBinding"}])
        text = cluster.kubeconfig_for(namespace, "controlcore-remediator").read_text()
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(text.replace(cluster.server, network.url))
        settings = {
            **SETTINGS,
            "prometheus": {"url": url, "timeout_seconds": 1.5},
            "kubernetes": {"kubeconfig": str(kubeconfig), "timeout_seconds": 1.5},
        }
        with RemediatorServer(POLICIES.format(namespace=namespace, url=url), settings) as server:
            yield server


def deliver(remediator: RemediatorServer, number: int) -> None:
    """Sends one alert until it is acknowledged, as Alertmanager does."""
    while remediator.post(an_alert(number)) != 200:
        time.sleep(0.1)


def resolve(remediator: RemediatorServer, number: int) -> None:
    """Says that the alert is over, as Alertmanager does: the same words afterwards are a new fault, no repetition."""
    while remediator.post({**an_alert(number), "status": "resolved"}) != 200:
        time.sleep(0.1)


def wait_closed(remediator: RemediatorServer, timeout_seconds: float = 60.0) -> str:
    """The closing state of the newest remediation."""
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        ((state,),) = remediator.read("SELECT state FROM remediation ORDER BY id DESC LIMIT 1")
        if state not in OPEN_STATES:
            return str(state)
        time.sleep(0.1)
    raise AssertionError(f"still {state}: {remediator.log()[-3:]}")


@pytest.mark.timeout(120 + KILLS * SECONDS_PER_KILL)
def test_killed_remediator_loses_no_alert_and_acts_once(remediator: RemediatorServer, product: Product):
    chance = random.Random(os.environ.get("CONTROLCORE_CHAOS_SEED", "1"))  # noqa: S311 - a test that can be repeated
    killer = Killer(remediator.journal_path, chance)
    number, first = 0, product.generation
    while len(killer.points) < KILLS:
        number += 1
        product.break_it()
        before = product.generation
        deliver(remediator, number)
        for _ in range(min(MOST_KILLS_EACH, KILLS - len(killer.points))):
            if not killer.wait(killer.draw(), 30.0):
                break
            remediator.kill()
            remediator.start()
            if killer.points[-1] == "verifying":
                break
        assert wait_closed(remediator) == "succeeded", killer.points
        assert product.generation == before + 1, killer.points
        resolve(remediator, number)

    # Also over all rounds: a second write that came late would have hidden in the next round's beginning.
    assert product.generation == first + number, killer.points
    acknowledged = {an_alert(count)["fingerprint"] for count in range(1, number + 1)}
    stored = {row[0] for row in remediator.read("SELECT json_extract(alert, '$.fingerprint') FROM remediation")}
    assert stored == acknowledged
    print(f"{len(killer.points)} kills in {number} remediations: {dict(Counter(killer.points))}")


def test_repaired_fault_has_one_write_and_a_proof(remediator: RemediatorServer, product: Product):
    product.break_it()
    before = product.generation

    deliver(remediator, 1)

    assert wait_closed(remediator) == "succeeded"
    found = product.read()
    (identifier,) = remediator.read("SELECT id FROM remediation")[0]
    assert found["metadata"]["generation"] == before + 1
    assert found["spec"]["template"]["metadata"]["annotations"]["controlcore.io/operation-id"] == identifier


def test_frozen_remediator_that_wakes_up_too_late_finds_its_claim_lost(remediator: RemediatorServer, product: Product):
    """Stopped while it holds a claim, for longer than the lease: what it decided then must not be written as it is."""
    killer = Killer(remediator.journal_path, random.Random(1))  # noqa: S311 - a test that can be repeated
    number, first = 0, product.generation
    while "claimed" not in killer.points:
        number += 1
        assert number <= MOST_TRIES, "never caught with a claim"
        product.break_it()
        deliver(remediator, number)
        if killer.wait("claimed", 30.0):
            remediator.freeze()
            time.sleep(2 * SETTINGS["worker"]["lease_seconds"])
            remediator.thaw()
        assert wait_closed(remediator) == "succeeded"
        assert product.generation == first + number
        resolve(remediator, number)

    (fence,) = remediator.read("SELECT fence FROM remediation ORDER BY id DESC LIMIT 1")[0]
    assert fence >= 2, "the same claim went on after its lease had run out"
