"""Keeps the last result of every collector and decides which values may be published now.

No I/O, no task, no clock. Rules:

- a finished collection replaces all earlier values of its collector;
- a collection that raised changes nothing until the values are older than max(three intervals, 60 s); then they are
  dropped;
- metrics that a collector names `always` stay: its counters and histograms because they are the exporter's own state,
  its `*_up` because a collection that found a server that does not serve gives an answer: 0.

A collection that did not end at its deadline counts as one that raised `timeout`, whether it can be cancelled or not.
"""

from __future__ import annotations

from collections.abc import Iterable

from chassis.errors import Reason
from exporter import self_metrics
from exporter.items import Loss
from exporter.metrics import Counter, Family, Kind, LabelValues, Metric, Sample
from exporter.results.record import BREAKER_FAILURES, CollectionOutcome, CollectorRecord, CollectorState, past_of

OVERDUE_GRACE_SECONDS = 1.0
"""How long after its deadline a collection may still run before it counts as failed."""
UP_SUFFIX = "_up"
NOT_SERVING = frozenset(
    {
        Reason.REFUSED,
        Reason.UNREACHABLE,
        Reason.DNS,
        Reason.TIMEOUT,
        Reason.TLS,
        Reason.AUTH,
        Reason.STARTING,
        Reason.CLOSED,
    }
)
"""Failures where the backend does not serve us: `*_up` is then 0. After any other failure it is unknown."""


class Ledger:
    """The state behind the published page."""

    def __init__(self) -> None:
        self._records: dict[str, CollectorRecord] = {}
        self._errors = Counter(self_metrics.ERRORS)
        self._dropped = Counter(self_metrics.DROPPED)
        self._truncated = Counter(self_metrics.TRUNCATED)
        self._items = Counter(self_metrics.ITEMS)
        self._unknown = Counter(self_metrics.UNKNOWN_VALUES)
        self._component_seen: dict[LabelValues, float] = {}
        self._known: dict[str, tuple[dict[LabelValues, float], Family]] = {}
        """The last samples of each metric about collectors, and their family."""

    def records(self) -> tuple[CollectorRecord, ...]:
        """The collectors by name."""
        return tuple(self._records[name] for name in sorted(self._records))

    def enrol(self, records: Iterable[CollectorRecord]) -> None:
        """Sets the collectors. An existing collector keeps its values: a reload is not a restart."""
        before, self._records = self._records, {record.spec.name: record for record in records}
        for name, record in self._records.items():
            old = before.get(name)
            if old is not None and old.state is not CollectorState.NOT_CONFIGURED:
                record.state, record.last, record.last_success = old.state, old.last, old.last_success
                record.families, record.components = old.families, old.components
                record.versions, record.series = old.versions, old.series
                record.collected_monotonic, record.failures = old.collected_monotonic, old.failures
                record.history = old.history
        self._initialise(name for name, record in self._records.items() if _runs(record))

    def begin(self, name: str, now_monotonic: float) -> None:
        """Records that a collection runs."""
        self._records[name].running_since = now_monotonic

    def skip(self, name: str, missing: str) -> None:
        """Records that the collector's source is not configured; none of its values are published.

        `missing` is for people.
        """
        self._records[name].missing = missing
        self._records[name].state = CollectorState.NOT_CONFIGURED
        for counter in (self._errors, self._dropped, self._truncated, self._items, self._unknown):
            counter.forget(name)

    def finish(self, outcome: CollectionOutcome) -> None:
        """Records how a collection ended."""
        record = self._records[outcome.collector]
        record.running_since, record.is_overdue = None, False
        self._note(record, outcome)

    def find_overdue(self, now: float, now_monotonic: float) -> tuple[CollectionOutcome, ...]:
        """Fails every collection that runs although its deadline is past, once each, and returns these failures."""
        found = []
        for record in self._records.values():
            since = record.running_since
            if since is None or record.is_overdue:
                continue
            elapsed = now_monotonic - since
            if elapsed > record.timeout_seconds + OVERDUE_GRACE_SECONDS:
                message = "the collection did not end at its deadline"
                outcome = CollectionOutcome(
                    record.spec.name, now - elapsed, since, elapsed, reason=Reason.TIMEOUT, message=message
                )
                record.is_overdue = True
                self._note(record, outcome)
                found.append(outcome)
        return tuple(found)

    def stale_names(self, now_monotonic: float) -> frozenset[str]:
        """The collectors whose values are dropped now; a change needs a new rendering of the page."""
        return frozenset(
            name for name, record in self._records.items() if _runs(record) and record.is_stale(now_monotonic)
        )

    def families(self, now_monotonic: float) -> tuple[Family, ...]:
        """Everything that may be published now, except the process's own constants."""
        published: list[Family] = []
        for record in self._records.values():
            published += _kept(record) if record.is_stale(now_monotonic) else record.families
        return (*published, *self._component_families(now_monotonic), *self._engine_families(now_monotonic))

    def _note(self, record: CollectorRecord, outcome: CollectionOutcome) -> None:
        """Applies an outcome."""
        name = outcome.collector
        record.last = outcome
        record.failures = record.failures + 1 if outcome.admitted is None else 0
        record.history.append(past_of(outcome))
        record.state = CollectorState.OK if outcome.reason is None else CollectorState.FAILING
        for loss, count in outcome.losses.dropped.items():
            self._items.add((name, loss.value), count)
        for field, count in outcome.losses.unknown.items():
            self._unknown.add((name, field), count)
        if outcome.reason is not None:
            self._errors.add((name, outcome.reason.value))
        else:
            record.last_success = outcome.began
        if outcome.admitted is not None:
            record.families, record.collected_monotonic = outcome.admitted.families, outcome.began_monotonic
            record.components, record.versions = dict(outcome.components), dict(outcome.versions)
            record.series = record.history[-1].series
            self._dropped.add((name,), outcome.admitted.dropped)
            self._truncated.add((name,), outcome.admitted.truncated)
        elif outcome.reason in NOT_SERVING:
            record.families = _declared_down(record)
            record.components = dict.fromkeys(record.components, False)
        for component, is_up in record.components.items():
            if is_up and outcome.admitted is not None:
                self._component_seen[(component,)] = outcome.began

    def component_states(self, now_monotonic: float) -> dict[str, bool]:
        """Whether each component is up, as far as known: a component that any fresh collector found down is down."""
        states: dict[str, bool] = {}
        for record in self._records.values():
            if record.is_stale(now_monotonic) and not _is_known_down(record):
                continue
            for component, is_up in record.components.items():
                states[component] = states.get(component, True) and is_up
        return states

    def _component_families(self, now_monotonic: float) -> tuple[Family, ...]:
        """component_up of the known components, with their versions and last successes."""
        states = self.component_states(now_monotonic)
        samples = {(component,): float(is_up) for component, is_up in states.items()}
        known = [record for record in self._records.values() if not record.is_stale(now_monotonic)]
        overall = float(all(states.values())) if states else None
        return (
            self_metrics.COMPONENT_UP.family(samples),
            self_metrics.COMPONENT_LAST_SUCCESS.family(self._component_seen),
            self_metrics.COMPONENT_INFO.family({item: 1.0 for record in known for item in record.versions.items()}),
            self_metrics.UP.value(overall),
        )

    def _engine_families(self, now_monotonic: float) -> tuple[Family, ...]:
        """The health and age of every collector that runs."""
        running = [record for record in self._records.values() if _runs(record)]
        ended = [(record, record.last) for record in running if record.last is not None]
        return (
            self._family(self_metrics.SUCCESS, {(r.spec.name,): float(last.reason is None) for r, last in ended}),
            self._family(self_metrics.DURATION, {(r.spec.name,): last.duration_seconds for r, last in ended}),
            self._family(self_metrics.INTERVAL, {(r.spec.name,): r.interval_seconds for r in running}),
            self._family(self_metrics.LAST_RUN, {(r.spec.name,): last.began for r, last in ended}),
            self._family(
                self_metrics.LAST_SUCCESS,
                {(r.spec.name,): r.last_success for r in running if r.last_success is not None},
            ),
            self._family(self_metrics.SAMPLES, {(r.spec.name,): r.series for r in running if r.series is not None}),
            self._family(
                self_metrics.BREAKER, {(r.spec.name,): float(r.failures >= BREAKER_FAILURES) for r in running}
            ),
            self._family(self_metrics.STALE, {(r.spec.name,): float(r.is_stale(now_monotonic)) for r in running}),
            self._errors.family(),
            self._dropped.family(),
            self._truncated.family(),
            self._items.family(),
            self._unknown.family(),
        )

    def _family(self, metric: Metric, samples: dict[LabelValues, float]) -> Family:
        """A family of these samples.

        The same object as last time if nothing changed, so that it is not rendered again.
        """
        known = self._known.get(metric.name)
        if known is None or known[0] != samples:
            known = self._known[metric.name] = samples, metric.family(samples)
        return known[1]

    def _initialise(self, names: Iterable[str]) -> None:
        """Initialises the counters of these collectors."""
        for name in names:
            self._errors.initialise((name, reason.value) for reason in self_metrics.INITIAL_REASONS)
            self._dropped.initialise([(name,)])
            self._truncated.initialise([(name,)])
            self._items.initialise((name, loss.value) for loss in Loss)


def _runs(record: CollectorRecord) -> bool:
    """Whether the collector runs."""
    return record.state is not CollectorState.NOT_CONFIGURED


def _is_known_down(record: CollectorRecord) -> bool:
    """Whether the last collection found a server that does not serve."""
    return record.last is not None and record.last.reason in NOT_SERVING


def _kept(record: CollectorRecord) -> tuple[Family, ...]:
    """The values that stay when stale: the exporter's own state, and `*_up` while it is known to be 0."""
    return tuple(
        family
        for family in record.families
        if family.metric.name in record.spec.always
        and (
            family.metric.kind is not Kind.GAUGE or (_is_known_down(record) and family.metric.name.endswith(UP_SUFFIX))
        )
    )


def _declared_down(record: CollectorRecord) -> tuple[Family, ...]:
    """The record's families with every `*_up` that it always publishes at 0, for the known label sets."""
    families = {family.metric.name: family for family in record.families}
    for metric in record.spec.metrics:
        if metric.name not in record.spec.always or not metric.name.endswith(UP_SUFFIX):
            continue
        before = families.get(metric.name)
        if before is not None:
            families[metric.name] = Family(metric, tuple(Sample(sample.labels, 0.0) for sample in before.samples))
        elif not metric.labels:
            families[metric.name] = metric.value(0.0)
    return tuple(families.values())
