"""Reads every source a few times a second and writes each change into the timeline."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from demo.stage import Stage
from demo.state_reader import Story, journal_state, read_acted_alerts, read_alerts, read_journal
from demo.timeline import Timeline
from remediations.core.model.remediation import Record
from tools.servers.http import read_page
from tools.slowness import renew, scaled

POLL_SECONDS = 0.25
WATCHED = (
    "controlcore_postgres_up",
    'controlcore_component_up{component="api"}',
    "controlcore_api_reachable",
    'controlcore_deployment_replicas_available{component="control-plane-api"}',
    'controlcore_hpa_replicas_max{component="control-plane-api"}',
    'controlcore_hpa_at_max{component="control-plane-api"}',
    'controlcore_policy_engine_up{bouncer="bouncer-production"}',
)
ALWAYS_FIRING = "ControlCoreWatchdog"
LINGERING = "DatabaseConnectionFailure"
"""The guide's alert uses the failures of five minutes, a window of the exporter that no pace divides."""
CPU = "cpu_usage_percent"
CPU_THRESHOLD = 80.0
NAMES = frozenset(name.partition("{")[0] for name in (*WATCHED, CPU))
"""The names that are read from the exporter's page; every name that an act waits for is among them."""
QUIET_RECORDS = frozenset({"claimed", "joined", "evidence", "resumed"})
LABELS = {"received": "webhook", "observation": "verify", "verification": "verified"}
WORDS = ("decision", "reason", "result", "outcome", "summary", "detail")


class ActTimeoutError(RuntimeError):
    """An act waited too long for an event, which the message names. This alone does not show a fault."""


@dataclass(slots=True)
class Watcher:
    """The last state; `poll` compares and prints changes."""

    stage: Stage
    timeline: Timeline
    page: dict[str, float] = field(default_factory=dict)
    alerts: dict[str, str] = field(default_factory=dict)
    stories: dict[str, Story] = field(default_factory=dict)
    fired: set[str] = field(default_factory=set)
    _told: dict[str, int] = field(default_factory=dict)
    _last_text: dict[str, str] = field(default_factory=dict)
    _journal_state: tuple[int, ...] = ()

    def settle(self, timeout_seconds: float) -> None:
        """Waits until no alert of an earlier act is left, and takes the present state as known.

        An alert that stays is no reason to stop: the act shows its effect.
        """
        bound = scaled(timeout_seconds)
        ends_at = time.monotonic() + bound
        while read_acted_alerts(self.stage.prometheus.url) - {LINGERING} and time.monotonic() < ends_at:
            time.sleep(POLL_SECONDS)
        self.page = read_page(f"{self.stage.exporter.url}/metrics", NAMES)
        self.alerts = read_alerts(self.stage.prometheus.url)
        self.fired.clear()
        for story in read_journal(self.stage.remediator.journal_path):
            self.stories[story.remediation.id] = story
            self._told[story.remediation.id] = len(story.records)

    def poll(self) -> None:
        """Reads every source once and prints changes; a source that does not answer is read again later."""
        for look in (self._poll_page, self._poll_alerts, self._poll_journal):
            try:
                look()
            except OSError as error:
                self.timeline.say("no answer", f"{look.__name__.removeprefix('_poll_')}: {error}")

    def wait(self, what: str, is_reached: Callable[[], bool], timeout_seconds: float) -> None:
        """Polls until the condition holds; ActTimeoutError names what was waited for.

        At the end of its time the machine is measured again: if it is busier than before, there is more time.
        """
        began, bound = time.monotonic(), scaled(timeout_seconds)
        while True:
            self.poll()
            if is_reached():
                return
            if time.monotonic() - began > bound:
                renew()
                if scaled(timeout_seconds) <= bound:
                    raise ActTimeoutError(f"{what}: not within {bound:.0f} s")
                bound = scaled(timeout_seconds)
                self.timeline.say("busy", f"this machine is busier than before; waiting {bound:.0f} s until {what}")
            time.sleep(POLL_SECONDS)

    def story(self, policy: str) -> Story | None:
        """The newest remediation of a policy that began in this act."""
        own = [each for each in self.stories.values() if each.remediation.policy == policy]
        began = [each for each in own if each.remediation.created_at >= self.timeline.began_at]
        return max(began, key=lambda each: each.remediation.created_at, default=None)

    def _poll_page(self) -> None:
        page = read_page(f"{self.stage.exporter.url}/metrics", NAMES)
        for name in WATCHED:
            before, now = self.page.get(name), page.get(name)
            if before != now:
                self.timeline.say("metric", f"{name}  {_figure(before)} -> {_figure(now)}")
        self._tell_cpu(self.page.get(CPU), page.get(CPU))
        self.page = page

    def _tell_cpu(self, before: float | None, now: float | None) -> None:
        """CPU changes all the time: only crossing the guide's threshold is printed."""
        if before is None or now is None:
            return
        if (before > CPU_THRESHOLD) != (now > CPU_THRESHOLD):
            self.timeline.say("metric", f"{CPU}  {before:.0f} -> {now:.0f} (threshold {CPU_THRESHOLD:.0f})")

    def _poll_alerts(self) -> None:
        alerts = read_alerts(self.stage.prometheus.url)
        for name in sorted(alerts.keys() | self.alerts.keys()):
            before, now = self.alerts.get(name), alerts.get(name)
            if name == ALWAYS_FIRING:
                continue
            if now == "firing" and before != "firing":
                self.fired.add(name)
                self.timeline.say("alert", f"{name} fires")
            elif before == "firing" and now != "firing":
                self.timeline.say("alert", f"{name} resolved")
        self.alerts = alerts

    def _poll_journal(self) -> None:
        state = journal_state(self.stage.remediator.journal_path)
        if state == self._journal_state:
            return
        for story in read_journal(self.stage.remediator.journal_path):
            key = story.remediation.id
            for record in story.records[self._told.get(key, 0) :]:
                self._tell(story, record)
            self._told[key] = len(story.records)
            self.stories[key] = story
        self._journal_state = state

    def _tell(self, story: Story, record: Record) -> None:
        """One record of the journal as a line, unless it repeats an earlier line."""
        if record.kind in QUIET_RECORDS:
            return
        text = describe(record)
        if self._last_text.get(story.remediation.id) == text:
            return
        self._last_text[story.remediation.id] = text
        self.timeline.say(
            LABELS.get(record.kind, record.kind),
            f"{story.remediation.policy}: {text}",
            at=self.timeline.since(record.at),
        )


def describe(record: Record) -> str:
    """A journal record in a few words: its reason and detail, or what it planned."""
    data = record.data
    words = [str(data[name]) for name in WORDS if data.get(name)]
    return f"{record.state.value}" + (f" ({': '.join(words)})" if words else "")


def _figure(value: float | None) -> str:
    return "absent" if value is None else f"{value:g}"
