"""What else is known when a decision is made: our own start, people at work, the template, approvals. Immutable values.

They stand beside `remediations.core.model.facts`, which names them in its Facts and History.
"""

from __future__ import annotations
