"""Looks at what single actions need to know: pods one by one, a CronJob, idle sessions, ScaledObjects."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar

from chassis.errors import BackendError, PermanentError, Reason
from chassis.kubernetes.client import ClusterApi, JsonObject
from chassis.kubernetes.objects import condition_of, find_condition, is_ending, is_over, is_ready, reading
from chassis.kubernetes.paths import deployment_path, pods_path, resource_path
from chassis.kubernetes.selectors import selects
from remediations.core.model.alert import Target
from remediations.core.model.cluster import KEDA, CronJob, Pod, ScaledObject
from remediations.core.model.facts import NO_DATABASE, NO_ORCHESTRATOR, ActionFacts, Fact, IdleSessions, Need
from remediations.facts.sources import Session

Items = list[JsonObject]
T = TypeVar("T")
BATCH = "batch/v1"
PAUSED = "autoscaling.keda.sh/paused"
"""Annotations of KEDA ("Pause autoscaling"): this one, and with the suffixes -scale-out, -scale-in and -replicas."""
NOT_PAUSED = frozenset({"0", "f", "false"})
"""What Go's strconv.ParseBool reads as false; whatever else stands there was meant to pause."""
IDLE_SQL = "SELECT pid, idle_seconds FROM controlcore_remediator.idle_sessions($1)"
"""The function that `controlcore-remediator grants` prints; needs PostgreSQL 12."""


class TextReader(Protocol):
    """What reads logs; chassis.kubernetes.client.KubernetesClient, or a fake."""

    async def text(self, path: str, *, timeout_seconds: float, query: Mapping[str, str] | None = None) -> str:
        """A plain-text answer; raises BackendError."""
        ...


@dataclass(frozen=True, slots=True)
class ActionFactReader:
    """Where single actions look; None where nothing is configured."""

    api: ClusterApi | None = None
    database: Session | None = None
    timeout_seconds: float = 3.0
    logs: TextReader | None = None

    async def read_facts(self, needs: frozenset[Need], target: Target, now: float, idle_seconds: float) -> ActionFacts:
        """Everything that is needed; what cannot be had is a fact without value. `now` is Unix seconds."""
        async with asyncio.TaskGroup() as group:
            asked = {
                need.value: group.create_task(self._see(need, target, now, idle_seconds), name=f"sight.{need.value}")
                for need in needs - {Need.TAKING_BACK}
            }
        seen: dict[str, Any] = {name: task.result() for name, task in asked.items()}
        return ActionFacts(**seen)

    async def _see(self, need: Need, target: Target, now: float, idle_seconds: float) -> Fact[Any]:
        """One of them."""
        if need is Need.IDLE_SESSIONS:
            return await _fact(IDLE_SQL, self._idle(idle_seconds))
        if need is Need.PODS:
            return await _fact(target.key, self._pods(target, now))
        if need is Need.CRON_JOB:
            return await _fact(target.key, self._cron_job(target))
        return await _fact(target.key, self._scaled_objects(target))

    async def read(self, path: str) -> JsonObject:
        """One object of any kind, as it is; raises BackendError."""
        return await _there(self.api).get(path, timeout_seconds=self.timeout_seconds)

    async def read_all(self, path: str, *, labels: Mapping[str, str] | None = None, fields: str | None = None) -> Items:
        """Every object of a collection with these labels, as they are; raises BackendError."""
        selector = ",".join(f"{name}={value}" for name, value in sorted((labels or {}).items())) or None
        return await _there(self.api).list(
            path, timeout_seconds=self.timeout_seconds, label_selector=selector, field_selector=fields
        )

    async def pods(self, target: Target) -> Items:
        """The pods that the Deployment selects, as they are; raises BackendError."""
        document = await self.read(deployment_path(target.namespace, target.name))
        with reading("Deployment"):
            selector = document["spec"]["selector"]
            wanted = selector.get("matchLabels") or {}
        items = await self.read_all(pods_path(target.namespace), labels=wanted)
        with reading("Pod"):
            return [item for item in items if selects(selector, item["metadata"].get("labels") or {})]

    async def _pods(self, target: Target, now: float) -> tuple[Pod, ...]:
        """The pods of the Deployment, by name."""
        items = await self.pods(target)
        with reading("Pod"):
            return tuple(sorted((_pod(item, now) for item in items), key=lambda pod: pod.name))

    async def _cron_job(self, target: Target) -> CronJob:
        """The CronJob that the target names."""
        document = await self.read(resource_path(BATCH, "cronjobs", namespace=target.namespace, name=target.name))
        with reading("CronJob"):
            return CronJob(
                uid=document["metadata"]["uid"],
                generation=int(document["metadata"]["generation"]),
                active=tuple(each["name"] for each in (document.get("status") or {}).get("active") or ()),
                is_suspended=bool(document["spec"].get("suspend", False)),
            )

    async def _scaled_objects(self, target: Target) -> tuple[ScaledObject, ...]:
        """The ScaledObjects that name the target; none where KEDA is not installed."""
        api, path = _there(self.api), resource_path(KEDA, "scaledobjects", namespace=target.namespace)
        try:
            items = await api.list(path, timeout_seconds=self.timeout_seconds)
        except BackendError as error:
            if error.reason is Reason.MISSING:
                return ()
            raise
        with reading("ScaledObject"):
            return tuple(_scaled_object(item) for item in items if _scales(item, target))

    async def _idle(self, seconds: float) -> IdleSessions:
        """How many sessions the SECURITY DEFINER function finds idle for so long."""
        if self.database is None:
            raise PermanentError(Reason.MISSING, NO_DATABASE)
        rows = await self.database.fetch(IDLE_SQL, seconds, timeout_seconds=self.timeout_seconds)
        return IdleSessions(len(rows), max((float(row["idle_seconds"]) for row in rows), default=0.0))


def _there(api: ClusterApi | None) -> ClusterApi:
    """The API; raises PermanentError where none is configured."""
    if api is None:
        raise PermanentError(Reason.MISSING, NO_ORCHESTRATOR)
    return api


async def _fact(source: str, question: Awaitable[T]) -> Fact[T]:
    """The answer as a fact; a failure as a fact without value. The deadline is the calls' own."""
    try:
        return Fact(await question, source)
    except BackendError as error:
        return Fact(None, source, f"{error.reason.value}: {error}")


def _pod(item: JsonObject, now: float) -> Pod:
    """A Pod from its metadata and status."""
    metadata, status = item["metadata"], item.get("status") or {}
    since = find_condition(item, "Ready").get("lastTransitionTime")
    is_unready = condition_of(item, "Ready") is False
    return Pod(
        name=metadata["name"],
        uid=metadata["uid"],
        is_ready=is_ready(item),
        unready_seconds=max(0.0, now - parse_time(since)) if since and is_unready else None,
        is_ending=is_ending(item) or is_over(item),
        restarts=sum(int(each.get("restartCount", 0)) for each in status.get("containerStatuses") or ()),
    )


def parse_time(text: str) -> float:
    """Unix seconds of an RFC 3339 time as the API writes it; raises ValueError."""
    return datetime.fromisoformat(text).timestamp()


def _scales(item: JsonObject, target: Target) -> bool:
    """Whether the ScaledObject names the target; its kind is Deployment where it says none."""
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
    """Whether an annotation is there and does not say false."""
    return name in annotations and annotations[name].lower() not in NOT_PAUSED
