"""Answers each question of one decision once: an object that several guards ask about is fetched one time.

Lives as long as one decision, so nothing in it is older than that. Whoever gets an object must not change it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from chassis.errors import BackendError

if TYPE_CHECKING:
    from chassis.kubernetes.client import ClusterApi, JsonObject

Key = tuple[str, ...]


@dataclass(slots=True)
class _CachedReply:
    """What one question got; the lock is held while it is being asked."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    value: Any = None
    error: BackendError | None = None
    is_known: bool = False


class CachingApi:
    """A chassis.kubernetes.client.ClusterApi that remembers what it has read."""

    def __init__(self, api: ClusterApi) -> None:
        self._api = api
        self._answers: dict[Key, _CachedReply] = {}

    async def get(self, path: str, *, timeout_seconds: float) -> JsonObject:
        """One object."""
        found: JsonObject = await self._cached(
            ("get", path), lambda: self._api.get(path, timeout_seconds=timeout_seconds)
        )
        return found

    async def list(
        self, path: str, *, timeout_seconds: float, label_selector: str | None = None, field_selector: str | None = None
    ) -> list[JsonObject]:
        """Every object of a collection."""
        found: list[JsonObject] = await self._cached(
            ("list", path, label_selector or "", field_selector or ""),
            lambda: self._api.list(
                path, timeout_seconds=timeout_seconds, label_selector=label_selector, field_selector=field_selector
            ),
        )
        return found

    async def _cached(self, key: Key, question: Callable[[], Awaitable[Any]]) -> Any:
        """The answer, asked by whoever comes first. Who is cancelled while asking leaves it to the next."""
        answer = self._answers.setdefault(key, _CachedReply())
        async with answer.lock:
            if not answer.is_known:
                try:
                    answer.value = await question()
                except BackendError as error:
                    answer.error = error
                answer.is_known = True
        if answer.error is not None:
            raise answer.error
        return answer.value
