from __future__ import annotations

import socket
from pathlib import Path

import pytest
import structlog

from remediations.commands.startup import own_pod, tell_unmatched_pauses
from remediations.core.model.acts import Actor, ActSource
from remediations.core.model.facts import Pause
from remediations.journal.sqlite.adapter import open_journal
from tests.fakes.clock import ManualClock
from tests.fakes.decisions import a_policy_set, restart_policy


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


async def test_pause_that_names_no_policy_is_logged(tmp_path: Path):
    """After a reload nothing else shows that a policy paused by its old name acts again."""
    clock = ManualClock()
    async with open_journal(tmp_path / "journal.db") as journal:
        for pause in (
            Pause("old", "ann", "r", None, policy="restart-apis"),
            Pause("new", "ann", "r", None, policy="restart-api"),
            Pause("gone", "ann", "r", None, target="Deployment/a/b"),
            Pause("night", "ann", "r", None),
        ):
            await journal.pause(pause, clock.now(), Actor(ActSource.COMMAND_LINE, claimed="ann"))
        with structlog.testing.capture_logs() as lines:
            await tell_unmatched_pauses(journal, a_policy_set(restart_policy()), clock)

    assert [(line["event"], line["name"], line["problem"]) for line in lines] == [
        ("pause.unmatched", "gone", "no policy has the target Deployment/a/b"),
        ("pause.unmatched", "old", "there is no policy restart-apis (is it restart-api now?)"),
    ]
