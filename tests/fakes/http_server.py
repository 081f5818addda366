"""The remediator's HTTP side, served over a real journal."""

from __future__ import annotations

import asyncio
import io
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from chassis.http.server import serving
from remediations.commands.check_config import check_content
from remediations.core.model.facts import Fact, Facts, ProcessStart
from remediations.engine.simulation import Planner
from remediations.http.roles import Roles
from remediations.http.server import Server, ServerDependencies
from remediations.http.simulation_api import Check
from remediations.http.tokens import TokenCredentials
from remediations.journal.port import Journal
from remediations.journal.sqlite.adapter import SqliteJournal, open_journal
from remediations.metrics import Telemetry
from remediations.settings import HoldersSettings, JournalSettings, RemediatorSettings, RolesSettings
from tests.fakes.clock import ManualClock
from tests.fakes.decisions import LABELS, a_policy_set, facts

TOKEN = "a-token-of-the-test-0001"
RIGHT = {"Authorization": f"Bearer {TOKEN}"}
GOOD = {"status": "firing", "labels": LABELS, "fingerprint": "f00d"}


@dataclass
class Running:
    """A served application and its dependencies."""

    url: str
    journal: SqliteJournal
    telemetry: Telemetry
    session: aiohttp.ClientSession
    clock: ManualClock
    live: dict[str, Any]
    """Changes of the facts for planning."""
    woken: list[str] = field(default_factory=list)
    routes: list[Any] = field(default_factory=list)

    async def post(self, *alerts: Any, headers: Any = RIGHT, body: bytes | None = None) -> tuple[int, Any]:
        data = io.BytesIO(body if body is not None else json.dumps({"version": "4", "alerts": list(alerts)}).encode())
        async with self.session.post(f"{self.url}/api/v1/alerts", data=data, headers=headers) as answer:
            return answer.status, await answer.json()

    async def get(self, path: str, **headers: str) -> tuple[int, str]:
        async with self.session.get(self.url + path, headers=headers) as answer:
            return answer.status, await answer.text()

    def count(self, name: str, **labels: str) -> float:
        value = self.telemetry.registry.get_sample_value(f"controlcore_remediation_{name}", labels)
        assert value is not None
        return value


def looking(journal: Journal, clock: ManualClock, folder: Path, live: dict[str, Any]) -> tuple[Planner, Check]:
    """What plans and what checks: facts under which everything acts but for what `live` says, policies in `folder`."""

    async def ask(*_asked: Any) -> Facts:
        return facts(**live)

    async def check(policies: str | None) -> dict[str, Any]:
        journal = JournalSettings(path=folder / "journal.db")
        settings = RemediatorSettings(policies_file=folder / "policies.yaml", journal=journal)
        return await check_content(settings, policies)

    start = Fact(ProcessStart(clock.now(), 0.0), "test", collected_at=clock.now())
    return Planner(a_policy_set, journal, ask, start, clock), check


@asynccontextmanager
async def running(folder: Path, journal: Any = None, warnings: tuple[str, ...] = (), *, has_roles: bool = True) -> Any:
    """`has_roles`: the token has all of them; otherwise the setting is missing."""
    token = folder / "token"
    settings = RolesSettings(approve=HoldersSettings(token_files=(token,))) if has_roles else None
    await asyncio.to_thread(token.write_text, TOKEN)
    clock = ManualClock()
    telemetry = await asyncio.to_thread(Telemetry, ["restart-api", "scale-api"])
    async with open_journal(folder / "journal.db") as real:
        woken: list[str] = []
        live: dict[str, Any] = {}

        parts = ServerDependencies(
            journal or real, a_policy_set, TokenCredentials((token,), clock), telemetry, clock,
            lambda: woken.append(""), *looking(real, clock, folder, live), warnings=lambda: warnings,
            roles=Roles(settings, (token,)),
        )  # fmt: skip
        application = Server(parts).application()
        async with (
            serving(application, "127.0.0.1", 0, drain_seconds=0.1) as (host, port),
            aiohttp.ClientSession() as session,
        ):
            yield Running(
                f"http://{host}:{port}", real, telemetry, session, clock, live, woken, list(application.router.routes())
            )
