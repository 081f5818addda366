from __future__ import annotations

import pytest

from exporter.collectors.operations.tuning_rules import (
    POSTGRES_RECOMMENDED,
    POSTGRES_UNITS,
    REDIS_RECOMMENDED,
    REDIS_UNITS,
    read_setting,
)


@pytest.mark.parametrize(
    ("text", "unit", "number"),
    [
        ("32768", "8kB", 268_435_456),
        ("256MB", "", 268_435_456),
        ("1GB", "", 1_073_741_824),
        ("0.9", "", 0.9),
        ("4096", "kB", 4_194_304),
        ("1500", "ms", 1.5),
        ("5min", "", 300),
        ("-1", "8kB", -8192),
        ("on", "", None),
        ("12 parsecs", "", None),
    ],
)
def test_postgres_settings_become_base_units(text, unit, number):
    assert read_setting(text, POSTGRES_UNITS, unit).number == number


@pytest.mark.parametrize(
    ("text", "number"),
    [("2gb", 2_147_483_648), ("2g", 2_000_000_000), ("2147483648", 2_147_483_648), ("60", 60), ("allkeys-lru", None)],
)
def test_redis_settings_become_base_units(text, number):
    assert read_setting(text, REDIS_UNITS).number == number


@pytest.mark.parametrize(
    ("found", "recommended", "is_off"),
    [
        (read_setting("32768", POSTGRES_UNITS, "8kB"), read_setting("256MB", POSTGRES_UNITS), False),
        (read_setting("16384", POSTGRES_UNITS, "8kB"), read_setting("256MB", POSTGRES_UNITS), True),
        (read_setting("0.9", POSTGRES_UNITS), read_setting("0.90", POSTGRES_UNITS), False),
        (read_setting("noeviction", REDIS_UNITS), read_setting("allkeys-lru", REDIS_UNITS), True),
        (read_setting("ALLKEYS-LRU", REDIS_UNITS), read_setting("allkeys-lru", REDIS_UNITS), False),
        (read_setting("0", REDIS_UNITS), read_setting("2gb", REDIS_UNITS), True),
    ],
)
def test_settings_are_compared_as_what_they_mean(found, recommended, is_off):
    assert found.differs_from(recommended) is is_off


def test_every_recommended_number_can_be_read():
    assert all(read_setting(text, POSTGRES_UNITS).number is not None for text in POSTGRES_RECOMMENDED.values())
    words = [name for name, text in REDIS_RECOMMENDED.items() if read_setting(text, REDIS_UNITS).number is None]
    assert words == ["maxmemory-policy"]
