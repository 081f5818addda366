"""Parts of expressions that several dashboards have in common."""

from __future__ import annotations

from dashboards.src.panels import Query

WINDOW = "$__rate_interval"
"""The only window of graphs: as wide as the distance of two points, so that zooming out loses no event."""
TOTAL = "total (0: all well)"


def quantile(share: float, histogram: str, by: str = "", matchers: str = "") -> str:
    """A quantile of a histogram, one line for each value of the labels in `by`."""
    labels = f"{by}, le" if by else "le"
    chosen = f"{{{matchers}}}" if matchers else ""
    return f"histogram_quantile({share}, sum by ({labels}) (rate({histogram}_bucket{chosen}[{WINDOW}])))"


def failures(counter: str, by: str, alive: str = "", matchers: str = "") -> tuple[Query, Query]:
    """Events of each interval by reason, and their total: 0 shows that all is well, no line that nothing is known.

    `alive` is a series of the same program for counters that have no series before their first event.
    """
    chosen = f"{{{matchers}}}" if matchers else ""
    count = f"(increase({counter}{chosen}[{WINDOW}]))"
    total = f"sum{count}" + (f" or 0 * max({alive})" if alive else "")
    legend = " ".join(f"{{{{{label.strip()}}}}}" for label in by.split(","))
    return Query(f"sum by ({by}) {count} > 0", legend), Query(total, TOTAL, is_total=True)
