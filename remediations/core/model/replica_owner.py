"""Finds the object that owns the number of a workload's pods, and makes the patch that changes it. Pure.

| found                                        | owner                   | what is written                        |
|----------------------------------------------|-------------------------|----------------------------------------|
| a ScaledObject that names the target         | ScaledObject            | minReplicaCount or maxReplicaCount     |
| a HorizontalPodAutoscaler, no ScaledObject   | HorizontalPodAutoscaler | minReplicas or maxReplicas             |
| neither                                      | Deployment              | spec.replicas, by its /scale resource  |

KEDA generates its HorizontalPodAutoscaler from the ScaledObject and would undo a patch of the former. The guard `owner`
decides whether the owner may be changed now.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from chassis.kubernetes.paths import autoscaler_path, deployment_scale_path, resource_path
from remediations.core.model.alert import Target
from remediations.core.model.cluster import KEDA, Autoscaler, ScaledObject, Workload
from remediations.core.model.facts import Facts
from remediations.core.model.names import ANNOTATION_OPERATION, ANNOTATION_RAISED
from remediations.core.model.plan import PatchStep, Plan

KEDA_MINIMUM, KEDA_MAXIMUM = 0, 100
"""KEDA's default for a bound that a ScaledObject does not give (KEDA, "ScaledObject specification")."""


class OwnerKind(StrEnum):
    """The kind of object that holds the number."""

    DEPLOYMENT = "Deployment"
    AUTOSCALER = "HorizontalPodAutoscaler"
    SCALED_OBJECT = "ScaledObject"


LEAST: Mapping[OwnerKind, str] = {
    OwnerKind.DEPLOYMENT: "replicas",
    OwnerKind.AUTOSCALER: "minReplicas",
    OwnerKind.SCALED_OBJECT: "minReplicaCount",
}
"""The field with the least number of pods."""
MOST: Mapping[OwnerKind, str] = {
    OwnerKind.DEPLOYMENT: "replicas",
    OwnerKind.AUTOSCALER: "maxReplicas",
    OwnerKind.SCALED_OBJECT: "maxReplicaCount",
}
"""The field with the greatest number of pods."""
RIGHTS = (
    "get apps/deployments",
    "get apps/deployments/scale",
    "patch apps/deployments/scale",
    "list autoscaling/horizontalpodautoscalers",
    "get autoscaling/horizontalpodautoscalers",
    "patch autoscaling/horizontalpodautoscalers",
    "list keda.sh/scaledobjects",
    "get keda.sh/scaledobjects",
    "patch keda.sh/scaledobjects",
)
"""What is needed to find the owner and change its numbers."""
FIELDS = frozenset({*LEAST.values(), *MOST.values()})


@dataclass(frozen=True, slots=True)
class Owner:
    """The object that holds the number of pods."""

    kind: OwnerKind
    name: str
    uid: str
    resource_version: str
    numbers: Mapping[str, int]
    """Field → its value now, defaults filled in."""
    wanted: int
    """How many pods it wants now."""
    running: int
    """How many pods there are according to its status."""
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def least(self) -> int:
        """The least number of pods."""
        return self.numbers[LEAST[self.kind]]

    @property
    def most(self) -> int:
        """The greatest number of pods."""
        return self.numbers[MOST[self.kind]]


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field of the owner: its value now, and its value afterwards."""

    field: str
    before: int
    after: int


def find_owner(facts: Facts) -> Owner | str:
    """The one owner, or why it is unknown."""
    scaled = facts.sights.scaled_objects
    if facts.autoscalers.value is None:
        return facts.autoscalers.problem or "the autoscalers were not read"
    if scaled is None or scaled.value is None:
        return "the ScaledObjects were not read" if scaled is None else scaled.problem
    if len(facts.autoscalers.value) > 1 or len(scaled.value) > 1:
        names = ", ".join([*(item.name for item in facts.autoscalers.value), *(item.name for item in scaled.value)])
        return f"several autoscalers name the target: {names}"
    workload = facts.workload.value
    if workload is None:
        return facts.workload.problem or "the Deployment was not read"
    autoscaler = next(iter(facts.autoscalers.value), None)
    if scaled.value:
        return _of_scaled_object(scaled.value[0], autoscaler, workload)
    return _of_autoscaler(autoscaler) if autoscaler is not None else _of_workload(workload)


def _of_scaled_object(found: ScaledObject, autoscaler: Autoscaler | None, workload: Workload) -> Owner:
    """A ScaledObject; the autoscaler that KEDA made from it has the number of pods."""
    desired = workload.replicas_desired
    return Owner(
        OwnerKind.SCALED_OBJECT,
        found.name,
        found.uid,
        found.resource_version,
        {
            "minReplicaCount": KEDA_MINIMUM if found.minimum is None else found.minimum,
            "maxReplicaCount": KEDA_MAXIMUM if found.maximum is None else found.maximum,
        },
        wanted=desired if autoscaler is None else autoscaler.desired,
        running=desired if autoscaler is None else autoscaler.current,
        annotations=found.annotations,
    )


def _of_autoscaler(found: Autoscaler) -> Owner:
    """A HorizontalPodAutoscaler."""
    return Owner(
        OwnerKind.AUTOSCALER,
        found.name,
        found.uid,
        found.resource_version,
        {"minReplicas": found.minimum, "maxReplicas": found.maximum},
        wanted=found.desired,
        running=found.current,
        annotations=found.annotations,
    )


def _of_workload(found: Workload) -> Owner:
    """The Deployment itself."""
    desired = found.replicas_desired
    return Owner(
        OwnerKind.DEPLOYMENT,
        "",
        found.uid,
        found.resource_version,
        {"replicas": desired},
        wanted=desired,
        running=desired,
    )


def plan_change(action: str, target: Target, owner: Owner, changes: Sequence[FieldChange], operation_id: str) -> Plan:
    """The plan that sets fields of the owner to absolute numbers, so that sending it again changes nothing.

    metadata.uid and metadata.resourceVersion are preconditions. /scale drops annotations: there the operation id is
    only in the journal.
    """
    name = owner.name or target.name
    metadata = {"uid": owner.uid, "resourceVersion": owner.resource_version}
    mark = {} if owner.kind is OwnerKind.DEPLOYMENT else {ANNOTATION_OPERATION: operation_id}
    after = {change.field: change.after for change in changes}
    notes = {} if owner.kind is OwnerKind.DEPLOYMENT else _raised_notes(owner.annotations, changes)
    body = {"metadata": {**metadata, **({"annotations": {**mark, **notes}} if mark else {})}, "spec": after}
    verb = "raise" if all(change.after > change.before for change in changes) else "lower"
    words, olds, news = (
        " and ".join(str(getattr(change, name)) for change in changes) for name in ("field", "before", "after")
    )
    return Plan(
        action=action,
        target=target,
        operation_id=operation_id,
        summary=f"{verb} {words} of {owner.kind} {target.namespace}/{name} from {olds} to {news}",
        steps=(PatchStep(_path(owner.kind, target.namespace, name), "merge", body, mark),),
        prior=_named(owner, name)
        | {change.field: change.before for change in changes}
        | ({"operation_id": owner.annotations.get(ANNOTATION_OPERATION)} if mark else {}),
        expected={"effect": EFFECTS[owner.kind], "uid": owner.uid}
        | _named(owner, name)
        | after
        | ({"operation_id": operation_id} if mark else {}),
    )


def _raised_notes(annotations: Mapping[str, str], changes: Sequence[FieldChange]) -> dict[str, str | None]:
    """The annotations with the number before a raise; None removes one (RFC 7386).

    The chart's admission policy does not allow a number below it, so a stolen token cannot shrink a workload. If the
    annotation does not match the current number, the number was changed since, and the annotation does not count.
    """
    notes: dict[str, str | None] = {}
    for change in changes:
        first, dots, last = annotations.get(ANNOTATION_RAISED + change.field, "").partition("..")
        before = int(first) if dots and last == str(change.before) and first.isdecimal() else change.before
        is_back = change.after <= max(before, 1) and change.after < change.before
        notes[ANNOTATION_RAISED + change.field] = None if is_back else f"{before}..{change.after}"
    return notes


EFFECTS: Mapping[OwnerKind, str] = {
    OwnerKind.DEPLOYMENT: "replicas",
    OwnerKind.AUTOSCALER: "autoscaler",
    OwnerKind.SCALED_OBJECT: "scaled_object",
}
"""The effect that verification must find."""


def _named(owner: Owner, name: str) -> dict[str, str]:
    """The owner's name under the key that verification reads; a Deployment is the target itself."""
    return {} if owner.kind is OwnerKind.DEPLOYMENT else {EFFECTS[owner.kind]: name}


def _path(kind: OwnerKind, namespace: str, name: str) -> str:
    """Where the patch goes."""
    if kind is OwnerKind.AUTOSCALER:
        return autoscaler_path(namespace, name)
    if kind is OwnerKind.SCALED_OBJECT:
        return resource_path(KEDA, "scaledobjects", namespace=namespace, name=name)
    return deployment_scale_path(namespace, name)
