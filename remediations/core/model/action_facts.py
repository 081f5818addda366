"""What single actions need to know beside the Facts that every decision has: immutable values, no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from remediations.core.model.cluster import CronJob, Pod, ScaledObject

if TYPE_CHECKING:
    from remediations.core.model.facts import Fact


class Need(StrEnum):
    """What an action asks to be looked at before it plans."""

    PODS = "pods"
    CRON_JOB = "cron_job"
    IDLE_SESSIONS = "idle_sessions"
    SCALED_OBJECTS = "scaled_objects"
    TAKING_BACK = "taking_back"
    """What is to be taken back: told by the journal, and only of what follows from another action."""


@dataclass(frozen=True, slots=True)
class IdleSessions:
    """Sessions of the control plane that hold a transaction open and do nothing, for longer than asked."""

    count: int
    longest_seconds: float


@dataclass(frozen=True, slots=True)
class Sights:
    """What was looked at; None was not asked for."""

    pods: Fact[tuple[Pod, ...]] | None = None
    cron_job: Fact[CronJob] | None = None
    idle_sessions: Fact[IdleSessions] | None = None
    scaled_objects: Fact[tuple[ScaledObject, ...]] | None = None


def action_facts_to_data(sights: Sights) -> dict[str, Any]:
    """What the journal keeps of it."""
    data: dict[str, Any] = {}
    if sights.pods is not None:
        pods = sights.pods.value
        data["pods"] = sights.pods.problem if pods is None else [f"{pod.name} {_state(pod)}" for pod in pods]
    if sights.cron_job is not None:
        job = sights.cron_job.value
        data["cron_job"] = sights.cron_job.problem if job is None else {"uid": job.uid, "active": list(job.active)}
    if sights.idle_sessions is not None:
        idle = sights.idle_sessions.value
        data["idle_sessions"] = sights.idle_sessions.problem if idle is None else idle.count
    if sights.scaled_objects is not None:
        found = sights.scaled_objects.value
        data["scaled_objects"] = sights.scaled_objects.problem if found is None else [item.name for item in found]
    return data


def _state(pod: Pod) -> str:
    """A pod's state in a word."""
    if pod.is_ending:
        return "ending"
    return "ready" if pod.is_ready else f"unready, {pod.restarts} restarts"
