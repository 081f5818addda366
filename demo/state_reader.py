"""Reads the state from outside while an act plays: metrics, alerts, the journal, the cluster. Writes nothing."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from demo.files import PLAYED
from remediations.core.model.remediation import Record, Remediation
from remediations.journal.sqlite.adapter import open_journal
from tools.servers.http import read_url


def read_alerts(prometheus_url: str) -> dict[str, str]:
    """The alerts that Prometheus holds now: name → pending or firing."""
    answer = json.loads(read_url(f"{prometheus_url}/api/v1/alerts"))
    found: dict[str, str] = {}
    for alert in answer["data"]["alerts"]:
        name = alert["labels"]["alertname"]
        if found.get(name) != "firing":
            found[name] = alert["state"]
    return found


def read_acted_alerts(prometheus_url: str) -> set[str]:
    """Names of the alerts that are active now and critical, or that a policy of the stage may answer.

    Our tickets, and alerts for policies that the stage does not have, may stay between two acts: on a busy machine the
    engines are slow, which is true and changes nothing here.
    """
    alerts = json.loads(read_url(f"{prometheus_url}/api/v1/alerts"))["data"]["alerts"]
    labels = [alert["labels"] for alert in alerts]
    answered = {*PLAYED, None}
    return {
        each["alertname"]
        for each in labels
        if each.get("remediation") in answered or each.get("severity") == "critical"
    }


def ask(prometheus_url: str, promql: str) -> list[dict[str, Any]]:
    """The vector that an instant query gives; raises OSError or KeyError when Prometheus refuses it."""
    query = urllib.parse.urlencode({"query": promql})
    answer = json.loads(read_url(f"{prometheus_url}/api/v1/query?{query}"))
    return cast("list[dict[str, Any]]", answer["data"]["result"])


@dataclass(frozen=True, slots=True)
class Story:
    """One remediation with its records, oldest first."""

    remediation: Remediation
    records: tuple[Record, ...]


async def _read_journal(path: Path) -> list[Story]:
    async with open_journal(path) as journal:
        stories = []
        for each in await journal.listing(limit=50):
            remediation, records = await journal.story(each.id)
            stories.append(Story(remediation, tuple(records)))
        return stories


def read_journal(path: Path) -> list[Story]:
    """Every remediation in the journal, newest first; an absent file is an empty journal."""
    return asyncio.run(_read_journal(path)) if path.exists() else []


def journal_state(path: Path) -> tuple[int, ...]:
    """Changes whenever the journal is written: sizes and times of its files, those of SQLite's log first."""
    files = [file for file in (path.with_name(f"{path.name}-wal"), path) if file.exists()]
    return tuple(figure for file in files for figure in (file.stat().st_size, file.stat().st_mtime_ns))
