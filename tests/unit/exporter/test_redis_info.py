from __future__ import annotations

from exporter.redis_info import INFO_METRICS, read_info, read_version
from tests.fakes.sources import samples, value
from tests.unit.exporter.collectors.test_redis import INFO

LOG_SUCCESS = "controlcore_redis_append_log_last_write_successful"
LINK, PRIMARY = "controlcore_redis_primary_link_up", "controlcore_redis_primary"


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
    assert read_version({}) is None


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
