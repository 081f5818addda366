from __future__ import annotations

from pathlib import Path

import pytest

from chassis.errors import ConfigError
from exporter.commands.configuration import load_settings
from exporter.commands.presets import PRESETS
from exporter.settings import ExporterSettings

VARIABLES = ("DATABASE_URL", "REDIS_URL", "CONTROLCORE_API_URL", "KUBERNETES_SERVICE_HOST")


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def read(tmp_path: Path, text: str) -> ExporterSettings:
    file = tmp_path / "exporter.yml"
    file.write_text(text)
    return load_settings((), file)


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("scope", ["pod", "deployment"])
@pytest.mark.parametrize("kubernetes", ["", ", kubernetes: {}"])
def test_every_preset_is_a_valid_configuration(tmp_path: Path, name: str, scope: str, kubernetes: str) -> None:
    settings = read(tmp_path, f"{{preset: {name}, scope: {scope}{kubernetes}}}")
    assert settings.api.url is not None
    assert (scope == "pod") == settings.api.url.startswith("http://127.0.0.1:")
    assert (settings.kubernetes is not None) == bool(kubernetes)


def test_preset_fills_names_ports_and_labels(tmp_path: Path) -> None:
    settings = read(tmp_path, "{preset: devops-guide, kubernetes: {}}")
    assert settings.api.url == "http://control-plane-api.controlcore.svc:8000"
    assert settings.kubernetes is not None
    assert (settings.kubernetes.namespace, settings.kubernetes.workloads, settings.kubernetes.labels["redis"]) == (
        "controlcore",
        ("control-plane-api", "control-plane-ui"),
        "app=redis",
    )
    assert settings.database.url is not None
    assert "cc_exporter@postgresql" in settings.database.url.get_secret_value()


def test_explicit_settings_win_over_the_preset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://conventional:6379/0")
    settings = read(
        tmp_path,
        "{preset: devops-guide, api: {url: 'http://mine:1'}, database: {url: null}, kubernetes: {namespace: x}}",
    )
    assert (settings.api.url, settings.database.url, settings.database.role) == ("http://mine:1", None, "postgres")
    assert settings.redis.url is not None
    assert settings.redis.url.get_secret_value() == "redis://conventional:6379/0"
    assert settings.kubernetes is not None
    assert (settings.kubernetes.namespace, settings.kubernetes.workloads[0]) == ("x", "control-plane-api")


def test_preset_comes_from_the_environment_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTROLCORE_EXPORTER_PRESET", "compose")
    assert read(tmp_path, "").api.url == "http://cc-pap-api:8000"


def test_kubernetes_is_filled_inside_a_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    settings = read(tmp_path, "preset: enterprise-guide")
    assert settings.kubernetes is not None
    assert settings.kubernetes.namespace == "control-core"
    assert settings.bouncer_discovery.kubernetes is not None
    assert settings.bouncer_discovery.kubernetes.selector == "app=controlcore-bouncer"


def test_unknown_preset_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"preset: .*'devops-guide'"):
        read(tmp_path, "preset: devops")
