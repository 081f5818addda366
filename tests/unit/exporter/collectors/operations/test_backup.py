from __future__ import annotations

import gzip
import os
import threading

import pytest
from pydantic import ValidationError

from chassis.errors import PermanentError, Reason, TransientError
from chassis.process.daemon_threads import in_thread
from exporter.collector import NotConfiguredError
from exporter.collectors.operations.backup import BackupCollector, BackupSettings
from exporter.items import Loss, counting
from exporter.settings import ExporterSettings, KubernetesSettings
from exporter.sources.kept_state import KeptState
from tests.fakes.clock import ManualClock
from tests.fakes.sources import FakeKubernetes, expose, golden, make_sources, samples, value
from tools.slowness import scaled

NOW = 1_800_000_000.0
JOB = "/apis/batch/v1/namespaces/controlcore/cronjobs/postgres-backup"
LAST, EXISTS = "controlcore_backup_last_success_timestamp_seconds", "controlcore_backup_exists"
RATIO, VERIFIED = "controlcore_backup_size_ratio", "controlcore_backup_verified"
RESTORE, RECORDED = "controlcore_backup_restore_test_timestamp_seconds", "controlcore_backup_restore_test_recorded"


def write(path, content, hours_old):
    path.write_bytes(content)
    os.utime(path, (NOW - hours_old * 3600, NOW - hours_old * 3600))
    return path


def cron_job(*, suspend=False, **status):
    return FakeKubernetes({JOB: {"spec": {"suspend": suspend}, "status": status}})


def sources_with(kubernetes=None, kept=None):
    settings = ExporterSettings(kubernetes=KubernetesSettings() if kubernetes is not None else None)
    clock = ManualClock()
    clock.now = lambda: NOW
    return make_sources(settings, kubernetes=kubernetes, clock=clock, kept=kept or KeptState())


async def collect(kubernetes=None, kept=None, **settings):
    async with BackupCollector.open(BackupSettings(**settings), sources_with(kubernetes, kept)) as collector:
        return await collector.collect()


async def test_daily_backups_give_the_golden_page(tmp_path):
    content = gzip.compress(b"x" * 1000, mtime=0)
    write(tmp_path / "full_backup_1.sql.gz", content * 2, 25)
    write(tmp_path / "full_backup_2.sql.gz", content, 1)
    job = cron_job(lastSuccessfulTime="2027-01-15T06:00:00Z", lastScheduleTime="2027-01-15T05:55:00Z")
    result = await collect(
        job,
        places=({"kind": "full", "directory": tmp_path},),
        snapshot_file=write(tmp_path / "snapshot", b"", 3),
        restore_test_file=write(tmp_path / "restore", b"", 480),
    )
    text = expose(result.families).replace(f'full"}} {len(content)}.0', 'full"} SIZE')
    assert text == golden("backup")
    assert result.failure is None


async def test_cron_job_that_never_succeeded_has_no_backup():
    result = await collect(cron_job(suspend=True))
    assert samples(result.families)[EXISTS] == {("cronjob",): 0.0}
    assert LAST not in samples(result.families)
    assert value(result.families, "controlcore_backup_cronjob_suspended") == 1


async def test_cluster_without_the_cron_job_says_nothing_of_it():
    result = await collect(FakeKubernetes({}))
    assert samples(result.families) == {}
    assert result.failure is None


async def test_cron_job_that_was_there_and_is_gone_is_no_backup():
    """P4: its series would vanish, and no alert would ever fire. It stays so after a reload."""
    job, kept = cron_job(lastSuccessfulTime="2027-01-15T06:00:00Z"), KeptState()
    await collect(job, kept)
    job.objects.clear()
    for _ in range(2):
        result = await collect(job, kept)
        assert samples(result.families)[EXISTS] == {("cronjob",): 0.0}
        assert result.failure is None


async def test_named_cron_job_that_never_was_is_no_backup():
    """P4."""
    assert value((await collect(FakeKubernetes({}), cron_job="dump")).families, EXISTS, "cronjob") == 0


async def test_named_cron_job_without_a_cluster_is_unknown(tmp_path):
    assert samples((await collect(cron_job="dump", snapshot_file=tmp_path)).families)[EXISTS].keys() == {("snapshot",)}


async def test_verified_file_is_not_read_again_after_a_reload(tmp_path):
    """P12: a large file takes minutes of readings, in which it would be unknown."""
    kept, place = KeptState(), {"kind": "full", "directory": tmp_path}
    file = write(tmp_path / "full_backup_1.sql.gz", gzip.compress(b"x" * 100), 1)
    for content in (file.read_bytes(), b"?" * file.stat().st_size):
        write(file, content, 1)
        result = await collect(None, kept, places=(place,))
        assert value(result.families, VERIFIED, "full") == 1


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (PermanentError(Reason.PERMISSION, "403"), Reason.PERMISSION),
        (TransientError(Reason.TIMEOUT, "no answer"), Reason.TIMEOUT),
    ],
)
async def test_cron_job_that_cannot_be_read_leaves_the_files_known(tmp_path, answer, reason):
    result = await collect(FakeKubernetes({JOB: answer}), places=({"kind": "full", "directory": tmp_path},))
    assert samples(result.families)[EXISTS] == {("full",): 0.0}
    assert result.failure.reason is reason


async def test_missing_directory_is_a_failure_and_the_other_is_known(tmp_path):
    places = ({"kind": "gone", "directory": tmp_path / "gone"}, {"kind": "full", "directory": tmp_path})
    result = await collect(places=places)
    assert samples(result.families)[EXISTS] == {("full",): 0.0}
    assert result.failure.reason is Reason.MISSING


async def test_marker_that_was_never_left_is_no_restore_test(tmp_path):
    result = await collect(restore_test_file=tmp_path / "gone", snapshot_file=tmp_path / "none")
    assert (value(result.families, RECORDED), value(result.families, RESTORE)) == (0, None)
    assert value(result.families, EXISTS, "snapshot") == 0


async def test_marker_that_cannot_be_read_costs_no_other(tmp_path):
    """P1's kind: one link to itself, and the restore test was unknown too."""
    (tmp_path / "snapshot").symlink_to("snapshot")
    (tmp_path / "restore").touch()
    result = await collect(snapshot_file=tmp_path / "snapshot", restore_test_file=tmp_path / "restore")
    assert value(result.families, "controlcore_backup_restore_test_recorded") == 1
    assert value(result.families, "controlcore_backup_exists", "snapshot") is None
    assert result.failure.reason is Reason.UNREACHABLE


async def test_previous_backup_of_no_size_gives_no_ratio(tmp_path):
    write(tmp_path / "full_backup_1.sql.gz", b"", 25)
    write(tmp_path / "full_backup_2.sql.gz", gzip.compress(b"x"), 1)
    result = await collect(places=({"kind": "full", "directory": tmp_path},))
    assert (value(result.families, RATIO, "full"), value(result.families, VERIFIED, "full")) == (None, 1)


async def test_status_that_is_no_time_is_malformed():
    result = await collect(cron_job(lastSuccessfulTime="yesterday"))
    assert result.failure.reason is Reason.MALFORMED
    assert LAST not in samples(result.families)


async def test_hanging_file_system_costs_one_thread_and_is_a_timeout(tmp_path):
    settings = BackupSettings(places=({"kind": "full", "directory": tmp_path},))
    async with BackupCollector.open(settings, sources_with()) as collector:
        release = threading.Event()
        collector._running = in_thread(lambda: release.wait(5))
        try:
            for _ in range(3):
                with pytest.raises(TransientError) as caught:
                    await collector.collect()
                assert caught.value.reason is Reason.TIMEOUT
        finally:
            release.set()
        collector._running.result(scaled(5))
        assert value((await collector.collect()).families, EXISTS, "full") == 0


async def test_nothing_to_look_at_is_not_configured():
    for given, settings in ((None, {}), (FakeKubernetes({}), {"cron_job": ""})):
        with pytest.raises(NotConfiguredError):
            await collect(given, **settings)


@pytest.mark.parametrize("kinds", [("full", "full"), ("cronjob",), ("snapshot",)])
def test_kinds_that_would_be_mixed_up_are_refused(tmp_path, kinds):
    with pytest.raises(ValidationError):
        BackupSettings(places=tuple({"kind": kind, "directory": tmp_path} for kind in kinds))


FUTURE, NEWEST = "controlcore_backup_future_times", "controlcore_backup_newest_timestamp_seconds"


async def test_backup_that_is_dated_ahead_is_unknown(tmp_path):
    """X6: a file dated ten days ahead silenced ControlCoreBackupMissing for eleven days."""
    good = gzip.compress(b"x")
    write(tmp_path / "full_backup_1.sql.gz", good, 25)
    write(tmp_path / "full_backup_2.sql.gz", good, -240)
    with counting() as losses:
        result = await collect(places=({"kind": "full", "directory": tmp_path},))
    assert value(result.families, LAST, "full") == value(result.families, NEWEST, "full") == NOW - 25 * 3600
    assert (value(result.families, FUTURE, "full"), losses.dropped[Loss.FUTURE]) == (1, 1)
    assert value(result.families, "controlcore_backup_files", "full") == 2


async def test_only_backups_from_the_future_say_neither_that_there_is_one_nor_that_there_is_none(tmp_path):
    write(tmp_path / "full_backup_1.sql.gz", gzip.compress(b"x"), -0.1)
    result = await collect(places=({"kind": "full", "directory": tmp_path},))
    assert not {LAST, EXISTS, NEWEST, VERIFIED} & set(samples(result.families))
    assert value(result.families, FUTURE, "full") == 1


async def test_every_other_time_from_the_future_is_unknown_too(tmp_path):
    """X6, siblings: markers and the CronJob's status."""
    result = await collect(
        cron_job(lastSuccessfulTime="2099-01-15T06:00:00Z", lastScheduleTime="2099-01-15T05:55:00Z"),
        snapshot_file=write(tmp_path / "snapshot", b"", -3),
        restore_test_file=write(tmp_path / "restore", b"", -3),
    )
    assert samples(result.families)[FUTURE] == {("cronjob",): 1, ("snapshot",): 1, ("restore_test",): 1}
    assert not {LAST, EXISTS, RESTORE, "controlcore_backup_cronjob_last_schedule_timestamp_seconds"} & set(
        samples(result.families)
    )
    assert value(result.families, RECORDED) == 1


@pytest.mark.parametrize("text", ["yesterday", "", 7, [], {}, "9" * 400])
@pytest.mark.parametrize("name", ["lastSuccessfulTime", "lastScheduleTime"])
async def test_cron_job_that_cannot_be_read_costs_nothing_else(tmp_path, name, text):
    write(tmp_path / "full_backup_1.sql.gz", gzip.compress(b"x"), 1)
    result = await collect(cron_job(**{name: text}), places=({"kind": "full", "directory": tmp_path},))
    assert value(result.families, LAST, "full") == NOW - 3600
    assert value(result.families, LAST, "cronjob") is None
