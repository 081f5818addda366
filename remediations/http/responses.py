"""What all routes of the HTTP API share: reading a body, the form of an answer, and the status of a failure."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from chassis.documents import parse_json
from chassis.http.request_bodies import BodyError, BodyReader, Room
from remediations.core.model.errors import JournalError
from remediations.journal.approvals import AnswerError
from remediations.journal.times import add_times

ROOT = "/api/v1"
CALL_SECONDS = 20.0
"""Longest time that one request may take."""
MAX_BODY_BYTES = 64 * 1024

Body = TypeVar("Body")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def answered(handler: Handler) -> Handler:
    """The handler with every failure as a status and a sentence."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            async with asyncio.timeout(CALL_SECONDS):
                return await handler(request)
        except KeyError:
            return _refused(404, "not found")
        except AnswerError as error:
            return _refused(409, str(error))
        except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, RecursionError, OverflowError) as error:
            return _refused(400, str(error))
        except TimeoutError:
            return _refused(503, "no answer in time")
        except JournalError as error:
            return _refused(503, f"the journal: {error}")

    return answer


async def read_body(request: web.Request, most: int = MAX_BODY_BYTES) -> bytes:
    """The body; an empty one counts as an empty object. Raises ValueError if it is too large."""
    try:
        with BodyReader(Room(most), most) as reader:
            return await reader.read(request) or b"{}"
    except BodyError as error:
        raise ValueError(str(error)) from error


async def read_object(request: web.Request, kind: type[Body], most: int = MAX_BODY_BYTES) -> Body:
    """The body as an object of this type; raises ValueError or msgspec.MsgspecError for any other."""
    body = await read_body(request, most)
    parse_json(body)
    return msgspec.json.decode(body, type=kind)


def as_json(content: Mapping[str, Any]) -> web.Response:
    """An answer that must not be cached."""
    return web.Response(
        text=json.dumps(add_times(content)) + "\n",
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )


def _refused(status: int, problem: str) -> web.Response:
    """A failure with its sentence."""
    return web.json_response({"error": problem[:500]}, status=status)
