"""The Kubernetes API as plain JSON, with a deadline on every call.

Credentials, certificates and connections come from chassis.kubernetes.credentials; this module sends and reads.
"""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import asynccontextmanager
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from chassis.documents import DocumentError, TooManyValuesError, parse_json
from chassis.errors import (
    BackendError,
    ConfigError,
    ConflictError,
    Fault,
    PermanentError,
    Reason,
    Redact,
    TransientError,
    quote_foreign,
)
from chassis.http.call import status_error
from chassis.http.client import USER_AGENT, translate
from chassis.kubernetes.credentials import SETTING, ApiAccess, in_cluster, opened
from chassis.kubernetes.kubeconfig import from_kubeconfig
from chassis.process.daemon_threads import in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

    from chassis.kubernetes.credentials import Credentials

JsonObject = dict[str, Any]


class WrittenObject(dict[str, Any]):
    """The JSON object that the API returned to a write, with its warnings."""

    warnings: tuple[str, ...] = ()


class Reply(NamedTuple):
    """The answer to one request."""

    status: int
    body: bytes
    warnings: tuple[str, ...]


WARNING = re.compile(r'299 \S+ "((?:[^"\\]|\\.)*)"')
"""One value of a Warning header (RFC 7234, 5.5): the API server has no other code than 299."""
MAX_WARNINGS, WARNING_LENGTH = 20, 1000
READ_SECONDS = 15.0
"""Longest wait for our credential files; a network file system may hang."""
PAGE_ITEMS = 250
MAX_BODY_BYTES = 8 * 1024 * 1024
"""Limit of one answer. A page of 250 pods has about 3 MiB; a larger page is requested again in halves. One object is
never larger (etcd refuses more than 1.5 MiB).
"""
MAX_LIST_BYTES = 64 * 1024 * 1024
"""Default limit of all pages of a list together."""
LIMIT_SETTING = "kubernetes.max_list_bytes"
MESSAGE_LENGTH = 300
REFUSED_VALUE = re.compile(
    r"((?:Invalid|Duplicate|Unsupported) value): "
    r"""(?:"(?:[^"\\]|\\.)*(?:"|\Z)|[\w.&*\[\]]*[{\[(](?:.*[}\])]|.*))""",
    re.DOTALL,
)
"""The API quotes refused values, sometimes the whole object with its environment variables; logs must not repeat them.
A text is in quotes, the rest is JSON or Go (k8s.io/apimachinery, field.Error) and ends with the last bracket.
"""
DENIAL = re.compile(
    r"is forbidden: ValidatingAdmissionPolicy '[^']*'(?: with binding '[^']*')? denied request: (.*)", re.DOTALL
)
"""An admission policy's answer: 422, or the status of its `validations[].reason` (403 or 413)."""
BROKEN_POLICY = re.compile(r"expression '.*' resulted in error: |failed to configure (?:policy|binding): ", re.DOTALL)
"""A denial that begins like this is a fault of the server (`failurePolicy: Fail`): the request itself was not
evaluated.
"""
CONFLICT, GONE, UNPROCESSABLE, BAD_REQUEST, UNAUTHORIZED = 409, 410, 422, 400, 401
NO_UID = "00000000-0000-0000-0000-000000000000"
"""A uid that the API server never gives."""


class PatchKind(StrEnum):
    """Kinds of patch: the content types of the API."""

    STRATEGIC = "application/strategic-merge-patch+json"
    """Built-in types only; lists merge by their key."""
    MERGE = "application/merge-patch+json"
    """Lists are replaced; works for custom resources."""
    JSON = "application/json-patch+json"
    """A list of operations, with `test` as a precondition."""
    APPLY = "application/apply-patch+yaml"
    """Server-side apply without force: a rival manager's field is a conflict."""


class _TooLargeError(PermanentError):
    """The answer is too large; fewer objects may fit."""


class KubernetesClient:
    """Reads and changes objects. Open it with `opened()`.

    Every method raises BackendError: missing (404), permission (403, and every denial of an admission policy), auth
    (401), overloaded (429, also a refusal by a disruption budget), internal (an admission policy that fails), http_5xx,
    timeout, refused and the like; ConflictError for 409 and for 422 on metadata.uid.
    """

    def __init__(self, access: ApiAccess, max_list_bytes: int = MAX_LIST_BYTES, redact: Redact = str) -> None:
        self._access = access
        self._redact = redact
        self._max_list_bytes = max_list_bytes

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, kubeconfig: Path | None, max_list_bytes: int = MAX_LIST_BYTES, redact: Redact = str
    ) -> AsyncIterator[KubernetesClient]:
        """Opens a client: with the file's current context, or as the pod's ServiceAccount when None.

        A list whose pages have more than `max_list_bytes` together is refused. Errors and warnings quote the API server
        and plug-ins after `redact`. Raises ConfigError when the credentials cannot be used.
        """
        read = in_cluster if kubeconfig is None else partial(from_kubeconfig, kubeconfig)
        try:
            async with asyncio.timeout(READ_SECONDS):
                credentials = await asyncio.wrap_future(in_thread(read))
        except TimeoutError as error:
            place = SETTING if kubeconfig is None else f"{SETTING}.kubeconfig"
            raise ConfigError((Fault(place, f"not read within {READ_SECONDS:g} s: its disk hangs"),)) from error
        async with opened(credentials, redact=redact) as access:
            yield cls(access, max_list_bytes, redact)

    @property
    def problem(self) -> str | None:
        """The known problem with our credentials, for people; None without one."""
        return self._access.problem

    async def get(self, path: str, *, timeout_seconds: float) -> JsonObject:
        """One object."""
        return _object((await self._send("GET", path, timeout_seconds=timeout_seconds)).body)

    async def list(
        self, path: str, *, timeout_seconds: float, label_selector: str | None = None, field_selector: str | None = None
    ) -> list[JsonObject]:
        """Every object of a collection, over all pages; the deadline is for all of them together."""
        query = {"limit": str(PAGE_ITEMS)}
        if label_selector is not None:
            query["labelSelector"] = label_selector
        if field_selector is not None:
            query["fieldSelector"] = field_selector
        items: list[JsonObject] = []
        size = 0
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_seconds
        while True:
            try:
                body = (await self._send("GET", path, query=query, timeout_seconds=deadline - loop.time())).body
                page = _object(body)
            except _TooLargeError:
                if query["limit"] == "1":
                    raise
                query["limit"] = str(int(query["limit"]) // 2)
                continue
            size += len(body)
            if size > self._max_list_bytes:
                problem = f"the list is larger than {self._max_list_bytes} bytes; the limit is {LIMIT_SETTING}"
                raise PermanentError(Reason.MALFORMED, problem)
            found, following = _read_page(page)
            items += found
            if not following:
                return items
            query["continue"] = following

    async def text(self, path: str, *, timeout_seconds: float, query: Mapping[str, str] | None = None) -> str:
        """A plain-text answer such as a pod's log; ask for `tailLines` or `limitBytes` in the query."""
        reply = await self._send("GET", path, query=query, accept="*/*", timeout_seconds=timeout_seconds)
        return reply.body.decode("utf-8", errors="replace")

    async def create(
        self, path: str, body: JsonObject, *, field_manager: str, timeout_seconds: float, dry_run: bool = False
    ) -> JsonObject:
        """Creates an object in a collection or at a subresource such as `eviction`; a name in use is a conflict."""
        query = _write_query(field_manager, is_dry_run=dry_run)
        return _written(await self._send("POST", path, query=query, body=body, timeout_seconds=timeout_seconds))

    async def patch(
        self,
        path: str,
        body: JsonObject | Sequence[JsonObject],
        *,
        kind: PatchKind,
        field_manager: str,
        timeout_seconds: float,
        dry_run: bool = False,
    ) -> JsonObject:
        """Changes an object and returns its new state; with `dry_run` the server checks everything and stores nothing.

        The answer's `warnings` are those that kubectl would show. Put metadata.resourceVersion and metadata.uid into
        the body; otherwise a concurrent change goes unnoticed.
        """
        query = _write_query(field_manager, is_dry_run=dry_run)
        reply = await self._send(
            "PATCH", path, query=query, body=body, content_type=kind.value, timeout_seconds=timeout_seconds
        )
        return _written(reply)

    async def try_deletion(self, path: str, *, timeout_seconds: float) -> None:
        """Checks whether an object could be deleted, and deletes nothing: a dry run with a uid that no object has.

        403 (permission) means no; missing or conflict means yes, only the uid did not match.
        """
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "dryRun": ["All"], "preconditions": {"uid": NO_UID}}
        query = {"dryRun": "All"}
        await self._send("DELETE", path, query=query, body=options, timeout_seconds=timeout_seconds)

    async def _send(  # noqa: PLR0913 - the parts of one request
        self,
        method: str,
        path: str,
        *,
        timeout_seconds: float,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> Reply:
        """A 2xx answer; redirects are not followed, because the token would travel with them."""
        headers = {"Accept": accept, "User-Agent": USER_AGENT}
        data = None
        if body is not None:
            headers["Content-Type"] = content_type
            data = json.dumps(body).encode()
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self._exchange(method, path, query, headers, data)
        except aiohttp.ClientHttpProxyError as error:
            raise TransientError(Reason.UNREACHABLE, f"the proxy answers with status {error.status}") from error
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(error, aiohttp.ClientSSLError):
                self._access.suspect()
            raise translate(error) from error

    async def _exchange(
        self, method: str, path: str, query: Mapping[str, str] | None, headers: dict[str, str], data: bytes | None
    ) -> Reply:
        """Sends one request and reads its whole answer; repeats it with new credentials after a 401 (nothing changed).

        Raises BackendError unless the answer is a success.
        """
        known = await self._access.credentials()
        reply = await self._answer(known, method, path, query, headers, data)
        if reply.status == UNAUTHORIZED and await self._access.is_renewed(known):
            known = await self._access.credentials()
            reply = await self._answer(known, method, path, query, headers, data)
        if reply.status != UNAUTHORIZED:
            self._access.note_accepted()
        if not 200 <= reply.status < 300:  # noqa: PLR2004 - the 2xx class
            raise _failure(reply.status, reply.body, self._redact)
        return reply

    async def _answer(
        self,
        known: Credentials,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        headers: dict[str, str],
        data: bytes | None,
    ) -> Reply:
        """The answer to one request with these credentials."""
        authorization = {} if known.token is None else {"Authorization": f"Bearer {known.token}"}
        async with (
            self._access.connections.lend() as session,
            session.request(
                method, _url(known.server, path, query), headers=headers | authorization, data=data,
                allow_redirects=False, timeout=aiohttp.ClientTimeout(total=None), server_hostname=known.server_name,
                ssl=known.tls if known.tls is not None else True, proxy=known.proxy,
            ) as answer,
        ):  # fmt: skip
            warnings = _read_warnings(answer.headers.getall("Warning", []), self._redact)
            return Reply(answer.status, await _read_bounded(answer), warnings)


def _read_warnings(values: Sequence[str], redact: Redact) -> tuple[str, ...]:
    """The texts of Warning headers, redacted and bounded; a header may hold several."""
    texts = [re.sub(r"\\(.)", r"\1", text) for value in values for text in WARNING.findall(value)]
    return tuple(quote_foreign(text, redact, WARNING_LENGTH) for text in texts[:MAX_WARNINGS])


def _written(reply: Reply) -> JsonObject:
    """The object's new state, with the warnings."""
    answer = WrittenObject(_object(reply.body))
    answer.warnings = reply.warnings
    return answer


def _url(server: str, path: str, query: Mapping[str, str] | None) -> URL:
    """The request's URL; the path is already quoted."""
    text = server + path
    return URL(f"{text}?{urlencode(query)}" if query else text, encoded=True)


def _write_query(field_manager: str, *, is_dry_run: bool) -> dict[str, str]:
    """Query parameters of every write: the field owner, strict field validation, and whether it is a dry run."""
    query = {"fieldManager": field_manager, "fieldValidation": "Strict"}
    if is_dry_run:
        query["dryRun"] = "All"
    return query


def _object(body: bytes) -> JsonObject:
    """A JSON object; raises PermanentError(malformed) for anything else."""
    try:
        value = parse_json(body)
    except TooManyValuesError as error:
        raise _TooLargeError(Reason.MALFORMED, f"the API's answer: {error}") from error
    except DocumentError as error:
        raise PermanentError(Reason.MALFORMED, f"the API's answer: {error}") from error
    if not isinstance(value, dict):
        raise PermanentError(Reason.MALFORMED, "the API's answer is not a JSON object")
    return value


async def _read_bounded(answer: aiohttp.ClientResponse) -> bytes:
    """The body, unless it is larger than MAX_BODY_BYTES."""
    body = bytearray()
    async for chunk in answer.content.iter_chunked(64 * 1024):
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise _TooLargeError(Reason.MALFORMED, f"the answer is larger than {MAX_BODY_BYTES} bytes")
    return bytes(body)


def _read_page(page: JsonObject) -> tuple[list[JsonObject], str]:
    """The objects of a page and the token of the next page; raises PermanentError(malformed) for another shape."""
    items, metadata = page.get("items") or [], page.get("metadata") or {}
    following = metadata.get("continue") or "" if isinstance(metadata, dict) else None
    if (
        not isinstance(items, list)
        or not all(isinstance(item, dict) for item in items)
        or not isinstance(following, str)
    ):
        raise PermanentError(Reason.MALFORMED, "the API's answer is not a list")
    return items, following


def _failure(status: int, body: bytes, redact: Redact) -> BackendError:
    """The error for a Status object (its `message`, `reason` and `details.causes`)."""
    try:
        answer = _object(body)
    except PermanentError:
        answer = {}
    said = REFUSED_VALUE.sub(r"\1: …", str(answer.get("message") or "no explanation"))
    message = f"HTTP status {status}: {quote_foreign(said, redact, MESSAGE_LENGTH)}"
    denial = DENIAL.search(said)
    if denial is not None:
        return PermanentError(Reason.INTERNAL if BROKEN_POLICY.match(denial[1]) else Reason.PERMISSION, message)
    if status == CONFLICT or (status == UNPROCESSABLE and "metadata.uid" in _read_fields(answer)):
        return ConflictError(message)
    if status in {BAD_REQUEST, UNPROCESSABLE}:
        return PermanentError(Reason.MALFORMED, message)
    if status == GONE:
        return TransientError(Reason.HTTP_4XX, message)
    known = status_error(status)
    return type(known)(known.reason, message)


def _read_fields(answer: JsonObject) -> list[str]:
    """The fields that a Status names in `details.causes`; a proxy's answer may have any shape."""
    details = answer.get("details")
    causes = details.get("causes") if isinstance(details, dict) else None
    return [str(cause.get("field")) for cause in causes if isinstance(cause, dict)] if isinstance(causes, list) else []


class ClusterApi(Protocol):
    """The reading calls of KubernetesClient; fakes implement them. Facts use no other calls."""

    async def get(self, path: str, *, timeout_seconds: float) -> JsonObject:
        """One object."""
        ...

    async def list(
        self, path: str, *, timeout_seconds: float, label_selector: str | None = None, field_selector: str | None = None
    ) -> list[JsonObject]:
        """Every object of a collection."""
        ...

    async def text(self, path: str, *, timeout_seconds: float, query: Mapping[str, str] | None = None) -> str:
        """A plain-text answer such as a pod's log."""
        ...
