"""S6, M8: what each credential may do with the running program, and what the journal keeps of it."""

from __future__ import annotations

import json
import signal
import subprocess
from typing import Any

import bcrypt
import pytest
import yaml

from tests.fakes.running_remediator import TOKEN, RunningRemediator, an_alert
from tests.fakes.waiting import wait_for
from tools.slowness import scaled

pytestmark = pytest.mark.timeout(scaled(60))
OPERATOR = "a-token-of-the-operator-01"
ANN = "Basic YW5uOmNvcnJlY3QgaG9yc2U="  # ann:correct horse
AS_ALERTMANAGER = {"Authorization": f"Bearer {TOKEN}"}
PAUSE = json.dumps({"reason": "tables move", "owner": "ceo@corp"}).encode()


class RolesServer(RunningRemediator):
    """Alertmanager's token, an operator's token, and ann, a user who may approve."""

    def prepare(self) -> None:
        super().prepare()
        (self.folder / "operator").write_text(OPERATOR)
        hashed = bcrypt.hashpw(b"correct horse", bcrypt.gensalt(4)).decode()
        (self.folder / "web.yml").write_text(f"basic_auth_users: {{ann: '{hashed}'}}")
        settings = yaml.safe_load(self.settings_path.read_text())
        settings["server"] |= {
            "web_config_file": str(self.folder / "web.yml"),
            "roles": {"operate": {"token_files": [str(self.folder / "operator")]}, "approve": {"users": ["ann"]}},
        }
        self.settings_path.write_text(yaml.safe_dump(settings))


def acts(remediator: RunningRemediator) -> list[dict[str, Any]]:
    """The command line's list of people's acts, newest first."""
    command = remediator.command("acts", "-o", "json")
    ended = subprocess.run(command, check=True, timeout=scaled(30), capture_output=True, text=True)
    found: list[dict[str, Any]] = json.loads(ended.stdout)
    return found


def test_alertmanager_delivers_an_operator_pauses_and_each_act_has_its_name() -> None:
    with RolesServer() as remediator:
        assert remediator.post(an_alert()) == 200
        for method, path, body in (
            ("GET", "/api/v1/remediations", None),
            ("PUT", "/api/v1/pauses/night", PAUSE),
            ("POST", "/api/v1/remediations/x/approve", b'{"by": "ceo@corp", "plan_hash": "12345678"}'),
        ):
            status, text = remediator.ask(method, path, body, AS_ALERTMANAGER)
            assert (status, "needs the role" in text) == (403, True)
        as_operator = {"Authorization": f"Bearer {OPERATOR}"}
        assert remediator.post(an_alert(), token=OPERATOR) == 403
        assert remediator.ask("POST", "/api/v1/remediations/x/approve", b"{}", as_operator)[0] == 403
        assert remediator.ask("PUT", "/api/v1/pauses/night", PAUSE, as_operator)[0] == 200
        assert remediator.ask("DELETE", "/api/v1/pauses/night", None, {"Authorization": ANN})[0] == 200
        remediator_pid = str(remediator.process.pid)
        subprocess.run(["kill", f"-{int(signal.SIGHUP)}", remediator_pid], check=True)
        wait_for(lambda: acts(remediator)[0]["act"] == "reload")

        reload, resume, pause = acts(remediator)
        assert (pause["source"], pause["name"]) == ("token", str(remediator.folder / "operator"))
        assert (pause["claimed"], pause["address"], pause["detail"]["reason"]) == (
            "ceo@corp",
            "127.0.0.1",
            "tables move",
        )
        assert (resume["source"], resume["name"], resume["address"]) == ("user", "ann", "127.0.0.1")
        assert (reload["by"], reload["name"], reload["detail"]) == ("signal", "", {"outcome": "reloaded"})
        assert reload["at"] >= resume["at"] >= pause["at"]
        (line,) = [line for line in remediator.log() if line["event"] == "roles.configured"]
        assert line["credentials"] == {"deliver": 0, "read": 0, "operate": 1, "approve": 1}


def test_without_the_setting_alerts_arrive_and_nothing_is_operated_over_http() -> None:
    with RunningRemediator(settings={"server": {"roles": None}}) as remediator:
        assert remediator.post(an_alert()) == 200
        assert remediator.ask("GET", "/api/v1/remediations", None, AS_ALERTMANAGER)[0] == 200
        status, text = remediator.ask("PUT", "/api/v1/pauses/night", PAUSE, AS_ALERTMANAGER)
        assert (status, "server.roles" in text) == (403, True)
        assert remediator.ask("GET", "/metrics")[0] == 200
        assert len([line for line in remediator.log() if line["event"] == "roles.not_configured"]) == 1
