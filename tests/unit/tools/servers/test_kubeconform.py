"""The schemas for kubeconform: one for each kind, and strict."""

from __future__ import annotations

import pytest

from tools.servers.kubernetes.kubeconform import make_schemas

DOCUMENT = {
    "definitions": {
        "io.k8s.api.apps.v1.Deployment": {
            "type": "object",
            "description": "left out",
            "required": ["spec"],
            "properties": {
                "spec": {"$ref": "#/definitions/io.k8s.api.apps.v1.Spec"},
                "port": {"type": "string", "format": "int-or-string"},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            },
            "x-kubernetes-group-version-kind": [{"group": "apps", "kind": "Deployment", "version": "v1"}],
        },
        "io.k8s.api.apps.v1.Spec": {"type": "object"},
        "io.k8s.api.core.v1.Pod": {
            "type": "object",
            "x-kubernetes-group-version-kind": [{"group": "", "kind": "Pod", "version": "v1"}],
        },
        "io.k8s.api.networking.v1.NetworkPolicy": {
            "type": "object",
            "x-kubernetes-group-version-kind": [
                {"group": "networking.k8s.io", "kind": "NetworkPolicy", "version": "v1"}
            ],
        },
    }
}


@pytest.mark.parametrize("name", ["deployment-apps-v1.json", "pod-v1.json", "networkpolicy-networking-v1.json"])
def test_file_has_the_name_that_kubeconform_asks_for(name: str) -> None:
    assert name in make_schemas(DOCUMENT)


def test_unknown_field_is_refused_and_a_map_takes_any_key() -> None:
    schema = make_schemas(DOCUMENT)["definitions.json"]["definitions"]["io.k8s.api.apps.v1.Deployment"]
    assert schema == {
        "type": ["object", "null"],
        "required": ["spec"],
        "properties": {
            "spec": {"$ref": "definitions.json#/definitions/io.k8s.api.apps.v1.Spec"},
            "port": {"type": ["string", "integer", "null"]},
            "labels": {"type": ["object", "null"], "additionalProperties": {"type": ["string", "null"]}},
        },
        "additionalProperties": False,
    }
