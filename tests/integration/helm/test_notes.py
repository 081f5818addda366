"""The notes after an installation name each part that is off and its value.

An object that would not start is not rendered.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import yaml

from exporter.collector import NotConfiguredError
from exporter.collectors import discover
from exporter.commands.configuration import collector_settings, load_settings
from tests.fakes.chart import EXAMPLES, file_of, read_example, write_secrets
from tests.fakes.sources import make_sources
from tools.chart import ChartError, notes, render
from tools.generate.collectors import collectors_that_need

TOKEN: dict[str, Any] = {"tokenSecret": {"name": "webhook"}}
SMALL: dict[str, Any] = {"remediator": TOKEN}
IDENTITY = ['cluster="production"']
OPA = [{"name": "b", "url": "http://b:8080", "opa_url": "http://b:8181"}]
SOME: dict[str, dict[str, Any]] = {
    "nothing": {},
    "database": {"database": {"url": "postgresql://cc@db:5432/x"}},
    "redis-tls": {"redis": {"url": "rediss://redis:6379"}},
    "opa-without-database": {"bouncers": OPA},
    "opa": {"bouncers": OPA, "database": {"url": "postgresql://cc@db:5432/x?sslmode=require"}},
    "no-cluster": {"kubernetes": False},
    "opal": {"collectors": {"opal": {"server_url": "http://opal:7002"}}},
    "telemetry": {
        "database": {"url": "postgresql://cc@db:5432/x"},
        "collectors": {"telemetry": {"token_file": "/run/secrets/database/password"}},
    },
}
CASES = {path.stem: read_example(path) for path in EXAMPLES}
CASES |= {name: {**SMALL, "exporter": exporter} for name, exporter in SOME.items()}

pytestmark = pytest.mark.timeout(60)


def printed_off(values: dict[str, Any]) -> set[str]:
    """The collectors that are off according to the notes."""
    text = notes(values)
    lines = re.findall(r"^  exporter\.(?!collectors\.\w+\.enabled).*?: ([a-z0-9_, ]+)$", text, flags=re.MULTILINE)
    return {name for line in lines for name in line.split(", ")}


def really_off(config: str, folder: Path) -> set[str]:
    """The collectors without a configured source, opened as in the exporter."""
    file = folder / "config.yaml"
    document = yaml.safe_load(config)
    if "bouncer_discovery" in document or document.get("preset") == "enterprise-guide":
        # Discovery comes after the start, and finds one.
        document.setdefault("bouncers", []).append({"name": "found", "url": "http://found:8080"})
        config = yaml.safe_dump(document)
    file.write_text(write_secrets(folder, config), encoding="utf-8")
    specs = discover()
    settings = load_settings(specs, file, {})
    there = Mock()
    sources = make_sources(
        settings,
        postgres=there if settings.database.url else None,
        postgres_address=there if settings.database.url else None,
        redis=there if settings.redis.url else None,
        redis_address=there if settings.redis.url else None,
        kubernetes=there if settings.kubernetes else None,
    )

    async def is_off(spec: Any) -> bool:
        try:
            async with spec.open(collector_settings(settings, spec.name), sources):
                return False
        except NotConfiguredError:
            return True

    async def find() -> set[str]:
        return {spec.name for spec in specs if await is_off(spec)}

    return asyncio.run(find())


@pytest.mark.parametrize("name", CASES)
def test_notes_name_exactly_the_collectors_that_are_off(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = CASES[name]
    for store in ("database", "redis"):
        secret = values.get("exporter", {}).get(store, {}).get("urlSecret", {}).get("name")
        if secret:
            scheme = {"database": "postgresql", "redis": "redis"}[store]
            monkeypatch.setenv(f"CONTROLCORE_EXPORTER_{store.upper()}__URL", f"{scheme}://u@h/1")
    off = really_off(file_of(values, "controlcore-exporter", "config.yaml"), tmp_path)
    assert printed_off(values) == off


def test_notes_name_a_collector_that_a_value_switches_off() -> None:
    text = notes({**SMALL, "exporter": {"collectors": {"redis": {"enabled": False}}}})
    assert "exporter.collectors.redis.enabled: redis\n" in text
    (others,) = re.findall(r"^ +exporter\.redis\.url: (.+)", text, flags=re.MULTILINE)
    assert set(others.split(", ")) == set(collectors_that_need("redis")) - {"redis"}


def test_notes_print_modes_one_line_each_and_the_addresses_that_are_missing() -> None:
    text = notes({"remediator": {**TOKEN, "identity": IDENTITY, "policies": {"restart-api": {"mode": "auto"}}}})
    assert re.search(r"^  auto: restart-api$", text, flags=re.MULTILINE)
    assert re.search(r"^  dry_run: .*scale-api", text, flags=re.MULTILINE)
    assert "controlcore.opalClientUrl is empty" in text
    assert "controlcore.bouncerUrls is empty" in text
    assert "http://prometheus:9090 (remediator.prometheusUrl)" in text
    given = {"opalClientUrl": "http://opal:7000", "bouncerUrls": ["http://b:8080"]}
    assert "is empty" not in notes({**SMALL, "controlcore": given})


def test_notes_tell_the_operators_namespace_matcher() -> None:
    text = notes({**SMALL, "alertmanagerConfig": {"enabled": True}})
    assert 'adds the matcher namespace="controlcore"' in text
    assert "alertmanagerConfig.people is empty" in text
    assert "alertmanagerConfig" not in notes(SMALL)


@pytest.mark.parametrize("mode", ["approve", "auto"])
def test_mode_that_acts_is_refused_without_identity(mode: str) -> None:
    acting = {"remediator": {**TOKEN, "policies": {"restart-api": {"mode": mode}, "scale-api": {"mode": mode}}}}
    with pytest.raises(ChartError, match=r"remediator\.identity: .*policies: restart-api, scale-api"):
        render(acting, "controlcore", "controlcore")
    acting["remediator"]["identity"] = IDENTITY
    render(acting, "controlcore", "controlcore")


@pytest.mark.parametrize(
    ("policy", "places"),
    [
        (
            "update-policies",
            ["parameters: .*controlcore.opalClientUrl", r"witnesses\[0\]: .*controlcore.opalClientUrl"],
        ),
        ("resync-policies", [r"ladder\[0\]\.parameters: .*controlcore.bouncerUrls"]),
        ("clear-bouncer-cache", ["parameters: .*controlcore.bouncerUrls"]),
    ],
)
def test_mode_that_acts_is_refused_with_a_placeholder(policy: str, places: list[str]) -> None:
    remediator = {**TOKEN, "identity": IDENTITY, "policies": {policy: {"mode": "approve"}}}
    for place in places:
        with pytest.raises(ChartError, match=rf"remediator\.policies\.{policy}\.{place}"):
            render({"remediator": remediator}, "controlcore", "controlcore")
    given = {"opalClientUrl": "http://opal:7000", "bouncerUrls": ["http://b:8080"]}
    render({"remediator": remediator, "controlcore": given}, "controlcore", "controlcore")


def test_policy_with_a_mistyped_name_is_refused() -> None:
    """The program would refuse it at its start, when the old pod is gone."""
    policies = {"restart-ap": {"mode": "observe"}}
    with pytest.raises(ChartError, match=r"remediator\.policies\.restart-ap: no shipped policy has this name"):
        render({"remediator": {**TOKEN, "policies": policies}}, "controlcore", "controlcore")


def test_addresses_are_given_once_for_all_policies() -> None:
    given = {"opalClientUrl": "http://opal:7000/", "bouncerUrls": ["http://b-0:8080", "http://b-1:8080"]}
    text = file_of({**SMALL, "controlcore": given}, "controlcore-remediator", "policies.yaml")
    assert ".invalid" not in text
    policies = {policy["name"]: policy for policy in yaml.safe_load(text)["policies"]}
    assert policies["update-policies"]["parameters"]["url"] == "http://opal:7000"
    assert policies["update-policies"]["witnesses"][0]["url"] == "http://opal:7000/ready"
    assert policies["resync-policies"]["ladder"][0]["parameters"]["urls"] == given["bouncerUrls"]


@pytest.mark.parametrize("matcher", ['cluster!="a"', "cluster=", 'cluster=""', "production"])
def test_identity_that_an_alert_satisfies_by_silence_is_refused(matcher: str) -> None:
    with pytest.raises(ChartError, match="identity"):
        render({"remediator": {**TOKEN, "identity": [matcher]}}, "controlcore", "controlcore")
