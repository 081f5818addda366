"""What a pod (core/v1) says of its own end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from chassis.errors import PermanentError, Reason

OVER = frozenset({"Succeeded", "Failed"})
"""Phases after which no container of a pod runs again (Kubernetes, "Pod Lifecycle"); an evicted pod is Failed."""


def is_over(pod: Mapping[str, Any]) -> bool:
    """Whether the pod has run to its end: the API lists it until it is garbage-collected, and it serves no requests."""
    return (pod.get("status") or {}).get("phase") in OVER


def is_ending(pod: Mapping[str, Any]) -> bool:
    """Whether the pod is on its way out; on a node that is dead it stays so until the node is removed."""
    return bool((pod.get("metadata") or {}).get("deletionTimestamp"))


@contextmanager
def reading(kind: str) -> Iterator[None]:
    """Turns a surprise in an object's shape into PermanentError(malformed)."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise PermanentError(Reason.MALFORMED, f"unexpected shape of a {kind}: {error!r}") from error


def condition_of(conditions: Iterable[Mapping[str, Any]], kind: str) -> bool | None:
    """A status condition: True, False, or None when it is Unknown or absent."""
    for condition in conditions:
        if condition["type"] == kind:
            return {"True": True, "False": False}.get(condition["status"])
    return None


def selects(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Whether a LabelSelector matches: an empty one matches everything, an absent one nothing."""
    if selector is None:
        return False
    wanted = selector.get("matchLabels") or {}
    if any(labels.get(name) != value for name, value in wanted.items()):
        return False
    return all(_meets(expression, labels) for expression in selector.get("matchExpressions") or ())


def _meets(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """One requirement of a LabelSelector (meta/v1)."""
    name, values = expression["key"], expression.get("values") or ()
    operators = {
        "In": name in labels and labels[name] in values,
        "NotIn": labels.get(name) not in values,
        "Exists": name in labels,
        "DoesNotExist": name not in labels,
    }
    return operators[expression["operator"]]


def _selector_text(selector: Mapping[str, Any]) -> str:
    """A LabelSelector as the API's labelSelector parameter."""
    parts = [f"{name}={value}" for name, value in sorted((selector.get("matchLabels") or {}).items())]
    for expression in selector.get("matchExpressions") or ():
        name, values = expression["key"], ",".join(expression.get("values") or ())
        forms = {
            "In": f"{name} in ({values})",
            "NotIn": f"{name} notin ({values})",
            "Exists": name,
            "DoesNotExist": f"!{name}",
        }
        parts.append(forms[expression["operator"]])
    if not parts:
        raise ValueError("an empty selector")
    return ",".join(parts)
