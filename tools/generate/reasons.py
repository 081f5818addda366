"""`python -m tools.generate.reasons`: writes the page of every reason and guard of the remediator."""

from __future__ import annotations

from pathlib import Path

from remediations.core.decide import ACTIONS, GUARDS
from remediations.core.model import reasons
from remediations.core.model.reasons import EXPLANATIONS, HoldReason, Settled, describe_reason

PAGE = Path(__file__).parents[2] / reasons.PAGE
HEAD = """# Reasons

Why the remediator does nothing now (a hold), or has nothing left to do. `controlcore-remediator show ID` prints the \
reason with its details, `list --reason NAME` every remediation with that reason. A held remediation is decided again \
every `retry_seconds` of its policy, until it may act or expires.

`make generate` writes this page from the code that gives the reasons.

## Why nothing is done now
"""
ENDED = """
## Why nothing is left to do
"""
ASKED = """
## The guards

The guards run in this order, and the first that does not pass decides.

| guard | what it does | reasons |
|---|---|---|
"""


def _givers(reason: HoldReason) -> str:
    """The guards and actions that may give a reason; a reason of neither appears when the plan is sent."""
    guards = [f"guard `{spec.name}`" for spec in GUARDS if reason in spec.reasons]
    actions = [f"action `{name}`" for name, spec in ACTIONS.items() if reason in spec.refusals]
    return ", ".join([*guards, *actions]) or "the write"


def _section(reason: HoldReason | Settled) -> str:
    """One reason under a heading, the target of links."""
    meaning, advice = EXPLANATIONS[reason]
    given = f" Given by: {_givers(reason)}." if isinstance(reason, HoldReason) else ""
    return f"\n### `{reason}`\n\n{meaning}{given}\n\nWhat to do: {advice}\n"


def _first_sentence(doc: str) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join(doc.split("\n\n", maxsplit=1)[0].split())


def render_reasons() -> str:
    """The page."""
    asked = [f"| `{spec.name}` | {_first_sentence(spec.doc)} | {_links(spec.reasons)} |\n" for spec in GUARDS]
    return "".join([HEAD, *map(_section, HoldReason), ENDED, *map(_section, Settled), ASKED, *asked])


def _links(found: frozenset[HoldReason]) -> str:
    """Links to these reasons, in the order of the page."""
    return ", ".join(f"[{describe_reason(reason)}](#{reason})" for reason in HoldReason if reason in found)


if __name__ == "__main__":
    PAGE.write_text(render_reasons(), encoding="utf-8")
