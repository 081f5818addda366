"""The published page: immutable bytes, rendered after a change, never during a scrape.

Collectors that finish together cause one rendering; expired values cause one too.
"""

from __future__ import annotations

import asyncio
import gzip

from chassis.clock import Clock
from chassis.http.connection_limits import Dropped
from chassis.process.loop_watchdog import LoopWatchdog
from exporter import self_metrics
from exporter.exposition.negotiation import Form
from exporter.exposition.text_format import Page, Renderer
from exporter.metrics import Counter, Family
from exporter.results.change_log import StateLog
from exporter.results.ledger import Ledger
from exporter.results.record import CollectionOutcome
from exporter.sources.bouncer_discovery import Discovery

GZIP_LEVEL = 5
"""126 kB in 8 ms for 1.2 MB of text; level 6 takes 50 % longer for 1.6 % less, at every publication."""
THREAD_FROM_BYTES = 64 * 1024
"""Text of this size or more is compressed in a thread; smaller text takes less than a millisecond, less than the
detour.
"""
THREAD_FROM_SAMPLES = 5000
"""Pages of this size or more are rendered in a thread too; smaller ones take at most a few milliseconds."""
SETTLE_SECONDS = 0.05
"""How long a change waits for others. It adds this time to the age of a value."""
AGE_CHECK_SECONDS = 1.0


class Snapshot:
    """The content of a scrape: one page in the requested forms."""

    def __init__(self, page: Page, forms: set[Form]) -> None:
        """Renders the page in these forms; a form that is requested later is added for the next page."""
        self.page = page
        """The same as families, for scrapes that want only some of them."""
        self._forms = forms
        self._bodies = {form: write(page, form) for form in tuple(forms)}

    def ready(self, form: Form) -> bytes | None:
        """The bytes of a form; None if it was not requested before."""
        return self._bodies.get(form)

    def body(self, form: Form) -> bytes:
        """The bytes of a form, rendered now if they are not ready."""
        known = self._bodies.get(form)
        if known is None:
            known = self._bodies[form] = write(self.page, form)
            self._forms.add(form)
        return known


def write(page: Page, form: Form) -> bytes:
    """The page in one form."""
    body = page.openmetrics() if form.is_openmetrics else page.text()
    return compress(body) if form.is_gzip else body


class Publisher:
    """Holds the current snapshot and renews it. It observes the schedule."""

    def __init__(self, clock: Clock, ledger: Ledger, log: StateLog, *, is_process: bool = True) -> None:
        """`is_process`: whether the page also has the metrics of the process, which exactly one page has."""
        self.ledger = ledger
        self.is_reload_successful = True
        self.is_web_reload_successful: bool | None = None
        """None without a web configuration."""
        self._clock = clock
        self._log = log
        self._renderer = Renderer()
        self._dirty = asyncio.Event()
        self._rendering = asyncio.Lock()
        self._is_process = is_process
        self._discovery: tuple[Family, ...] = ()
        self._rendered: tuple[Family, ...] = ()
        """The content of the current snapshot, except the duration of its own rendering."""
        self._render_seconds: float | None = None
        self.scope = self_metrics.SCOPE_INFO.family({})
        """Empty before a configuration is in use."""
        self.is_phase_locked: bool | None = None
        """None unless collections are timed by scrapes."""
        self._stale: frozenset[str] = frozenset()
        self._reloaded = clock.now()
        self._constants = (
            self_metrics.START.value(clock.now()),
            self_metrics.BUILD_INFO.family({self_metrics.BUILD: 1.0}),
        )
        self.refused = Counter(self_metrics.SCRAPES_REFUSED).initialise(
            (reason.value,) for reason in self_metrics.Refusal
        )
        """Scrapes that got no page; published with the next change."""
        self.dropped = Counter(self_metrics.CONNECTIONS_DROPPED).initialise((reason.value,) for reason in Dropped)
        """Refused connections; published with the next change."""
        self.watchdog = LoopWatchdog()
        """The counts of blocks of the event loop."""
        self._forms: set[Form] = set()
        """The forms that scrapers have requested: mostly one of the four; compressing takes longer than all other
        steps.
        """
        self.snapshot = Snapshot(Page(), self._forms)

    def begin(self, name: str, now_monotonic: float) -> None:
        """A collection begins."""
        self.ledger.begin(name, now_monotonic)

    def skip(self, name: str, missing: str) -> None:
        """A collector's source is not configured."""
        self.ledger.skip(name, missing)
        self._dirty.set()

    def finish(self, outcome: CollectionOutcome) -> None:
        """Called when a collection has ended; its result is published soon."""
        self.ledger.finish(outcome)
        self._log.note(outcome)
        self._dirty.set()

    def note_reload(self, *, is_successful: bool) -> None:
        """The configuration was read again."""
        self.is_reload_successful = is_successful
        if is_successful:
            self._reloaded = self._clock.now()
        self._dirty.set()

    def note_web_reload(self, *, is_successful: bool) -> None:
        """The web configuration was read."""
        self.is_web_reload_successful = is_successful
        self._dirty.set()

    def note_discovery(self, discovery: Discovery) -> None:
        """Called when a discovery of bouncers has ended."""
        is_successful = discovery.is_successful
        found = None if is_successful is None else len(discovery.found)
        self._discovery = (self_metrics.DISCOVERED.value(found), self_metrics.DISCOVERY_SUCCESSFUL.value(is_successful))
        self._dirty.set()

    async def run(self) -> None:
        """Publishes until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._publish_forever(), name="snapshot.publish")
            group.create_task(self._watch_age(), name="snapshot.age")
            group.create_task(self._log.run(), name="snapshot.log")

    async def publish(self) -> None:
        """Renders the current values and replaces the current snapshot, unless nothing changed."""
        async with self._rendering:
            await self._publish()

    async def _publish(self) -> None:
        """One rendering; never two at the same time."""
        now = self._clock.monotonic()
        self._stale = self.ledger.stale_names(now)
        families = (*self.ledger.families(now), *self._own_families())
        if families == self._rendered:
            return
        self._rendered = families
        families = (*families, self_metrics.RENDER_DURATION.value(self._render_seconds))
        if sum(len(family.samples) + len(family.distributions) for family in families) < THREAD_FROM_SAMPLES:
            page = self._renderer.page(families)
        else:
            page = await asyncio.to_thread(self._renderer.page, families)
        if sum(len(block.lines) for block in page.blocks) < THREAD_FROM_BYTES:
            self.snapshot = Snapshot(page, self._forms)
        else:
            self.snapshot = await asyncio.to_thread(Snapshot, page, self._forms)
        self._render_seconds = self._clock.monotonic() - now

    def check_age(self) -> None:
        """Detects changes by time alone: expired values, collections past their deadline."""
        now, now_monotonic = self._clock.now(), self._clock.monotonic()
        overdue = self.ledger.find_overdue(now, now_monotonic)
        for outcome in overdue:
            self._log.note(outcome)
        if overdue or self.ledger.stale_names(now_monotonic) != self._stale:
            self._dirty.set()

    async def _publish_forever(self) -> None:
        """Publishes after each change, when it has settled."""
        self._dirty.set()
        while True:
            await self._dirty.wait()
            await self._clock.sleep(SETTLE_SECONDS)
            self._dirty.clear()
            await self.publish()

    async def _watch_age(self) -> None:
        """Checks the age of values until cancelled."""
        while True:
            await self._clock.sleep(AGE_CHECK_SECONDS)
            self.check_age()

    def _own_families(self) -> tuple[Family, ...]:
        """The constants of this process, and the state of its configuration."""
        phase = self_metrics.PHASE_LOCKED.value(self.is_phase_locked)
        if not self._is_process:
            return (phase,)
        valid = float(self.is_reload_successful)
        return (
            *self._constants,
            self.scope,
            phase,
            self_metrics.RELOAD_SUCCESSFUL.value(valid),
            self_metrics.CONFIG_VALID.value(valid),
            self_metrics.RELOAD_SUCCESS_TIME.value(self._reloaded),
            self_metrics.WEB_CONFIG_SUCCESSFUL.value(self.is_web_reload_successful),
            *self._discovery,
            self.refused.family(),
            self.dropped.family(),
            self_metrics.LOOP_STALLS.value(self.watchdog.stalls),
            self_metrics.LOOP_BLOCKED.value(self.watchdog.blocked_seconds),
        )


def compress(body: bytes) -> bytes:
    """The body as one gzip member; mtime 0 makes equal text equal bytes."""
    return gzip.compress(body, GZIP_LEVEL, mtime=0)
