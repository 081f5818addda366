"""The remediator is killed between socket and verification, again and again, on a real Kubernetes API."""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.running_remediator import RunningRemediator, an_alert
from tests.system.fork_server import ForkedRemediator, ForkServer
from tests.system.kill_points import LONGEST_DELAYS, OPEN_STATES, POLICIES, TRIGGERS, Killer, Opal, Product, watching
from tests.system.slow_network import SlowNetwork
from tools.chart import render
from tools.slowness import scaled, slowness

if TYPE_CHECKING:
    from tools.servers.kubernetes.cluster import Cluster

KILLS = int(os.environ.get("CONTROLCORE_CHAOS_KILLS", "30"))
CALL_KILLS = KILLS // 5
"""So many of them while an action is called that leaves no mark; the others while a Deployment is patched."""
SECONDS_PER_KILL = 30
MOST_TRIES = 10
RESUMED_SECONDS = 30.0
MOST_KILLS_EACH = 8
"""So often one remediation is interrupted, twice of these while it is verified; then it is left alone to end."""
ROUNDS_PER_REPORT = 25
SOCKET_ROUNDS = 4
"""After this many rounds the delivery itself is interrupted."""
ENDS_OF_CALLS = {True: {"succeeded", "unverified"}, False: {"unverified", "failed"}}
"""How a remediation may end after both calls were made, and after one was lost with its caller."""
UNPROVEN_SHARE = 0.5
"""A machine busy with other workers may be too slow for a proof; verification that never proves anything passes it."""
SETTINGS = {
    "worker": {
        "lease_seconds": 2.5 * slowness(),
        "facts_timeout_seconds": 2.0 * slowness(),
        "verify_seconds": 0.2,
        "idle_seconds": 0.05,
    },
}


@pytest.fixture
def product(cluster: Cluster, namespace: str) -> Product:
    return Product(cluster, namespace)


@pytest.fixture
def opal() -> Opal:
    return Opal()


@pytest.fixture(scope="module")
def fork_server() -> Iterator[ForkServer]:
    with ForkServer() as opened:
        yield opened


@pytest.fixture
def remediator(
    cluster: Cluster, namespace: str, product: Product, opal: Opal, fork_server: ForkServer, tmp_path: Path
) -> Iterator[RunningRemediator]:
    with watching(product, opal) as url, SlowNetwork(cluster.server) as network:
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
        with ForkedRemediator(fork_server, POLICIES.format(namespace=namespace, url=url), settings) as server:
            yield server


class Chaos:
    """Delivers alerts as Alertmanager does, kills the remediator meanwhile, and keeps count."""

    def __init__(self, remediator: RunningRemediator, policy: str) -> None:
        # A test that can be repeated.
        self.chance = random.Random(os.environ.get("CONTROLCORE_CHAOS_SEED", "1"))  # noqa: S311
        self.killer = Killer(remediator.journal_path, self.chance)
        self._remediator = remediator
        self._policy = policy
        self.number = 0
        self.acknowledged: set[str] = set()
        self.ends: list[str] = []
        self.resumed_seconds: list[float] = []

    def alert(self) -> dict[str, Any]:
        """The alert of this round."""
        return an_alert(self.number, remediation=self._policy)

    def play_round(self, kills: int) -> None:
        """One alert, interrupted up to this many times, then undisturbed until its remediation has closed."""
        self.number += 1
        if kills and self.number % SOCKET_ROUNDS == 1:
            self._kill_while_delivering()
            kills -= 1
        self.deliver(self.alert())
        for _ in range(min(MOST_KILLS_EACH, kills)):
            if not self.killer.wait(self.killer.draw(), 30.0):
                break
            self._restart()
            if self.killer.points[-2:] == ["verifying", "verifying"]:
                break
        self.ends.append(wait_closed(self._remediator))
        if self.number % ROUNDS_PER_REPORT == 0:
            print(f"\n{self.report()}", flush=True)

    def resolve(self) -> None:
        """Reports the alert as resolved: the same labels afterwards are a new fault, not a repetition."""
        self.deliver({**self.alert(), "status": "resolved"})

    def deliver(self, alert: dict[str, Any]) -> None:
        """Sends until it is acknowledged, as Alertmanager does."""
        while self._remediator.post(alert) != 200:
            time.sleep(0.02)
        self.acknowledged.add(alert["fingerprint"])

    def _kill_while_delivering(self) -> None:
        """Killed between the first byte and a moment after the answer: what was acknowledged counts."""
        answers: list[int] = []
        alert = self.alert()
        sender = threading.Thread(target=lambda: answers.append(self._remediator.post(alert, timeout_seconds=5.0)))
        sender.start()
        time.sleep(self.chance.uniform(0.0, LONGEST_DELAYS["socket"]))
        self._remediator.kill()
        sender.join()
        self.killer.points.append("acknowledged" if answers == [200] else "socket")
        if answers == [200]:
            self.acknowledged.add(alert["fingerprint"])
            assert stored_alerts(self._remediator) >= {alert["fingerprint"]}, "an acknowledged alert is lost"
        self._remediator.start()

    def _restart(self) -> None:
        """Killed and started again; returns once a worker has it, or once it turns out to have closed."""
        self._remediator.kill()
        before, state = self._claims()
        started = time.monotonic()
        self._remediator.start()
        while state in OPEN_STATES:
            after, state = self._claims()
            if after > before:
                self.resumed_seconds.append(time.monotonic() - started)
                return
            assert time.monotonic() < started + scaled(RESUMED_SECONDS), f"not resumed: {self._state()}"
            time.sleep(0.02)

    def _state(self) -> str:
        """What the journal and the log say of the newest remediation, for a failed assertion."""
        newest = self._remediator.read("SELECT * FROM remediation ORDER BY id DESC LIMIT 1")
        records = self._remediator.read("SELECT at, kind, state FROM record ORDER BY number DESC LIMIT 8")
        ended = "runs" if self._remediator.is_running else "has ended"
        tail = self._remediator.log_path.read_text(errors="replace")[-3000:]
        return f"at {time.time():.3f} the program {ended}: {newest}, {records}\n{tail}"

    def _claims(self) -> tuple[int, str]:
        """How often the newest remediation has been claimed, and its state."""
        ((fence, state),) = self._remediator.read("SELECT fence, state FROM remediation ORDER BY id DESC LIMIT 1")
        return int(fence), str(state)

    def report(self) -> str:
        """The figures of the run."""
        points = Counter(self.killer.points)
        slowest = max(self.resumed_seconds, default=0.0)
        return (
            f"{len(self.killer.points)} SIGKILLs in {self.number} remediations by {self._policy}: {dict(points)}; "
            f"closed as {dict(Counter(self.ends))}; {len(self.acknowledged)} alerts acknowledged, none lost; "
            f"resumed at the latest {slowest:.1f} s after the start"
        )


def stored_alerts(remediator: RunningRemediator) -> set[str]:
    """The fingerprints of everything in the journal."""
    return {row[0] for row in remediator.read("SELECT json_extract(alert, '$.fingerprint') FROM remediation")}


def wait_closed(remediator: RunningRemediator, timeout_seconds: float = 60.0) -> str:
    """The closing state of the newest remediation."""
    deadline = time.monotonic() + scaled(timeout_seconds)
    while time.monotonic() < deadline:
        ((state,),) = remediator.read("SELECT state FROM remediation ORDER BY id DESC LIMIT 1")
        if state not in OPEN_STATES:
            return str(state)
        time.sleep(0.1)
    raise AssertionError(f"still {state}: {remediator.log()[-3:]}")


@pytest.mark.timeout(120 + KILLS * SECONDS_PER_KILL)
def test_killed_remediator_loses_no_alert_and_patches_once(remediator: RunningRemediator, product: Product):
    chaos, first = Chaos(remediator, "restart-api"), product.generation
    while len(chaos.killer.points) < KILLS - CALL_KILLS:
        product.break_it()
        before = product.generation
        chaos.play_round(KILLS - CALL_KILLS - len(chaos.killer.points))
        assert chaos.ends[-1] == "succeeded", chaos.killer.points
        assert product.generation == before + 1, chaos.killer.points
        chaos.resolve()

    # Also over all rounds: a second write that came late would have hidden in the next round's beginning.
    assert product.generation == first + chaos.number, chaos.killer.points
    assert stored_alerts(remediator) == chaos.acknowledged
    print(f"\n{chaos.report()}; {chaos.number} changes of generation, one for each")


@pytest.mark.timeout(120 + KILLS * SECONDS_PER_KILL)
def test_killed_remediator_loses_no_alert_and_calls_once(remediator: RunningRemediator, opal: Opal):
    """A call leaves no mark: if it is unknown whether it was sent, it is never sent again, and its verdict says so."""
    chaos, calls, unproven = Chaos(remediator, "reload-policies"), Counter[str](), 0
    while len(chaos.killer.points) < CALL_KILLS:
        opal.break_it()
        chaos.play_round(CALL_KILLS - len(chaos.killer.points))
        made = opal.calls()
        assert all(made[path] <= 1 for path in TRIGGERS), (made, chaos.killer.points)
        assert chaos.ends[-1] in ENDS_OF_CALLS[opal.is_well], (chaos.ends[-1], made, chaos.killer.points)
        unproven += opal.is_well and chaos.ends[-1] == "unverified"
        calls += made
        chaos.resolve()

    assert stored_alerts(remediator) == chaos.acknowledged
    assert unproven <= UNPROVEN_SHARE * chaos.number, f"{unproven} of {chaos.number} repairs were not seen to help"
    print(f"\n{chaos.report()}; {dict(calls)} calls, none twice; {unproven} repairs not proven")


def test_calls_that_changed_nothing_are_no_success(remediator: RunningRemediator, opal: Opal):
    """Both were made and answered, so only verification can tell."""
    opal.break_it()
    opal.is_deaf = True
    chaos = Chaos(remediator, "reload-policies")
    chaos.play_round(0)
    assert (chaos.ends, set(opal.calls().values())) == (["failed"], {1})


def test_repaired_fault_has_one_write_and_a_proof(remediator: RunningRemediator, product: Product):
    product.break_it()
    before = product.generation

    chaos = Chaos(remediator, "restart-api")
    chaos.play_round(0)

    assert chaos.ends == ["succeeded"]
    found = product.read()
    (identifier,) = remediator.read("SELECT id FROM remediation")[0]
    assert found["metadata"]["generation"] == before + 1
    assert found["spec"]["template"]["metadata"]["annotations"]["controlcore.io/operation-id"] == identifier


def test_frozen_remediator_that_wakes_up_too_late_finds_its_claim_lost(remediator: RunningRemediator, product: Product):
    """Stopped while it holds a claim, for longer than the lease: its old decision must not be written unchanged."""
    chaos, first = Chaos(remediator, "restart-api"), product.generation
    while "claimed" not in chaos.killer.points:
        chaos.number += 1
        assert chaos.number <= MOST_TRIES, "never caught with a claim"
        product.break_it()
        chaos.deliver(chaos.alert())
        if chaos.killer.wait("claimed", 30.0):
            remediator.freeze()
            time.sleep(2 * SETTINGS["worker"]["lease_seconds"])
            remediator.thaw()
        assert wait_closed(remediator) == "succeeded"
        assert product.generation == first + chaos.number
        chaos.resolve()

    (fence,) = remediator.read("SELECT fence FROM remediation ORDER BY id DESC LIMIT 1")[0]
    assert fence >= 2, "the same claim went on after its lease had run out"
