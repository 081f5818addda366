"""`python -m tools.generate.collectors`: writes the names of the exporter's collectors into the files that list them.

- `remediations/core/queries.py`: every collector. A policy that names a collector that does not exist always holds.
- The chart's notes: the collectors that do not start without a database, or without Redis.
- The inhibition of Alertmanager's example: the collectors that are stale while Redis is down.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import Mock

from exporter.collector import CollectorSpec, NotConfiguredError
from exporter.collectors import discover
from exporter.settings import ExporterSettings
from exporter.sources.sources import Sources

ROOT = Path(__file__).parents[2]
STORES = {"database": ("postgres", "postgres_address"), "redis": ("redis", "redis_address")}
"""Store → the parts of `Sources` that come from it."""
PARTS = (*(part for parts in STORES.values() for part in parts), "kubernetes")


def collectors_that_need(store: str) -> tuple[str, ...]:
    """The collectors that start with their default settings, but not without this store."""
    return tuple(sorted(_off(STORES[store]) - _off(())))


def _off(missing: Iterable[str]) -> set[str]:
    """The collectors that are not configured without these parts of `Sources`."""
    parts: Mapping[str, Any] = {part: None if part in missing else Mock() for part in PARTS}
    sources = Sources(clock=Mock(), settings=ExporterSettings(), http=Mock(), **parts)
    return {spec.name for spec in discover() if asyncio.run(_is_off(spec, sources))}


async def _is_off(spec: CollectorSpec, sources: Sources) -> bool:
    try:
        async with spec.open(spec.settings(), sources):
            return False
    except NotConfiguredError:
        return True


@dataclass(frozen=True, slots=True)
class Place:
    """A list of collectors in a file."""

    name: str
    file: Path
    pattern: re.Pattern[str]
    """Matches the list itself; it must be in the file once."""
    make: Callable[[], str]

    def put(self, text: str) -> str:
        """The file's text with today's list; raises ValueError if the list is not in it once."""
        changed, count = self.pattern.subn(lambda _match: self.make(), text)
        if count != 1:
            raise ValueError(f"{self.file}: {self.pattern.pattern} matches {count} times, not once")
        return changed


def _chart_list(store: str) -> Place:
    return Place(
        f"chart-{store}",
        ROOT / "helm" / "controlcore-exporter" / "templates" / "_collectors.tpl",
        re.compile(rf'(?<="exporter\.{store}\.url" \(list )[^()]*(?=\))'),
        lambda: " ".join(f'"{name}"' for name in collectors_that_need(store)),
    )


PLACES = (
    Place(
        "policies",
        ROOT / "remediations" / "core" / "queries.py",
        re.compile(r"(?<=^COLLECTORS = \(\n).*?(?=^\)$)", re.MULTILINE | re.DOTALL),
        lambda: "".join(f'    "{spec.name}",\n' for spec in discover()),
    ),
    _chart_list("database"),
    _chart_list("redis"),
    Place(
        "inhibition",
        ROOT / "docs" / "examples" / "alertmanager.yml",
        re.compile(r'(?<=\'collector=~")redis[^"]*(?="\')'),
        lambda: "|".join(collectors_that_need("redis")),
    ),
)


if __name__ == "__main__":
    for place in PLACES:
        place.file.write_text(place.put(place.file.read_text(encoding="utf-8")), encoding="utf-8")
