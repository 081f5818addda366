"""Opens the configured sources, and closes them in reverse order.

Nothing here contacts a backend: the first collection that needs a connection opens it, so a backend that is down delays
nothing. A driver is imported only when its backend is configured and a collector here uses it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module

from chassis.clock import Clock
from chassis.http.client import HttpClient
from chassis.kubernetes.client import KubernetesClient
from chassis.postgres.address import PostgresAddress
from chassis.redis.address import RedisAddress
from exporter.settings import ExporterSettings, Scope
from exporter.sources.sources import Sources


@asynccontextmanager
async def opened(settings: ExporterSettings, clock: Clock) -> AsyncIterator[Sources]:
    """Yields the sources of a configuration. Raises ConfigError when Kubernetes credentials cannot be used."""
    async with AsyncExitStack() as stack:
        postgres_address, redis_address = addresses(settings)
        postgres = redis = kubernetes = None
        has_stores = settings.runs(Scope.DEPLOYMENT)  # collectors of scope pod query only the API
        if has_stores and postgres_address is not None:
            await _load("chassis.postgres.session")
            from chassis.postgres.session import PostgresSession  # noqa: PLC0415 - the driver costs memory

            postgres = PostgresSession(postgres_address, max_age_seconds=settings.database.max_connection_seconds)
            stack.push_async_callback(postgres.close)
        if has_stores and redis_address is not None:
            await _load("chassis.redis.session")
            from chassis.redis.session import RedisSession  # noqa: PLC0415 - the driver costs memory

            redis = RedisSession(redis_address, max_age_seconds=settings.redis.max_connection_seconds)
            stack.push_async_callback(redis.close)
        if settings.kubernetes is not None:
            await _load("chassis.output.redaction")
            from chassis.output.redaction import remove_secrets  # noqa: PLC0415 - RE2 costs memory

            place = settings.kubernetes
            opening = KubernetesClient.opened(place.kubeconfig, place.max_list_bytes, remove_secrets)
            kubernetes = await stack.enter_async_context(opening)
        yield Sources(
            clock=clock,
            settings=settings,
            http=await stack.enter_async_context(HttpClient.opened()),
            postgres=postgres,
            postgres_address=postgres_address,
            redis=redis,
            redis_address=redis_address,
            kubernetes=kubernetes,
        )


async def _load(module: str) -> None:
    """Imports a module beside the event loop: on a slow machine a driver takes seconds."""
    if module not in sys.modules:
        await asyncio.to_thread(import_module, module)


def addresses(settings: ExporterSettings) -> tuple[PostgresAddress | None, RedisAddress | None]:
    """The database's and Redis' addresses; None for what is not configured."""
    database, redis = settings.database, settings.redis
    return (
        None
        if database.url is None
        else PostgresAddress(database.url, password_file=database.password_file, setting="database.url"),
        None if redis.url is None else RedisAddress(redis.url, password_file=redis.password_file, setting="redis.url"),
    )
