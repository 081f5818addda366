from __future__ import annotations

import gzip
import os
import tempfile
from functools import partial
from pathlib import Path

import pytest
from pydantic import ValidationError

from chassis.errors import BackendError, Reason
from exporter.collectors.operations import backup_files
from exporter.collectors.operations.backup_files import BackupPlace, Inspector, modified_at

NOW = 1_800_000_000.0
DUMP = gzip.compress(b"CREATE TABLE users ();\n" * 5000)
NOISE = gzip.compress(os.urandom(3 * 1024 * 1024), 1)
"""Does not compress: there are several slices to read."""


def write(folder, name, content=DUMP, *, hours_old=1.0):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (NOW - hours_old * 3600, NOW - hours_old * 3600))
    return path


def look(folder, inspector=None, *, is_over=lambda: False, **place):
    inspector = inspector or Inspector(settle_seconds=120)
    return inspector.look(BackupPlace(kind="full", directory=folder, **place), NOW, is_over)


def test_newest_whole_file_is_the_last_success(tmp_path):
    write(tmp_path, "full_backup_1.sql.gz", hours_old=25)
    newest = write(tmp_path, "full_backup_2.sql.gz", DUMP + DUMP, hours_old=1)
    write(tmp_path, "something_else.sql.gz", hours_old=0.5)
    found = look(tmp_path)
    assert (found.count, found.newest.path, found.previous.size_bytes) == (2, str(newest), len(DUMP))
    assert (found.is_whole, found.success, found.has_success) == (True, found.newest, True)
    assert found.newest.modified == NOW - 3600


@pytest.mark.parametrize(
    "content",
    [
        b"",
        DUMP[:-1],
        DUMP[: len(DUMP) // 2],
        DUMP[:-8] + b"\0" * 8,
        DUMP[:200] + b"\xff\xff" + DUMP[202:],
        b"CREATE TABLE users ();\n",
        DUMP + b"garbage",
    ],
    ids=["empty", "cut", "half", "checksum", "flipped", "plain", "garbage"],
)
def test_broken_newest_file_is_told_and_the_one_before_it_is_the_last_success(tmp_path, content):
    good = write(tmp_path, "full_backup_1.sql.gz", hours_old=25)
    write(tmp_path, "full_backup_2.sql.gz", content, hours_old=1)
    found = look(tmp_path)
    assert found.is_whole is False
    assert (found.success.path, found.has_success) == (str(good), True)


def test_directory_with_broken_files_only_has_no_success(tmp_path):
    for number in range(4):
        write(tmp_path, f"full_backup_{number}.sql.gz", DUMP[:-1], hours_old=number + 1)
    found = look(tmp_path)
    assert (found.count, found.is_whole, found.success, found.has_success) == (4, False, None, False)


def test_empty_directory_has_no_backup_and_a_missing_one_is_an_error(tmp_path):
    found = look(tmp_path)
    assert (found.count, found.newest, found.has_success) == (0, None, False)
    with pytest.raises(BackendError) as caught:
        look(tmp_path / "gone")
    assert caught.value.reason is Reason.MISSING


def test_file_that_is_still_written_is_not_looked_at(tmp_path):
    write(tmp_path, "full_backup_1.sql.gz", hours_old=25)
    write(tmp_path, "full_backup_2.sql.gz", DUMP[:50], hours_old=0.01)
    found = look(tmp_path)
    assert (found.count, found.is_whole) == (1, True)


def test_large_file_is_read_on_where_the_last_look_stopped(tmp_path):
    write(tmp_path, "full_backup_1.sql.gz", NOISE)
    inspector = Inspector(settle_seconds=120)
    states = []
    while not states or states[-1].is_whole is None:
        steps = iter([False, True])
        states.append(look(tmp_path, inspector, is_over=lambda steps=steps: next(steps)))
    assert 3 < len(states) < 20
    assert states[0].has_success is None
    assert (states[-1].is_whole, inspector.unfinished) == (True, {})


def test_two_directories_share_the_time_and_none_loses_its_place(tmp_path):
    inspector = Inspector(settle_seconds=120)
    for kind in ("a", "b"):
        write(tmp_path, f"{kind}/full_backup_1.sql.gz", NOISE)
    places = [BackupPlace(kind=kind, directory=tmp_path / kind) for kind in ("a", "b")]
    for _ in range(20):
        found = [inspector.look(place, NOW, iter([False, True]).__next__) for place in places]
    assert [folder.is_whole for folder in found] == [True, True]


def test_whole_file_is_read_once_and_again_when_it_was_written_over(tmp_path):
    write(tmp_path, "full_backup_1.sql.gz")
    inspector = Inspector(settle_seconds=120)
    look(tmp_path, inspector)
    assert look(tmp_path, inspector, is_over=lambda: pytest.fail("it was read again")).is_whole is True
    write(tmp_path, "full_backup_1.sql.gz", DUMP[:-2], hours_old=0.5)
    assert look(tmp_path, inspector).is_whole is False


def test_members_in_a_row_and_padding_are_whole_as_for_gunzip(tmp_path):
    write(tmp_path, "full_backup_1.sql.gz", DUMP + DUMP + b"\0" * 512)
    assert look(tmp_path).is_whole is True


def test_other_files_are_good_when_they_are_not_empty(tmp_path):
    write(tmp_path, "control_core.dump", b"PGDMP", hours_old=1)
    found = look(tmp_path, pattern="*.dump")
    assert (found.is_whole, found.has_success) == (None, True)
    write(tmp_path, "later.dump", b"", hours_old=0.5)
    assert look(tmp_path, pattern="*.dump").is_whole is False


def test_switched_off_verification_reads_nothing(tmp_path):
    write(tmp_path, "full_backup_1.sql.gz", DUMP[:-1])
    found = look(tmp_path, Inspector(settle_seconds=120, is_verifying=False))
    assert (found.is_whole, found.has_success) == (None, True)


def test_directories_below_are_reached_by_the_pattern_and_are_no_files_themselves(tmp_path):
    write(tmp_path, "incremental_20260101_020000/base.tar.gz")
    (tmp_path / "incremental_20260102_020000" / "base.tar.gz").mkdir(parents=True)
    assert look(tmp_path, pattern="incremental_*/base.tar.gz").count == 1


def test_too_many_files_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(backup_files, "MAX_ENTRIES", 2)
    for number in range(3):
        write(tmp_path, f"full_backup_{number}.sql.gz")
    with pytest.raises(BackendError) as caught:
        look(tmp_path)
    assert caught.value.reason is Reason.MALFORMED


@pytest.fixture
def foreign(tmp_path_factory):
    """A foreign folder, read by a user without rights on it."""
    with tempfile.TemporaryDirectory() as name:
        folder, is_root = Path(name), os.geteuid() == 0
        folder.chmod(0o755)
        yield folder, partial(os.seteuid, 65534) if is_root else lambda: None
        if is_root:
            os.seteuid(0)


def test_file_that_may_not_be_read_costs_no_other_and_is_neither_whole_nor_broken(foreign):
    """P1's kind: one dump that only its writer may read hid how old and how large the backups are."""
    folder, step_down = foreign
    good = write(folder, "full_backup_1.sql.gz", hours_old=25)
    write(folder, "full_backup_2.sql.gz", hours_old=1).chmod(0)
    step_down()
    found = look(folder)
    assert (found.count, found.newest.modified, found.is_whole) == (2, NOW - 3600, None)
    assert (found.success.path, found.has_success) == (str(good), True)
    assert found.failure.reason is Reason.PERMISSION


def test_entry_that_leads_nowhere_is_unknown_and_costs_no_other(tmp_path):
    """P1's kind: a link to itself. Whether it is a backup is unknown, so there is not known to be none."""
    (tmp_path / "full_backup_2.sql.gz").symlink_to("full_backup_2.sql.gz")
    found = look(tmp_path)
    assert (found.count, found.newest, found.has_success, found.failure.reason) == (0, None, None, Reason.UNREACHABLE)
    write(tmp_path, "full_backup_1.sql.gz")
    found = look(tmp_path)
    assert (found.count, found.is_whole, found.has_success) == (1, True, True)


@pytest.mark.parametrize("pattern", ["", "/backups/*.gz"])
def test_pattern_that_can_find_nothing_is_a_fault_of_the_configuration(pattern):
    """It failed at every reading, with a traceback."""
    with pytest.raises(ValidationError, match="pattern"):
        BackupPlace(kind="full", directory="/x", pattern=pattern)


def test_marker_tells_its_time_or_that_it_is_not_there(tmp_path):
    assert modified_at(write(tmp_path, "restore_test", b"", hours_old=48)) == NOW - 48 * 3600
    assert modified_at(tmp_path / "gone") is None
    with pytest.raises(BackendError):
        modified_at(write(tmp_path, "file") / "below")
