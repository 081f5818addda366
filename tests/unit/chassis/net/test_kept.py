"""A kept connection that is cancelled between two connections leaves neither of them open."""

from __future__ import annotations

import asyncio

import pytest

from chassis.net.kept import KeptConnection


class Lines(KeptConnection[int]):
    """Numbered connections. A call of the method that `waits_in` names never ends."""

    def __init__(self) -> None:
        super().__init__("line", max_age_seconds=0.0)
        self.waits_in = ""
        self.opened = 0
        self.still_open: set[int] = set()

    async def _wait(self, method: str) -> None:
        if method == self.waits_in:
            await asyncio.Event().wait()

    async def _connect(self) -> int:
        await self._wait("connect")
        self.opened += 1
        self.still_open.add(self.opened)
        return self.opened

    async def _identify(self, connection: int) -> str | None:
        await self._wait("identify")
        return f"server of {connection}"

    async def _is_usable(self, connection: int) -> bool:
        await self._wait("is_usable")
        return connection in self.still_open

    def _has_no_place(self, error: Exception) -> bool:
        raise AssertionError(error)

    async def _part(self, connection: int, *, is_polite: bool) -> None:
        self.still_open.discard(connection)
        if is_polite:
            await self._wait("part")

    async def use(self) -> int:
        """What a query does with the connection."""
        async with self._lock:
            return await self._ready()


@pytest.mark.parametrize("method", ["is_usable", "connect", "identify", "part"])
async def test_cancelled_exchange_leaves_no_connection_open(method: str) -> None:
    lines = Lines()
    assert await lines.use() == 1
    lines.waits_in = method
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await lines.use()
    assert lines.still_open == set()
    lines.waits_in = ""
    assert {await lines.use()} == lines.still_open
