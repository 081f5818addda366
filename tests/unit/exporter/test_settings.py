from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from chassis.errors import ConfigError
from exporter.collector import CollectorSettings
from exporter.collectors import discover
from exporter.commands.configuration import CONVENTIONAL, collector_settings, load_settings, name_file
from exporter.settings import ExporterSettings, Scope
from tests.fakes.collector import ScriptedCollector


class LampSettings(CollectorSettings):
    """Settings of an example."""

    brightness: int = Field(default=3, ge=1)
    """How bright."""


SPECS = (ScriptedCollector([]).spec("lamp", settings=LampSettings), ScriptedCollector([]).spec("door"))


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CONVENTIONAL.values():
        monkeypatch.delenv(name, raising=False)


def read(tmp_path: Path, text: str = "", **overrides: object) -> ExporterSettings:
    file = tmp_path / "exporter.yml"
    file.write_text(text)
    return load_settings(SPECS, file, overrides)


def faults(tmp_path: Path, text: str) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    return {fault.path: fault.message for fault in caught.value.faults}


def test_conventional_variables_alone_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql+psycopg2://u:p@db:5432/cc")
    monkeypatch.setenv("REDIS_URL", "redis://cache:6379/0")
    monkeypatch.setenv("CONTROLCORE_API_URL", "http://api:8000/")
    settings = load_settings(SPECS, None)
    assert settings.database.url is not None
    assert settings.database.url.get_secret_value() == "postgresql+psycopg2://u:p@db:5432/cc"
    assert settings.redis.url is not None
    assert settings.api.url == "http://api:8000"


def test_file_wins_over_conventional_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CONTROLCORE_API_URL", "http://conventional:1")
    assert read(tmp_path, "api: {url: 'http://file:2'}").api.url == "http://file:2"


def test_own_variable_wins_over_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CONTROLCORE_EXPORTER_API__URL", "http://variable:3")
    assert read(tmp_path, "api: {url: 'http://file:2'}").api.url == "http://variable:3"


def test_command_line_wins_over_own_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CONTROLCORE_EXPORTER_SERVER__PORT", "1000")
    assert read(tmp_path, "server: {port: 2000}", server={"port": 3000}).server.port == 3000


def test_collectors_own_settings_come_from_its_registration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CONTROLCORE_EXPORTER_COLLECTORS__LAMP__INTERVAL_SECONDS", "30")
    lamp = collector_settings(read(tmp_path, "collectors: {lamp: {brightness: 7}}"), "lamp")
    assert isinstance(lamp, LampSettings)
    assert (lamp.brightness, lamp.interval_seconds, lamp.enabled) == (7, 30, True)


def test_all_faults_are_reported_at_once_with_their_paths(tmp_path: Path) -> None:
    found = faults(
        tmp_path,
        """
        server: {port: 70000, hots: x}
        collectors: {lamp: {brightness: 0, interval_seconds: 0}, lmap: {}}
        api: {url: 'ftp://api'}
        scope: everything
        log: {level: loud}
        """,
    )
    assert set(found) == {
        "server.port", "server.hots", "collectors.lamp.brightness", "collectors.lamp.interval_seconds",
        "collectors.lmap", "api.url", "scope", "log.level",
    }  # fmt: skip
    assert "did you mean host" in found["server.hots"]
    assert "lamp" in found["collectors.lmap"]
    assert "'all', 'pod' or 'deployment'" in found["scope"]


@pytest.mark.parametrize(
    ("section", "url"),
    [
        ("database", "mysql://u:hunter2@db/x"),
        ("redis", "http://u:hunter2@r"),
        ("database", "postgresql://u:hunter2@h:x/d"),
    ],
)
def test_fault_of_a_url_never_shows_its_password(tmp_path: Path, section: str, url: str) -> None:
    found = faults(tmp_path, f"{section}: {{url: '{url}'}}")
    assert list(found) == [f"{section}.url"]
    assert "hunter2" not in str(found)


@pytest.mark.parametrize(("path", "variable"), CONVENTIONAL.items())
def test_fault_of_a_conventional_variable_names_it_and_no_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, path: str, variable: str
) -> None:
    monkeypatch.setenv(variable, "gopher://there")
    with pytest.raises(ConfigError) as caught:
        read(tmp_path)
    assert [fault.path for fault in name_file(caught.value.faults, tmp_path / "exporter.yml", {})] == [variable]
    section, _, name = path.partition(".")
    assert list(faults(tmp_path, f"{section}: {{{name}: 'gopher://here'}}")) == [path], "the file wins"


def test_api_url_with_credentials_is_refused(tmp_path: Path) -> None:
    """The landing page shows this URL."""
    assert "credentials" in faults(tmp_path, "api: {url: 'http://u:hunter2@api'}")["api.url"]


def test_unreadable_files_are_faults_of_their_settings(tmp_path: Path) -> None:
    found = faults(tmp_path, "{database: {password_file: /nowhere/a}, kubernetes: {kubeconfig: /nowhere/b}}")
    assert set(found) == {"database.password_file", "kubernetes.kubeconfig"}


def test_kubeconfigs_that_are_merged_need_not_all_be_there(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    read(tmp_path, f"kubernetes: {{kubeconfig: '{tmp_path}/a:/nowhere/b'}}")
    assert set(faults(tmp_path, "kubernetes: {kubeconfig: '/nowhere/a:/nowhere/b'}")) == {"kubernetes.kubeconfig"}


def test_settings_shown_anywhere_hold_no_secret(tmp_path: Path) -> None:
    settings = read(tmp_path, "{database: {url: 'postgresql://u:hunter2@h/d'}, redis: {url: 'redis://:hunter2@h'}}")
    assert "hunter2" not in f"{settings!r} {settings} {settings.model_dump_json()}"


@pytest.mark.parametrize(
    ("scope", "runs_pod", "runs_deployment"),
    [("all", True, True), ("deployment", True, True), ("pod", True, False)],
)
def test_sidecar_runs_pod_scope_only(tmp_path: Path, scope: str, *, runs_pod: bool, runs_deployment: bool) -> None:
    settings = read(tmp_path, f"scope: {scope}")
    assert (settings.runs(Scope.POD), settings.runs(Scope.DEPLOYMENT)) == (runs_pod, runs_deployment)


def test_nothing_is_configured_by_default(tmp_path: Path) -> None:
    settings = read(tmp_path)
    assert (settings.database.url, settings.redis.url, settings.api.url, settings.bouncers, settings.kubernetes) == (
        None, None, None, (), None,
    )  # fmt: skip
    assert settings.server.port == 9877


@pytest.mark.parametrize(
    ("place", "values"),
    [
        ("bouncers", {"bouncers": [{"name": "a", "url": "http://a"}, {"name": "a", "url": "http://b"}]}),
        ("deployments.x.bouncers", {"deployments": {"x": {"bouncers": [{"name": "a", "url": "http://a"}] * 2}}}),
        ("collectors.opal.clients", {"collectors": {"opal": {"clients": [{"name": "a", "url": "http://a"}] * 2}}}),
        ("collectors.tls.endpoints", {"collectors": {"tls": {"endpoints": [{"name": "a", "host": "a"}] * 2}}}),
    ],
)
def test_two_of_one_name_are_refused(place: str, values: dict[str, Any]) -> None:
    """They were one label value: the second bouncer, OPAL client or endpoint was never seen, and nothing said so."""
    with pytest.raises(ConfigError) as caught:
        load_settings(discover(), None, values)
    assert [fault.path for fault in caught.value.faults] == [place]
    assert "used twice: a" in caught.value.faults[0].message
