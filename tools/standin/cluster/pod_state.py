"""The follower's work inside its event loop: which pods have a process, which are ready, what load they carry."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import aiohttp

from tools.standin.cluster.balancer import Balancer
from tools.standin.cluster.client import Cluster, ClusterError, Object
from tools.standin.cluster.components import COMPONENTS, OPAL_CLIENT, OPAL_SERVER, Component
from tools.standin.cluster.replica import Hooks, Launch, Replica, address_of, name_of, uid_of

RETRY_SECONDS = 0.3
SHARE_INTERVAL_SECONDS = 0.5
DRAIN_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Settings:
    """Which namespace is followed, and which servers the API's processes use."""

    kubeconfig: Path
    namespace: str
    database_url: str
    redis_url: str
    cpu_limit_millicores: float = 50.0
    traffic_interval_seconds: float = 0.2
    opa_url: str | None = None
    """A real OPA that decides for the bouncers."""
    is_engine_at_client: bool = False
    """Whether the bouncers query the OPA of the OPAL client instead of deciding by themselves."""


@dataclass(slots=True)
class Followed:
    """A pod's replica and the task that keeps it."""

    replica: Replica
    task: asyncio.Task[None]


def launch_of(component: Component, settings: Settings, urls: Mapping[str, str], pod: Object) -> Launch:
    """Return what a pod's process is started with; CC_DROP_TABLES comes from the pod's own environment."""
    arguments = ["--cpu-limit-millicores", str(settings.cpu_limit_millicores)]
    if component.module == "api":
        arguments += ["--database-url", settings.database_url, "--redis-url", settings.redis_url]
        arguments += ["--traffic-interval", str(settings.traffic_interval_seconds)]
        if environment_of(pod).get("CC_DROP_TABLES", "").lower() == "true":
            arguments.append("--drop-tables")
    if component.module == "bouncer":
        arguments += ["--opal-server-url", urls[OPAL_SERVER.name]]
        engine_url = urls[OPAL_CLIENT.name] if settings.is_engine_at_client else settings.opa_url
        arguments += ["--opa-url", engine_url] if engine_url else []
    return Launch(component, tuple(arguments))


def environment_of(pod: Object) -> dict[str, str]:
    """Return the plain environment variables of the pod's first container."""
    spec = cast("dict[str, list[dict[str, list[dict[str, str]]]]]", pod["spec"])
    return {each["name"]: each.get("value", "") for each in spec["containers"][0].get("env", [])}


def component_of(pod: Object) -> Component | None:
    """Return the component that the pod's `app` label names, or None for a pod that is not the stand-in's."""
    metadata = cast("dict[str, dict[str, str]]", pod["metadata"])
    return COMPONENTS.get(metadata.get("labels", {}).get("app", ""))


@dataclass(slots=True)
class Following:
    """The follower's state; belongs to its event loop."""

    settings: Settings
    cluster: Cluster
    session: aiohttp.ClientSession
    group: asyncio.TaskGroup
    balancers: dict[str, Balancer]
    followed: dict[str, Followed] = field(default_factory=dict)
    load_millicores: dict[str, float] = field(default_factory=dict)
    told_millicores: dict[str, float] = field(default_factory=dict)

    def replicas(self, component: str) -> list[Replica]:
        """Return the replicas of a component's live pods."""
        found = [each.replica for each in self.followed.values()]
        return [each for each in found if each.launch.component.name == component]

    async def balance(self) -> None:
        """Tell every balancer which addresses are ready."""
        for name, balancer in self.balancers.items():
            await balancer.set_ready([each.address for each in self.replicas(name) if each.is_ready])

    async def patch_status(self, pod: Object, status: Object) -> None:
        """Write a pod's status; a pod that is gone needs none, and an API server that is away gets the next one."""
        try:
            await self.cluster.patch_pod_status(pod, status)
        except ClusterError as error:
            if error.status not in (404, 409, 422):
                print(f"pod status of {name_of(pod)} not written: {error}", file=sys.stderr)

    async def see(self, pod: Object, *, is_deleted: bool = False) -> None:
        """Start or end the pod's process, as the pod now is."""
        component, uid = component_of(pod), uid_of(pod)
        address = None if is_deleted else address_of(pod)
        if component is None:
            return
        if address is None:
            await self._leave(uid)
        elif uid in self.followed:
            self.followed[uid].replica.pod = pod
        else:
            urls = {name: balancer.url for name, balancer in self.balancers.items()}
            launch = launch_of(component, self.settings, urls, pod)
            hooks = Hooks(self.patch_status, self.balance, self.session)
            replica = Replica(pod, address, launch, hooks)
            task = self.group.create_task(replica.run(), name=name_of(pod))
            self.followed[uid] = Followed(replica, task)

    async def _leave(self, uid: str) -> None:
        """Take the pod out of its Service, let it send its last answers, and end its process."""
        followed = self.followed.pop(uid, None)
        if followed is not None:
            await self.balance()
            asyncio.get_running_loop().call_later(DRAIN_SECONDS, followed.task.cancel)

    async def watch(self) -> None:
        """Follow the namespace's pods for ever: list, then watch from there, and again when the watch ends."""
        path = f"/api/v1/namespaces/{self.settings.namespace}/pods"
        while True:
            try:
                pods = await self.cluster.call("GET", path)
                items = cast("list[Object]", pods["items"])
                for uid in set(self.followed) - {uid_of(pod) for pod in items}:
                    await self._leave(uid)
                for pod in items:
                    await self.see(pod)
                version = cast("dict[str, str]", pods["metadata"])["resourceVersion"]
                async for kind, pod in self.cluster.watch(path, version):
                    await self.see(pod, is_deleted=kind == "DELETED")
            except ClusterError as error:
                print(f"pods not watched: {error}", file=sys.stderr)
                await asyncio.sleep(RETRY_SECONDS)

    async def share_load(self) -> None:
        """Divide each component's offered load over its ready replicas, for ever."""
        while True:
            for component, millicores in self.load_millicores.items():
                ready = [each for each in self.replicas(component) if each.is_ready]
                for replica in ready:
                    uid, share = uid_of(replica.pod), round(millicores / len(ready), 1)
                    if self.told_millicores.get(uid, 0.0) != share:
                        self.told_millicores[uid] = share
                        await replica.switch_on("cpu", {"millicores": share})
            await asyncio.sleep(SHARE_INTERVAL_SECONDS)

    async def fault(self, kind: str, component: str, settings: dict[str, float | str]) -> list[str]:
        """Switch a fault on in every replica that exists now, and return their pods; `cpu` is a load that all share."""
        if kind == "cpu":
            self.load_millicores[component] = float(settings["millicores"])
        replicas = self.replicas(component)
        for replica in replicas if kind != "cpu" else ():
            await replica.switch_on(kind, settings)
        return [name_of(replica.pod) for replica in replicas]

    async def clear(self, component: str, kind: str | None) -> None:
        """Switch faults off in every replica that exists now, and take the load away."""
        if kind in (None, "cpu"):
            self.load_millicores.pop(component, None)
            self.told_millicores.clear()
        for replica in self.replicas(component):
            await replica.clear(kind)
