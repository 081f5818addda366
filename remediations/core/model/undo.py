"""What takes a change of a number back: written down with the plan, so that no later edit of a policy changes it. Pure.

An undo is declared by the action that makes the change. It is carried out as a remediation of its own (action
`revert_scale`): when the time of the scale-up is over, or when verification has found that it did not help.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

OLD, NEW = "$old", "$new"
"""Stand in `revert_if` for the number before the scale-up and the number that it set."""


@dataclass(frozen=True, slots=True)
class Undo:
    """One number that was raised, what it was, and when it may be that again."""

    owner: str
    """uid of the object that holds the number."""
    field: str
    before: int
    after: int
    promql: str
    """True while the load fits into the old number."""
    collectors: tuple[str, ...]
    after_seconds: float
    """Seconds from the write until it is due; 0: only when it did not help."""
    give_up_seconds: float
    """Seconds from then until it expires."""


@dataclass(frozen=True, slots=True)
class Revert:
    """What a revert takes back, as the journal knows it."""

    changes: tuple[Undo, ...]
    """One for each field; raised several times in a row, from the number before the first to that of the last."""
    marks: tuple[str, ...]
    """Operation ids of ours: as long as the object carries one of them, nobody else was there after us."""
    due_at: float
    """Unix seconds."""

    @property
    def newest(self) -> Undo:
        """The change that was made last: its limits count."""
        return self.changes[-1]

    @property
    def promql(self) -> str:
        """Whether the load fits, with the numbers filled in: those of the greatest bound that is lowered."""
        widest = max(self.changes, key=lambda change: (change.field.startswith("max"), change.before))
        return self.newest.promql.replace(OLD, str(widest.before)).replace(NEW, str(widest.after))


def merge_undos(undos: Sequence[Undo]) -> tuple[Undo, ...]:
    """One change for each field, oldest first given: what follows without a gap goes back to the first number.

    A gap (somebody else's number in between, or another object) leaves the newer change alone.
    """
    merged: dict[str, Undo] = {}
    for undo in undos:
        earlier = merged.pop(undo.field, None)
        if any(other.owner != undo.owner for other in merged.values()):
            merged = {}
        is_chain = earlier is not None and (earlier.owner, earlier.after) == (undo.owner, undo.before)
        merged[undo.field] = replace(undo, before=earlier.before) if earlier is not None and is_chain else undo
    return tuple(merged.values())
