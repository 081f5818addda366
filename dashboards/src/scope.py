"""Narrows every selector of an expression to the chosen clusters, namespaces, jobs and environments.

A panel names a metric; this module adds the matchers. `.*` is the value of "All", so a series without such a label
still matches. `policy_environment` is added only where the metric carries it: elsewhere a choice would empty the panel.
"""

from __future__ import annotations

import re

from tools.rules.catalogue import PROMETHEUS_OWN, published_labels

ENVIRONMENT_LABEL = "policy_environment"
TARGET = ("cluster", "namespace", "job")
"""Labels of the scraped target: Prometheus or the operator sets them. Each is a variable of the same name."""
TARGET_MATCHERS = ", ".join(f'{label}=~"${label}"' for label in TARGET)
ALERT_MATCHERS = 'cluster=~"$cluster|", namespace=~"$namespace|"'
"""For alerts. Some rules aggregate the target's labels away, and an alert without such a label concerns all."""
_RECORDED_BY_ENVIRONMENT = ("controlcore:policy_denials:",)
_HIDDEN = re.compile(
    r""""(?:\\.|[^"\\])*"|\[[^\]]*\]|\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)|(?<=\{)[^}]*(?=\})""",
    re.IGNORECASE,
)
_IDENTIFIER = re.compile(r"(?<![\w.:$])[a-zA-Z_:][\w:]*(?![\w:])")


def scope(promql: str) -> str:
    """The expression with the variables' matchers in every selector of a published metric."""
    bare = _HIDDEN.sub(lambda found: " " * len(found[0]), promql)
    text = promql
    for found in reversed(list(_IDENTIFIER.finditer(bare))):
        if found[0] not in published_labels():
            continue
        matchers, end = _matchers(found[0]), found.end()
        if text[end : end + 1] == "{":
            rest = text[end + 1 :].lstrip()
            text = f"{text[: end + 1]}{matchers}{'' if rest.startswith('}') else ', '}{rest}"
        else:
            text = f"{text[:end]}{{{matchers}}}{text[end:]}"
    return text


def carries_environment(name: str) -> bool:
    """Whether the metric's series say to which environment of the product they belong."""
    return name.startswith(_RECORDED_BY_ENVIRONMENT) or ENVIRONMENT_LABEL in (published_labels().get(name) or ())


def _matchers(name: str) -> str:
    """The matchers of one metric."""
    if name in PROMETHEUS_OWN:
        return ALERT_MATCHERS
    return TARGET_MATCHERS + (f', {ENVIRONMENT_LABEL}=~"$environment"' if carries_environment(name) else "")
