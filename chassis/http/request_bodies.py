"""Reads request bodies within one shared memory budget.

The received bytes count, decompressed, not the announced length: a slow sender holds only what it has sent.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from chassis.errors import ControlCoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from aiohttp import web

PIECE_BYTES = 64 * 1024
MAX_RATIO = 100
"""Largest compression ratio, checked once a piece is decompressed. A storm of equal alerts compresses 30 times."""
WINDOW = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


class BodyError(ControlCoreError):
    """A body that can never be accepted: too large, or with an unreadable encoding."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class NoRoomError(ControlCoreError):
    """Too many bodies are in progress: send it again."""


@dataclass(slots=True)
class Room:
    """Memory limit for all bodies together."""

    most_bytes: int
    used_bytes: int = 0


class BodyReader:
    """Reads one body and holds its share of the budget until the block ends."""

    def __init__(self, room: Room, most_bytes: int) -> None:
        self._room = room
        self._most_bytes = most_bytes
        self._held_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._room.used_bytes -= self._held_bytes
        self._held_bytes = 0

    async def read(self, request: web.Request) -> bytes:
        """The whole body, decompressed. Raises BodyError or NoRoomError."""
        if (request.content_length or 0) > self._most_bytes:
            raise BodyError(413, f"a body may have {self._most_bytes} bytes")
        unpacker = _Unpacker(request.headers.get("Content-Encoding", ""))
        pieces = bytearray()
        async for raw in request.content.iter_any():
            for piece in unpacker.unpack(raw):
                self._take(len(piece))
                pieces += piece
        unpacker.require_end()
        return bytes(pieces)

    def _take(self, number: int) -> None:
        """Counts bytes that are about to be kept."""
        if self._held_bytes + number > self._most_bytes:
            raise BodyError(413, f"a body may have {self._most_bytes} bytes")
        if self._room.used_bytes + number > self._room.most_bytes:
            raise NoRoomError("too many requests are in progress; send it again")
        self._held_bytes += number
        self._room.used_bytes += number


class _Unpacker:
    """Decompresses, a bounded piece at a time."""

    def __init__(self, encoding: str) -> None:
        name = encoding.strip().lower()
        if name not in {"", "identity", *WINDOW}:
            raise BodyError(415, "Content-Encoding may be gzip, deflate or identity")
        self._stream = zlib.decompressobj(WINDOW[name]) if name in WINDOW else None
        self._in_bytes = 0
        self._out_bytes = 0

    def unpack(self, raw: bytes) -> Iterator[bytes]:
        """The pieces that these bytes hold; raises BodyError."""
        if self._stream is None:
            yield raw
            return
        self._in_bytes += len(raw)
        left = raw
        while left and not self._stream.eof:
            try:
                piece = self._stream.decompress(left, PIECE_BYTES)
            except zlib.error as error:
                raise BodyError(400, "the body does not match its Content-Encoding") from error
            left = self._stream.unconsumed_tail
            self._out_bytes += len(piece)
            if self._out_bytes > max(PIECE_BYTES, MAX_RATIO * self._in_bytes):
                raise BodyError(413, f"the body is compressed more than {MAX_RATIO} times")
            yield piece

    def require_end(self) -> None:
        """Raises BodyError if the compressed body was cut off, or has trailing bytes."""
        if self._stream is not None and (not self._stream.eof or self._stream.unused_data):
            raise BodyError(400, "the body does not match its Content-Encoding")
