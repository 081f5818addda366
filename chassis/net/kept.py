"""One connection to a server that is kept between queries, and dropped when it no longer leads to the right server."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from chassis.errors import Reason, TransientError
from chassis.log import get_logger

MAX_AGE_SECONDS = 300.0
"""Longest use of a connection: its name may resolve elsewhere by then, and a new one costs the server little."""

C = TypeVar("C")


class KeptConnection(ABC, Generic[C]):
    """A connection for one caller at a time; opened at first use and again after a failure.

    It is replaced when it is `max_age_seconds` old, and as soon as a new client reached another server under the same
    name: after a failover the old server may still answer.
    """

    def __init__(self, event: str, max_age_seconds: float) -> None:
        """`event` is the log event for a server that changed."""
        self._event = event
        self._max_age_seconds = max_age_seconds
        self._lock = asyncio.Lock()
        self._kept: C | None = None
        self._is_closed = False
        self._opened_at = 0.0
        self._server: str | None = None
        self._met: str | None = None
        self.server_changes = 0
        """How often the kept connection was replaced because a new client reached another server."""

    @abstractmethod
    async def _connect(self) -> C:
        """A new connection."""

    @abstractmethod
    async def _identify(self, connection: C) -> str | None:
        """The identity of its server; None if the server gives none."""

    @abstractmethod
    async def _is_usable(self, connection: C) -> bool:
        """Whether it can carry another query."""

    @abstractmethod
    def _has_no_place(self, error: Exception) -> bool:
        """Whether the server refuses every new client; the kept connection then stays in use."""

    @abstractmethod
    async def _part(self, connection: C, *, is_polite: bool) -> None:
        """Ends the connection: in order within half a second, or at once. Raises only if the caller is cancelled."""

    async def close(self) -> None:
        """Ends the connection, in order when nothing is running on it; returns within half a second."""
        self._is_closed = True
        kept, self._kept = self._kept, None
        if kept is not None:
            await self._part(kept, is_polite=not self._lock.locked())

    async def _ready(self) -> C:
        """The kept connection, or a new one when it does not work, is too old or leads to another server.

        The lock is held.
        """
        kept, self._kept = self._kept, None
        if kept is not None:
            kept = await self._check(kept)
        if not self._is_closed:
            kept = await self._open() if kept is None else await self._renew(kept)
        if self._is_closed:
            if kept is not None:
                await self._part(kept, is_polite=False)
            raise TransientError(Reason.CLOSED, "the session is closed")
        self._kept = kept
        return kept  # type: ignore[return-value] # only a closed session has none

    async def _check(self, connection: C) -> C | None:
        """The connection; None, and it is dropped, if it cannot carry another query."""
        is_usable = False
        try:
            is_usable = await self._is_usable(connection)
        finally:
            if not is_usable:
                await self._part(connection, is_polite=False)
        return connection if is_usable else None

    async def _drop(self, connection: C) -> None:
        """Drops a connection whose call did not end well, so that no caller reads another's reply."""
        self._kept = None
        await self._part(connection, is_polite=False)

    async def _open(self) -> C:
        """A new connection, and its server's identity."""
        connection = await self._connect()
        try:
            self._server, self._met = await self._identify(connection), None
        except BaseException:
            await self._part(connection, is_polite=False)
            raise
        self._opened_at = asyncio.get_running_loop().time()
        return connection

    async def _renew(self, old: C) -> C:
        """The connection itself, or a new one instead; the old one is dropped even if a new one cannot be opened."""
        is_moved = None not in {self._met, self._server} and self._met != self._server
        if not is_moved and asyncio.get_running_loop().time() - self._opened_at < self._max_age_seconds:
            return old
        if is_moved:
            self.server_changes += 1
            get_logger().warning(self._event, hint="the kept connection leads to another server")
        try:
            new = await self._open()
        except BaseException as error:
            if not is_moved and isinstance(error, Exception) and self._has_no_place(error):
                return old
            await self._part(old, is_polite=False)
            raise
        try:
            await self._part(old, is_polite=True)
        except BaseException:
            await self._part(new, is_polite=False)
            raise
        return new
