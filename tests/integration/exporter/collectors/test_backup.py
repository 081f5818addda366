"""Backups as the guide's script makes them (pg_dump through gzip), and a real CronJob's status."""

from __future__ import annotations

import os
import subprocess
import time
from datetime import UTC, datetime

import pytest

from chassis.clock import SystemClock
from chassis.errors import Reason
from exporter.collectors.operations.backup import BackupCollector, BackupSettings
from tests.fakes.sources import make_sources, samples, value
from tests.integration.exporter.collectors.accounts import ACCOUNT, GROUP, account_for, sources_of
from tools.install.packages import locate

LAST, EXISTS = "controlcore_backup_last_success_timestamp_seconds", "controlcore_backup_exists"
VERIFIED, RATIO = "controlcore_backup_verified", "controlcore_backup_size_ratio"
SUSPENDED = "controlcore_backup_cronjob_suspended"
SCHEDULED = "controlcore_backup_cronjob_last_schedule_timestamp_seconds"
CONTAINER = {"name": "dump", "image": "registry.invalid/postgres:15"}


def dump(url, path, *, hours_old):
    """pg_dump | gzip > path, as the guide's script does."""
    program = locate("postgres").parent / "pg_dump"
    text = subprocess.run([str(program), "--dbname", url], check=True, capture_output=True).stdout
    path.write_bytes(subprocess.run(["gzip"], input=text, check=True, capture_output=True).stdout)
    then = time.time() - hours_old * 3600
    os.utime(path, (then, then))
    return then


def is_whole_for_gunzip(path):
    return subprocess.run(["gunzip", "-t", str(path)], check=False, capture_output=True).returncode == 0


async def collect_files(folder):
    settings = BackupSettings(places=({"kind": "full", "directory": folder},))
    async with BackupCollector.open(settings, make_sources(clock=SystemClock())) as collector:
        return await collector.collect()


async def test_dumps_of_a_real_database_are_verified_and_compared(product, tmp_path):
    dump(product.url, tmp_path / "full_backup_20260101_020000.sql.gz", hours_old=25)
    product.run(
        "INSERT INTO users (username, password_hash) SELECT 'more' || n, md5(n::text) FROM generate_series(1, 2000) n"
    )
    newest = dump(product.url, tmp_path / "full_backup_20260102_020000.sql.gz", hours_old=1)
    result = await collect_files(tmp_path)
    assert value(result.families, VERIFIED, "full") == 1
    assert value(result.families, LAST, "full") == pytest.approx(newest, abs=0.001)
    assert value(result.families, RATIO, "full") > 1
    assert result.failure is None


async def test_dump_that_gunzip_refuses_is_refused_here_too(product, tmp_path):
    earlier = dump(product.url, tmp_path / "full_backup_20260101_020000.sql.gz", hours_old=25)
    newest = tmp_path / "full_backup_20260102_020000.sql.gz"
    then = dump(product.url, newest, hours_old=1)
    newest.write_bytes(newest.read_bytes()[:-100])
    os.utime(newest, (then, then))
    assert not is_whole_for_gunzip(newest)
    result = await collect_files(tmp_path)
    assert value(result.families, VERIFIED, "full") == 0
    assert value(result.families, LAST, "full") == pytest.approx(earlier, abs=0.001)


def cron_job(namespace):
    template = {"spec": {"restartPolicy": "Never", "containers": [CONTAINER]}}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"namespace": namespace, "name": "postgres-backup"},
        "spec": {"schedule": "0 2 * * *", "suspend": True, "jobTemplate": {"spec": {"template": template}}},
    }


async def collect_job(cluster, namespace):
    async with sources_of(cluster, namespace) as sources, BackupCollector.open(BackupSettings(), sources) as collector:
        return await collector.collect()


async def test_real_cron_job_tells_its_last_success(cluster, namespace):
    cluster.apply([cron_job(namespace), *account_for(namespace, BackupCollector)])
    before = await collect_job(cluster, namespace)
    path = f"/apis/batch/v1/namespaces/{namespace}/cronjobs/postgres-backup"
    status = {"lastScheduleTime": "2026-01-02T02:00:00Z", "lastSuccessfulTime": "2026-01-02T02:05:30Z"}
    cluster.client.patch(f"{path}/status", {"status": status})
    after = await collect_job(cluster, namespace)
    assert (value(before.families, EXISTS, "cronjob"), value(before.families, SUSPENDED)) == (0, 1)
    expected = datetime(2026, 1, 2, 2, 5, 30, tzinfo=UTC).timestamp()
    assert value(after.families, LAST, "cronjob") == expected
    assert value(after.families, SCHEDULED) == expected - 330


async def test_account_without_the_declared_right_is_a_permission_failure(cluster, namespace):
    cluster.apply([cron_job(namespace), *account_for(namespace, BackupCollector)])
    cluster.client.delete(f"/apis/{GROUP}/v1/namespaces/{namespace}/rolebindings/{ACCOUNT}")
    result = await collect_job(cluster, namespace)
    assert samples(result.families) == {}
    assert result.failure.reason is Reason.PERMISSION
