"""The page about the policy file, written from its schema: every key with meaning, form, limits and default."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from chassis.output.settings_reference import anchor
from remediations.core import actions
from tools.generate.policies.schema import SHARED, Schema

PAGE = Path(__file__).parents[3] / "docs" / "policies.md"
TITLES = {
    "Policy": "A policy (`policies[]`)",
    "Rung": "A rung (`ladder[]`)",
    "Target": "A target (`targets[]`)",
    "Query": "A query (`condition`, `verify`, `dependencies.NAME`, `locks.NAME`)",
    "Witness": "A witness (`witnesses[]`)",
    "CustomGuard": "A guard of your own (`guards[]`)",
    "ConnectionBudget": "Connections (`connections`)",
    "Limit": "A limit (`budgets[]`)",
    "StormLimit": "A storm of alerts (`storm`)",
    "BreakerLimit": "The breaker (`breaker`)",
    "WindowSection": "A window of time (`schedule[]`, `freeze[]`)",
}
SHIPPED = "remediations/shipped/policies.yaml"
HEAD = (
    "# The policy file\n\n"
    "Written by `make generate` from the code that reads the file; a test compares the two. {about} "
    f"The shipped file is [`{SHIPPED}`](../{SHIPPED}); [remediations](remediations/README.md) describes its policies."
    "\n\n"
    "`controlcore-remediator check-config` reports every fault with its line and path, and warns of addresses that "
    "are still the shipped placeholders. Editors check the file with "
    "[`policies.schema.json`](../remediations/shipped/policies.schema.json) (JSON Schema, draft 2020-12) "
    "beside the shipped file: the YAML language server finds it through the first line, "
    "`# yaml-language-server: $schema=policies.schema.json`.\n\n"
    "A missing key has its default, and the defaults are the safe choice. A dash means that a missing key has a "
    "special meaning, which its row describes. Times are in seconds. Names consist of lower-case letters, digits, `-` "
    "and `_`, at most 63 characters. Matchers are one string or a list of strings in Alertmanager's syntax, like "
    '`alertname="HighCPUUsage"`.\n\n'
)


def render_page(schema: Schema) -> str:
    """The whole page."""
    parts = schema["$defs"]
    text = [HEAD.format(about=schema["description"]), "## The file\n\n", "\n".join(_table(schema, parts)), "\n"]
    for name, title in TITLES.items():
        text += [f"\n## {title}\n\n", "\n".join(_table(parts[name], parts)), "\n"]
    text.append("\n## Parameters of the actions\n")
    for branch in parts["Policy"]["allOf"]:
        text.append("\n" + "\n".join(_action(branch, parts)) + "\n")
    return "".join(text)


def _table(part: Schema, parts: Schema) -> Iterator[str]:
    """Every key of a mapping."""
    yield "| key | form | default | meaning |"
    yield "|---|---|---|---|"
    for name, item in part["properties"].items():
        default = "required" if name in part.get("required", ()) else _default(item)
        yield f"| `{name}` | {_form(item, parts)} | {default} | {item['description']} |"


def _default(item: Schema) -> str:
    """The default as written in the file; a dash if a missing key has a special meaning."""
    value = item.get("default", "-")
    return "-" if value == "-" else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _form(item: Schema, parts: Schema) -> str:
    """The form of a value, with its limits."""
    name = str(item.get("$ref", "")).rsplit("/", maxsplit=1)[-1]
    if name in TITLES:
        words = TITLES[name].partition(" (")[0].removeprefix("A ").removeprefix("The ")
        return f"[{words.lower()}](#{anchor(TITLES[name].replace(' ', '-').lower())})"
    if name:
        return name if name in SHARED else _form(parts[name], parts)
    words = item.get("enum", [item["const"]] if "const" in item else [])
    if words:
        return ", ".join(f"`{word}`" for word in words)
    if item["type"] == "array":
        return f"list of: {_form(item['items'], parts)}"
    if isinstance(item.get("additionalProperties"), dict):
        return f"mapping of name to: {_form(item['additionalProperties'], parts)}"
    limits = f", {item['minimum']} to {item['maximum']}" if "minimum" in item else ""
    kinds = {"string": "text", "integer": "whole number", "object": "mapping", "boolean": "true or false"}
    return f"{kinds.get(item['type'], item['type'])}{limits}"


def _action(branch: Schema, parts: Schema) -> Iterator[str]:
    """One action: its effect, its kinds of target and its parameters."""
    spec = actions.offered()[branch["if"]["properties"]["action"]["const"]]
    yield f"### `{spec.name}`\n"
    yield f"{spec.doc.splitlines()[0]} On: {', '.join(f'`{kind}`' for kind in spec.kinds)}.\n"
    parameters = branch["then"]["properties"]["parameters"]
    if parameters["properties"]:
        yield from _table(parameters, parts)
    else:
        yield "It has no parameters."
