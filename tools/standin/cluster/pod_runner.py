"""Runs one real process for each running pod of the stand-in, and a balancer for each of its Services.

The cluster's kubelets are simulated, so nothing runs in a pod by itself. The follower watches a namespace; a pod that
gets an address gets a process that listens there, and loses it with its deletion. The process's answer to its health
probe becomes the pod's Ready condition, which Deployments, Services and guards use.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar

import aiohttp

from tools.slowness import scaled
from tools.standin.cluster.balancer import Balancer
from tools.standin.cluster.client import Cluster, read_kubeconfig
from tools.standin.cluster.components import COMPONENTS
from tools.standin.cluster.pod_state import Following, Settings
from tools.standin.cluster.replica import Replica, name_of, uid_of

T = TypeVar("T")
CALL_TIMEOUT_SECONDS = 15.0
CANCEL_SECONDS = 1.0
"""Between two cancellations of a task that does not end."""
START_TIMEOUT_SECONDS = 10.0
POLL_INTERVAL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class ReplicaState:
    """The current state of a replica. `pid` and `admin_url` are None while its process does not run."""

    pod_name: str
    pod_uid: str
    url: str
    is_ready: bool
    restarts: int
    pid: int | None
    admin_url: str | None


def _describe(replica: Replica) -> ReplicaState:
    program = replica.program if replica.program is not None and replica.program.is_running() else None
    host, port = replica.address
    return ReplicaState(
        pod_name=name_of(replica.pod),
        pod_uid=uid_of(replica.pod),
        url=f"http://{host}:{port}",
        is_ready=replica.is_ready,
        restarts=replica.restarts,
        pid=program.pid if program else None,
        admin_url=program.admin_url if program else None,
    )


class Follower:
    """Follows in a separate thread; use as a context manager. Its methods block and may be called from any thread."""

    def __init__(self, settings: Settings) -> None:
        """Remember the settings; entering starts to follow."""
        self._settings = settings
        self._loop: asyncio.AbstractEventLoop | None = None
        self._following: Following | None = None
        self._stop = asyncio.Event()
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait(scaled(START_TIMEOUT_SECONDS))
        self._require()
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        if self._loop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        if self._failure is not None and kind is None:
            raise RuntimeError("the follower ended early") from self._failure

    def urls(self) -> dict[str, str]:
        """Return the base URL of each Service, by component; it refuses connections while no pod is ready."""
        return {name: balancer.url for name, balancer in self._require().balancers.items()}

    def url(self, component: str) -> str:
        """Return the base URL of one Service."""
        return self.urls()[component]

    def replicas(self, component: str) -> list[ReplicaState]:
        """Return the state of each live pod's process, ordered by pod name."""

        async def read(following: Following) -> list[ReplicaState]:
            return sorted((_describe(each) for each in following.replicas(component)), key=lambda state: state.pod_name)

        return self._call(read)

    def usage(self) -> dict[str, float]:
        """Return the CPU each pod's process really uses, in thousandths of a core; a pod too young to say is absent."""

        async def read(following: Following) -> dict[str, float]:
            replicas = [followed.replica for followed in following.followed.values()]
            used = {name_of(each.pod): each.usage_millicores() for each in replicas}
            return {name: millicores for name, millicores in used.items() if millicores is not None}

        return self._call(read)

    def usage_of(self, namespace: str, pod_name: str) -> float | None:
        """Return one pod's usage in thousandths of a core; None for another namespace's pod or one too young to say."""
        return self.usage().get(pod_name) if namespace == self._settings.namespace else None

    def fault(self, kind: str, component: str, **settings: float | str) -> list[str]:
        """Switch a fault on in the pods that exist now, and return their names; their replacements are healthy.

        Kinds and settings are those of the programs (see `faults.Fault`). `cpu` with `millicores` is different: it is
        the load offered to the whole component, divided over the replicas that are ready, whichever they are.
        """
        return self._call(lambda following: following.fault(kind, component, settings))

    def clear(self, component: str, kind: str | None = None) -> None:
        """Switch one kind of fault off, or all, in the pods that exist now; `cpu` takes the offered load away."""
        self._call(lambda following: following.clear(component, kind))

    def wait_until_ready(self, component: str, count: int, timeout_seconds: float = 60.0) -> list[ReplicaState]:
        """Return the replicas once exactly `count` exist and all are ready; raises TimeoutError."""
        ends_at = time.monotonic() + scaled(timeout_seconds)
        while True:
            states = self.replicas(component)
            if len(states) == count and all(state.is_ready for state in states):
                return states
            if time.monotonic() > ends_at:
                raise TimeoutError(f"{component}: {count} ready replicas awaited, found {states}")
            time.sleep(POLL_INTERVAL_SECONDS)

    def _require(self) -> Following:
        if self._failure is not None:
            raise RuntimeError("the follower ended early") from self._failure
        if self._following is None:
            raise RuntimeError("the follower has not started")
        return self._following

    def _call(self, make: Callable[[Following], Coroutine[None, None, T]]) -> T:
        following = self._require()
        if self._loop is None:
            raise RuntimeError("the follower has not started")
        return asyncio.run_coroutine_threadsafe(make(following), self._loop).result(scaled(CALL_TIMEOUT_SECONDS))

    def _run(self) -> None:
        try:
            asyncio.run(self._follow())
        except BaseException as error:  # noqa: BLE001 (the thread's failure is raised again in the caller's thread)
            self._failure = error
        finally:
            self._following = None
            self._started.set()

    async def _follow(self) -> None:
        balancers = {name: Balancer() for name in COMPONENTS}
        try:
            async with (
                Cluster(read_kubeconfig(self._settings.kubeconfig)) as cluster,
                aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True, limit=0)) as session,
                asyncio.TaskGroup() as group,
            ):
                following = Following(self._settings, cluster, session, group, balancers)
                self._loop, self._following = asyncio.get_running_loop(), following
                group.create_task(following.watch(), name="watch")
                group.create_task(following.share_load(), name="load")
                self._started.set()
                await self._stop.wait()
                await _end_all()
        finally:
            for balancer in balancers.values():
                balancer.close()


async def _end_all() -> None:
    """Cancels every other task of the loop until all have ended.

    Once is not enough: a cancellation that meets a request's own timeout becomes that timeout, and the task goes on.
    """
    own = asyncio.current_task()
    while others := [task for task in asyncio.all_tasks() if task is not own]:
        for task in others:
            task.cancel()
        await asyncio.wait(others, timeout=CANCEL_SECONDS)
