"""Sessions with real stores for as long as a block lasts, and the reason of a probe that fails."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from chassis.postgres.address import PostgresAddress
from chassis.postgres.session import PostgresSession
from chassis.redis import session as redis
from chassis.redis.address import RedisAddress
from tests.integration.chassis.deadlines import GENEROUS_SECONDS, failure_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from chassis.errors import BackendError, Reason


@asynccontextmanager
async def postgres_session(address: PostgresAddress | str, **options: float) -> AsyncIterator[PostgresSession]:
    opened = PostgresSession(PostgresAddress.parse(address) if isinstance(address, str) else address, **options)
    try:
        yield opened
    finally:
        await opened.close()


async def first_value(
    asked: PostgresSession, sql: str, *arguments: object, timeout_seconds: float = GENEROUS_SECONDS
) -> Any:
    return (await asked.fetch(sql, *arguments, timeout_seconds=timeout_seconds))[0][0]


@asynccontextmanager
async def redis_session(address: RedisAddress | str, **options: float) -> AsyncIterator[redis.RedisSession]:
    opened = redis.RedisSession(RedisAddress.parse(address) if isinstance(address, str) else address, **options)
    try:
        yield opened
    finally:
        await opened.close()


async def reason_of_redis_probe(url: str) -> tuple[type[BackendError], Reason]:
    error = await failure_of(redis.probe(RedisAddress.parse(url), GENEROUS_SECONDS))
    return type(error), error.reason
