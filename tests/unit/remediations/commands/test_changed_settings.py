"""A reload does not change settings, and says so."""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog

from chassis.config import load
from remediations.commands.changed_settings import tell_changed
from remediations.settings import RemediatorSettings


def told(path: Path, before: str, after: str) -> list[tuple[str, object]]:
    """Events with the settings or faults that they name, when the file changes between start and reload."""
    path.write_text(before)
    running = load(RemediatorSettings, path)
    path.write_text(after)
    with structlog.testing.capture_logs() as lines:
        asyncio.run(tell_changed(running, path))
    return [(line["event"], line.get("settings") or line.get("faults")) for line in lines]


def test_changed_settings_are_named_in_one_warning(tmp_path: Path):
    before = "worker: {lease_seconds: 20}\nkubernetes: {timeout_seconds: 2}\n"
    after = "worker: {lease_seconds: 30, concurrency: 2}\nalertmanager: {}\nkubernetes: {timeout_seconds: 2}\n"
    found = told(tmp_path / "settings.yaml", before, after)
    assert found == [("settings.changed", ["alertmanager", "worker.lease_seconds", "worker.concurrency"])]


def test_same_settings_are_not_told(tmp_path: Path):
    database = "database: {url: 'postgresql://user:pass@host:5432/db'}\n"
    assert told(tmp_path / "settings.yaml", database, database + "log: {level: info}\n") == []


def test_changed_secret_is_named_and_not_shown(tmp_path: Path):
    database = "database: {url: 'postgresql://user:pass@host:5432/db'}\n"
    found = told(tmp_path / "settings.yaml", database, database.replace("pass", "word"))
    assert found == [("settings.changed", ["database.url"])]


def test_settings_with_faults_are_told(tmp_path: Path):
    ((event, faults),) = told(tmp_path / "settings.yaml", "", "nonsense: 1\n")
    assert event == "settings.unreadable"
    assert "nonsense: unknown setting" in str(faults)
