"""`python -m tools.generate.rbac_table`: the Kubernetes rights of a first installation as a table, from the chart."""

from __future__ import annotations

from typing import Any

from tools.chart import Manifest, render

VALUES: dict[str, Any] = {
    "exporter": {"database": {"url": "postgresql://cc_exporter@postgresql:5432/control_core_db"}},
    "remediator": {"tokenSecret": {"name": "controlcore-webhook"}},
}
PROGRAMS = ("exporter", "remediator")
RELEASE = "controlcore"


def describe_rule(rule: Manifest) -> tuple[str, str]:
    """A Role's rule in two cells: the verbs, and what they are for."""
    group = next(iter(rule["apiGroups"]))
    kinds = ", ".join(f"{kind}.{group}" if group else kind for kind in rule["resources"])
    names = ", ".join(f"`{name}`" for name in rule.get("resourceNames", ()))
    return ", ".join(rule["verbs"]), f"{kinds}{' ' + names if names else ', in the namespace'}"


def merge_rules(rules: list[Manifest]) -> list[tuple[str, str]]:
    """The rows of one Role: rules about the same objects in one row."""
    rows: dict[str, list[str]] = {}
    for rule in rules:
        verbs, what = describe_rule(rule)
        rows.setdefault(what, []).append(verbs)
    return [(", ".join(verbs), what) for what, verbs in rows.items()]


def rights_table() -> str:
    """The whole table in Markdown."""
    objects = render(VALUES, RELEASE, RELEASE)
    lines = ["| who | may | what |", "|---|---|---|"]
    for program in PROGRAMS:
        (role,) = [
            each for each in objects if each["kind"] == "Role" and each["metadata"]["name"] == f"{RELEASE}-{program}"
        ]
        lines += [f"| {program} | {verbs} | {what} |" for verbs, what in merge_rules(role["rules"])]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(rights_table(), end="")
