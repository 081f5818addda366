"""Reads the age, size and integrity of the newest backups from their files, their CronJob and marker files.

Nothing here makes, restores or deletes a backup. A managed database has neither file nor CronJob: its snapshot job
touches `snapshot_file`. A restore test touches `restore_test_file`.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from chassis.errors import BackendError, PermanentError, Reason, TransientError
from chassis.kubernetes.paths import resource_path
from chassis.process.daemon_threads import in_thread
from exporter.collector import CollectorSettings, NotConfiguredError, Result, collector
from exporter.collectors.operations.backup_files import BackupPlace, Folder, Identity, Inspector, modified_at
from exporter.items import FUTURE_SECONDS, Loss, note, past_of
from exporter.metrics import Metric
from exporter.settings import Scope

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from chassis.kubernetes.client import JsonObject
    from exporter.metrics import Family
    from exporter.sources.sources import Sources

CRON_JOB, SNAPSHOT, RESTORE = "cronjob", "snapshot", "restore_test"
KIND_LABEL = ("kind",)
THREAD_SHARE = 0.5
"""The part of the deadline for reading files; the rest lets a slow disk finish its last read."""

LAST_SUCCESS = Metric(
    "controlcore_backup_last_success_timestamp_seconds",
    "Unix time of the last good backup: the newest complete file, the CronJob's last success, or the last snapshot.",
    labels=KIND_LABEL,
    unit="seconds",
)
EXISTS = Metric(
    "controlcore_backup_exists",
    "Whether any good backup of this kind exists; absent while unknown.",
    labels=KIND_LABEL,
)
FUTURE = Metric(
    "controlcore_backup_future_times",
    "Times of backup files, the CronJob and marker files that lie in the future; they are ignored as unknown.",
    labels=KIND_LABEL,
)
FILES = Metric("controlcore_backup_files", "Finished backup files.", labels=KIND_LABEL)
NEWEST = Metric(
    "controlcore_backup_newest_timestamp_seconds",
    "Unix time at which the newest finished file was last written, good or not.",
    labels=KIND_LABEL,
    unit="seconds",
)
SIZE = Metric("controlcore_backup_size_bytes", "Size of the newest finished file.", labels=KIND_LABEL, unit="bytes")
RATIO = Metric(
    "controlcore_backup_size_ratio",
    "Size of the newest finished file over that of the one before it.",
    labels=KIND_LABEL,
    unit="ratio",
)
VERIFIED = Metric(
    "controlcore_backup_verified",
    "Whether the newest finished file is a complete gzip stream; absent until it has been read, and for other formats.",
    labels=KIND_LABEL,
)
SUSPENDED = Metric("controlcore_backup_cronjob_suspended", "Whether the backup's CronJob is suspended.")
SCHEDULED = Metric(
    "controlcore_backup_cronjob_last_schedule_timestamp_seconds",
    "Unix time at which the backup's CronJob last started a Job.",
    unit="seconds",
)
RESTORE_TEST = Metric(
    "controlcore_backup_restore_test_timestamp_seconds", "Unix time of the last restore test.", unit="seconds"
)
RESTORE_TESTED = Metric(
    "controlcore_backup_restore_test_recorded", "Whether a restore test has ever left its marker file."
)


class BackupSettings(CollectorSettings):
    """Where backups leave traces. Without any of them the collector is not configured."""

    interval_seconds: float = Field(default=60.0, gt=0)
    """Seconds between two collections. Backups come once a day; each collection may read for `verification_seconds`."""
    timeout_seconds: float = Field(default=20.0, gt=0)
    """Deadline of one collection. If a network file system hangs longer, everything is unknown."""
    request_timeout_seconds: float = Field(default=3.0, gt=0)
    """Deadline of the request to the Kubernetes API."""
    places: tuple[BackupPlace, ...] = Field(default=(), max_length=20)
    """Directories with backup files."""
    verify: bool = True
    """Whether each gzip file is read to its end once. If off, every file that is not empty counts as good."""
    verification_seconds: float = Field(default=5.0, gt=0)
    """How long one collection may read. With the interval it sets the share of a core (1/12) and the time for a large
    file (3 minutes of reading for a 10 GB dump). Above half the deadline it has no effect.
    """
    settle_seconds: float = Field(default=120.0, ge=0)
    """A file modified within this time may still grow and is not read. Too small reports a backup as broken while it is
    written.
    """
    cron_job: str = "postgres-backup"
    """The CronJob that makes backups, in the product's namespace; empty means none. If it is named here or existed
    before, and is missing, there is no backup. A CronJob with the default name may never have existed.
    """
    snapshot_file: Path | None = None
    """File whose modification time is the time of the managed database's last snapshot; kind `snapshot`."""
    restore_test_file: Path | None = None
    """File whose modification time is the time of the last restore test."""

    @field_validator("places")
    @classmethod
    def _have_own_kinds(cls, places: tuple[BackupPlace, ...]) -> tuple[BackupPlace, ...]:
        """Refuses two directories of one kind, and reserved kinds."""
        kinds = [place.kind for place in places]
        if len(set(kinds)) < len(kinds) or {CRON_JOB, SNAPSHOT, RESTORE} & set(kinds):
            taken = f"{CRON_JOB}, {SNAPSHOT} or {RESTORE}"
            raise ValueError(f"each place needs its own kind, and none may be {taken}")
        return places


@dataclass(slots=True)
class BackupReading:
    """The result of one collection."""

    folders: dict[str, Folder] = field(default_factory=dict)
    moments: dict[str, float | None] = field(default_factory=dict)
    """Unix time of the last success by kind; None means there was none, a missing kind means unknown."""
    future: dict[str, int] = field(default_factory=dict)
    """How many times lie in the future, by kind."""
    restore_test: float | None = None
    was_restore_asked: bool = False
    is_restore_recorded: bool = False
    suspended: bool | None = None
    scheduled: float | None = None
    failure: BackendError | None = None


@dataclass(slots=True)
class SeenCronJob:
    """Whether the CronJob ever existed: then its absence means that backups stopped."""

    was_there: bool = False


@collector(
    scope=Scope.DEPLOYMENT,
    settings=BackupSettings,
    metrics=(
        LAST_SUCCESS, EXISTS, FUTURE, FILES, NEWEST, SIZE, RATIO, VERIFIED, SUSPENDED, SCHEDULED, RESTORE_TEST,
        RESTORE_TESTED,
    ),
    rbac=("get batch/cronjobs",),
)  # fmt: skip
class BackupCollector:
    """Checks backup files (in a separate thread), their CronJob and marker files."""

    def __init__(self, settings: BackupSettings, sources: Sources) -> None:
        self._settings = settings
        self._sources = sources
        proofs: dict[Identity, bool] = sources.kept.of(dict, "backup.proofs")
        self._inspector = Inspector(settings.settle_seconds, settings.verify, proofs)
        self._running: Future[BackupReading] | None = None
        namespace = sources.settings.kubernetes.namespace if sources.settings.kubernetes is not None else None
        self._seen = sources.kept.of(SeenCronJob, "backup.cron_job", namespace, settings.cron_job)

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: BackupSettings, sources: Sources) -> AsyncIterator[BackupCollector]:
        """Yields the collector; raises NotConfiguredError when no trace of a backup is configured."""
        has_files = settings.places or settings.snapshot_file or settings.restore_test_file
        if not has_files and (sources.kubernetes is None or not settings.cron_job):
            raise NotConfiguredError(
                "no backup is configured: set collectors.backup.places, or kubernetes for the CronJob"
            )
        yield cls(settings, sources)

    async def collect(self) -> Result:
        """Reads files and CronJob concurrently; an unreadable source is absent, and the first reason is the failure.

        Raises TransientError(timeout) while the thread still hangs in an earlier collection.
        """
        if self._running is not None and not self._running.done():
            raise TransientError(Reason.TIMEOUT, "the file system has not answered the previous collection yet")
        now, monotonic = self._sources.clock.now(), self._sources.clock.monotonic
        allowed = min(self._settings.verification_seconds, THREAD_SHARE * self._settings.timeout_seconds)
        deadline = monotonic() + allowed
        self._running = in_thread(lambda: self._look(now, lambda: monotonic() >= deadline), "backup")
        async with asyncio.TaskGroup() as group:
            cron_job = group.create_task(self._read_cron_job(), name="backup.cronjob")
            look = await asyncio.wrap_future(self._running)
        self._note_cron_job(look, cron_job.result(), now)
        note(Loss.FUTURE, sum(look.future.values()))
        return Result(publish(look), failure=look.failure)

    def _note_cron_job(self, look: BackupReading, found: JsonObject | BackendError | None, now: float) -> None:
        """Records the CronJob's state, that a required CronJob is missing, or why it could not be read."""
        if isinstance(found, BackendError) and found.reason is Reason.MISSING:
            if self._seen.was_there or "cron_job" in self._settings.model_fields_set:
                look.moments[CRON_JOB] = None
        elif isinstance(found, BackendError):
            look.failure = look.failure or found
        elif found is not None:
            self._seen.was_there = True
            _read_status(look, found, now)

    def _look(self, now: float, is_over: Callable[[], bool]) -> BackupReading:
        """Everything that blocks; runs in the thread, one at a time."""
        look = BackupReading()
        for place in self._settings.places:
            try:
                folder = self._inspector.look(place, now, is_over)
            except BackendError as error:
                look.failure = look.failure or error
                continue
            look.failure = look.failure or folder.failure
            look.folders[place.kind] = folder
            look.future[place.kind] = folder.future
            if folder.has_success is not None:
                look.moments[place.kind] = folder.success.modified if folder.success is not None else None
        for marker, read in (
            (self._settings.snapshot_file, _note_snapshot),
            (self._settings.restore_test_file, _note_restore),
        ):
            try:
                if marker is not None:
                    read(look, modified_at(marker), now)
            except BackendError as error:
                look.failure = look.failure or error
        return look

    async def _read_cron_job(self) -> JsonObject | BackendError | None:
        """The CronJob (batch/v1), why it could not be read, or None when none is configured."""
        place, client = self._sources.settings.kubernetes, self._sources.kubernetes
        if place is None or client is None or not self._settings.cron_job:
            return None
        path = resource_path("batch/v1", "cronjobs", namespace=place.namespace, name=self._settings.cron_job)
        try:
            return await client.get(path, timeout_seconds=self._settings.request_timeout_seconds)
        except BackendError as error:
            return error


def publish(look: BackupReading) -> tuple[Family, ...]:
    """The families of one collection."""
    newest = {kind: folder.newest for kind, folder in look.folders.items() if folder.newest is not None}
    ratios = {
        (kind,): folder.newest.size_bytes / folder.previous.size_bytes
        for kind, folder in look.folders.items()
        if folder.newest is not None and folder.previous is not None and folder.previous.size_bytes > 0
    }
    return (
        LAST_SUCCESS.family({(kind,): moment for kind, moment in look.moments.items() if moment is not None}),
        EXISTS.family({(kind,): moment is not None for kind, moment in look.moments.items()}),
        FUTURE.family({(kind,): count for kind, count in look.future.items()}),
        FILES.family({(kind,): folder.count for kind, folder in look.folders.items()}),
        NEWEST.family({(kind,): file.modified for kind, file in newest.items()}),
        SIZE.family({(kind,): file.size_bytes for kind, file in newest.items()}),
        RATIO.family(ratios),
        VERIFIED.family(
            {(kind,): folder.is_whole for kind, folder in look.folders.items() if folder.is_whole is not None}
        ),
        SUSPENDED.value(look.suspended),
        SCHEDULED.value(look.scheduled),
        RESTORE_TEST.value(look.restore_test),
        RESTORE_TESTED.value(look.is_restore_recorded if look.was_restore_asked else None),
    )


def _note_snapshot(look: BackupReading, moment: float | None, now: float) -> None:
    """Records when the managed database's last snapshot was taken; None: there was none."""
    _keep(look, SNAPSHOT, moment, now)


def _note_restore(look: BackupReading, moment: float | None, now: float) -> None:
    """Records when a restore was last tested; None: never."""
    look.was_restore_asked = True
    look.is_restore_recorded = moment is not None
    look.future[RESTORE] = int(moment is not None and moment > now + FUTURE_SECONDS)
    look.restore_test = None if look.future[RESTORE] else moment


def _keep(look: BackupReading, kind: str, moment: float | None, now: float) -> None:
    """Records the time of the last success, or that it lies in the future."""
    look.future[kind] = int(moment is not None and moment > now + FUTURE_SECONDS)
    if not look.future[kind]:
        look.moments[kind] = moment


def _read_status(look: BackupReading, job: JsonObject, now: float) -> None:
    """Records the CronJob's state; a value that cannot be read is unknown and fails the collection."""
    try:
        look.suspended = bool((job.get("spec") or {}).get("suspend"))
        look.scheduled = past_of(_moment(job, "lastScheduleTime"), now)
        _keep(look, CRON_JOB, _moment(job, "lastSuccessfulTime"), now)
    except (BackendError, AttributeError) as error:
        malformed = PermanentError(Reason.MALFORMED, "the CronJob cannot be read")
        look.failure = look.failure or (error if isinstance(error, BackendError) else malformed)


def _moment(job: JsonObject, name: str) -> float | None:
    """A time in the CronJob's status, Unix seconds; None when absent. Raises PermanentError for an invalid text."""
    text = (job.get("status") or {}).get(name)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, OverflowError) as error:
        raise PermanentError(Reason.MALFORMED, f"the CronJob's {name} is not a time") from error
