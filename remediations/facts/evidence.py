"""Stores what a write may destroy: pods and their last logs, Events, database sessions, the last probes.

Limited and without secrets: values of environment variables that look like secrets are removed everywhere, and so is
text that looks like a credential. Missing evidence is recorded and does not prevent the action.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from chassis.errors import BackendError, quote_foreign
from chassis.kubernetes.containers import containers_of
from chassis.kubernetes.objects import is_ready
from chassis.kubernetes.paths import events_path, pod_log_path
from chassis.output.redaction import is_secret_name, remove_secrets
from remediations.core.model.alert import Target
from remediations.facts.kubernetes.reader import ClusterReader
from remediations.facts.kubernetes.workload import list_pods
from remediations.facts.sources import FactSources, Session

KIND = "evidence"
MAX_PODS = 3
MAX_EVENTS = 20
MAX_SESSIONS = 20
LOG_BYTES = 4096
ASKED_LOG_BYTES = 4 * LOG_BYTES
"""More than is stored: secrets are removed before the text is cut."""
MAX_TEXT = 500
SESSIONS_SQL = "SELECT application_name, idle_seconds FROM controlcore_remediator.idle_sessions($1)"


async def gather(sources: FactSources, target: Target, pod: str | None = None) -> dict[str, Any]:
    """The evidence about a target, or first about one pod of it; never raises BackendError.

    Takes at most `sources.evidence_seconds`; if that is not enough, it says what is missing. The last probes are in the
    decision's record, with every other fact.
    """
    data: dict[str, Any] = {"target": target.key}
    try:
        async with asyncio.timeout(sources.evidence_seconds):
            if target.kind == "Deployment" and sources.cluster is not None:
                data |= await _of_pods(sources.cluster, target, pod)
            if sources.database is not None:
                data["sessions"] = await _sessions(sources.database, sources.evidence_seconds)
    except TimeoutError:
        data["problem"] = f"not complete within {sources.evidence_seconds:g} s"
    return data


async def _of_pods(reader: ClusterReader, target: Target, first: str | None) -> dict[str, Any]:
    """The pods that will be stopped, the last logs of their containers, and the Events about them.

    The Events about the target are read at the start: the API server does not cache them and is slow.
    """
    async with asyncio.TaskGroup() as group:
        own = group.create_task(_events(reader, target.namespace, target.name), name="evidence.events")
        asked = group.create_task(_pods(reader, target), name="evidence.pods")
        found = await asked
        if isinstance(found, str):
            lines = _newest([await own])
            return {"problem": found, "events": [_quote(text, ()) for text in lines]}
        chosen = sorted(found, key=lambda pod: (pod["metadata"]["name"] != first, is_ready(pod)))[:MAX_PODS]
        known = [secret for pod in found for secret in _secrets(pod)]
        logs, events = {}, [own]
        for pod in chosen:
            name = str(pod["metadata"]["name"])
            logs[name] = group.create_task(_last_words(reader, target.namespace, pod), name="evidence.log")
            events.append(group.create_task(_events(reader, target.namespace, name), name="evidence.events"))
    texts = {name: task.result() for name, task in logs.items()}
    lines = _newest(task.result() for task in events)
    # In a thread, because known values are searched in many forms.
    return await asyncio.to_thread(_redacted, chosen, texts, lines, known)


def _redacted(
    pods: Sequence[Mapping[str, Any]], logs: Mapping[str, str], events: Sequence[str], known: Sequence[str]
) -> dict[str, Any]:
    """The evidence without secrets, cut to its limits."""
    return {
        "pods": [_pod_state(pod, known) for pod in pods],
        "previous_logs": {name: remove_secrets(text, known)[-LOG_BYTES:] for name, text in logs.items()},
        "events": [_quote(text, known) for text in events],
    }


def _quote(text: str, known: Iterable[str]) -> str:
    """The beginning of a text from the cluster, without secrets."""
    return quote_foreign(text, partial(remove_secrets, known=known), MAX_TEXT)


async def _pods(reader: ClusterReader, target: Target) -> Sequence[Mapping[str, Any]] | str:
    """The target's pods, or why they cannot be read."""
    try:
        return await list_pods(reader, target)
    except BackendError as error:
        return f"{error.reason.value}: {error}"[:MAX_TEXT]


def _secrets(pod: Mapping[str, Any]) -> list[str]:
    """Literal values of the pod's environment and command lines that look like secrets, by name or as a URL."""
    found: list[str] = []
    for container in containers_of(pod) if pod.get("spec") else ():
        for entry in container.get("env") or ():
            value = str(entry.get("value") or "")
            if value and (is_secret_name(str(entry.get("name"))) or "@" in value):
                found.append(value)
        words = [str(word) for word in (*(container.get("command") or ()), *(container.get("args") or ()))]
        for place, word in enumerate(words):
            name, _, value = word.partition("=")
            if name.startswith("-") and is_secret_name(name):
                found.append(value or "".join(words[place + 1 : place + 2]))
    return found


def _pod_state(pod: Mapping[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """A pod's phase, and the reason why its containers last ended."""
    status = pod.get("status") or {}
    ended = [(each.get("lastState") or {}).get("terminated") or {} for each in status.get("containerStatuses") or ()]
    return {
        "name": pod["metadata"]["name"],
        "uid": pod["metadata"].get("uid"),
        "phase": status.get("phase"),
        "is_ready": is_ready(pod),
        "last_ends": [
            {"reason": each.get("reason"), "exit_code": each.get("exitCode"),
             "message": _quote(str(each.get("message") or ""), known)}
            for each in ended if each
        ],
    }  # fmt: skip


async def _last_words(reader: ClusterReader, namespace: str, pod: Mapping[str, Any]) -> str:
    """The end of the previous container's log, or why there is none."""
    if not any(each.get("restartCount") for each in (pod.get("status") or {}).get("containerStatuses") or ()):
        return "(no container of this pod has ended yet)"
    query = {"previous": "true", "tailLines": "50", "limitBytes": str(ASKED_LOG_BYTES)}
    try:
        text = await reader.text(pod_log_path(namespace, pod["metadata"]["name"]), query)
    except BackendError as error:
        return f"({error.reason.value}: {error})"
    # The server cuts within a line: the rest of that line may be half a secret.
    return text if len(text.encode()) < ASKED_LOG_BYTES else text.rpartition("\n")[0]


async def _events(reader: ClusterReader, namespace: str, name: str) -> list[tuple[str, str]]:
    """The Events (core/v1) about objects of this name: when, and one line each."""
    try:
        items = await reader.list(events_path(namespace), fields=f"involvedObject.name={name}")
    except BackendError as error:
        return [("", f"({error.reason.value}: {error})")]
    return [
        (
            str(item.get("lastTimestamp") or item.get("eventTime") or ""),
            f"{item.get('lastTimestamp') or ''} {item.get('type')} {item.get('reason')}: {item.get('message')}",
        )
        for item in items
        if (item.get("involvedObject") or {}).get("name") == name
    ]


def _newest(lists: Iterable[list[tuple[str, str]]]) -> list[str]:
    """The newest lines of all, each once."""
    found = sorted({pair for each in lists for pair in each}, reverse=True)
    return [line for _, line in found[:MAX_EVENTS]]


async def _sessions(database: Session, timeout_seconds: float) -> Any:
    """Sessions idle in a transaction for a minute or more: which application and for how long, never their text."""
    try:
        rows = await database.fetch(SESSIONS_SQL, 60.0, timeout_seconds=timeout_seconds)
    except BackendError as error:
        return f"({error.reason.value}: {error})"[:MAX_TEXT]
    return [[str(row["application_name"])[:64], round(float(row["idle_seconds"]))] for row in rows[:MAX_SESSIONS]]
