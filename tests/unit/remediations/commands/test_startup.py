from __future__ import annotations

import socket
from pathlib import Path

import pytest

from remediations.commands.startup import own_pod


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("POD_NAMESPACE", "POD_NAME"):
        monkeypatch.delenv(name, raising=False)


def test_outside_kubernetes_there_is_no_pod(tmp_path: Path):
    assert own_pod(tmp_path / "namespace") == ""


def test_pod_is_the_host_name_in_the_namespace_of_the_service_account(tmp_path: Path):
    (tmp_path / "namespace").write_text("ops\n")
    assert own_pod(tmp_path / "namespace") == f"ops/{socket.gethostname()}"


def test_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "namespace").write_text("ops")
    monkeypatch.setenv("POD_NAMESPACE", "there")
    monkeypatch.setenv("POD_NAME", "remediator-6d4b9c7f5-x2x4z")
    assert own_pod(tmp_path / "namespace") == "there/remediator-6d4b9c7f5-x2x4z"
