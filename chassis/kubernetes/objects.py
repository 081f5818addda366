"""Reads an object's own state: conditions, and a pod's (core/v1) readiness and end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from chassis.errors import PermanentError, Reason

OVER = frozenset({"Succeeded", "Failed"})
"""Phases after which no container of a pod runs again (Kubernetes, "Pod Lifecycle"); an evicted pod is Failed."""


@contextmanager
def reading(kind: str) -> Iterator[None]:
    """Turns an unexpected object shape into PermanentError(malformed)."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise PermanentError(Reason.MALFORMED, f"unexpected shape of a {kind}: {error!r}") from error


def find_condition(item: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """The status condition of this type; empty when the object has none."""
    conditions = (item.get("status") or {}).get("conditions") or ()
    return next((each for each in conditions if each["type"] == kind), {})


def condition_of(item: Mapping[str, Any], kind: str) -> bool | None:
    """A status condition: True, False, or None when it is Unknown or absent."""
    return {"True": True, "False": False}.get(find_condition(item, kind).get("status", ""))


def is_over(pod: Mapping[str, Any]) -> bool:
    """Whether the pod has run to its end: the API lists it until it is garbage-collected, and it serves no requests."""
    return (pod.get("status") or {}).get("phase") in OVER


def is_ending(item: Mapping[str, Any]) -> bool:
    """Whether the object is terminating; a pod on a dead node stays so until the node is removed."""
    return bool((item.get("metadata") or {}).get("deletionTimestamp"))


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether the pod serves: it is Ready, and neither ended nor terminating."""
    return condition_of(pod, "Ready") is True and not is_ending(pod) and not is_over(pod)
