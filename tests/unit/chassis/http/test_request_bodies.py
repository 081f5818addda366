"""M9, R17: what bodies cost is counted as it arrives, unpacked."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from chassis.http.request_bodies import MAX_RATIO, BodyError, BodyReader, NoRoomError, Room
from chassis.http.server import serving
from tests.fakes.waiting import until

MOST = 200_000


@asynccontextmanager
async def reading(room: Room) -> AsyncIterator[tuple[str, aiohttp.ClientSession]]:
    """A server that answers with the length of what it read."""

    async def read(request: web.Request) -> web.Response:
        try:
            with BodyReader(room, MOST) as reader:
                return web.Response(text=str(len(await reader.read(request))))
        except BodyError as error:
            return web.Response(status=error.status)
        except NoRoomError:
            return web.Response(status=503)

    app = web.Application()
    app.router.add_post("/", read)
    async with serving(app, "127.0.0.1", 0, drain_seconds=0.1) as (host, port), aiohttp.ClientSession() as session:
        yield f"http://{host}:{port}/", session


async def in_pieces(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


CASES: dict[str, tuple[str, bytes, tuple[int, str]]] = {
    "plain": ("", b"x" * 1000, (200, "1000")),
    "gzip": ("gzip", gzip.compress(b"x" * 1000), (200, "1000")),
    "deflate": ("deflate", zlib.compress(b"x" * 1000), (200, "1000")),
    "too large": ("", b"x" * (MOST + 1), (413, "")),
    "too large unpacked": ("gzip", gzip.compress(b"0123456789abcdef" * MOST), (413, "")),
    "packed too much": ("gzip", gzip.compress(bytes(150_000)), (413, "")),
    "not packed": ("gzip", b"no gzip", (400, "")),
    "cut off": ("gzip", gzip.compress(b"x" * 1000)[:-9], (400, "")),
    "something follows": ("gzip", gzip.compress(b"x") + b"more", (400, "")),
    "unknown": ("br", b"x", (415, "")),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("is_chunked", [False, True])
async def test_body_is_read_unpacked_within_its_limits(case: str, is_chunked: bool) -> None:  # noqa: FBT001
    """M9: the limit is on what comes out, and on how much more that is than what went in."""
    encoding, body, expected = CASES[case]
    room = Room(10 * MOST)
    async with reading(room) as (url, session):
        headers = {"Content-Encoding": encoding} if encoding else {}
        data = in_pieces(body[:100], body[100:]) if is_chunked else body
        async with session.post(url, data=data, headers=headers, skip_auto_headers=["Content-Encoding"]) as answer:
            assert (answer.status, await answer.text()) == expected
    assert room.used_bytes == 0
    assert len(gzip.compress(bytes(150_000))) * MAX_RATIO < 150_000


async def test_slow_chunked_senders_leave_the_room_to_others() -> None:
    """R17: a chunked body counted as the largest one, so two slow senders made every other delivery 503."""
    room, gate = Room(2 * MOST), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"x" * 10
        await gate.wait()
        yield b"y"

    async with reading(room) as (url, session), asyncio.TaskGroup() as group:
        slow = [group.create_task(session.post(url, data=slowly())) for _ in range(10)]
        await until(lambda: room.used_bytes == 100)
        async with session.post(url, data=b"x" * MOST) as answer:
            assert (answer.status, await answer.text()) == (200, str(MOST))
        gate.set()
        assert [(await task).status for task in slow] == [200] * 10
    assert room.used_bytes == 0


async def test_announced_length_takes_no_room_before_it_arrives() -> None:
    """R17: nor does a Content-Length of a sender that then says nothing."""
    room = Room(MOST)
    async with reading(room) as (url, session), AsyncExitStack() as stack:
        host, port = url.removeprefix("http://").rstrip("/").split(":")
        for _ in range(5):
            _, writer = await asyncio.open_connection(host, int(port))
            stack.callback(writer.close)
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 190000\r\n\r\nabc")
        await until(lambda: room.used_bytes == 15)
        async with session.post(url, data=b"x" * 100_000) as answer:
            assert answer.status == 200


async def test_body_without_room_is_503_and_gives_back_what_it_held() -> None:
    room = Room(50_000)
    async with reading(room) as (url, session):
        async with session.post(url, data=b"x" * 100_000) as answer:
            assert answer.status == 503
        assert room.used_bytes == 0
        async with session.post(url, data=b"x" * 40_000) as answer:
            assert answer.status == 200
