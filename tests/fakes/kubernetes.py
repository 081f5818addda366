# ruff: noqa: ARG002 - the signatures are the port's
"""A Kubernetes API in memory: preconditions, generations and dry runs as the real one has them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from chassis.errors import ConflictError, PermanentError, Reason, TransientError
from chassis.kubernetes.client import JsonObject, PatchKind

Hook = Callable[[str, str], None]
"""Called with the verb and the path; raises what the call should raise."""


@dataclass
class FakeCluster:
    """Implements chassis.kubernetes.client.ClusterApi on a dictionary of path → object."""

    objects: dict[str, JsonObject] = field(default_factory=dict)
    before: Hook = lambda _verb, _path: None
    """Runs before a call takes effect: what it raises, the server never did."""
    after: Hook = lambda _verb, _path: None
    """Runs after a call took effect: what it raises, the caller sees although the server did it. A dry run has none."""
    calls: list[tuple[str, str]] = field(default_factory=list)
    stored: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    """Every patch that changed an object."""
    dry_runs: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    log: str = ""
    """Every container's last log."""
    evictions_allowed: int = 1
    """The disruptions that the budgets allow."""
    delayed: list[tuple[str, JsonObject]] = field(default_factory=list)
    """Patches that are still on their way; see `arrive`."""
    is_delaying: bool = False
    """Whether a patch takes longer than its sender waits."""

    async def get(self, path: str, *, timeout_seconds: float) -> JsonObject:
        self._begin("get", path)
        found = self._scale(path) if path.endswith("/scale") else copy.deepcopy(self._find(path))
        self.after("get", path)
        return found

    async def list(
        self, path: str, *, timeout_seconds: float, label_selector: str | None = None, field_selector: str | None = None
    ) -> list[JsonObject]:
        self._begin("list", path)
        found = [copy.deepcopy(item) for place, item in self.objects.items() if place.rsplit("/", 1)[0] == path]
        self.after("list", path)
        wanted = dict(part.split("=", 1) for part in label_selector.split(",")) if label_selector else {}
        return [item for item in found if wanted.items() <= (item["metadata"].get("labels") or {}).items()]

    async def text(self, path: str, *, timeout_seconds: float, query: Mapping[str, str] | None = None) -> str:
        self._begin("text", path)
        return self.log

    async def patch(
        self,
        path: str,
        body: JsonObject | Sequence[JsonObject],
        *,
        kind: PatchKind,
        field_manager: str,
        timeout_seconds: float,
        dry_run: bool = False,
    ) -> JsonObject:
        self._begin("patch", path)
        assert isinstance(body, dict)
        if self.is_delaying and not dry_run:
            self.delayed.append((path, copy.deepcopy(body)))
            raise TransientError(Reason.TIMEOUT, "no answer yet")
        changed = (
            self._rescale(path, body, field_manager, is_dry_run=dry_run)
            if path.endswith("/scale")
            else self.apply(path, body, is_dry_run=dry_run)
        )
        if not dry_run:
            self.after("patch", path)
        return copy.deepcopy(changed)

    async def create(
        self, path: str, body: JsonObject, *, field_manager: str, timeout_seconds: float, dry_run: bool = False
    ) -> JsonObject:
        self._begin("create", path)
        created = self._evict(path, body, is_dry_run=dry_run) if path.endswith("/eviction") else None
        if created is None:
            created = self._store(path, body, is_dry_run=dry_run)
        self.after("create", path)
        return copy.deepcopy(created)

    def _evict(self, path: str, body: JsonObject, *, is_dry_run: bool) -> JsonObject:
        """Removes the pod, unless another one has its name or the budget says no."""
        place = path.removesuffix("/eviction")
        found = self._find(place)
        if body["deleteOptions"]["preconditions"]["uid"] != found["metadata"]["uid"]:
            raise ConflictError("HTTP status 409: the UID in the precondition does not match")
        if self.evictions_allowed <= 0:
            raise TransientError(Reason.OVERLOADED, "HTTP status 429: it would violate the pod's disruption budget")
        if not is_dry_run:
            del self.objects[place]
            self.stored.append((path, body))
        return {"kind": "Status", "status": "Success"}

    def _store(self, path: str, body: JsonObject, *, is_dry_run: bool) -> JsonObject:
        place = f"{path}/{body['metadata']['name']}"
        if place in self.objects:
            raise ConflictError(f"HTTP status 409: {place} already exists")
        made = copy.deepcopy(body)
        made["metadata"] |= {"uid": f"uid-of-{body['metadata']['name']}", "resourceVersion": "1", "generation": 1}
        if not is_dry_run:
            self.objects[place] = made
            self.stored.append((path, body))
        return made

    def apply(self, path: str, body: Mapping[str, Any], *, is_dry_run: bool = False) -> JsonObject:
        """Lays a merge patch over the object, as the API server does."""
        current = self._find(path)
        wanted = body.get("metadata", {})
        for name in ("uid", "resourceVersion"):
            if name in wanted and wanted[name] != current["metadata"][name]:
                raise ConflictError(f"HTTP status 409: {name} is {current['metadata'][name]}")
        changed = _merge(copy.deepcopy(current), body)
        if is_dry_run:
            self.dry_runs.append((path, body))
            return changed
        if changed != current:
            changed["metadata"]["resourceVersion"] = str(int(current["metadata"]["resourceVersion"]) + 1)
            self.stored.append((path, body))
        if changed.get("spec") != current.get("spec"):
            changed["metadata"]["generation"] = current["metadata"]["generation"] + 1
        self.objects[path] = changed
        return changed

    def _scale(self, path: str) -> JsonObject:
        """The subresource: its own copy of the identity, no annotations, one number."""
        found = self._find(path.removesuffix("/scale"))
        kept = ("name", "namespace", "uid", "resourceVersion")
        metadata = {name: found["metadata"][name] for name in kept if name in found["metadata"]}
        return {"metadata": metadata, "spec": {"replicas": found["spec"]["replicas"]}}

    def _rescale(self, path: str, body: Mapping[str, Any], manager: str, *, is_dry_run: bool) -> JsonObject:
        """Sets the number and takes its ownership from every other field manager; annotations are silently dropped."""
        place = path.removesuffix("/scale")
        metadata = {name: value for name, value in body["metadata"].items() if name != "annotations"}
        changed = self.apply(place, {"metadata": metadata, "spec": body["spec"]}, is_dry_run=is_dry_run)
        if not is_dry_run and self.stored and self.stored[-1][0] == place:
            entries = changed["metadata"].setdefault("managedFields", [])
            for entry in entries:
                entry.get("fieldsV1", {}).get("f:spec", {}).pop("f:replicas", None)
            fields = {"f:spec": {"f:replicas": {}}}
            entries.append({"manager": manager, "subresource": "scale", "operation": "Update", "fieldsV1": fields})
        return self._scale(path) if not is_dry_run else changed

    def arrive(self) -> None:
        """A delayed write arrives now; the server refuses it if the object has changed since."""
        on_the_way, self.delayed = self.delayed, []
        for path, body in on_the_way:
            with suppress(ConflictError):
                self.apply(path, body)

    def touch(self, path: str) -> None:
        """Somebody else changes something without meaning: the resourceVersion moves on."""
        metadata = self._find(path)["metadata"]
        metadata["resourceVersion"] = str(int(metadata["resourceVersion"]) + 1)

    def roll_out(self, path: str) -> None:
        """The controllers do their work: every pod runs the newest template and is ready."""
        found = self._find(path)
        replicas = found["spec"]["replicas"]
        found["status"] = {
            "observedGeneration": found["metadata"]["generation"],
            **dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), replicas),
        }

    def _begin(self, verb: str, path: str) -> None:
        self.calls.append((verb, path))
        self.before(verb, path)

    def _find(self, path: str) -> JsonObject:
        if path not in self.objects:
            raise PermanentError(Reason.MISSING, f"HTTP status 404: {path} not found")
        return self.objects[path]


def _merge(base: JsonObject, over: Mapping[str, Any]) -> JsonObject:
    for name, value in over.items():
        if isinstance(value, Mapping):
            base[name] = _merge(base.get(name) or {}, value)
        elif value is None:
            base.pop(name, None)
        else:
            base[name] = value
    return base


NAMESPACE = "control-core"
NAME = "control-plane-api"
DEPLOYMENT = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{NAME}"
AUTOSCALER = f"/apis/autoscaling/v2/namespaces/{NAMESPACE}/horizontalpodautoscalers/{NAME}"
BUDGET = f"/apis/policy/v1/namespaces/{NAMESPACE}/poddisruptionbudgets/{NAME}"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"


def a_deployment(*, ready: int = 0, **container: Any) -> JsonObject:
    """Three replicas of the API with no rollout running; `container` changes its one container."""
    labels = {"app": NAME}
    return {
        "metadata": {
            "name": NAME,
            "namespace": NAMESPACE,
            "uid": "uid-1",
            "resourceVersion": "41",
            "generation": 3,
            "managedFields": [
                {
                    "manager": "kubectl",
                    "operation": "Update",
                    "time": "2023-11-01T00:00:00Z",
                    "fieldsV1": {"f:spec": {}},
                }
            ],
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": '{"password":"planted-secret"}'},
        },
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": labels},
            "strategy": {"type": "RollingUpdate"},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "api", "image": "api:1", **container}]},
            },
        },
        "status": {
            "observedGeneration": 3,
            "replicas": 3,
            "updatedReplicas": 3,
            "readyReplicas": ready,
            "availableReplicas": ready,
        },
    }


def an_autoscaler_object(**spec: Any) -> JsonObject:
    """3 to 10 replicas, at its maximum, active and limited."""
    return {
        "metadata": {"name": NAME, "namespace": NAMESPACE, "uid": "uid-2", "resourceVersion": "52", "generation": 1},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME},
            "minReplicas": 3,
            "maxReplicas": 10,
            **spec,
        },
        "status": {
            "currentReplicas": 10,
            "desiredReplicas": 10,
            "conditions": [
                {"type": "ScalingActive", "status": "True"},
                {"type": "ScalingLimited", "status": "True"},
            ],
        },
    }


def a_pod(number: int, *, is_ready: bool, **metadata: Any) -> JsonObject:
    status = {"conditions": [{"type": "Ready", "status": "True" if is_ready else "False"}]}
    identity = {"name": f"{NAME}-{number}", "uid": f"uid-pod-{number}", "labels": {"app": NAME}}
    return {"metadata": identity | metadata, "status": status}


def a_cluster(*, ready: int = 0, **container: Any) -> FakeCluster:
    """The product as the guide deploys it, with the given number of ready pods."""
    cluster = FakeCluster({DEPLOYMENT: a_deployment(ready=ready, **container), AUTOSCALER: an_autoscaler_object()})
    for number in range(3):
        cluster.objects[f"{PODS}/{NAME}-{number}"] = a_pod(number, is_ready=number < ready)
    return cluster
