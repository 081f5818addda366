"""What people did: approvals, pauses, resets of breakers, reloads. Immutable values.

An authenticated name comes from a checked credential. A claimed name is given by the caller, for example on the command
line; it is stored as claimed, because it is not checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

MAX_NAME = 200
"""Characters of a claimed name."""


class ActSource(StrEnum):
    """How an act reached the program, which determines its authenticated name."""

    USER = "user"
    """HTTP with the password of a user of the web configuration file; the name is the user's."""
    CERTIFICATE = "certificate"
    """HTTP with a verified client certificate; the name is a subject alternative name."""
    TOKEN = "token"  # noqa: S105 - a kind of credential
    """HTTP with a bearer token; the name is the path of the file that holds it."""
    COMMAND_LINE = "command_line"
    """A command that opened the journal's file; no name is authenticated."""
    SIGNAL = "signal"
    """SIGHUP to the process; the sender's name is unknown."""


class ActKind(StrEnum):
    """What was done."""

    APPROVE = "approve"
    REJECT = "reject"
    PAUSE = "pause"
    RESUME = "resume"
    BREAKER_RESET = "breaker_reset"
    RELOAD = "reload"


@dataclass(frozen=True, slots=True)
class Actor:
    """The person or program that acted, and how far its name can be trusted."""

    source: ActSource
    name: str = ""
    """The authenticated name; empty if there is none."""
    claimed: str = ""
    """The name that the caller claims; empty if it claims none."""
    address: str = ""
    """The peer's address of the connection; empty without one."""

    @property
    def label(self) -> str:
        """The name for people; a claimed one is always marked."""
        if self.source is ActSource.SIGNAL:
            return "signal"
        known = self.name if self.source is ActSource.USER else f"{self.source} {self.name}"
        if not self.name:
            return f"{self.claimed or 'unknown'} (claimed)"
        return known if self.claimed in {"", self.name} else f"{known} (claimed {self.claimed})"

    def to_data(self) -> dict[str, str]:
        """The actor as JSON-able data."""
        return {
            "by": self.label,
            "source": self.source.value,
            "name": self.name,
            "claimed": self.claimed,
            "address": self.address,
        }


BY_SIGNAL = Actor(ActSource.SIGNAL)


@dataclass(frozen=True, slots=True)
class HumanAct:
    """One act; never changed once stored."""

    at: float
    """Unix seconds."""
    kind: ActKind
    subject: str
    """Id of the remediation, name of the pause, `ACTION TARGET` of the breaker, or path of the policy file."""
    actor: Actor
    detail: Mapping[str, Any] = field(default_factory=dict)
    """Details of this kind: the plan's hash, the reason and end of a pause, whether a reload was refused."""
