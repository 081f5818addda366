from __future__ import annotations

from pathlib import Path

import pytest

from exporter.commands.sidecar import bare_settings
from tests.fakes.collector import ScriptedCollector

SPECS = (ScriptedCollector([]).spec("lamp"),)


def test_sidecar_with_a_faulty_file_serves_nothing_at_its_place(tmp_path: Path) -> None:
    file = tmp_path / "exporter.yml"
    file.write_text("scope: pod\nserver: {port: 9000, hots: x}\nservr: {}\n")
    settings = bare_settings(SPECS, file, {"server": {"host": "127.0.0.1"}})
    assert settings is not None
    assert (settings.server.port, settings.server.host, settings.scope) == (9000, "127.0.0.1", "pod")
    assert settings.collectors.lamp.enabled is False  # type: ignore[attr-defined] # added by settings_type


@pytest.mark.parametrize("text", ["scope: deployment", "scop: pod", "{", ""])
def test_other_processes_are_told_to_exit(tmp_path: Path, text: str) -> None:
    file = tmp_path / "exporter.yml"
    file.write_text(text)
    assert bare_settings(SPECS, file, {}) is None


def test_scope_of_environment_or_command_line_counts_with_an_unreadable_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bare_settings(SPECS, tmp_path / "nowhere.yml", {"scope": "pod"}) is not None
    monkeypatch.setenv("CONTROLCORE_EXPORTER_SCOPE", "pod")
    monkeypatch.setenv("CONTROLCORE_EXPORTER_SERVER__PORT", "9001")
    settings = bare_settings(SPECS, tmp_path / "nowhere.yml", {})
    assert settings is not None
    assert settings.server.port == 9001


def test_faulty_place_falls_back_to_the_usual_one(tmp_path: Path) -> None:
    settings = bare_settings(SPECS, None, {"scope": "pod", "server": {"port": "many"}})
    assert settings is not None
    assert settings.server.port == 9877
