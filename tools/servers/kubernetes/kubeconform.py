"""`python -m tools.servers.kubernetes.kubeconform`: the chart's objects against the schemas of Kubernetes, strictly.

The schemas come from the API document inside the pinned module k8s.io/kubernetes, so no other host is asked. Objects of
the Prometheus and the Grafana operator are left out: Kubernetes has no schema of them, and tests/integration/helm has
tests of their own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from tools.chart import CHART, ChartError, render
from tools.install.build import MODULES_FOLDER, locate
from tools.install.compiler import ToolError, find_compiler

MODULE = "k8s.io/kubernetes"
DOCUMENT = "api/openapi-spec/swagger.json"
LOCATION = "{{.ResourceKind}}{{.KindSuffix}}.json"
"""How kubeconform names a schema: deployment-apps-v1.json, service-v1.json."""
FOREIGN = ("monitoring.coreos.com", "grafana.integreatly.org")
RELEASE = NAMESPACE = "controlcore"

Schema = dict[str, Any]


class SchemaError(RuntimeError):
    """The API document of Kubernetes cannot be found; the message is Go's."""


def read_document() -> Schema:
    """The API document of the pinned Kubernetes; Go fetches the module unless it has it."""
    folder = MODULES_FOLDER / "controlplane"
    go = find_compiler(folder)
    go.bring(print)
    answer = subprocess.run(
        [str(go.path), "mod", "download", "-json", MODULE],
        cwd=folder,
        env=go.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode != 0:
        raise SchemaError(f"{MODULE} cannot be fetched: {(answer.stderr or answer.stdout).strip()}")
    document: Schema = json.loads((Path(json.loads(answer.stdout)["Dir"]) / DOCUMENT).read_text(encoding="utf-8"))
    return document


def make_schemas(document: Schema) -> dict[str, Schema]:
    """One strict JSON schema for each kind, by the file's name; an unknown field breaks it."""
    definitions = {name: _make_strict(each) for name, each in document["definitions"].items()}
    schemas = {}
    for name, each in document["definitions"].items():
        for kind in each.get("x-kubernetes-group-version-kind", ()):
            group = kind["group"].partition(".")[0]
            file = "-".join(filter(None, (kind["kind"].lower(), group, kind["version"])))
            schemas[f"{file}.json"] = {"$ref": f"definitions.json#/definitions/{name}"}
    return {**schemas, "definitions.json": {"definitions": definitions}}


def _make_strict(schema: Schema) -> Schema:
    """References lead into the one file, null stands for a field that is left out, and other fields are refused."""
    if "$ref" in schema:
        return {"$ref": f"definitions.json{schema['$ref']}"}
    if schema.get("format") == "int-or-string":
        return {"type": ["string", "integer", "null"]}
    strict = {key: value for key, value in schema.items() if key in {"required", "enum"}}
    if "type" in schema:
        strict["type"] = [schema["type"], "null"]
    if "items" in schema:
        strict["items"] = _make_strict(schema["items"])
    if "properties" in schema:
        strict["properties"] = {name: _make_strict(each) for name, each in schema["properties"].items()}
        strict["additionalProperties"] = False
    elif isinstance(schema.get("additionalProperties"), dict):
        strict["additionalProperties"] = _make_strict(schema["additionalProperties"])
    return strict


def check(values: Path, schemas: Path) -> int:
    """The exit status of kubeconform for the objects of these values; it prints what it finds."""
    given = yaml.safe_load(values.read_text(encoding="utf-8")) or {}
    rendered = render(given, RELEASE, NAMESPACE, with_tests=True)
    objects = [item for item in rendered if not item["apiVersion"].startswith(FOREIGN)]
    print(f"{values.name}: ", end="", flush=True)
    command = [str(locate("kubeconform")), "-strict", "-summary", "-schema-location", str(schemas / LOCATION), "-"]
    return subprocess.run(command, input=yaml.safe_dump_all(objects), text=True, check=False).returncode


def main() -> int:
    """Checks the values files of the chart's ci folder, one after another; returns the exit status."""
    try:
        with tempfile.TemporaryDirectory(prefix="controlcore-schemas-") as folder:
            for name, schema in make_schemas(read_document()).items():
                (Path(folder) / name).write_text(json.dumps(schema), encoding="utf-8")
            return max(check(values, Path(folder)) for values in sorted((CHART / "ci").glob("*-values.yaml")))
    except (ChartError, SchemaError, ToolError) as error:
        print(f"tools.servers.kubernetes.kubeconform: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
