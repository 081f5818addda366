"""A dashboard with the answers to all its queries in it, as the page in tools/pictures/page.jsx shows it."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from chassis.documents import duration_seconds
from exporter.commands.doctor.shipped import fill_variables
from tools.servers.http import add_query, call

COLUMNS = 24
POINTS = 240
"""Points of a graph; the step is never shorter than a second."""
SCRAPES = 4
"""Grafana's rate interval: this many scrapes, or a step and one scrape if that is longer."""
USUAL_SCRAPE_SECONDS = 15.0
"""Of the guide. A run that scrapes more often shortens the panels' own intervals as well."""
MIN_SECONDS_BETWEEN_MARKS = 5.0


@dataclass(frozen=True, slots=True)
class Span:
    """The time that is shown."""

    url: str
    """Of Prometheus."""
    began: float
    ended: float

    @property
    def step(self) -> float:
        """Seconds between two points."""
        return max(1.0, round((self.ended - self.began) / POINTS))

    def step_of(self, panel: dict[str, Any]) -> float:
        """Seconds between two points of the panel."""
        least = duration_seconds(panel.get("interval", "")) * self.scrape_seconds() / USUAL_SCRAPE_SECONDS
        return max(self.step, float(round(least)))

    def fill(self, promql: str, step: float, bouncer: str = "") -> str:
        """The query as Grafana sends it with every choice at "All", or with one bouncer chosen."""
        scrape = self.scrape_seconds()
        rate_interval = max(SCRAPES * scrape, step + scrape)
        return fill_variables(
            promql,
            rate_interval=f"{round(rate_interval * 1000)}ms",
            time_range=f"{round(self.ended - self.began)}s",
            choices={"bouncer": bouncer} if bouncer else None,
        )

    def scrape_seconds(self) -> float:
        """The scrape interval of the jobs."""
        text = str(self._read("status/config")["yaml"])
        found = re.search(r"scrape_interval: (?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?", text)
        minutes, seconds, milliseconds = (int(part or 0) for part in found.groups()) if found else (1, 0, 0)
        return minutes * 60 + seconds + milliseconds / 1000

    def ask(self, query: str, step: float | None = None) -> list[dict[str, Any]]:
        """The series of a query: over the span in such steps, or at its end."""
        if step is None:
            return list(self._read("query", query=query, time=self.ended)["result"])
        return list(self._read("query_range", query=query, start=self.began, end=self.ended, step=step)["result"])

    def _read(self, path: str, **parameters: str | float) -> Any:
        return call("GET", add_query(f"{self.url}/api/v1/{path}", **parameters))["data"]


def answer(dashboard: dict[str, Any], span: Span) -> dict[str, Any]:
    """The dashboard's title, panels with their answers, and marks."""
    panels = [_answered(panel, bouncer, span) for panel, bouncer in _repeated(dashboard["panels"], span)]
    return {
        "title": dashboard["title"],
        "subtitle": "Rendering with Grafana's own components of a run on test servers; not a screenshot of Grafana. "
        "Cluster, namespace, job: All.",
        "from": span.began,
        "to": span.ended,
        "rows": max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels),
        "panels": panels,
        "marks": list(_marks(dashboard["annotations"]["list"], span)),
    }


def _repeated(panels: list[dict[str, Any]], span: Span) -> Iterator[tuple[dict[str, Any], str]]:
    """Each panel with its bouncer; repetitions of one panel are placed side by side."""
    shift, free = 0, 0
    for panel in panels:
        place = panel["gridPos"]
        if not panel.get("repeat"):
            yield {**panel, "gridPos": {**place, "y": place["y"] + shift}}, ""
            continue
        names = _bouncers(span)
        width, first = COLUMNS // panel["maxPerRow"], max(place["y"] + shift, free)
        for number, name in enumerate(names):
            line, column = divmod(number, panel["maxPerRow"])
            where = {**place, "x": column * width, "y": first + line * place["h"], "w": width}
            yield {**panel, "title": panel["title"].replace("$bouncer", name), "gridPos": where}, name
        free = first + -(-len(names) // panel["maxPerRow"]) * place["h"]
        shift = max(shift, free - place["y"] - place["h"])


def _bouncers(span: Span) -> list[str]:
    """The bouncers that the variable offers."""
    series = span.ask(span.fill('count by (bouncer) (controlcore_bouncer_up{job=~"$job"})', span.step))
    return sorted(each["metric"]["bouncer"] for each in series)


def _answered(panel: dict[str, Any], bouncer: str, span: Span) -> dict[str, Any]:
    """The panel with what Grafana adds when it loads it, and its answers."""
    found = copy.deepcopy(panel)
    if found["type"] == "row":
        return found
    defaults = found["fieldConfig"]["defaults"]
    if found["type"] == "timeseries":
        defaults.setdefault("color", {"mode": "palette-classic"})
    found["step"] = span.step_of(panel)
    for target in found["targets"]:
        query = span.fill(target["expr"], found["step"], bouncer)
        target["result"] = span.ask(query, None if target.get("instant") else found["step"])
        target["legend"] = target.get("legendFormat", "")
    return found


def _marks(annotations: list[dict[str, Any]], span: Span) -> Iterator[dict[str, Any]]:
    """When something began: the first point of each series of an annotation, and each one after a gap."""
    for annotation in annotations:
        shown: list[float] = []
        for series in span.ask(span.fill(annotation["expr"], span.step), span.step):
            times = [float(at) for at, _ in series["values"]]
            shown += [at for before, at in zip([0.0, *times], times, strict=False) if at - before > 1.5 * span.step]
        last = 0.0
        for at in sorted(shown):
            if at - last >= MIN_SECONDS_BETWEEN_MARKS:
                yield {"at": at, "colour": annotation["iconColor"]}
                last = at
