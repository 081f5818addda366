"""Remembers discovered bouncers that are gone, so that the loss of the last one is visible."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from exporter.items import text_of

if TYPE_CHECKING:
    from exporter.settings import BouncerTarget


class VanishedBouncers:
    """Knows which bouncers were watched, are gone, and have no successor.

    A pod does not count as gone while its workload has another pod: only its name has ended.
    """

    def __init__(self) -> None:
        self._last: dict[str, tuple[BouncerTarget, str]] = {}
        """The bouncers of the last discovery, by name, each with its workload."""
        self._watched: set[str] = set()
        """Names that had series since the last complete discovery."""
        self._gone: dict[str, tuple[BouncerTarget, str, float]] = {}
        """By name: what was watched, its workload, and since when it is gone."""

    @property
    def targets(self) -> tuple[BouncerTarget, ...]:
        """The bouncers that are gone, by name. Their addresses may now belong to others, so they are not probed."""
        return tuple(self._gone[name][0] for name in sorted(self._gone))

    def look(
        self,
        found: Mapping[str, tuple[BouncerTarget, str]],
        watched: Collection[str],
        now_monotonic: float,
        keep_seconds: float,
        *,
        is_complete: bool,
    ) -> None:
        """Applies the current bouncers, by name with their workload.

        `watched` are the names with series. If not every object can be read (`is_complete` False), it is unknown which
        are gone, and nothing is added.
        """
        self._watched.update(watched)
        if is_complete:
            for name in self._last.keys() & self._watched - found.keys():
                self._gone.setdefault(name, (*self._last[name], now_monotonic))
            self._watched = set()
        living = {workload for _, workload in found.values()}
        self._gone = {
            name: (target, workload, since)
            for name, (target, workload, since) in self._gone.items()
            if name not in found and workload not in living and now_monotonic - since < keep_seconds
        }
        self._last = {**({} if is_complete else self._last), **found}

    def forget(self, names: Collection[str]) -> None:
        """Bouncers of these names are watched again, wherever they are now."""
        self._gone = {name: gone for name, gone in self._gone.items() if name not in names}


def workload_of(item: Mapping[str, Any], name_label: str) -> str:
    """The identity that outlives the object: the name from its label, else its workload, else its own name.

    A Deployment's pod belongs to a ReplicaSet named DEPLOYMENT-HASH (apps/v1, label pod-template-hash).
    """
    metadata = item["metadata"]
    labels = metadata.get("labels") or {}
    if labels.get(name_label):
        return f"bouncer {labels[name_label]}"
    for owner in metadata.get("ownerReferences") or ():
        if owner.get("controller"):
            suffix = f"-{labels.get('pod-template-hash')}" if owner["kind"] == "ReplicaSet" else ""
            return f"{owner['kind']} {owner['name'].removesuffix(suffix)}"
    return f"object {text_of(metadata, 'name')}"
