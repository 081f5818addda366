"""Picks some families of a page, for scrapes with `name[]` or `collect[]`. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from exporter.exposition.text_format import Page, render
from exporter.metrics import Family, Kind

COLLECTOR_LABEL = "collector"
HISTOGRAM_SUFFIXES = ("_bucket", "_sum", "_count")


@dataclass(frozen=True, slots=True)
class Selection:
    """The selection of a scrape; an empty part selects everything."""

    names: frozenset[str] = frozenset()
    """Names of metrics, or of a histogram's samples."""
    collectors: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        """Whether anything is left out."""
        return bool(self.names or self.collectors)


def select(page: Page, selection: Selection, owners: Mapping[str, str]) -> Page:
    """The blocks that the selection names; `owners` gives the collector of each metric.

    With collectors chosen, the exporter's metrics about collectors are limited to the chosen ones.
    """
    blocks = []
    for block in page.blocks:
        metric = block.family.metric
        if selection.names and not selection.names & _names_of(block.family):
            continue
        if not selection.collectors:
            blocks.append(block)
        elif metric.name in owners:
            if owners[metric.name] in selection.collectors:
                blocks.append(block)
        else:
            blocks.append(render(_only(block.family, selection.collectors), block))
    return Page(tuple(blocks))


def _names_of(family: Family) -> set[str]:
    """The names that select a family."""
    name = family.metric.name
    return {name, *(name + suffix for suffix in HISTOGRAM_SUFFIXES)} if family.metric.kind is Kind.HISTOGRAM else {name}


def _only(family: Family, collectors: Collection[str]) -> Family:
    """The family without the series of other collectors; unchanged when it has no such label."""
    if COLLECTOR_LABEL not in family.metric.labels:
        return family
    position = family.metric.labels.index(COLLECTOR_LABEL)
    return replace(family, samples=tuple(item for item in family.samples if item.labels[position] in collectors))
