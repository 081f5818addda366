from __future__ import annotations

import pytest

from chassis.errors import PermanentError, Reason
from exporter.collector import NotConfiguredError
from exporter.collectors.redis.redis_keys import RedisKeysCollector, RedisKeysSettings, class_of
from tests.fakes.sources import expose, golden, make_sources, samples, value

KEYS, ALL, SAMPLED = "controlcore_redis_keys", "controlcore_redis_database_keys", "controlcore_redis_keys_sampled"


class Session:
    """A database whose SCAN gives one part after the other; the cursor is the number of the next part."""

    def __init__(self, *parts, total=None) -> None:
        self.parts = parts
        self.total = sum(len(part) for part in parts) if total is None else total
        self.cursors = []

    async def count_keys(self, *, timeout_seconds):
        assert timeout_seconds > 0
        return self.total

    async def scan(self, cursor, count, *, timeout_seconds):
        assert (count, timeout_seconds) == (200, 2.0)
        self.cursors.append(cursor)
        part = int(cursor)
        return str((part + 1) % len(self.parts)), list(self.parts[part])


def names(beginning, count):
    return [f"{beginning}{number}" for number in range(count)]


async def collect(session, times=1, **settings):
    async with RedisKeysCollector.open(RedisKeysSettings(**settings), make_sources(redis=session)) as collector:
        return [await collector.collect() for _ in range(times)][-1]


async def test_counted_keys_give_the_golden_page():
    session = Session(names("pip:conn:", 3), [*names("rate_limit:ip:", 2), "audit:security:1:a", "session:x"])
    result = await collect(session)
    assert expose(result.families) == golden("redis_keys")


async def test_class_without_a_key_is_a_known_zero_when_all_were_looked_at():
    result = await collect(Session(["x"]))
    assert samples(result.families)[KEYS] == {("pip",): 0, ("rate_limit",): 0, ("security_audit",): 0, ("other",): 1}


async def test_sample_of_many_keys_is_scaled_up_and_what_it_lacks_is_unknown():
    parts = [names(f"pip:conn:{part}:", 150) + names(f"x{part}:", 50) for part in range(50)]
    result = await collect(Session(*parts), sample_keys=1000)
    assert samples(result.families)[KEYS] == {("pip",): 7500, ("other",): 2500}
    assert (value(result.families, ALL), value(result.families, SAMPLED)) == (10_000, 1000)


async def test_next_sample_goes_on_where_the_last_one_ended():
    session = Session(*[names(f"a{part}:", 200) for part in range(50)])
    await collect(session, times=2, sample_keys=1000)
    assert session.cursors == [str(number) for number in range(10)]


async def test_end_of_a_pass_that_began_elsewhere_is_no_count_of_all():
    session = Session(*[names(f"pip:conn:{part}:", 200) for part in range(8)])
    result = await collect(session, times=2, sample_keys=1000)
    assert session.cursors[-1] == "7"
    assert samples(result.families)[KEYS] == {("pip",): 1600}


async def test_key_given_twice_is_counted_once():
    assert value((await collect(Session(["x"], ["x"], total=1))).families, KEYS, "other") == 1


async def test_sparse_table_ends_the_sample_after_a_bounded_number_of_commands():
    session = Session(*[[]] * 1000, total=5000)
    result = await collect(session)
    assert len(session.cursors) == 21
    assert KEYS not in samples(result.families)


async def test_forbidden_scan_raises_instead_of_publishing():
    session = Session(["x"])
    session.scan = refuse
    with pytest.raises(PermanentError):
        await collect(session)


async def refuse(*_arguments, timeout_seconds):
    raise PermanentError(Reason.PERMISSION, f"no SCAN in {timeout_seconds} s")


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("pip:conn:7:attr:department", "pip"),
        ("rate_limit:user:ada", "rate_limit"),
        ("audit:security:1767000000:ab12", "security_audit"),
        ("audit:security", "other"),
        ("PIP:CONN:7", "other"),
        ("", "other"),
    ],
)
def test_class_of_a_key(name, label):
    assert class_of(name) == label


async def test_no_redis_is_not_configured():
    with pytest.raises(NotConfiguredError):
        async with RedisKeysCollector.open(RedisKeysSettings(), make_sources()):
            pass
