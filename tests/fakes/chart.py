"""Shared by the tests of the chart: its objects rendered once, and the programs' own checks of their configuration."""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tools.chart import CHART, Manifest, find_object, render
from tools.slowness import scaled

EXAMPLES = sorted((CHART / "ci").glob("*-values.yaml"))
# Of the Prometheus and the Grafana operator, whose definitions the test cluster does not have.
OPERATOR = ("monitoring.coreos.com", "grafana.integreatly.org")


def read_example(path: Path) -> dict[str, Any]:
    """The values of one file of ci/."""
    values: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return values


def rendered(values: dict[str, Any], kube_version: str = "") -> list[Manifest]:
    """The objects of these values, rendered once and copied for each caller."""
    objects: list[Manifest] = json.loads(_rendered(json.dumps(values), kube_version))
    return objects


@functools.cache
def _rendered(values: str, kube_version: str) -> str:
    return json.dumps(render(json.loads(values), "controlcore", "controlcore", kube_version=kube_version))


def file_of(values: dict[str, Any], name: str, key: str) -> str:
    """One file of a ConfigMap."""
    return str(find_object(rendered(values), "ConfigMap", name)["data"][key])


def check_config(folder: Path, config: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a program's own check on a configuration, without any variable of ours in its environment."""
    file = folder / "config.yaml"
    file.write_text(config, encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CONTROLCORE_")}
    environment["PYTHONPATH"] = str(CHART.parents[1])
    environment["CONTROLCORE_REMEDIATOR_JOURNAL__PATH"] = str(folder / "journal.db")
    command = [sys.executable, "-m", *arguments, "--config.file", str(file)]
    return subprocess.run(command, capture_output=True, text=True, timeout=scaled(30), check=False, env=environment)


def write_secrets(folder: Path, config: str) -> str:
    """The configuration with every file below /run/secrets made, empty of meaning, in the folder instead."""
    made = folder / "secrets"
    roles = re.findall(r"/run/secrets/(roles/[a-z]+/[-.a-z0-9]+)", config)
    for name in ("database/password", "redis/password", "webhook/token", "keys/bouncer", *roles):
        file = made / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("made-up-secret-of-sufficient-length-0123456789\n", encoding="utf-8")
    (made / "web").mkdir(exist_ok=True)
    (made / "web" / "web-config.yml").write_text("{}\n", encoding="utf-8")
    return config.replace("/run/secrets", str(made))
