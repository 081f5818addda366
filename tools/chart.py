"""Renders the Helm chart, so that tests and demo use exactly its Roles and configuration files.

`python -m tools.chart [RELEASE] [NAMESPACE] [--values FILE]` prints the objects; without values those of a first
installation, where only the webhook's Secret is named.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from remediations.shipped import read_policies
from tools.install.build import locate
from tools.install.compiler import ToolError

CHART = Path(__file__).parents[1] / "helm" / "controlcore-exporter"
TIMEOUT_SECONDS = 60.0
REMEDIATOR = "controlcore-remediator"
FIRST_INSTALLATION: Mapping[str, Any] = {"remediator": {"tokenSecret": {"name": "controlcore-webhook"}}}
# Helm says this for every file that the chart shares with the rest of the repository.
_EXPECTED = "found symbolic link in path"

Manifest = dict[str, Any]


class ChartError(RuntimeError):
    """Helm refused the chart or the values; the message is Helm's."""


def render(
    values: Mapping[str, Any],
    release: str,
    namespace: str,
    *,
    kube_version: str = "",
    chart: Path = CHART,
    with_tests: bool = False,
) -> list[Manifest]:
    """Every object that `helm install RELEASE --namespace NAMESPACE` would create, in Helm's order.

    `with_tests` adds the pods of `helm test`.

    `values` are laid over the chart's own. Without a version the newest Kubernetes that this Helm knows is assumed.
    Raises ChartError when the values break the schema or a template refuses them.
    """
    arguments = ["template", release, str(chart), "--namespace", namespace, "--values", "-"]
    if not with_tests:
        arguments += ["--skip-tests"]
    if kube_version:
        arguments += ["--kube-version", kube_version]
    return [document for document in yaml.safe_load_all(_helm(arguments, json.dumps(values))) if document]


def notes(values: Mapping[str, Any], release: str = "controlcore", namespace: str = "controlcore") -> str:
    """What Helm prints after an installation with these values."""
    arguments = ["install", release, str(CHART), "--namespace", namespace, "--dry-run=client", "--values", "-"]
    return _helm(arguments, json.dumps(values)).partition("\nNOTES:\n")[2]


def lint(values: Mapping[str, Any]) -> str:
    """What `helm lint --strict` says; raises ChartError when it finds a fault."""
    return _helm(["lint", str(CHART), "--strict", "--values", "-"], json.dumps(values))


def find_object(objects: Iterable[Manifest], kind: str, name: str) -> Manifest:
    """The one object of that kind and name; raises KeyError."""
    for item in objects:
        if item["kind"] == kind and item["metadata"]["name"] == name:
            return item
    raise KeyError(f"{kind} {name}")


def remediator_rights(policies: Iterable[Mapping[str, Any]], namespace: str) -> list[Manifest]:
    """The ServiceAccount REMEDIATOR, its Role and RoleBinding, as the chart makes them for exactly these policies."""
    changes: dict[str, Any] = {item["name"]: {"enabled": False} for item in yaml.safe_load(read_policies())["policies"]}
    for policy in policies:
        rest = {key: value for key, value in policy.items() if key != "name"}
        changes[policy["name"]] = {**rest, "enabled": True}
    identity = ['cluster="any"']
    values = {"remediator": {"tokenSecret": {"name": "webhook"}, "identity": identity, "policies": changes}}
    return [
        item
        for item in render(values, "controlcore", namespace)
        if item["kind"] in {"ServiceAccount", "Role", "RoleBinding"} and item["metadata"]["name"] == REMEDIATOR
    ]


def _helm(arguments: list[str], standard_input: str) -> str:
    answer = subprocess.run(
        [locate("helm"), *arguments],
        input=standard_input,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    if answer.returncode != 0:
        said = [line for line in (answer.stderr + answer.stdout).splitlines() if _EXPECTED not in line]
        raise ChartError("\n".join(said))
    return answer.stdout


def main() -> None:
    """The command of the module's docstring."""
    parser = argparse.ArgumentParser(prog="tools.chart", description="Print the objects of the rendered chart.")
    parser.add_argument("release", nargs="?", default="controlcore")
    parser.add_argument("namespace", nargs="?", default="controlcore")
    parser.add_argument("--values", type=Path)
    options = parser.parse_args()
    values = FIRST_INSTALLATION if options.values is None else yaml.safe_load(options.values.read_text("utf-8")) or {}
    try:
        print(yaml.safe_dump_all(render(values, options.release, options.namespace), sort_keys=False))
    except (ChartError, ToolError) as error:
        sys.exit(f"tools.chart: {error}")


if __name__ == "__main__":
    main()
