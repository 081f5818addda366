"""Reads the Kubernetes API for everything that does not write: facts, evidence, verification, `doctor`.

A reader for one decision fetches each object once, so that the decision uses one consistent state, not older than
itself. Its parent reader caches nothing. Callers must not change the returned objects.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from chassis.errors import BackendError

if TYPE_CHECKING:
    from chassis.kubernetes.client import ClusterApi, JsonObject

T = TypeVar("T")


@dataclass(slots=True)
class _CachedReply:
    """The result of one read; the lock is held while it runs."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    value: Any = None
    error: BackendError | None = None
    is_known: bool = False


class ClusterReader:
    """Queries the API server; every method raises BackendError."""

    def __init__(self, api: ClusterApi, timeout_seconds: float, *, is_caching: bool = False) -> None:
        """`timeout_seconds` is for each call."""
        self._api = api
        self._timeout_seconds = timeout_seconds
        self._replies: dict[tuple[str, ...], _CachedReply] | None = {} if is_caching else None

    def for_decision(self) -> ClusterReader:
        """A reader that fetches nothing twice; it must not outlive the decision."""
        return ClusterReader(self._api, self._timeout_seconds, is_caching=True)

    async def get(self, path: str) -> JsonObject:
        """One object."""
        return await self._once((path,), lambda: self._api.get(path, timeout_seconds=self._timeout_seconds))

    async def list(self, path: str, *, labels: str | None = None, fields: str | None = None) -> list[JsonObject]:
        """Every object of a collection that matches the selectors (in the form of query parameters)."""
        return await self._once(
            (path, labels or "", fields or ""),
            lambda: self._api.list(
                path, timeout_seconds=self._timeout_seconds, label_selector=labels, field_selector=fields
            ),
        )

    async def text(self, path: str, query: Mapping[str, str]) -> str:
        """A plain-text answer such as a pod's log, never from the cache."""
        return await self._api.text(path, timeout_seconds=self._timeout_seconds, query=query)

    async def _once(self, key: tuple[str, ...], question: Callable[[], Awaitable[T]]) -> T:
        """The result; the first caller reads it. If that caller is cancelled, the next one reads."""
        if self._replies is None:
            return await question()
        reply = self._replies.setdefault(key, _CachedReply())
        async with reply.lock:
            if not reply.is_known:
                try:
                    reply.value = await question()
                except BackendError as error:
                    reply.error = error
                reply.is_known = True
        if reply.error is not None:
            raise reply.error
        value: T = reply.value
        return value
