"""Which sources and collectors are checked."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from chassis.errors import Reason, TransientError
from chassis.http.call import Call, Response
from chassis.http.client_auth import ClientAuthSettings
from chassis.output.findings import FOUND, Severity, exit_status
from exporter.collectors import discover
from exporter.collectors.policy_engine.opal import OpalSettings
from exporter.commands.configuration import CONVENTIONAL, settings_type
from exporter.commands.doctor import addresses
from exporter.commands.doctor.collectors import run_collectors
from exporter.commands.doctor.command import known_secrets
from exporter.commands.doctor.installation import API, BOUNCER, DATABASE, OPA, OPAL_SERVER, CheckedInstallation
from tests.fakes.sources import make_sources

SPECS = discover()
BOUNCERS = [{"name": name, "url": f"http://{name}:8080", "opa_url": f"http://{name}:8181"} for name in ("b1", "b2")]


def checked(name: str = "", **values: Any) -> CheckedInstallation:
    settings = settings_type(SPECS)(**values)
    return CheckedInstallation(settings, SPECS, make_sources(settings), name)


def test_collectors_are_given_the_sources_that_work() -> None:
    opal = {"server_url": "http://opal:7002", "clients": [{"name": "c", "url": "http://c:7000"}]}
    whole = checked(bouncers=BOUNCERS, api={"url": "http://api:8000"}, collectors={"opal": opal})
    whole.sources = replace(whole.sources, postgres=cast("Any", object()))
    whole.broken = {(BOUNCER, "b1"), (OPA, "b2"), (API, ""), (DATABASE, ""), (OPAL_SERVER, "")}
    sources = whole.working_sources()
    assert [(each.name, each.opa_url) for each in sources.settings.bouncers] == [("b2", None)]
    assert (sources.settings.api.url, sources.postgres) == (None, None)
    own = whole.working_settings("opal")
    assert isinstance(own, OpalSettings)
    assert (own.server_url, [client.name for client in own.clients]) == (None, ["c"])


def test_address_is_named_with_the_variable_that_gave_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://a@b/c")
    monkeypatch.setenv("REDIS_URL", "redis://cache")
    found = checked(database={"url": "postgresql://a@b/c"}, redis={"url": "redis://another"})
    paths = ("database.url", "redis.url", "api.url", "database.password_file")
    assert [found.setting(path) for path in paths] == ["database.url (DATABASE_URL)", *paths[1:]]
    assert (
        checked(name="edge", database={"url": "postgresql://a@b/c"}).setting(paths[0])
        == "deployments.edge.database.url"
    )


def test_sidecar_asks_the_api_alone() -> None:
    sidecar = checked(scope="pod", bouncers=BOUNCERS)
    assert sidecar.bouncers == ()
    assert {job.spec.name for job in sidecar.jobs()} == {spec.name for spec in SPECS if spec.scope.value == "pod"}


async def test_collector_that_does_not_run_has_a_reason() -> None:
    bare = checked(collectors={"audit": {"enabled": False}})
    assert await run_collectors(bare, "c") == []
    assert bare.not_configured["audit"] == "switched off: collectors.audit.enabled"
    assert bare.not_configured["users"] == "no database is configured: set database.url"
    sidecar = checked(scope="pod")
    await run_collectors(sidecar, "c")
    assert sidecar.not_configured["users"] == "left out by scope: pod"


async def test_collector_of_a_broken_source_is_unknown() -> None:
    away = checked(api={"url": "http://api:8000"})
    away.broken = {(API, "")}
    (finding,) = await run_collectors(away, "c")
    assert (finding.severity, away.not_run) == (Severity.UNKNOWN, {"api"})
    assert finding.problem == "not checked, because their sources cannot be used: api"
    assert finding.evidence == "the other collectors were run: none is configured"


async def test_collectors_of_the_other_sources_are_run_and_named() -> None:
    tls = {"tls": {"endpoints": [{"name": "ui", "host": "127.0.0.1", "port": 1}]}}
    away = checked(api={"url": "http://api:8000"}, collectors=tls)
    away.broken = {(API, "")}
    (finding,) = await run_collectors(away, "c")
    assert "tls" in away.outcomes
    assert finding.evidence == f"the other collectors were run: {', '.join(sorted(away.outcomes))}"


@pytest.mark.parametrize(("name", "setting"), [("", "api.url"), ("berlin", "deployments.berlin.api.url")])
async def test_source_that_is_not_configured_is_named_by_its_whole_setting(name: str, setting: str) -> None:
    (finding,) = await addresses.check_api(checked(name), "api.address")
    assert (finding.severity, finding.evidence) == (Severity.INFO, f"{setting} is not set")


async def test_doctor_without_any_source_says_so_and_is_not_content(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in CONVENTIONAL.values():
        monkeypatch.delenv(variable, raising=False)
    (finding,) = await addresses.check_sources(checked(), "sources")
    assert exit_status([finding]) == FOUND
    assert finding.problem.startswith("nothing is configured")
    for something in (checked(api={"url": "http://api:8000"}), checked(name="edge")):
        assert await addresses.check_sources(something, "sources") == []


async def test_discovery_that_fails_is_not_told_as_bouncers_that_are_not_configured() -> None:
    bare = checked(bouncer_discovery={"files": ["/etc/bouncers.json"]})
    bare.discovery_faults = ("/etc/bouncers.json: cannot be read",)
    (finding,) = await addresses.check_bouncers(bare, "b")
    assert (finding.severity, finding.evidence) == (Severity.ERROR, "/etc/bouncers.json: cannot be read")


@pytest.mark.looptime
async def test_dead_bouncers_beyond_the_time_are_counted_and_the_others_told() -> None:
    class Silence:
        async def send(self, call: Call) -> Response:
            await asyncio.sleep(call.timeout_seconds)
            raise TransientError(Reason.TIMEOUT, "no answer")

    many = [{"name": f"b{number}", "url": f"http://b{number}:8080"} for number in range(200)]
    dead = checked(bouncers=many)
    dead.sources = replace(dead.sources, http=cast("Any", Silence()))
    (*told, rest) = await addresses.check_bouncers(dead, "b")
    assert len(told) == len(dead.broken) == 16 * 10
    assert (rest.severity, rest.evidence) == (
        Severity.UNKNOWN, "40 of 200 addresses of bouncers were not queried within 55 s",
    )  # fmt: skip


def test_password_file_that_cannot_be_read_hides_no_findings(tmp_path: Path) -> None:
    password = tmp_path / "redis"
    password.write_text("kept-secret")
    files = {
        "database": {"url": "postgresql://ann@db/product", "password_file": tmp_path / "none"},
        "redis": {"url": "redis://cache", "password_file": password},
    }
    auth = ClientAuthSettings(authorization={"credentials_file": tmp_path / "none"})
    assert list(known_secrets(settings_type(SPECS)(**files), auth)) == ["kept-secret"]
