"""Each policy's mode, as printed by `check-config`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from pydantic import ValidationError

from chassis.errors import ConfigError
from chassis.http.server import serving
from remediations.commands.check_config import (
    file_faults,
    find_unreadable,
    policy_status,
    prove_all,
    render_policy_status,
    render_route_check,
)
from remediations.core.model.alert import Mode
from remediations.core.model.facts import Fact
from remediations.core.policies.policy import Query
from remediations.settings import (
    AlertmanagerSettings,
    HttpKeySettings,
    JournalSettings,
    PrometheusSettings,
    RemediatorKubernetesSettings,
    RemediatorSettings,
)
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


def test_files_and_folders_that_are_not_there_are_told_by_their_setting(tmp_path: Path):
    none = tmp_path / "none"
    settings = RemediatorSettings(
        journal=JournalSettings(path=none / "journal.db"),
        kubernetes=RemediatorKubernetesSettings(kubeconfig=none),
        http_keys=(HttpKeySettings(origin="http://bouncer:8080", key_file=none),),
    )
    faults = file_faults(settings)
    assert [fault.path for fault in faults] == ["http_keys[0].key_file", "kubernetes.kubeconfig", "journal.path"]
    assert all(str(none) in fault.message for fault in faults)
    assert file_faults(RemediatorSettings(journal=JournalSettings(path=tmp_path / "journal.db"))) == ()
    (fault,) = file_faults(RemediatorSettings(journal=JournalSettings(path=tmp_path)))
    assert "is a folder" in fault.message


@pytest.mark.parametrize("url", ["localhost:9090", "ftp://prometheus", "http://", "http://prometheus:port"])
def test_url_that_can_never_be_asked_is_refused(url):
    for kind, setting in ((PrometheusSettings, "url"), (AlertmanagerSettings, "url")):
        with pytest.raises(ValidationError, match=setting):
            kind(url=url)
    with pytest.raises(ValidationError, match="more_urls"):
        AlertmanagerSettings(more_urls=(url,))


async def test_query_that_prometheus_cannot_read_is_told_with_its_place(tmp_path: Path):
    asked = []

    async def format_query(request: web.Request) -> web.Response:
        asked.append(request.query["query"])
        if "verify" not in asked[-1]:
            return web.json_response({"status": "success", "data": asked[-1]})
        error = "1:5: parse error: unexpected identifier"
        return web.json_response({"status": "error", "errorType": "bad_data", "error": error}, status=400)

    app = web.Application()
    app.router.add_get("/api/v1/format_query", format_query)
    bad = replace(scale_policy(), verify=Query("up verify", ("api",)))
    async with serving(app, "127.0.0.1", 0, drain_seconds=0.1) as (host, port):
        prometheus = PrometheusSettings(url=f"http://{host}:{port}")
        settings = RemediatorSettings(prometheus=prometheus, policies_file=tmp_path / "p.yaml")
        assert await find_unreadable(settings, POLICIES) == []
        with pytest.raises(ConfigError) as caught:
            await find_unreadable(settings, a_policy_set(restart_policy(), bad))
    (fault,) = caught.value.faults
    assert fault.path == f"{tmp_path}/p.yaml: policies[1] (scale-api).verify.promql"
    assert fault.message == "not PromQL: 1:5: parse error: unexpected identifier"


async def test_prometheus_that_does_not_answer_is_one_warning():
    settings = RemediatorSettings(prometheus=PrometheusSettings(url="http://127.0.0.1:9"))
    (warning,) = await find_unreadable(settings, POLICIES)
    assert warning.startswith(
        "PromQL is not checked: Prometheus at http://127.0.0.1:9 (prometheus.url) does not answer"
    )
