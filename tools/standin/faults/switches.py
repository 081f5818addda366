"""Faults that can be switched on in a running program of the stand-in."""

from __future__ import annotations

import math
import threading
import time
from typing import Annotated, Literal, get_args

import msgspec

Kind = Literal["hang", "crash", "refuse", "slow", "5xx", "wrong_answer", "engine_error", "undefined", "cpu"]
KINDS: tuple[Kind, ...] = get_args(Kind)
NotNegative = Annotated[float, msgspec.Meta(ge=0)]


class UnknownFaultError(ValueError):
    """The request names an unknown fault or an unknown setting."""


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One fault. `seconds` None lasts until it is cleared; `path` narrows it to request paths with that beginning."""

    kind: Kind
    seconds: NotNegative | None = None
    delay_seconds: NotNegative = 2.0
    status: Annotated[int, msgspec.Meta(ge=500, le=599)] = 503
    millicores: NotNegative = 0.0
    path: str = ""


def parse_fault(body: bytes) -> Fault:
    """Read a fault from a JSON object with `kind` and any of the settings; raises `UnknownFaultError`."""
    try:
        return msgspec.json.decode(body, type=Fault)
    except msgspec.MsgspecError as error:
        raise UnknownFaultError(f"{error}; kinds: {', '.join(KINDS)}") from error


class FaultBox:
    """Holds the faults of one process; shared between its event loop, its admin thread and its CPU burner."""

    def __init__(self, component: str) -> None:
        """Start without faults; `component` is the name the admin route shows."""
        self.component = component
        self._active: dict[Kind, tuple[Fault, float]] = {}
        self._counters: dict[str, int] = {}
        self._changed = threading.Condition()

    def switch_on(self, fault: Fault) -> None:
        """Add a fault, or replace the one of its kind."""
        with self._changed:
            self._active[fault.kind] = (fault, math.inf if fault.seconds is None else time.monotonic() + fault.seconds)
            self._changed.notify_all()

    def clear(self, kind: str | None = None) -> None:
        """Remove the fault of one kind, or all of them."""
        with self._changed:
            self._active = {} if kind is None else {k: v for k, v in self._active.items() if k != kind}
            self._changed.notify_all()

    def get(self, kind: Kind, path: str | None = None) -> Fault | None:
        """Return the fault of this kind that is on now (for this request path, if one is given), or None."""
        with self._changed:
            fault, ends_at = self._active.get(kind, (None, 0.0))
        if fault is None or time.monotonic() >= ends_at:
            return None
        return fault if path is None or path.startswith(fault.path) else None

    def wait_for_change(self, timeout_seconds: float) -> None:
        """Return after the next change, or when the time is up."""
        with self._changed:
            self._changed.wait(timeout_seconds)

    def block_while_hung(self) -> None:
        """Block the calling thread, and so its event loop, until no hang without a path is on."""
        while (fault := self.get("hang")) is not None and not fault.path:
            with self._changed:
                self._changed.wait(timeout=0.1)

    def count(self, name: str) -> None:
        """Add one to a counter that the admin route shows."""
        with self._changed:
            self._counters[name] = self._counters.get(name, 0) + 1

    def describe(self) -> dict[str, object]:
        """Return the component, the faults that are on and the counters, as the admin route shows them."""
        active = [msgspec.to_builtins(fault) for kind in KINDS if (fault := self.get(kind)) is not None]
        with self._changed:
            return {"component": self.component, "faults": active, "counters": dict(self._counters)}
