"""Reads what single actions need: pods one by one, a CronJob, idle sessions, ScaledObjects."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from chassis.errors import BackendError, Reason
from chassis.kubernetes.client import JsonObject
from chassis.kubernetes.objects import condition_of, find_condition, is_ending, is_over, is_ready, reading
from chassis.kubernetes.paths import resource_path
from remediations.core.model.alert import Target
from remediations.core.model.cluster import KEDA, CronJob, Pod, ScaledObject
from remediations.core.model.facts import NO_DATABASE, NO_ORCHESTRATOR, ActionFacts, Fact, IdleSessions, Need
from remediations.core.policies.time_windows import parse_clock
from remediations.facts.ask import bounded
from remediations.facts.kubernetes.reader import ClusterReader
from remediations.facts.kubernetes.workload import list_pods
from remediations.facts.sources import FactSources, Session

BATCH = "batch/v1"
PAUSED = "autoscaling.keda.sh/paused"
"""Annotations of KEDA ("Pause autoscaling"): this one, and those with the suffixes -scale-out, -scale-in and
-replicas.
"""
NOT_PAUSED = frozenset({"0", "f", "false"})
"""Values that Go's strconv.ParseBool reads as false; any other value pauses."""
IDLE_SQL = "SELECT pid, idle_seconds FROM controlcore_remediator.idle_sessions($1)"
"""The function that `controlcore-remediator grants` prints; needs PostgreSQL 12."""


async def read_needs(
    sources: FactSources, needs: frozenset[Need], target: Target, now: float, idle_seconds: float
) -> ActionFacts:
    """Everything that is needed; a failure becomes a fact without value. `now` is Unix seconds."""
    async with asyncio.TaskGroup() as group:
        asked = {
            need.value: group.create_task(_see(sources, need, target, now, idle_seconds), name=f"sight.{need.value}")
            for need in needs - {Need.TAKING_BACK}
        }
    seen: dict[str, Any] = {name: task.result() for name, task in asked.items()}
    return ActionFacts(**seen)


async def _see(sources: FactSources, need: Need, target: Target, now: float, idle_seconds: float) -> Fact[Any]:
    """One of them."""
    if need is Need.IDLE_SESSIONS:
        return await read_idle_sessions(sources.database, idle_seconds, sources.timeout_seconds)
    if sources.cluster is None:
        return Fact(None, target.key, NO_ORCHESTRATOR)
    questions: dict[Need, Callable[[ClusterReader, Target], Awaitable[Any]]] = {
        Need.PODS: partial(_read_pods, now),
        Need.CRON_JOB: _read_cron_job,
        Need.SCALED_OBJECTS: _read_scaled_objects,
    }
    return await bounded(target.key, sources.timeout_seconds, questions[need](sources.cluster, target))


async def read_idle_sessions(
    database: Session | None, idle_seconds: float, timeout_seconds: float
) -> Fact[IdleSessions]:
    """The number of sessions that the SECURITY DEFINER function finds idle for this time."""
    if database is None:
        return Fact(None, IDLE_SQL, NO_DATABASE)
    try:
        rows = await database.fetch(IDLE_SQL, idle_seconds, timeout_seconds=timeout_seconds)
    except BackendError as error:
        return Fact(None, IDLE_SQL, f"{error.reason.value}: {error}")
    return Fact(IdleSessions(len(rows), max((float(row["idle_seconds"]) for row in rows), default=0.0)), IDLE_SQL)


async def _read_pods(now: float, reader: ClusterReader, target: Target) -> tuple[Pod, ...]:
    """The pods of the Deployment, by name."""
    items = await list_pods(reader, target)
    with reading("Pod"):
        return tuple(sorted((_pod(item, now) for item in items), key=lambda pod: pod.name))


async def _read_cron_job(reader: ClusterReader, target: Target) -> CronJob:
    """The CronJob that the target names."""
    document = await reader.get(resource_path(BATCH, "cronjobs", namespace=target.namespace, name=target.name))
    with reading("CronJob"):
        return CronJob(
            uid=document["metadata"]["uid"],
            generation=int(document["metadata"]["generation"]),
            active=tuple(each["name"] for each in (document.get("status") or {}).get("active") or ()),
            is_suspended=bool(document["spec"].get("suspend", False)),
        )


async def _read_scaled_objects(reader: ClusterReader, target: Target) -> tuple[ScaledObject, ...]:
    """The ScaledObjects that name the target; none if KEDA is not installed."""
    try:
        items = await reader.list(resource_path(KEDA, "scaledobjects", namespace=target.namespace))
    except BackendError as error:
        if error.reason is Reason.MISSING:
            return ()
        raise
    with reading("ScaledObject"):
        return tuple(_scaled_object(item) for item in items if _scales(item, target))


def _pod(item: JsonObject, now: float) -> Pod:
    """A Pod from its metadata and status."""
    metadata, status = item["metadata"], item.get("status") or {}
    since = parse_clock(str(find_condition(item, "Ready").get("lastTransitionTime") or ""))
    is_unready = condition_of(item, "Ready") is False
    return Pod(
        name=metadata["name"],
        uid=metadata["uid"],
        is_ready=is_ready(item),
        unready_seconds=max(0.0, now - since) if since is not None and is_unready else None,
        is_ending=is_ending(item) or is_over(item),
        restarts=sum(int(each.get("restartCount", 0)) for each in status.get("containerStatuses") or ()),
    )


def _scales(item: JsonObject, target: Target) -> bool:
    """Whether the ScaledObject names the target; without a kind it means a Deployment."""
    reference = item["spec"]["scaleTargetRef"]
    return bool(reference["name"] == target.name and reference.get("kind", "Deployment") == target.kind)


def _scaled_object(item: JsonObject) -> ScaledObject:
    """A ScaledObject from its metadata and spec."""
    metadata, spec = item["metadata"], item["spec"]
    annotations = metadata.get("annotations") or {}
    least, most = spec.get("minReplicaCount"), spec.get("maxReplicaCount")
    return ScaledObject(
        name=metadata["name"],
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        minimum=None if least is None else int(least),
        maximum=None if most is None else int(most),
        is_paused=_is_set(annotations, PAUSED)
        or f"{PAUSED}-replicas" in annotations
        or condition_of(item, "Paused") is True,
        annotations={name: value for name, value in annotations.items() if name.startswith("controlcore.io/")},
        is_ready=condition_of(item, "Ready"),
        is_out_paused=_is_set(annotations, f"{PAUSED}-scale-out"),
        is_in_paused=_is_set(annotations, f"{PAUSED}-scale-in"),
    )


def _is_set(annotations: Mapping[str, str], name: str) -> bool:
    """Whether an annotation exists and is not false."""
    return name in annotations and annotations[name].lower() not in NOT_PAUSED
