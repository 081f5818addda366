"""Passwords in the addresses of both stores."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from chassis.errors import ConfigError, PermanentError, Reason
from chassis.postgres.address import PostgresAddress
from chassis.redis.address import RedisAddress

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "hunter2"
BOTH = pytest.mark.parametrize(
    ("kind", "url", "setting"),
    [
        (PostgresAddress, f"postgresql://u:{SECRET}@h/d", "database.password_file"),
        (RedisAddress, f"redis://:{SECRET}@h", "redis.password_file"),
    ],
    ids=["postgres", "redis"],
)


@pytest.mark.parametrize(
    ("kind", "url"),
    [
        (PostgresAddress, f"mysql://u:{SECRET}@h/d"),
        (PostgresAddress, f"postgresql://u:{SECRET}@h:x/d"),
        (PostgresAddress, f"postgresql://u:{SECRET}@h/d?sslmode=x"),
        (RedisAddress, f"http://u:{SECRET}@h"),
        (RedisAddress, f"redis://:{SECRET}@h:x"),
        (RedisAddress, f"redis://:{SECRET}@h/x"),
    ],
)
def test_fault_never_repeats_the_password(kind, url):
    with pytest.raises(ConfigError) as caught:
        kind(SecretStr(url), setting="other.url")
    assert SECRET not in str(caught.value)
    assert caught.value.faults[0].path == "other.url"


@BOTH
def test_rendered_address_hides_the_password(kind, url, setting):
    del setting
    address = kind.parse(url)
    values = [getattr(address, field.name) for field in dataclasses.fields(address)]
    assert SECRET not in f"{address!r} {address} {address.target()!r} {values}"


@BOTH
def test_password_file_wins_and_is_read_every_time(kind, url, setting, tmp_path: Path):
    del setting
    path = tmp_path / "password"
    address = kind.parse(url, password_file=path)
    for password in ("one", "two"):
        path.write_text(f"{password}\n", encoding="utf-8")
        assert address.read_password(address.target()) == password


@BOTH
def test_unreadable_password_file_is_an_auth_failure_that_names_the_setting(kind, url, setting, tmp_path: Path):
    """A file that is missing for a moment, while it is rotated, must not end the program."""
    address = kind.parse(url, password_file=tmp_path / "none")
    with pytest.raises(PermanentError, match=setting) as caught:
        address.read_password(address.target())
    assert caught.value.reason is Reason.AUTH
