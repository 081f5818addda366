"""Serves a bounded number of scrapes at once, and ends those whose client stops reading."""

from __future__ import annotations

import asyncio
from collections import Counter as Tally
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aiohttp import web

from chassis.http.connection_limits import address_of
from chassis.log import Quiet
from exporter.self_metrics import Refusal

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from chassis.clock import Clock
    from chassis.http.connection_limits import Dropped
    from exporter.metrics import Counter


class RefusedError(Exception):
    """A scrape may not be served now."""

    def __init__(self, reason: Refusal) -> None:
        super().__init__(reason.value)
        self.reason = reason


class ScrapeLimiter:
    """Counts the scrapes in flight. Refusals are counted, and logged once a minute for each reason."""

    def __init__(
        self, refused: Counter, clock: Clock, logger: FilteringBoundLogger, dropped: Counter | None = None
    ) -> None:
        self.in_flight = 0
        self._of_address: Tally[str] = Tally()
        self._refused = refused
        self._dropped = dropped
        self._logger = logger
        self._quiet = Quiet(clock)

    @contextmanager
    def passing(self, most: int, host: str) -> Iterator[None]:
        """Holds one of `most` slots; raises RefusedError(overloaded) when all are taken.

        One address gets at most half of them, so that clients that do not read leave slots for others.
        """
        address = address_of(host)
        if self.in_flight >= most or self._of_address[address] >= max(1, most // 2):
            self.refuse(Refusal.OVERLOADED)
            raise RefusedError(Refusal.OVERLOADED)
        self.in_flight += 1
        self._of_address[address] += 1
        try:
            yield
        finally:
            self.in_flight -= 1
            self._of_address[address] -= 1
            self._of_address += Tally()  # drops addresses without a scrape

    async def deliver(self, request: web.Request, response: web.Response, patience_seconds: float) -> web.Response:
        """Sends the response; a client that does not read it within `patience_seconds` is disconnected.

        Otherwise a client that never reads would hold its page and its slot for ever.
        """
        transport = request.transport
        if transport is None:
            return response
        transport.set_write_buffer_limits(high=0)  # so that "sent" means taken by the kernel
        try:
            async with asyncio.timeout(patience_seconds):
                await response.prepare(request)
                await response.write_eof()
        except TimeoutError:
            transport.abort()
            self.refuse(Refusal.SLOW_READER)
        except ConnectionError:
            transport.abort()  # the scraper has disconnected
        return response

    def refuse(self, reason: Refusal) -> None:
        """Counts a refusal, and writes a line unless this reason was logged a moment ago."""
        self._refused.add((reason.value,))
        if number := self._quiet.count(reason):
            self._logger.warning("scrape.refused", reason=reason.value, in_flight=self.in_flight, number=number)

    def drop(self, reason: Dropped) -> None:
        """Counts a refused connection, and writes a line unless this reason was logged recently."""
        if self._dropped is not None:
            self._dropped.add((reason.value,))
        if number := self._quiet.count(reason):
            self._logger.warning("connection.dropped", reason=reason.value, number=number)
