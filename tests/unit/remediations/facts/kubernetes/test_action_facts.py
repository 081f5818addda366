"""Looking for ScaledObjects: those of the target, none where KEDA is not installed, unknown in every other case."""

from __future__ import annotations

from typing import Any

import pytest

from chassis.errors import PermanentError, Reason, TransientError
from remediations.core.model.cluster import ScaledObject
from remediations.core.model.facts import Need
from remediations.facts.kubernetes.action_facts import read_needs
from tests.fakes.decisions import API, NOW, a_scaled_object
from tests.fakes.facts import sources_of
from tests.fakes.kubernetes import FakeCluster

KEDA_PAUSED = "autoscaling.keda.sh/paused"
COLLECTION = "/apis/keda.sh/v1alpha1/namespaces/control-core/scaledobjects"


def document(name: str, target: str, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "uid": "uid-3",
            "resourceVersion": "63",
            "annotations": {"controlcore.io/operation-id": "op-1", "other": "x"},
        },
        "spec": {"scaleTargetRef": {"name": target}, "minReplicaCount": 3, "maxReplicaCount": 10, **spec},
        "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Active", "status": "False"}]},
    }


async def look(api: FakeCluster | None) -> Any:
    sights = await read_needs(sources_of(api), frozenset({Need.SCALED_OBJECTS}), API, NOW, 600.0)
    assert sights.scaled_objects is not None
    return sights.scaled_objects


async def test_scaled_objects_that_name_the_target_are_found():
    stateful = {"scaleTargetRef": {"name": API.name, "kind": "StatefulSet"}}
    cluster = FakeCluster(
        {
            f"{COLLECTION}/api": document("api", API.name),
            f"{COLLECTION}/other": document("other", "other"),
            f"{COLLECTION}/stateful": document("stateful", API.name, **stateful),
        }
    )
    (found,) = (await look(cluster)).value
    assert found == a_scaled_object(name="api", annotations={"controlcore.io/operation-id": "op-1"})


@pytest.mark.parametrize(
    ("annotations", "is_paused"),
    [
        ({"autoscaling.keda.sh/paused": "true"}, True),
        ({"autoscaling.keda.sh/paused-replicas": "0"}, True),
        ({"autoscaling.keda.sh/paused": "false"}, False),
    ],
)
async def test_pause_and_bounds_are_read_as_keda_reads_them(annotations, is_paused):
    bare = document("api", API.name)
    bare["metadata"]["annotations"] = annotations
    bare["spec"] = {"scaleTargetRef": {"name": API.name}}
    del bare["status"]
    found: ScaledObject
    (found,) = (await look(FakeCluster({f"{COLLECTION}/api": bare}))).value
    assert (found.is_paused, found.minimum, found.maximum, found.is_ready) == (is_paused, None, None, None)


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        ({}, (False, False, False)),
        ({f"{KEDA_PAUSED}-scale-out": "true"}, (False, True, False)),
        ({f"{KEDA_PAUSED}-scale-out": "TRUE"}, (False, True, False)),
        ({f"{KEDA_PAUSED}-scale-out": "yes"}, (False, True, False)),
        ({f"{KEDA_PAUSED}-scale-out": "0"}, (False, False, False)),
        ({f"{KEDA_PAUSED}-scale-in": "1"}, (False, False, True)),
        ({f"{KEDA_PAUSED}-scale-in": "False"}, (False, False, False)),
        ({f"{KEDA_PAUSED}-replicas": "0"}, (True, False, False)),
        ({KEDA_PAUSED: "t"}, (True, False, False)),
        ({KEDA_PAUSED: "F"}, (False, False, False)),
    ],
)
async def test_every_pause_of_keda_is_read(annotations, expected):
    """R7: paused-scale-out was not read, and maxReplicaCount was raised against it."""
    bare = document("api", API.name)
    bare["metadata"]["annotations"] = annotations
    (found,) = (await look(FakeCluster({f"{COLLECTION}/api": bare}))).value
    assert (found.is_paused, found.is_out_paused, found.is_in_paused) == expected


async def test_pause_that_keda_says_itself_is_read():
    """R7: condition Paused, whatever made KEDA pause."""
    bare = document("api", API.name)
    bare["status"] = {"conditions": [{"type": "Paused", "status": "True"}]}
    (found,) = (await look(FakeCluster({f"{COLLECTION}/api": bare}))).value
    assert found.is_paused


async def test_absent_kind_means_that_there_is_none():
    def refuse(_verb: str, _path: str) -> None:
        raise PermanentError(Reason.MISSING, "HTTP status 404")

    assert (await look(FakeCluster(before=refuse))).value == ()


@pytest.mark.parametrize("error", [PermanentError(Reason.PERMISSION, "403"), TransientError(Reason.TIMEOUT, "slow")])
async def test_what_cannot_be_read_is_unknown(error):
    def fail(_verb: str, _path: str) -> None:
        raise error

    fact = await look(FakeCluster(before=fail))
    assert (fact.value, fact.problem.split(":")[0]) == (None, error.reason.value)


async def test_without_orchestrator_nobody_knows():
    """Not the same as a cluster without KEDA."""
    assert (await look(None)).value is None


async def test_unexpected_shape_is_unknown():
    fact = await look(FakeCluster({f"{COLLECTION}/api": {"metadata": {}, "spec": {}}}))
    assert (fact.value, fact.problem.split(":")[0]) == (None, "malformed")
