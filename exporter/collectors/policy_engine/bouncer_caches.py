"""Reads the bouncers' caches from their own JSON, and counts the bouncers that answer.

Only `size` and `expired_count` are used: the bouncer's uptime is always about zero, and each of its last_sync fields is
the time of the request.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from chassis.config import read_secret
from chassis.errors import BackendError, ConfigError, PermanentError, Reason, TransientError
from chassis.http.call import Call
from chassis.kubernetes.objects import is_ending
from chassis.kubernetes.paths import pods_path
from exporter.collector import CollectorSettings, NotConfiguredError, Result, collector
from exporter.items import Loss, note, read_each
from exporter.metrics import Metric
from exporter.settings import Scope

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from chassis.http.call import Response
    from exporter.settings import BouncerTarget
    from exporter.sources.sources import Sources

PATH = "/api/v1/metrics"
DECISIONS = Metric(
    "controlcore_bouncer_decision_cache_entries",
    "Decisions in the bouncer's cache; it removes an expired one only when requested again, so it can grow "
    "without limit.",
    labels=("bouncer",),
)
POLICIES = Metric(
    "controlcore_bouncer_policy_cache_entries", "Policies in the bouncer's cache; 0 means none.", labels=("bouncer",)
)
EXPIRED = Metric(
    "controlcore_bouncer_policy_cache_expired_entries", "Expired policies in the bouncer's cache.", labels=("bouncer",)
)
RUNNING = Metric(
    "controlcore_bouncers_running",
    "Running bouncers: pods if a selector is configured, otherwise configured bouncers that gave any answer.",
    labels=("policy_environment",),
)

# The bouncer's /api/v1/metrics handler, by its source (2025.10): both sizes are counts of map entries.
FIELDS = (
    (DECISIONS, ("decision_cache", "size")),
    (POLICIES, ("policy_cache", "size")),
    (EXPIRED, ("policy_cache", "expired_count")),
)


class BouncerCachesSettings(CollectorSettings):
    """How the bouncers are queried."""

    interval_seconds: float = Field(default=15.0, gt=0)
    """Seconds between two rounds. A leak takes hours; smaller only adds requests."""
    timeout_seconds: float = Field(default=8.0, gt=1.0)
    """Deadline of a round. Bouncers not queried half a second before it stay unknown in that round."""
    request_timeout_seconds: float = Field(default=2.0, gt=0)
    """Deadline of one request. Too small reports a busy bouncer as silent."""
    max_concurrent: int = Field(default=8, ge=1, le=24)
    """Requests in flight over all bouncers. With 1, a hanging bouncer delays the others; many fill the HTTP pool."""
    key_files: dict[str, Path] = Field(default_factory=dict)
    """File with the Bouncer API key, by bouncer name; read again each round and sent to that bouncer only."""
    pod_selectors: dict[Literal["sandbox", "production"], str] = Field(default_factory=dict)
    """Label selectors of the bouncers' pods by environment, in `kubernetes.namespace`; these pods are counted instead
    of answers. Behind a Service, an answer only shows that at least one pod runs.
    """


@dataclass(frozen=True, slots=True)
class CacheFinding:
    """One bouncer's answer. `response` None means that nothing was reached."""

    response: Response | None = None
    failure: BackendError | None = None


@collector(
    scope=Scope.DEPLOYMENT,
    settings=BouncerCachesSettings,
    metrics=(DECISIONS, POLICIES, EXPIRED, RUNNING),
    rbac=("list /pods",),
)
class BouncerCachesCollector:
    """Reads each configured bouncer's GET /api/v1/metrics; one that is down is a finding of `policy`, not a failure."""

    def __init__(self, settings: BouncerCachesSettings, sources: Sources) -> None:
        self._settings = settings
        self._sources = sources
        self._bouncers = sources.settings.bouncers
        self._places = asyncio.Semaphore(settings.max_concurrent)

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: BouncerCachesSettings, sources: Sources) -> AsyncIterator[BouncerCachesCollector]:
        """Yields the collector; raises NotConfiguredError when no bouncer is configured."""
        if not sources.settings.bouncers:
            raise NotConfiguredError("no bouncer is configured: set bouncers")
        yield cls(settings, sources)

    async def collect(self) -> Result:
        """Queries all bouncers concurrently; those not queried in time are absent, and the round then fails."""
        findings: dict[str, CacheFinding] = {}
        failure: Exception | None = None
        try:
            async with asyncio.timeout(self._settings.timeout_seconds - 0.5), asyncio.TaskGroup() as group:
                for bouncer in self._bouncers:
                    group.create_task(self._examine(bouncer, findings), name=f"bouncer_caches.{bouncer.name}")
                pods = group.create_task(self._count_pods(), name="bouncer_caches.pods")
            counted, failure = pods.result()
        except TimeoutError:
            counted = {}
            failure = TransientError(Reason.TIMEOUT, f"{len(self._bouncers) - len(findings)} bouncers were not queried")
        samples: dict[Metric, dict[tuple[str, ...], float]] = {metric: {} for metric, _ in FIELDS}
        for name, finding in findings.items():
            try:
                found = {} if finding.response is None else read_sizes(finding.response)
            except BackendError as error:
                failure = failure or error
            else:
                failure = failure or finding.failure
                for metric, size in found.items():
                    samples[metric][name,] = size
        families = tuple(metric.family(values) for metric, values in samples.items())
        return Result((*families, RUNNING.family(self._running(findings, counted))), failure=failure)

    async def _examine(self, bouncer: BouncerTarget, findings: dict[str, CacheFinding]) -> None:
        """Queries one bouncer and records the finding."""
        url = f"{bouncer.url.rstrip('/')}{PATH}"
        try:
            headers = await self._headers(bouncer.name)
            async with self._places:
                response = await self._sources.http.send(
                    Call(url, self._settings.request_timeout_seconds, headers=headers)
                )
        except TransientError:
            findings[bouncer.name] = CacheFinding()
        except BackendError as error:
            findings[bouncer.name] = CacheFinding(failure=error)
        else:
            findings[bouncer.name] = CacheFinding(response)

    async def _headers(self, name: str) -> Mapping[str, str]:
        """The bouncer's key as a header; raises PermanentError(auth) when its file cannot be read."""
        path = self._settings.key_files.get(name)
        if path is None:
            return {}
        try:
            key = await asyncio.to_thread(read_secret, path, f"collectors.bouncer_caches.key_files.{name}")
        except ConfigError as error:
            raise PermanentError(Reason.AUTH, str(error)) from error
        return {"Authorization": f"Bearer {key.get_secret_value()}"}

    async def _count_pods(self) -> tuple[dict[str, int], BackendError | None]:
        """Running pods by environment where a selector is configured, and the first failure."""
        place, client = self._sources.settings.kubernetes, self._sources.kubernetes
        counts: dict[str, int] = {}
        if place is None or client is None:
            return counts, None
        for environment, selector in self._settings.pod_selectors.items():
            try:
                pods = await client.list(
                    pods_path(place.namespace),
                    timeout_seconds=self._settings.request_timeout_seconds,
                    label_selector=selector,
                )
            except BackendError as error:
                return counts, error
            counts[environment] = sum(read_each(pods, is_running))
        return counts, None

    def _running(
        self, findings: Mapping[str, CacheFinding], counted: Mapping[str, int]
    ) -> dict[tuple[str, ...], float]:
        """Running bouncers by environment; unknown if pods could not be counted, or a bouncer was not queried."""
        running: dict[tuple[str, ...], float] = {(environment,): count for environment, count in counted.items()}
        asked = {bouncer.environment for bouncer in self._bouncers} - set(self._settings.pod_selectors)
        for environment in asked:
            names = [bouncer.name for bouncer in self._bouncers if bouncer.environment == environment]
            if all(name in findings and findings[name].failure is None for name in names):
                running[environment,] = sum(findings[name].response is not None for name in names)
        return running


def read_sizes(response: Response) -> dict[Metric, int]:
    """The sizes in a bouncer's answer; none if this build has no such endpoint. Invalid counts are left out.

    Raises BackendError for any other status and for an answer without any size.
    """
    try:
        body: Any = response.require_ok().json()
    except BackendError as error:
        if error.reason is Reason.MISSING:
            return {}
        raise
    sizes = {}
    for metric, (section, field) in FIELDS:
        part = body.get(section) if isinstance(body, dict) else None
        size = part.get(field) if isinstance(part, dict) else None
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            note(Loss.MALFORMED)
            continue
        sizes[metric] = size
    if not sizes:
        raise PermanentError(Reason.MALFORMED, "the answer has no cache size")
    return sizes


def is_running(pod: Mapping[str, Any]) -> bool:
    """Whether a pod runs and is not ending."""
    return (pod.get("status") or {}).get("phase") == "Running" and not is_ending(pod)
