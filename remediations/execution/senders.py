"""How one step is sent, for each kind of step. Only the executor calls these.

The result is one of few: done, changed (the object has changed since the decision), refused, held (a disruption budget
refuses for now), or unknown, if the answer does not show whether the step took effect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from msgspec.structs import replace
from yarl import URL

from chassis.config import read_secret
from chassis.errors import BackendError, ConfigError, ConflictError, Reason, TransientError
from chassis.http.call import Call, Response
from chassis.kubernetes.client import ClusterApi, JsonObject, PatchKind, WrittenObject
from remediations.core.model.names import FIELD_MANAGER
from remediations.core.model.plan import CreateStep, HttpStep, PatchStep, SendOutcome, SendResult, SqlStep
from remediations.core.model.reasons import HoldReason
from remediations.facts.sources import Session

KINDS = {"strategic": PatchKind.STRATEGIC, "merge": PatchKind.MERGE}
NEVER_SENT = frozenset({Reason.REFUSED, Reason.DNS, Reason.UNREACHABLE, Reason.TLS, Reason.MALFORMED})
"""Reasons of a call that never reached a server."""


class Patcher(Protocol):
    """The method of chassis.kubernetes.client.KubernetesClient that changes an object; fakes implement it."""

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
        """Changes an object; with `dry_run` only checks whether the server would."""
        ...


class ApiWriter(ClusterApi, Patcher, Protocol):
    """The calls that write; only the executor has them."""

    async def create(
        self, path: str, body: JsonObject, *, field_manager: str, timeout_seconds: float, dry_run: bool = False
    ) -> JsonObject:
        """Creates an object, or uses a subresource."""
        ...


class Caller(Protocol):
    """Sends HTTP calls; chassis.http.client.HttpClient, or a fake."""

    async def send(self, call: Call) -> Response:
        """One request; raises BackendError."""
        ...


@dataclass(frozen=True, slots=True)
class Key:
    """A key and the header that contains it. It is sent only to the origin that the settings name for it."""

    file: Path
    header: str = "Authorization"
    """`Authorization` sends it as a bearer token, any other header as it is."""


def origin_of(url: str) -> str:
    """scheme://host:port of a URL, with the port always written out."""
    parsed = URL(url)
    return f"{parsed.scheme}://{parsed.host}:{parsed.port}"


async def send_patch(api: ApiWriter, step: PatchStep, timeout_seconds: float, *, is_dry_run: bool) -> SendOutcome:
    """One PATCH; the server checks uid and resourceVersion."""
    try:
        document = await api.patch(
            step.path,
            dict(step.body),
            kind=KINDS[step.patch],
            field_manager=FIELD_MANAGER,
            timeout_seconds=timeout_seconds,
            dry_run=is_dry_run,
        )
    except BackendError as error:
        return _answered(error)
    return SendOutcome(SendResult.DONE, "", _generation(document), warnings=_warnings(document))


async def send_creation(api: ApiWriter, step: CreateStep, timeout_seconds: float, *, is_dry_run: bool) -> SendOutcome:
    """One POST. 429 on an eviction is a budget's answer: held; a delete is never sent instead."""
    try:
        document = await api.create(
            step.path,
            dict(step.body),
            field_manager=FIELD_MANAGER,
            timeout_seconds=timeout_seconds,
            dry_run=is_dry_run,
        )
    except BackendError as error:
        if error.reason is Reason.OVERLOADED and step.gone_uid:
            return SendOutcome(SendResult.HELD, str(error), hold=HoldReason.DISRUPTION_BUDGET)
        return _answered(error)
    return SendOutcome(SendResult.DONE, warnings=_warnings(document))


async def fill_template(api: ApiWriter, step: CreateStep, timeout_seconds: float) -> CreateStep | SendOutcome:
    """The step with the CronJob's job template inserted; CHANGED if the template has changed since the decision."""
    if not step.template_path:
        return step
    try:
        document = await api.get(step.template_path, timeout_seconds=timeout_seconds)
        metadata, template = document["metadata"], document["spec"]["jobTemplate"]
        if (metadata["uid"], metadata["generation"]) != (step.template_uid, step.template_generation):
            return SendOutcome(SendResult.CHANGED, "the CronJob has changed")
        own, given = dict(step.body["metadata"]), template.get("metadata") or {}
        own["labels"] = {**(given.get("labels") or {}), **(own.get("labels") or {})}
        own["annotations"] = {**(given.get("annotations") or {}), **own["annotations"]}
    except BackendError as error:
        is_gone = error.reason is Reason.MISSING
        return SendOutcome(
            SendResult.CHANGED if is_gone else SendResult.REFUSED, f"{error.reason.value}: {error}", was_sent=False
        )
    except (KeyError, TypeError, AttributeError) as error:
        return SendOutcome(SendResult.REFUSED, f"unexpected shape of a CronJob: {error!r}", was_sent=False)
    return replace(step, body={**step.body, "metadata": own, "spec": template["spec"]})


async def send_call(http: Caller, step: HttpStep, keys: Mapping[str, Key], timeout_seconds: float) -> SendOutcome:
    """One HTTP call with the key of its origin, if any.

    A redirect counts as a refusal: the key must not be sent elsewhere.
    """
    headers = {"Connection": "close"}
    key = keys.get(origin_of(step.url))
    try:
        if key is not None:
            secret = (await asyncio.to_thread(read_secret, key.file, "http_keys")).get_secret_value()
            headers[key.header] = f"Bearer {secret}" if key.header == "Authorization" else secret
        answer = await http.send(Call(step.url, timeout_seconds, method=step.method, headers=headers))
        answer.require_ok()
    except ConfigError as error:
        return SendOutcome(SendResult.REFUSED, f"auth: {error}", was_sent=False)
    except BackendError as error:
        if error.reason in NEVER_SENT:
            return SendOutcome(SendResult.REFUSED, f"{error.reason.value}: {error}")
        return _answered(error)
    return SendOutcome(SendResult.DONE, f"HTTP status {answer.status}")


async def send_statement(session: Session, step: SqlStep, timeout_seconds: float) -> SendOutcome:
    """One statement on the connection that is kept since the start; its rows are counted, not shown."""
    try:
        rows = await session.fetch(step.statement, *step.arguments, timeout_seconds=timeout_seconds)
    except BackendError as error:
        return _answered(error)
    return SendOutcome(SendResult.DONE, f"{len(rows)} rows")


def _answered(error: BackendError) -> SendOutcome:
    """The result of the step for a failure."""
    detail = f"{error.reason.value}: {error}"
    if isinstance(error, TransientError):
        return SendOutcome(SendResult.UNKNOWN, detail)
    return SendOutcome(SendResult.CHANGED if isinstance(error, ConflictError) else SendResult.REFUSED, detail)


def _warnings(document: JsonObject) -> tuple[str, ...]:
    """The warnings that came with the object."""
    return document.warnings if isinstance(document, WrittenObject) else ()


def _generation(document: JsonObject) -> int | None:
    """metadata.generation, if the object has one."""
    value = (document.get("metadata") or {}).get("generation")
    return value if isinstance(value, int) else None
