"""Label selectors of the API (meta/v1 LabelSelector): matching, and their form as a query parameter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FORMS = {"In": "{key} in ({values})", "NotIn": "{key} notin ({values})", "Exists": "{key}", "DoesNotExist": "!{key}"}
"""The form of each operator in the query parameter `labelSelector`."""


def selects(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Whether a selector matches: an empty one matches everything, an absent one nothing."""
    if selector is None:
        return False
    wanted = selector.get("matchLabels") or {}
    if any(labels.get(name) != value for name, value in wanted.items()):
        return False
    return all(_meets(expression, labels) for expression in selector.get("matchExpressions") or ())


def _meets(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """One requirement (meta/v1 LabelSelectorRequirement)."""
    name, values = expression["key"], expression.get("values") or ()
    operators = {
        "In": name in labels and labels[name] in values,
        "NotIn": labels.get(name) not in values,
        "Exists": name in labels,
        "DoesNotExist": name not in labels,
    }
    return operators[expression["operator"]]


def selector_text(selector: Mapping[str, Any]) -> str:
    """The selector as the query parameter `labelSelector`.

    Raises ValueError for an empty one: a workload's selector is never empty, and the query would return every object.
    """
    parts = [f"{name}={value}" for name, value in sorted((selector.get("matchLabels") or {}).items())]
    parts += [
        FORMS[each["operator"]].format(key=each["key"], values=",".join(each.get("values") or ()))
        for each in selector.get("matchExpressions") or ()
    ]
    if not parts:
        raise ValueError("an empty selector")
    return ",".join(parts)
