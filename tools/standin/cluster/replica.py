"""One pod's real process: started for the pod, probed as a kubelet would, and ended with the pod."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import cast

import aiohttp

from tools.slowness import scaled
from tools.standin.cluster.client import Object
from tools.standin.cluster.components import Component
from tools.standin.faults import client
from tools.standin.processes import POLL_INTERVAL_SECONDS, Program, StartFailedError, launch

PROBE_INTERVAL_SECONDS = 1.0
PROBE_TIMEOUT_SECONDS = 1.0
FAILURES_UNTIL_UNREADY = 2
FIRST_BACK_OFF_SECONDS = 0.5
LONGEST_BACK_OFF_SECONDS = 8.0
USAGE_SAMPLES = 4


@dataclass(frozen=True, slots=True)
class Launch:
    """Arguments of the process of a component's pods, besides its address."""

    component: Component
    arguments: tuple[str, ...]


def name_of(pod: Object) -> str:
    """Return the pod's name."""
    return str(cast("dict[str, str]", pod["metadata"])["name"])


def uid_of(pod: Object) -> str:
    """Return the pod's uid."""
    return str(cast("dict[str, str]", pod["metadata"])["uid"])


def address_of(pod: Object) -> str | None:
    """Return the pod's address while it runs and is not being deleted, else None."""
    metadata, status = cast("Object", pod["metadata"]), cast("Object", pod.get("status", {}))
    is_live = status.get("phase") == "Running" and "deletionTimestamp" not in metadata
    return str(status["podIP"]) if is_live and status.get("podIP") else None


def cpu_seconds(pid: int) -> float | None:
    """Return the CPU time a process has used, from its CPU clock (clock_getcpuclockid(3)), or None when it is gone."""
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return None


@dataclass(frozen=True, slots=True)
class Hooks:
    """A replica's callbacks: its pod's new status, and a change of its readiness."""

    patch_status: Callable[[Object, Object], Awaitable[None]]
    readiness_changed: Callable[[], Awaitable[None]]
    session: aiohttp.ClientSession


@dataclass(slots=True)
class Replica:
    """The process of one pod. A fault stays with the pod: it is switched on again when the process is restarted."""

    pod: Object
    host: str
    launch: Launch
    hooks: Hooks
    program: Program | None = None
    is_ready: bool = False
    restarts: int = 0
    last_words: str = ""
    faults: dict[str, dict[str, float | str]] = field(default_factory=dict)
    samples: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=USAGE_SAMPLES))

    @property
    def address(self) -> tuple[str, int]:
        """Where the pod's process listens."""
        return self.host, self.launch.component.port

    async def run(self) -> None:
        """Keep the pod's process running and its status true, until cancelled; then end the process."""
        await self._tell("ContainerCreating")
        back_off_seconds = FIRST_BACK_OFF_SECONDS
        try:
            while True:
                if await self._start():
                    started_at = time.monotonic()
                    await self._probe_until_it_ends()
                    self.last_words = "the process ended"
                    if time.monotonic() - started_at > LONGEST_BACK_OFF_SECONDS:
                        back_off_seconds = FIRST_BACK_OFF_SECONDS
                self.restarts += 1
                await self._become(is_ready=False, reason="CrashLoopBackOff")
                while "crash" in self.faults:  # noqa: ASYNC110 (a clear from elsewhere ends it)
                    await asyncio.sleep(PROBE_INTERVAL_SECONDS)
                await asyncio.sleep(back_off_seconds)
                back_off_seconds = min(2 * back_off_seconds, LONGEST_BACK_OFF_SECONDS)
        finally:
            self.is_ready = False
            if self.program is not None:
                self.program.end()

    async def _start(self) -> bool:
        """Start the process; False when it ended before it listened."""
        component = self.launch.component
        address = ["--host", self.host, "--port", str(component.port), "--name", component.name]
        self.samples.clear()
        starting = launch(component.module, [*address, *component.arguments, *self.launch.arguments])
        try:
            while (program := starting.poll()) is None:  # noqa: ASYNC110 (a process tells by its output, not by an event)
                await asyncio.sleep(POLL_INTERVAL_SECONDS)
        except StartFailedError as error:
            self.last_words = str(error)
            return False
        except asyncio.CancelledError:
            starting.end()
            raise
        self.program = program
        for kind, settings in self.faults.items():
            await self.switch_on(kind, settings)
        return True

    async def _probe_until_it_ends(self) -> None:
        failures = 0
        while self.program is not None and self.program.is_running():
            started_at = time.monotonic()
            is_answered = await self._probe()
            failures = 0 if is_answered else failures + 1
            if is_answered:
                await self._become(is_ready=True, reason=None)
            elif failures >= FAILURES_UNTIL_UNREADY:
                await self._become(is_ready=False, reason=None)
            self._sample_usage()
            await asyncio.sleep(max(0.0, started_at + PROBE_INTERVAL_SECONDS - time.monotonic()))

    async def _probe(self) -> bool:
        """Whether the process answers its health endpoint with 2xx or 3xx within the timeout, as a kubelet judges."""
        url = f"http://{self.host}:{self.launch.component.port}{self.launch.component.probe_path}"
        timeout = aiohttp.ClientTimeout(total=scaled(PROBE_TIMEOUT_SECONDS))
        try:
            async with self.hooks.session.get(url, timeout=timeout, allow_redirects=False) as answer:
                return answer.status < 400
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False

    def _sample_usage(self) -> None:
        if self.program is not None and (used := cpu_seconds(self.program.pid)) is not None:
            self.samples.append((time.monotonic(), used))

    def usage_millicores(self) -> float | None:
        """Return the CPU used over the last few seconds, in thousandths of a core; None while the pod is too young."""
        if len(self.samples) < 2:
            return None
        (first_at, first), (last_at, last) = self.samples[0], self.samples[-1]
        return 1000 * (last - first) / (last_at - first_at)

    async def switch_on(self, kind: str, settings: dict[str, float | str]) -> None:
        """Switch a fault on in the process and remember it for the life of the pod."""
        self.faults[kind] = settings
        await self._ask(client.switch_on, kind, **settings)

    async def clear(self, kind: str | None) -> None:
        """Switch one kind of fault off, or all of them."""
        self.faults = {} if kind is None else {k: v for k, v in self.faults.items() if k != kind}
        await self._ask(client.clear, kind)

    async def _ask(self, ask: Callable[..., client.State], kind: str | None, **settings: float | str) -> None:
        """Ask the process's admin route; a process that is ending needs no fault."""
        if self.program is not None and self.program.is_running():
            try:
                await asyncio.to_thread(ask, self.program.admin_url, kind, **settings)
            except OSError as error:
                print(f"{name_of(self.pod)} did not take {kind}: {error}", file=sys.stderr)

    async def _become(self, *, is_ready: bool, reason: str | None) -> None:
        """Record the readiness; if it changed, write it to the pod and notify the balancer."""
        if is_ready != self.is_ready or reason is not None:
            self.is_ready = is_ready
            await self.hooks.readiness_changed()
            await self._tell(reason)

    async def _tell(self, waiting: str | None) -> None:
        await self.hooks.patch_status(self.pod, build_status(self, waiting))


def build_status(replica: Replica, waiting: str | None) -> Object:
    """Return the part of the pod's status that the probe decides; `waiting` is why the container does not run."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    condition: Object = {"status": "True" if replica.is_ready else "False", "lastTransitionTime": now}
    if not replica.is_ready:
        condition |= {"reason": "ContainersNotReady", "message": replica.last_words[:200] or "the probe fails"}
    status = cast("Object", replica.pod.get("status", {}))
    containers: list[Object] = []
    for container in cast("list[Object]", status.get("containerStatuses", [])):
        changed = {**container, "ready": replica.is_ready, "restartCount": replica.restarts}
        if waiting is not None:
            changed |= {"started": False, "state": {"waiting": {"reason": waiting}}}
        elif "waiting" in cast("Object", container.get("state", {})):
            # The pod was seen before its container began; its process runs.
            changed |= {"started": True, "state": {"running": {"startedAt": status.get("startTime", now)}}}
        containers.append(changed)
    conditions = [{"type": kind, **condition} for kind in ("Ready", "ContainersReady")]
    return {"conditions": conditions, "containerStatuses": containers}
