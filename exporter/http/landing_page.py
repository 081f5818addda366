"""The landing page: the program, its targets, the state of each collector. Text is escaped, secrets are absent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape

from exporter import self_metrics
from exporter.http.server import ALERTS_PATH, PATHS, REMEDIATOR_PORT
from exporter.results.record import CollectorRecord, CollectorState
from exporter.settings import ExporterSettings
from exporter.sources.open import addresses

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:62rem;padding:0 1rem;color:#1d2430;background:#fff}
h1{font-size:1.4rem;margin-bottom:.2rem}h2{font-size:1.05rem;margin-top:2rem}table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.3rem .8rem .3rem 0;border-bottom:1px solid #dde2ea;vertical-align:top}
code{background:#f1f3f7;padding:0 .2rem}.failing,.stale{color:#a8071a;font-weight:600}.ok{color:#14692d}
@media(prefers-color-scheme:dark){body{color:#d8dee9;background:#14181f}code{background:#222833}
th,td{border-color:#2c3440}.failing,.stale{color:#ff8f8f}.ok{color:#86d39b}a{color:#8fb8ff}}
""".strip()


NOTHING = "set DATABASE_URL, REDIS_URL or CONTROLCORE_API_URL, or write a configuration"
"""The advice when nothing is watched."""
REJECTED = '<p class="failing">The last reload of the configuration failed; the previous one is in force.</p>'


@dataclass(frozen=True, slots=True)
class PageFacts:
    """The page's content at one moment."""

    settings: ExporterSettings
    records: tuple[CollectorRecord, ...]
    now_monotonic: float
    started_monotonic: float
    samples: int
    is_reload_successful: bool
    components: Mapping[str, bool]
    """Whether each component is up; one that is missing is unknown."""


def page(facts: PageFacts) -> str:
    """The page as HTML."""
    version, revision, python = self_metrics.BUILD
    build = f"version {version}, revision {revision}, Python {python}"
    uptime = age(facts.now_monotonic - facts.started_monotonic)
    warning = "" if facts.is_reload_successful else REJECTED
    rows = (_cells(record, facts.now_monotonic) for record in facts.records)
    links = "".join(
        f'<li><a href="{path}"><code>{path}</code></a> {escape(text)}</li>'
        for path, text in PATHS.items()
        if path != "/"
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>controlcore-exporter</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head><body>
<h1>controlcore-exporter</h1>
<p>{escape(build)}, up for {uptime}, {facts.samples} samples published. It reads and changes nothing.</p>{warning}
<h2>Components</h2>
{_table(("component", "state", "why unknown"), _components(facts))}
<h2>Collectors</h2>
<p>A collector that finds its component down is healthy: its state is not the component's.</p>
{_table(("collector", "state", "values from", "last run took", "every", "last error"), rows)}
<h2>Targets</h2>
{_table(("what", "where"), ((escape(name), escape(where)) for name, where in targets(facts.settings)))}
<h2>Pages</h2>
<ul>{links}</ul>
<p>This program takes no alerts: send them to controlcore-remediator, port {REMEDIATOR_PORT}, path
<code>{ALERTS_PATH}</code>.</p>
</body></html>
"""


def targets(settings: ExporterSettings) -> tuple[tuple[str, str], ...]:
    """The watched targets and their addresses, without users and passwords."""
    database, redis = addresses(settings)
    found: list[tuple[str, str]] = []
    if settings.api.url is not None:
        found.append(("control-plane API", settings.api.url.partition("?")[0]))
    if database is not None:
        place = database.target()
        found.append(("PostgreSQL", f"{place.host}:{place.port}/{place.database}"))
    if redis is not None:
        server = redis.target()
        found.append(("Redis", server.socket_path or f"{server.host}:{server.port}/{server.database}"))
    found += [(f"bouncer {item.name} ({item.environment})", item.url.partition("?")[0]) for item in settings.bouncers]
    if settings.kubernetes is not None:
        names = ", ".join(settings.kubernetes.workloads)
        found.append(("Kubernetes", f"namespace {settings.kubernetes.namespace}: {names}"))
    return tuple(found) or (("nothing", NOTHING),)


def is_nothing_watched(settings: ExporterSettings) -> bool:
    """Whether no collector has a source: no address, no discovery, no setting of a collector, no deployment."""
    is_more_given = "collectors" in settings.model_fields_set or bool(settings.bouncer_discovery.files)
    return not is_more_given and not settings.deployments and targets(settings) == (("nothing", NOTHING),)


def age(seconds: float) -> str:
    """A duration for people: `0.4 s`, `12 s`, `3 min`, `5 h`, `2 d`."""
    if seconds < 10:  # noqa: PLR2004 - tenths matter below
        return f"{seconds:.1f} s"
    for limit, size, unit in ((120, 1, "s"), (7200, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"


def _components(facts: PageFacts) -> Iterable[tuple[str, ...]]:
    """The rows of the components; one explanatory row if nothing is known yet."""
    refused = {name: why for record in facts.records if record.last for name, why in record.last.refused.items()}
    names = sorted({*facts.components, *refused})
    if not names:
        yield "-", "unknown", "no collector has reported a component yet"
    for name in names:
        is_up = facts.components.get(name)
        state, css = {True: ("up", "ok"), False: ("down", "failing"), None: ("unknown", "stale")}[is_up]
        why = f"our own access is refused: {refused[name]}" if name in refused else ""
        yield f"<code>{escape(name)}</code>", f'<span class="{css}">{state}</span>', escape(why)


def _cells(record: CollectorRecord, now_monotonic: float) -> tuple[str, ...]:
    """One collector's row."""
    state = record.state.value
    css = {CollectorState.OK: "ok", CollectorState.FAILING: "failing"}.get(record.state, "")
    if record.state is not CollectorState.NOT_CONFIGURED and record.is_stale(now_monotonic):
        state, css = f"{state}, stale", "stale"
    collected, last = record.collected_monotonic, record.last
    error = record.missing if last is None or last.reason is None else f"{last.reason.value}: {last.message}"
    return (
        f"<code>{escape(record.spec.name)}</code>",
        f'<span class="{css}">{escape(state)}</span>',
        "-" if collected is None else f"{age(now_monotonic - collected)} ago",
        "-" if last is None else f"{last.duration_seconds:.3f} s",
        f"{record.interval_seconds:g} s",
        escape(error),
    )


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of cells that are HTML already."""
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
