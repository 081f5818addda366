from __future__ import annotations

import random

import pytest

from chassis.redis.session import parse_info
from exporter.collectors.redis.info import INFO_METRICS, read_server
from exporter.collectors.redis.info import read_info as read_info_at
from exporter.items import counting
from tests.fakes.sources import samples, value
from tests.unit.exporter.collectors.redis.test_redis import INFO

NOW = 1_767_000_060.0
LOG_SUCCESS = "controlcore_redis_append_log_last_write_successful"
LINK, PRIMARY = "controlcore_redis_primary_link_up", "controlcore_redis_primary"


def read_info(fields):
    return read_info_at(fields, NOW)


def test_every_declared_metric_comes_from_a_field():
    assert set(samples(read_info(INFO))) == {metric.name for metric in INFO_METRICS}


def test_no_memory_limit_is_absent_and_not_zero():
    assert "controlcore_redis_memory_limit_bytes" not in samples(read_info(INFO | {"maxmemory": 0}))


def test_field_that_a_server_hides_is_absent():
    hidden = {name: number for name, number in INFO.items() if name not in {"evicted_keys", "keyspace_misses"}}
    names = samples(read_info(hidden))
    assert "controlcore_redis_evicted_keys_total" not in names
    assert "controlcore_redis_keyspace_requests_total" not in names
    assert "controlcore_redis_keyspace_hits_total" in names


def test_nothing_that_is_said_is_nothing_known():
    assert samples(read_info({})) == {}
    assert read_server({}) == ("other", None)


def test_primary_has_no_link_to_one():
    families = read_info({"role": "master", "connected_slaves": 0})
    assert (value(families, PRIMARY), value(families, LINK)) == (1, None)


def test_append_log_that_is_off_has_no_last_write():
    """Redis says `ok` of a write that never was."""
    families = read_info({"aof_enabled": 0, "aof_last_write_status": "ok"})
    assert LOG_SUCCESS not in samples(families)
    assert value(read_info({"aof_enabled": 1, "aof_last_write_status": "err"}), LOG_SUCCESS) == 0


def test_words_where_numbers_belong_are_unknown():
    assert samples(read_info({"used_memory": "much", "role": 7, "rdb_last_bgsave_status": 1.5})) == {}


VALKEY = """# Server\r
redis_version:7.2.4\r
server_name:valkey\r
valkey_version:8.1.0\r
valkey_release_stage:ga\r
redis_mode:standalone\r
server_time_usec:1767000060000000\r
uptime_in_seconds:12\r
\r
# Persistence\r
rdb_saves:0\r
rdb_last_save_time:1767000048\r
rdb_last_bgsave_status:ok\r
aof_enabled:0\r
\r
# Replication\r
role:master\r
connected_slaves:3\r
slave0:ip=10.0.0.7,port=6379,state=online,offset=98,lag=0,type=replica\r
slave1:ip=10.0.0.8,port=6379,state=wait_bgsave,offset=0,lag=0,type=replica\r
slave2:ip=10.0.0.9,port=0,state=online,offset=0,lag=900,type=replica\r
"""
"""A page in the form that Valkey 8.1 answers (its src/server.c)."""


def test_valkey_is_shown_as_valkey_with_its_own_version():
    """X19: it was Redis 7.2.4."""
    fields = parse_info(VALKEY)
    assert read_server(fields) == ("valkey", "8.1.0")
    assert samples(read_info(fields))["controlcore_redis_server_info"] == {("valkey", "8.1.0"): 1}


@pytest.mark.parametrize("version", ["7.10", "7.0", "8", "7.2.4", "255.255.255", "007.1"])
def test_version_is_text_as_it_stands(version):
    """X19: 7.10 was 7.1."""
    assert read_server(parse_info(f"redis_version:{version}\r\n")) == ("redis", version)


def test_program_that_is_not_known_is_other():
    assert read_server(parse_info("server_name:newkey\r\nredis_version:7.2.4\r\n")) == ("other", "7.2.4")


def test_replica_that_follows_counts_and_one_that_copies_does_not():
    """X7, for Redis: connected_slaves counts every client of PSYNC, as pg_stat_replication does."""
    assert value(read_info(parse_info(VALKEY)), "controlcore_redis_connected_replicas") == 1


def test_snapshot_that_was_never_taken_has_neither_time_nor_outcome():
    """The default `ok` and the start time are not facts."""
    names = set(samples(read_info(parse_info(VALKEY))))
    assert not {name for name in names if "snapshot_last" in name}


def test_snapshot_in_the_future_is_unknown():
    page = VALKEY.replace("rdb_saves:0", "rdb_saves:1").replace("time:1767000048", "time:1767864048")
    assert "controlcore_redis_snapshot_last_success_timestamp_seconds" not in samples(read_info(parse_info(page)))


BAD = ["", "nan", "-nan", "inf", "-1", "-9223372036854775808", "1e999", "9" * 400, "1_000", "٣", "0x10", "1.2.3", "ok"]
BAD += ["err", "NULL", "\ud800", "a\x00b", "x" * 100_000, ":", "::1", "{}", " 7", "7 ", "+7", "true"]
CLEAN = "".join(f"{name}:{value}\r\n" for name, value in (INFO | parse_info(VALKEY)).items())


@pytest.mark.parametrize("bad", BAD)
def test_spoiled_field_costs_itself_at_most(bad):
    """A generated family of malformed INFO pages: every field of a page in turn holds every bad value."""
    clean = samples(read_info(parse_info(CLEAN)))
    for name in parse_info(CLEAN):
        page = "".join(f"{key}:{bad if key == name else kept}\r\n" for key, kept in parse_info(CLEAN).items())
        with counting():
            found = samples(read_info(parse_info(page)))
        numbers = [number for family in found.values() for number in family.values()]
        assert all(0 <= number < float("inf") for number in numbers), (name, bad)
        lost = set(clean) - set(found)
        assert len(lost) <= 3, (name, bad, lost)


def test_page_that_is_cut_or_shuffled_is_read_as_far_as_it_goes():
    lines, dice = CLEAN.split("\r\n"), random.Random(7)  # noqa: S311 - no secret
    for _ in range(200):
        dice.shuffle(lines)
        page = dice.choice(["\r\n", "\n", "\r\r\n", ""]).join(lines)[: dice.randrange(len(CLEAN))]
        with counting():
            families = read_info(parse_info(page))
        assert all(0 <= number < float("inf") for each in samples(families).values() for number in each.values())
