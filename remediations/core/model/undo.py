"""The undo of a changed number, stored with the plan so that a later edit of the policy does not change it. Pure.

The action that makes the change declares the undo. It runs as a separate remediation (action `revert_scale`): when the
scale-up's time is over, or when verification found that it did not help.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

OLD, NEW = "$old", "$new"
"""Placeholders in `revert_if` for the number before the scale-up and the number that it set."""


@dataclass(frozen=True, slots=True)
class Undo:
    """One raised number: its value before, and when it may be restored."""

    owner: str
    """uid of the object that holds the number."""
    field: str
    before: int
    after: int
    promql: str
    """True while the load is low enough for the old number."""
    collectors: tuple[str, ...]
    after_seconds: float
    """Seconds from the write until it is due; 0: only if it did not help."""
    give_up_seconds: float
    """Seconds from then until it expires."""


@dataclass(frozen=True, slots=True)
class Revert:
    """The change that a revert undoes, according to the journal."""

    changes: tuple[Undo, ...]
    """One for each field; after several raises in a row, from the number before the first to the number of the last."""
    marks: tuple[str, ...]
    """Our operation ids: while the object carries one of them, no one else has changed it."""
    due_at: float
    """Unix seconds."""

    @property
    def newest(self) -> Undo:
        """The latest change: its limits count."""
        return self.changes[-1]

    @property
    def promql(self) -> str:
        """Whether the load is low enough, with the numbers filled in: those of the largest lowered bound."""
        widest = max(self.changes, key=lambda change: (change.field.startswith("max"), change.before))
        return self.newest.promql.replace(OLD, str(widest.before)).replace(NEW, str(widest.after))


def merge_undos(undos: Sequence[Undo]) -> tuple[Undo, ...]:
    """One change for each field, given oldest first: adjoining changes are merged back to the first number.

    After a gap (someone else set a number in between, or it is another object) only the newer change is kept.
    """
    merged: dict[str, Undo] = {}
    for undo in undos:
        earlier = merged.pop(undo.field, None)
        if any(other.owner != undo.owner for other in merged.values()):
            merged = {}
        is_chain = earlier is not None and (earlier.owner, earlier.after) == (undo.owner, undo.before)
        merged[undo.field] = replace(undo, before=earlier.before) if earlier is not None and is_chain else undo
    return tuple(merged.values())
