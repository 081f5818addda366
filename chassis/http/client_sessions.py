"""HTTP connections with a maximum age: successive aiohttp sessions.

A kept connection stays with the server that its name resolved to, even after the name has moved. So a session is used
for a bounded time; the next one resolves the name again.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp

from chassis.net.kept import MAX_AGE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping


class _Lent:
    """One session and the number of requests running on it."""

    def __init__(self, session: aiohttp.ClientSession, opened_at: float) -> None:
        self.session = session
        self.opened_at = opened_at
        self.users = 0


class Connections:
    """Lends the newest session. Open it with `opened()`; requests that run on an older one end undisturbed."""

    def __init__(self, max_connections: int, max_age_seconds: float, headers: Mapping[str, str]) -> None:
        self._max_connections = max_connections
        self._max_age_seconds = max_age_seconds
        self._headers = dict(headers)
        self._newest = self._open()
        self._older: set[_Lent] = set()

    @classmethod
    @asynccontextmanager
    async def opened(
        cls,
        *,
        max_connections: int,
        max_age_seconds: float = MAX_AGE_SECONDS,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[Connections]:
        """Opens the first session, and closes all at exit."""
        connections = cls(max_connections, max_age_seconds, headers or {})
        try:
            yield connections
        finally:
            for lent in (connections._newest, *connections._older):
                await lent.session.close()

    @asynccontextmanager
    async def lend(self) -> AsyncIterator[aiohttp.ClientSession]:
        """The session for one request; the last request on an outdated one closes it."""
        if asyncio.get_running_loop().time() - self._newest.opened_at >= self._max_age_seconds:
            outdated, self._newest = self._newest, self._open()
            self._older.add(outdated)
            await self._close_if_unused(outdated)
        lent = self._newest
        lent.users += 1
        try:
            yield lent.session
        finally:
            lent.users -= 1
            await self._close_if_unused(lent)

    async def _close_if_unused(self, lent: _Lent) -> None:
        """Closes an outdated session without running requests."""
        if lent in self._older and lent.users == 0:
            self._older.discard(lent)
            await lent.session.close()

    def _open(self) -> _Lent:
        """A session without cookies that ignores environment variables, proxies and netrc files."""
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._max_connections),
            headers=self._headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )
        return _Lent(session, asyncio.get_running_loop().time())
