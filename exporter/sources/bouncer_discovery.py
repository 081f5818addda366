"""Finds bouncers in files of Prometheus' file_sd format and in Kubernetes, within limits.

Addresses come only from the operator's files and the cluster's own objects. Database rows are not a source: anyone can
register a bouncer there, and the exporter would query any address that it names.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from chassis.documents import load_yaml, parse_json, why_unreadable, yaml_problem
from chassis.errors import BackendError, PermanentError, Reason, TransientError
from chassis.kubernetes.objects import is_ending
from chassis.kubernetes.paths import pods_path, resource_path
from chassis.process.daemon_threads import in_thread
from exporter.items import read_each, text_of
from exporter.settings import BouncerTarget, ExporterSettings
from exporter.sources.vanished_bouncers import VanishedBouncers, workload_of

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from chassis.kubernetes.client import KubernetesClient
    from exporter.settings import BouncerDiscovery, KubernetesDiscovery
    from exporter.sources.sources import Sources

FILE_MAX_BYTES = 4 * 1024 * 1024
FILE_SECONDS = LIST_SECONDS = 5.0
SCHEMES = ("http", "https")
ENVIRONMENTS = ("sandbox", "production")
UNUSABLE = re.compile(r"[^A-Za-z0-9._-]+")
ADDRESS = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?")
Targets = tuple[BouncerTarget, ...]


class Discovery:
    """Remembers the last result, so that a source that is unreadable for a while removes no bouncer."""

    def __init__(self, logger: FilteringBoundLogger) -> None:
        self.is_successful: bool | None = None
        """None when discovery is off."""
        self.found: Targets = ()
        self._logger = logger
        self._by_source: dict[str, Targets] = {}
        self.faults: tuple[str, ...] = ()
        """The faults of the last discovery."""
        self._reading: dict[Path, Future[Targets]] = {}
        self._vanished = VanishedBouncers()
        self._looked_for: object = None
        """The objects and cluster that `_vanished` refers to."""

    @property
    def vanished(self) -> Targets:
        """The bouncers that were found in Kubernetes, are gone, and are not configured or found elsewhere."""
        return self._vanished.targets

    async def find(self, settings: ExporterSettings, sources: Sources) -> Targets:
        """The configured bouncers and then the discovered ones, by name, at most as many as allowed."""
        wanted = settings.bouncer_discovery
        faults: list[str] = []
        for path in wanted.files:
            try:
                self._by_source[str(path)] = await self._read_in_time(path)
            except BackendError as error:
                faults.append(f"{path}: {error}")
        if wanted.kubernetes is not None and sources.kubernetes is not None and settings.kubernetes is not None:
            place = settings.kubernetes
            timeless = wanted.kubernetes.model_copy(update={"vanished_seconds": 0.0})
            looked_for = (place.namespace, place.kubeconfig, timeless)
            try:
                objects = await find_objects(sources.kubernetes, place.namespace, wanted.kubernetes)
            except BackendError as error:
                faults.append(f"kubernetes: {error}")
                self._look_for(looked_for)
            else:
                self._look_for(looked_for)
                faults += self._take(objects, wanted.kubernetes, sources.clock.monotonic())
        else:
            self._look_for(None)
        named = {*map(str, wanted.files), *(("kubernetes",) if wanted.kubernetes is not None else ())}
        self._by_source = {name: found for name, found in self._by_source.items() if name in named}
        everywhere = (settings.bouncers, *self._by_source.values())
        self._vanished.forget({target.name for targets in everywhere for target in targets})
        self.found, left_out = bounded(settings.bouncers, self._by_source.values(), wanted)
        if left_out:
            faults.append(f"{left_out} bouncers are over bouncer_discovery.max_bouncers and left out")
        self.is_successful = None if not named else not faults
        self._write(tuple(faults))
        return (*settings.bouncers, *self.found)

    async def _read_in_time(self, path: Path) -> Targets:
        """The targets of a file; raises BackendError.

        While a read hangs, no other begins: a hanging disk must not use up thread after thread.
        """
        reading = self._reading.get(path)
        if reading is None or reading.done():
            reading = self._reading[path] = in_thread(lambda: read_file(path), "discovery")
        try:
            async with asyncio.timeout(FILE_SECONDS):
                return await asyncio.wrap_future(reading)
        except TimeoutError as error:
            raise TransientError(Reason.TIMEOUT, f"not read within {FILE_SECONDS:g} s") from error

    def _look_for(self, looked_for: object) -> None:
        """Drops the vanished bouncers when the search changed: the old names are no longer expected.

        Called after the listing, because a discovery of the previous configuration may end meanwhile.
        """
        if looked_for != self._looked_for:
            self._looked_for, self._vanished = looked_for, VanishedBouncers()

    def _take(self, objects: FoundObjects, wanted: KubernetesDiscovery, now_monotonic: float) -> list[str]:
        """Applies the current objects in Kubernetes; returns their faults."""
        self._by_source["kubernetes"] = objects.targets
        self._vanished.look(
            objects.by_name(),
            {target.name for target in self.found},
            now_monotonic,
            wanted.vanished_seconds,
            is_complete=not objects.unusable,
        )
        left_out = f"kubernetes: {objects.unusable} {wanted.kind} cannot be used and are left out"
        return [left_out] if objects.unusable else []

    def _write(self, faults: tuple[str, ...]) -> None:
        """Logs one line when the faults changed."""
        if faults != self.faults:
            self.faults = faults
            if faults:
                self._logger.warning("discovery.failed", faults=list(faults))
            else:
                self._logger.info("discovery.recovered")


def bounded(given: Targets, found: Iterable[Targets], limits: BouncerDiscovery) -> tuple[Targets, int]:
    """The discovered bouncers with unused names, sorted and limited, and how many were left out."""
    taken = {target.name for target in given}
    fresh: dict[str, BouncerTarget] = {}
    for targets in found:
        for target in targets:
            if target.name not in taken:
                fresh.setdefault(target.name, target)
    ordered = [fresh[name] for name in sorted(fresh)]
    return tuple(ordered[: limits.max_bouncers]), max(0, len(ordered) - limits.max_bouncers)


def read_file(path: Path) -> Targets:
    """The targets of one file_sd file, JSON or YAML. Raises PermanentError; the labels are read by `_target`."""
    try:
        if path.stat().st_size > FILE_MAX_BYTES:
            raise PermanentError(Reason.MALFORMED, f"larger than {FILE_MAX_BYTES} bytes")
        text = path.read_text(encoding="utf-8")
        groups = parse_json(text) if path.suffix == ".json" else load_yaml(text)
    except (OSError, UnicodeDecodeError) as error:
        raise PermanentError(Reason.MALFORMED, f"cannot be read: {why_unreadable(error)}") from error
    except yaml.YAMLError as error:
        raise PermanentError(Reason.MALFORMED, yaml_problem(error)) from error
    except ValueError as error:
        raise PermanentError(Reason.MALFORMED, f"cannot be read: {error}") from error
    if not isinstance(groups, list):
        raise PermanentError(Reason.MALFORMED, "expected a list of target groups")
    found: list[BouncerTarget] = []
    for group in groups:
        targets = group.get("targets") if isinstance(group, dict) else None
        labels = group.get("labels") or {} if isinstance(group, dict) else None
        if not isinstance(targets, list) or not isinstance(labels, dict):
            raise PermanentError(Reason.MALFORMED, "a group has targets (a list) and labels (a mapping)")
        is_alone = len(targets) == 1
        found += [_target(str(address), labels, is_alone=is_alone) for address in targets]
    return tuple(found)


@dataclass(frozen=True, slots=True)
class FoundObjects:
    """The bouncers in Kubernetes."""

    targets: Targets
    workloads: tuple[str, ...]
    """The workload of each of them (`workload_of`)."""
    unusable: int
    """Objects that cannot be used."""

    def by_name(self) -> dict[str, tuple[BouncerTarget, str]]:
        """Each with its workload; of those with one name the last."""
        return {target.name: (target, each) for target, each in zip(self.targets, self.workloads, strict=True)}


async def find_objects(client: KubernetesClient, namespace: str, wanted: KubernetesDiscovery) -> FoundObjects:
    """The bouncers behind the Services or pods that carry the labels.

    A pod without an address is passed over. Raises BackendError when the objects cannot be listed.
    """
    is_pods = wanted.kind == "pods"
    path = pods_path(namespace) if is_pods else resource_path("v1", "services", namespace=namespace)
    items = await client.list(path, timeout_seconds=LIST_SECONDS, label_selector=wanted.selector)

    def read(item: Mapping[str, Any]) -> tuple[BouncerTarget, str] | None:
        metadata, status = item["metadata"], item.get("status") or {}
        labels, name = metadata.get("labels") or {}, text_of(metadata, "name")
        host = status.get("podIP") if is_pods else f"{name}.{namespace}.svc"
        if not host or (is_pods and (status.get("phase") != "Running" or is_ending(item))):
            return None
        address = f"[{host}]:{wanted.port}" if ":" in host else f"{host}:{wanted.port}"
        known = {
            "bouncer": labels.get(wanted.name_label) or name,
            "policy_environment": labels.get(wanted.environment_label),
            "__scheme__": wanted.scheme,
        }
        return _target(address, known, is_alone=True), workload_of(item, wanted.name_label)

    found = read_each(items, read)
    there = [each for each in found if each is not None]
    targets, workloads = tuple(target for target, _ in there), tuple(workload for _, workload in there)
    return FoundObjects(targets, workloads, len(items) - len(found))


def _target(address: str, labels: Mapping[str, Any], *, is_alone: bool) -> BouncerTarget:
    """A bouncer: address, and labels bouncer (or bouncer_id), policy_environment (or environment), __scheme__.

    Several targets of a group would share a name, so there the address is the name.
    """
    if ADDRESS.fullmatch(address) is None:
        raise PermanentError(Reason.MALFORMED, "a target is not host:port")
    scheme = labels.get("__scheme__") or "http"
    if scheme not in SCHEMES:
        raise PermanentError(Reason.MALFORMED, f"the label __scheme__ of a target is {' or '.join(SCHEMES)}")
    given = labels.get("bouncer") or labels.get("bouncer_id")
    name = UNUSABLE.sub("-", str(given) if given and is_alone else address).strip("-")[:64]
    environment = labels.get("policy_environment") or labels.get("environment")
    values = {
        "name": name,
        "url": f"{scheme}://{address}",
        "environment": environment if environment in ENVIRONMENTS else "production",
    }
    try:
        return BouncerTarget.model_validate(values)
    except ValidationError as error:
        raise PermanentError(Reason.MALFORMED, f"a target cannot be used: {error.errors()[0]['msg']}") from None
