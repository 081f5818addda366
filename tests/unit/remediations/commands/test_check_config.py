"""How far each policy may go, as `check-config` tells it."""

from __future__ import annotations

from pathlib import Path

import pytest

from remediations.commands.check_config import policy_status, prove_all, render_policy_status, render_route_check
from remediations.core.model.alert import Mode
from remediations.core.model.facts import Fact
from remediations.settings import AlertmanagerSettings, RemediatorKubernetesSettings, RemediatorSettings
from tests.fakes.decisions import a_policy_set, restart_policy, scale_policy

POLICIES = a_policy_set(restart_policy(), scale_policy(mode=Mode.DRY_RUN))


def told(proof: Fact[bool]) -> tuple[str, str]:
    """Data and words about the restart policy."""
    proofs = {"control-core": proof}
    data = policy_status(POLICIES, proofs)
    assert (data[1]["effective_mode"], data[1]["self_test"]) == ("dry_run", "not needed")
    return f"{data[0]['mode']} {data[0]['effective_mode']} {data[0]['self_test']}", render_policy_status(data, proofs)


@pytest.mark.parametrize(
    ("value", "data", "words"),
    [
        (True, "auto auto passed", "restart-api  auto "),
        (False, "auto approve failed", "auto (approve)"),
        (None, "auto held unknown", "auto (held)"),
    ],
)
def test_mode_in_force_follows_from_the_self_test(value, data, words):
    found, text = told(Fact(value, "dry runs", "because\x1b"))
    assert found == data
    assert words in text
    assert ("self-test in control-core: because\\x1b" in text) is (value is not True)


async def test_without_kubernetes_there_is_nothing_to_prove():
    assert await prove_all(RemediatorSettings(), POLICIES) == {}


async def test_without_credentials_it_is_unknown(tmp_path: Path):
    settings = RemediatorSettings(kubernetes=RemediatorKubernetesSettings(kubeconfig=tmp_path / "none"))
    (proof,) = (await prove_all(settings, POLICIES)).values()
    assert proof.value is None
    assert "none" in proof.problem


def test_check_config_prints_how_to_try_the_routes():
    """Nothing else says that people are not reached: Alertmanager does what its tree says."""
    settings = RemediatorSettings(alertmanager=AlertmanagerSettings(url="http://alertmanager:9093"))
    text = render_route_check(settings, POLICIES)
    assert "--alertmanager.url=http://alertmanager:9093 alertname=ControlCoreTest remediation=restart-api" in text
    assert render_route_check(RemediatorSettings(), POLICIES) == ""
