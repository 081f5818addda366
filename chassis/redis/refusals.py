"""The errors by which a running Redis refuses commands. Separate from the driver: collectors use them as labels."""

from __future__ import annotations

from chassis.errors import BackendError, PermanentError, Reason, TransientError

REFUSALS: dict[str, tuple[type[BackendError], Reason]] = {
    "LOADING": (TransientError, Reason.STARTING),
    "MASTERDOWN": (TransientError, Reason.STARTING),
    "CLUSTERDOWN": (TransientError, Reason.STARTING),
    "BUSY": (TransientError, Reason.OVERLOADED),
    "MISCONF": (TransientError, Reason.PROTOCOL),
    "NOAUTH": (PermanentError, Reason.AUTH),
    "NOPERM": (PermanentError, Reason.PERMISSION),
}
"""First words of errors by which a running server refuses commands (https://redis.io/docs/latest/develop/reference/
protocol-spec/, simple errors; the words are those of Redis' src/server.c)."""
