"""Reads decisions, bundles and plugins from OPA's Prometheus page and from its answers with `metrics=true`. No I/O.

The page is untrusted text: only the needed names are read, long lines are skipped, and impossible values (a count that
falls from one bound to the next, a time that is not a number) are ignored.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from chassis.errors import PermanentError, Reason

MAX_COUNT = 2.0**63
"""Largest plausible bucket count; sums of larger ones would not fit into a float."""
MAX_PAGE_BYTES = 1024 * 1024
"""OPA's own page is about 60 kB."""
MAX_LINE_LENGTH = 4096
MAX_NAMES = 100
"""Most bundles or plugins read from one OPA; an OPA has a handful."""

BOUNDS = (
    0.000001, 0.000005, 0.00001, 0.00005, 0.0001, 0.0005, 0.001, 0.0025, 0.005,
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
)  # fmt: skip
"""OPA's default bounds and, between them, those that its setting
`server.metrics.prom.http_request_duration_seconds.buckets` is likely to add."""

DURATION = "http_request_duration_seconds"
DATA_HANDLER = "v1/data"
DECISION_METHOD = "post"
"""Bouncers use POST. OPAL writes data by PUT and PATCH, and our own readiness check is a GET."""
BUNDLE_ACTIVATION = "last_success_bundle_activation"
BUNDLE_FAILURES = "bundle_failed_load_counter"
PLUGIN_STATUS = "plugin_status_gauge"
PLUGIN_OK = "OK"
WANTED = (DURATION, BUNDLE_ACTIVATION, BUNDLE_FAILURES, PLUGIN_STATUS)
CODE_CLASSES = ("2xx", "3xx", "4xx", "5xx", "other")
NANO = 1e-9

STAGES = {
    "timer_rego_input_parse_ns": "input_parse",
    "timer_rego_query_parse_ns": "query_parse",
    "timer_rego_query_compile_ns": "query_compile",
    "timer_rego_partial_eval_ns": "partial_eval",
    "timer_rego_external_resolve_ns": "external_resolve",
    "timer_rego_query_eval_ns": "query_eval",
    "timer_server_handler_ns": "server_handler",
}
"""Timers of an answer with `metrics=true` (OPA's REST API, Performance Metrics) by the value of the label `stage`.
server_handler is the total; the others are parts of it."""

LINE = re.compile(r'([a-zA-Z_:][\w:]*)(?:\{((?:[^"\\}]|"(?:[^"\\]|\\.)*")*)\})?[ \t]+(\S+)(?:[ \t]+-?\d+)?')
LABEL = re.compile(r'\b([a-zA-Z_]\w*+)="((?:[^"\\]|\\.)*)"')


@dataclass(slots=True)
class OpaPage:
    """The content of one page. Empty means unknown: that part of OPA is not enabled."""

    cumulative: tuple[int, ...] = ()
    """Decisions (POST v1/data) not slower than each of BOUNDS, and all (+Inf) at the end; zeros before the first."""
    total_seconds: float = 0.0
    codes: dict[str, int] = field(default_factory=dict)
    """Decisions by class of their status."""
    bundle_activations: dict[str, float] = field(default_factory=dict)
    """Unix seconds."""
    bundle_failures: dict[str, float] = field(default_factory=dict)
    plugins: dict[str, bool] = field(default_factory=dict)
    """Whether a plugin's status is OK."""


def read_page(body: bytes) -> OpaPage:
    """The needed parts of a page in Prometheus' text format; raises PermanentError(malformed) for anything else."""
    if len(body) > MAX_PAGE_BYTES:
        raise PermanentError(Reason.MALFORMED, f"the page is larger than {MAX_PAGE_BYTES} bytes")
    text = body.decode("utf-8", errors="replace")
    if not any(line.startswith("# TYPE ") for line in text.splitlines()):
        raise PermanentError(Reason.MALFORMED, "not a page in Prometheus' text format")
    page = OpaPage()
    series: dict[tuple[tuple[str, str], ...], _Series] = {}
    for name, labels, value in _lines(text):
        if name.startswith(DURATION):
            page.cumulative = (0,) * (len(BOUNDS) + 1)
            if labels.get("handler") == DATA_HANDLER and labels.get("method") == DECISION_METHOD:
                bound = labels.pop("le", "")
                series.setdefault(tuple(sorted(labels.items())), _Series()).add(name, bound, value)
        elif len(labels.get("name", "")) > 0:
            _note(page, name, labels, value)
    _add_up(page, series)
    return page


def read_stages(body: Any) -> dict[str, float]:
    """Seconds by stage from an answer with `metrics=true`; empty when it has none."""
    timers = body.get("metrics") if isinstance(body, dict) else None
    if not isinstance(timers, Mapping):
        return {}
    found = {}
    for key, stage in STAGES.items():
        value = timers.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 3600 / NANO:
            found[stage] = value * NANO
    return found


@dataclass(slots=True)
class _Series:
    """One label set of the histogram: counts by bound."""

    counts: dict[float, int] = field(default_factory=dict)
    total_seconds: float = 0.0

    def add(self, name: str, bound: str, value: float) -> None:
        """Records one line; `_count` equals the bound +Inf."""
        if name.endswith("_sum"):
            self.total_seconds = value
        elif name.endswith("_bucket"):
            number = _number(bound)
            if number is not None and value.is_integer() and value < MAX_COUNT:
                self.counts[number] = int(value)

    def cumulative(self) -> tuple[int, ...] | None:
        """Counts at BOUNDS and +Inf; None when the counts are impossible.

        A bound that the page lacks gets the count of its next lower bound. That is a lower limit, so a quantile never
        looks better than it was.
        """
        bounds = sorted(self.counts)
        values = [self.counts[bound] for bound in bounds]
        if not bounds or bounds[-1] != math.inf or values != sorted(values):
            return None
        at = [bisect_right(bounds, bound) for bound in BOUNDS]
        return (*(values[index - 1] if index else 0 for index in at), values[-1])


def _lines(text: str) -> Iterator[tuple[str, dict[str, str], float]]:
    """Name, labels and finite value of every line with a wanted name."""
    for line in text.splitlines():
        if not line.startswith(WANTED) or len(line) > MAX_LINE_LENGTH:
            continue
        found = LINE.fullmatch(line.rstrip())
        value = _number(found[3]) if found is not None else None
        if found is not None and value is not None and 0 <= value < math.inf:
            yield found[1], dict(LABEL.findall(found[2] or "")), value


def _number(text: str) -> float | None:
    """A number of the text format; None for NaN and for invalid text."""
    try:
        value = float(text)
    except ValueError:
        return None
    return None if math.isnan(value) else value


def _note(page: OpaPage, name: str, labels: Mapping[str, str], value: float) -> None:
    """Adds what the status plugin says of one bundle or plugin."""
    who = labels["name"]
    if name == BUNDLE_ACTIVATION and value > 0 and _has_place(page.bundle_activations, who):
        page.bundle_activations[who] = value * NANO
    elif name == BUNDLE_FAILURES and _has_place(page.bundle_failures, who):
        page.bundle_failures[who] = page.bundle_failures.get(who, 0.0) + value
    elif name == PLUGIN_STATUS and value == 1 and _has_place(page.plugins, who):
        page.plugins[who] = labels.get("status") == PLUGIN_OK


def _has_place(names: Mapping[str, object], name: str) -> bool:
    """Whether a name exists already or may be added."""
    return name in names or len(names) < MAX_NAMES


def _add_up(page: OpaPage, series: Mapping[tuple[tuple[str, str], ...], _Series]) -> None:
    """Sums the histogram's label sets; if one of them is impossible, the whole is unknown."""
    for labels, one in series.items():
        counts = one.cumulative()
        if counts is None:
            page.cumulative, page.codes = (), {}
            return
        page.cumulative = tuple(map(sum, zip(page.cumulative, counts, strict=True)))
        page.total_seconds += one.total_seconds
        kind = code_class(dict(labels).get("code", ""))
        page.codes[kind] = page.codes.get(kind, 0) + counts[-1]


def code_class(code: str) -> str:
    """The class of an HTTP status as a label value of a closed set."""
    kind = f"{code[:1]}xx"
    return kind if len(code) == 3 and code.isdigit() and kind in CODE_CLASSES else "other"  # noqa: PLR2004 - digits
