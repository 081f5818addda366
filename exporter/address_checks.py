"""Refuses addresses that could never be used, when the configuration is read. No fault quotes a URL with a password."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from pydantic import SecretStr

from chassis.errors import ConfigError, Fault
from chassis.postgres.address import PostgresAddress
from chassis.redis.address import RedisAddress


def check_database(url: SecretStr | None) -> SecretStr | None:
    """Refuses a database URL that could never be used; the fault does not quote it."""
    if url is not None:
        _as_value_error(lambda: PostgresAddress.parse(url))
    return url


def check_redis(url: SecretStr | None) -> SecretStr | None:
    """Refuses a Redis URL that could never be used; the fault does not quote it."""
    if url is not None:
        _as_value_error(lambda: RedisAddress.parse(url))
    return url


def check_http(url: str | None) -> str | None:
    """Refuses anything but an http or https URL with a host; it may hold no credentials, because it is shown."""
    if url is None:
        return None
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError("not a URL: the host or the port cannot be read") from error
    if parts.scheme not in {"http", "https"} or not host:
        raise ValueError("expected a URL such as http://control-plane-api:8000")
    if parts.username or parts.password:
        raise ValueError("credentials do not belong into this URL")
    return url.rstrip("/")


def place_of(url: str) -> tuple[str, int]:
    """Host and port of a base URL; raises ConfigError when it has no host."""
    parts = urlsplit(url)
    if not parts.hostname:
        raise ConfigError((Fault("api.url", "expected http://host:port"),))
    return parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


def _as_value_error(parse: Callable[[], object]) -> None:
    """Lets pydantic add its own path to the faults of an address."""
    try:
        parse()
    except ConfigError as error:
        raise ValueError("; ".join(fault.message for fault in error.faults)) from None
