"""The Compose file for the product's: its mounts exist, and each program accepts its configuration."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.__main__ import healthcheck_parser
from exporter.commands.presets import PRESETS
from remediations.__main__ import build_parser
from tools.servers.versions import Generation
from tools.slowness import scaled

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "deploy" / "compose"
TEXT = (FOLDER / "compose.yaml").read_text(encoding="utf-8")
SERVICES: dict[str, Any] = yaml.safe_load(TEXT)["services"]
README = (FOLDER / "README.md").read_text(encoding="utf-8")
API_DOWN = ["alertname=ControlCoreAPIDown", "remediation=restart-api", "severity=critical"]

pytestmark = pytest.mark.timeout(60)


def run(*command: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=scaled(30), check=False)


def test_every_mounted_file_of_the_repository_is_there():
    mounted = re.findall(r"\$\{CONTROLCORE_SIDECAR:\?[^}]*\}/([^:\s]+):", TEXT)
    assert len(mounted) == 6
    assert [path for path in mounted if not (ROOT / path).exists()] == []


def test_every_secret_is_declared_and_made_by_the_readme():
    used = {name for service in SERVICES.values() for name in service.get("secrets", ())}
    declared = yaml.safe_load(TEXT)["secrets"]
    assert used == declared.keys()
    files = {item["file"].rpartition("/")[2] for item in declared.values()}
    assert files == set(re.findall(r'"\$CONTROLCORE_SECRETS/([\w-]+)"$', README, re.MULTILINE)) - {"journal"}


@pytest.mark.parametrize("name", SERVICES)
def test_service_has_a_root_that_cannot_be_written_and_no_capability(name):
    service = SERVICES[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    # Only this machine reaches what has no password.
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def test_health_checks_are_commands_of_the_programs():
    shell, program, command, *rest = SERVICES["controlcore-exporter"]["healthcheck"]["test"]
    assert (shell, program, command) == ("CMD", "controlcore-exporter", "healthcheck")
    assert str(healthcheck_parser().parse_args(rest).config_file) == "/etc/controlcore-exporter/exporter.yaml"
    shell, program, *rest = SERVICES["controlcore-remediator"]["healthcheck"]["test"]
    assert (shell, program) == ("CMD", "controlcore-remediator")
    assert build_parser().parse_args(rest).command == "healthcheck"


def test_names_in_the_readme_are_those_of_the_preset():
    addresses = [PRESETS["compose"][part]["url"] for part in ("api", "database", "redis")]
    assert [name for name in ("cc-pap-api", "cc-db", "cc-redis") if f"`{name}`" not in README] == []
    assert all(any(name in address for address in addresses) for name in ("cc-pap-api", "cc-db", "cc-redis"))


@pytest.mark.parametrize(
    ("module", "command", "file"),
    [("exporter", "--config.check", "exporter.yaml"), ("remediations", "check-config", "remediator.yaml")],
)
def test_program_accepts_its_configuration(module, command, file, tmp_path):
    text = (FOLDER / file).read_text(encoding="utf-8")
    for place in ("/run/secrets/", "/var/lib/controlcore-remediator/"):
        text = text.replace(place, f"{tmp_path}/")
    text = text.replace("/etc/controlcore-remediator/policies.yaml", str(ROOT / "remediations/shipped/policies.yaml"))
    for secret in ("controlcore-database-password", "controlcore-webhook-token"):
        (tmp_path / secret).write_text("a-made-up-secret-of-32-characters\n")
        (tmp_path / secret).chmod(0o400)
    (tmp_path / file).write_text(text)
    ended = run(sys.executable, "-m", module, command, f"--config.file={tmp_path / file}")
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("generation", list(Generation), ids=lambda each: each.value)
def test_prometheus_and_alertmanager_accept_theirs_and_alerts_reach_both_receivers(generation, tmp_path):
    shutil.copytree(ROOT / "rules", tmp_path / "rules")
    shutil.copy(FOLDER / "prometheus.yml", tmp_path)
    checked = run(generation.locate("promtool"), "check", "config", "prometheus.yml", cwd=tmp_path)
    assert f"{len(list((ROOT / 'rules').glob('*.yml')))} rule files found" in checked.stdout
    amtool, file = generation.locate("amtool"), f"--config.file={FOLDER / 'alertmanager.yml'}"
    routed = run(
        amtool, "config", "routes", "test", file, "--verify.receivers=controlcore-remediator,people", *API_DOWN
    )
    assert routed.returncode == 0, routed.stdout + routed.stderr
