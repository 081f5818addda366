from __future__ import annotations

import asyncio
import json
import socket
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import ClientConnectorDNSError, web
from aiohttp.client_reqrep import ConnectionKey

from chassis.documents import ItemForm
from chassis.errors import BackendError, PermanentError, Reason, TransientError
from chassis.http.call import MAX_BODY_BYTES, Call, Response, status_error
from chassis.http.client import USER_AGENT, HttpClient, translate
from chassis.http.server import serving
from tools.slowness import scaled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

HOST = "127.0.0.1"
SLACK_SECONDS = scaled(0.1)


@asynccontextmanager
async def served(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    async with serving(app, HOST, 0, drain_seconds=0.1) as (host, port):
        yield f"http://{host}:{port}"


@asynccontextmanager
async def talking(talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[str]:
    """A server that treats every connection so; the block ends when each of them has ended."""
    tasks: set[asyncio.Task[None]] = set()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await talk(reader, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(converse, HOST, 0)
    try:
        yield f"{HOST}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()
        if tasks:
            await asyncio.wait(tasks)


@asynccontextmanager
async def raw(answer: bytes | None) -> AsyncIterator[str]:
    """A server that answers every request with these bytes and hangs up; None never says anything."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if answer is None:
            await reader.read()
        else:
            writer.write(answer)
            await writer.drain()

    async with talking(talk) as place:
        yield f"http://{place}"


async def send(url: str, timeout_seconds: float = 5.0) -> Response:
    async with HttpClient.opened() as client:
        return await client.send(Call(url, timeout_seconds=timeout_seconds))


async def reason_of(url: str, timeout_seconds: float = 5.0) -> tuple[type[BackendError], Reason]:
    with pytest.raises(BackendError) as caught:
        await send(url, timeout_seconds)
    assert caught.value.__cause__ is not None or caught.value.reason is Reason.MALFORMED
    return type(caught.value), caught.value.reason


async def test_answer_carries_status_body_and_seconds() -> None:
    async def answer(request: web.Request) -> web.Response:
        seen = {"agent": request.headers["User-Agent"], "query": request.query["q"], "body": await request.json()}
        return web.json_response(seen, status=201)

    async with served(answer) as url, HttpClient.opened() as client:
        response = await client.send(
            Call(f"{url}/x", timeout_seconds=5.0, method="POST", json={"a": 1}, params={"q": "ä"})
        )
    assert response.require_ok().json() == {"agent": USER_AGENT, "query": "ä", "body": {"a": 1}}
    assert response.status == 201
    assert 0 < response.seconds < 5


async def test_redirect_is_answered_not_followed() -> None:
    """A key sent to one origin must not travel to another."""
    paths: list[str] = []

    async def redirect(request: web.Request) -> web.Response:
        paths.append(request.path)
        return web.Response(status=307, headers={"Location": "/elsewhere"})

    async with served(redirect) as url:
        response = await send(f"{url}/here")
    assert (response.status, paths) == (307, ["/here"])
    with pytest.raises(PermanentError) as caught:
        response.require_ok()
    assert caught.value.reason is Reason.HTTP_3XX


async def test_cookie_is_not_sent_back() -> None:
    cookies: list[str | None] = []

    async def bake(request: web.Request) -> web.Response:
        cookies.append(request.headers.get("Cookie"))
        response = web.Response()
        response.set_cookie("session", "1")
        return response

    async with served(bake) as url, HttpClient.opened() as client:
        call = Call(url.replace(HOST, "localhost"), timeout_seconds=5.0)
        await client.send(call)
        await client.send(call)
    assert cookies == [None, None]


@pytest.mark.parametrize(("size", "is_refused"), [(MAX_BODY_BYTES, False), (MAX_BODY_BYTES + 1, True)])
async def test_body_is_read_up_to_the_limit(size: int, is_refused: bool) -> None:  # noqa: FBT001
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=b"x" * size)

    async with served(answer) as url:
        if is_refused:
            assert await reason_of(url) == (PermanentError, Reason.MALFORMED)
        else:
            assert len((await send(url)).body) == size


async def items_of(url: str, **limits: Any) -> list[Any]:
    """The items of a list that is read while it arrives."""
    found: list[Any] = []

    async def take(items: list[Any]) -> None:
        found.extend(items)

    async with HttpClient.opened() as client:
        await client.read_items(Call(url, timeout_seconds=5.0, **limits), take)
    return found


async def test_list_is_given_item_by_item_and_never_held() -> None:
    """R10."""
    body = json.dumps([{"id": number, "text": "é" * 100} for number in range(20_000)]).encode()

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=body)

    async with served(answer) as url:
        assert [item["id"] for item in await items_of(url, max_bytes=len(body))] == list(range(20_000))
        with pytest.raises(PermanentError, match=r"the limit is the setting alertmanager\.max_answer_bytes"):
            await items_of(url, max_bytes=len(body) - 1, limit_setting="alertmanager.max_answer_bytes")


async def test_long_item_of_a_list_in_an_object_is_read_off_the_loop() -> None:
    """R10: blockbuster and the 16 pieces of the item see to it."""
    text = "x" * 1_000_000

    async def answer(_request: web.Request) -> web.Response:
        return web.json_response({"result": [{"id": 1, "text": text}, {"id": 2}]})

    found: list[Any] = []

    async def take(items: list[Any]) -> None:
        found.extend(items)

    async with served(answer) as url, HttpClient.opened() as client:
        await client.read_items(Call(url, timeout_seconds=5.0), take, ItemForm("result", 1_100_000))
    assert [item["id"] for item in found] == [1, 2]


@pytest.mark.parametrize(("status", "text"), [(503, "[]"), (200, "{}"), (200, "[1, 2")])
async def test_list_that_is_none_is_an_error(status: int, text: str) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=status, text=text)

    async with served(answer) as url:
        with pytest.raises(BackendError):
            await items_of(url)


async def test_silent_server_costs_no_more_than_the_deadline() -> None:
    async with raw(None) as url:
        started = time.monotonic()
        assert await reason_of(url, 0.3) == (TransientError, Reason.TIMEOUT)
        assert time.monotonic() - started < 0.3 + SLACK_SECONDS


async def test_body_that_never_ends_costs_no_more_than_the_deadline() -> None:
    async def trickle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x")
            await asyncio.sleep(0.05)

    async with served(trickle) as url:
        started = time.monotonic()
        assert await reason_of(url, 0.3) == (TransientError, Reason.TIMEOUT)
        assert time.monotonic() - started < 0.3 + SLACK_SECONDS


async def test_nobody_listening_is_refused() -> None:
    async with raw(b"") as url:
        pass
    assert await reason_of(url) == (TransientError, Reason.REFUSED)


async def test_unknown_name_is_dns() -> None:
    assert await reason_of("http://nobody.invalid/") == (TransientError, Reason.DNS)


async def test_server_without_tls_behind_https_is_tls() -> None:
    async def shout(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"this is no TLS record at all\n")
        await writer.drain()

    async with talking(shout) as place:
        assert await reason_of(f"https://{place}/") == (PermanentError, Reason.TLS)


@pytest.mark.parametrize(
    ("answer", "kind", "reason"),
    [
        (b"", TransientError, Reason.CLOSED),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", TransientError, Reason.CLOSED),
        (b"what?\r\n\r\n", PermanentError, Reason.PROTOCOL),
    ],
)
async def test_broken_answer_has_its_reason(answer: bytes, kind: type[BackendError], reason: Reason) -> None:
    async with raw(answer) as url:
        assert await reason_of(url) == (kind, reason)


@pytest.mark.parametrize("url", ["nonsense", "ftp://localhost/", "http://user:hunter2@:bad/"])
async def test_unusable_url_is_malformed_and_not_repeated(url: str) -> None:
    with pytest.raises(PermanentError) as caught:
        await send(url)
    assert caught.value.reason is Reason.MALFORMED
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (301, PermanentError, Reason.HTTP_3XX),
        (400, PermanentError, Reason.HTTP_4XX),
        (401, PermanentError, Reason.AUTH),
        (403, PermanentError, Reason.PERMISSION),
        (404, PermanentError, Reason.MISSING),
        (429, TransientError, Reason.OVERLOADED),
        (499, PermanentError, Reason.HTTP_4XX),
        (500, TransientError, Reason.HTTP_5XX),
        (503, TransientError, Reason.HTTP_5XX),
    ],
)
def test_status_has_its_reason(status: int, kind: type[BackendError], reason: Reason) -> None:
    error = status_error(status)
    assert (type(error), error.reason) == (kind, reason)
    with pytest.raises(kind):
        Response(status, b"", 0.0).require_ok()


def test_rendered_call_hides_the_key() -> None:
    call = Call("http://x/", timeout_seconds=1.0, headers={"X-API-Key": "hunter2"}, json={"password": "hunter2"})
    assert "hunter2" not in f"{call!r} {call}"


@pytest.mark.parametrize(
    "body",
    [b"<html>", b"", b"NaN", b"[-Infinity]", b"1e999", b"9" * 301, b"-" + b"9" * 400, b"[" * 200_000],
    ids=["html", "empty", "NaN", "Infinity", "beyond a float", "long", "long below zero", "deep"],
)
def test_body_that_is_no_json_is_malformed(body: bytes) -> None:
    with pytest.raises(PermanentError) as caught:
        Response(200, body, 0.0).json()
    assert caught.value.reason is Reason.MALFORMED


async def test_serving_ends_after_the_request_in_flight() -> None:
    is_begun = asyncio.Event()
    may_answer = asyncio.Event()

    async def answer(_request: web.Request) -> web.Response:
        is_begun.set()
        await may_answer.wait()
        return web.Response(text="done")

    app = web.Application()
    app.router.add_get("/", answer)
    async with asyncio.TaskGroup() as group, HttpClient.opened() as client:
        async with serving(app, HOST, 0) as (host, port):
            call = group.create_task(client.send(Call(f"http://{host}:{port}/", timeout_seconds=5.0)))
            await is_begun.wait()
            may_answer.set()
        assert (await call).body == b"done"
    assert await reason_of(f"http://{host}:{port}/") == (TransientError, Reason.REFUSED)


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("http://a..b:9090/", {}),
        (f"http://{'x' * 64}.example/", {}),
        ("http://127.0.0.1:9/", {"Authorization": "Bearer one\ntwo"}),
    ],
)
async def test_request_that_cannot_be_sent_is_an_error_of_its_own(url: str, headers: dict[str, str]) -> None:
    """A token file is read anew at every call: a bad one must not end the program."""
    async with HttpClient.opened() as client:
        with pytest.raises(BackendError) as caught:
            await client.send(Call(url, scaled(5.0), headers=headers))
    assert "two" not in str(caught.value)


def test_name_that_is_not_found_is_told_without_the_address() -> None:
    key = ConnectionKey("nowhere", 8000, is_ssl=False, ssl=True, proxy=None, proxy_auth=None, proxy_headers_hash=None)
    error = translate(ClientConnectorDNSError(key, socket.gaierror(-2, "Name or service not known")))
    assert (error.reason, str(error)) == (Reason.DNS, "Name or service not known")
