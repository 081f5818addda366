"""A journal that is killed keeps everything that it has acknowledged, and its file stays whole."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from remediations.core.model.remediation import State
from remediations.journal.sqlite.adapter import open_journal

ROOT = Path(__file__).parents[3]
WRITER = """
import asyncio, sys
from pathlib import Path
from remediations.core.model.alert import Alert, Delivery, Match, Target
from remediations.core.model.remediation import Record, State
from remediations.journal.port import StateChange
from remediations.journal.sqlite.adapter import open_journal

async def main():
    async with open_journal(Path(sys.argv[1])) as journal:
        for number in range(100_000):
            target = Target("ns", "Deployment", f"{sys.argv[2]}-{number}")
            alert = Alert("f", "Down", True, {"alertname": "Down"})
            stored = await journal.append(Delivery(float(number), (Match(alert, "restart", target),)))
            print("stored", stored.opened[0], flush=True)
            claim = await journal.claim("writer", 1e9, 60.0)
            change = StateChange(Record(1e9, "decision", State.HELD), next_at=2e9, releases=True)
            await journal.advance(claim, State.CLAIMED, State.HELD, 1e9, change)
            print("held", claim.remediation.id, flush=True)

asyncio.run(main())
"""


async def run_and_kill(path: Path, name: str, lines: int) -> list[tuple[str, str]]:
    """The lines that a writer had acknowledged when it was killed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, str(path), name, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    said = [await process.stdout.readline() for _ in range(lines)]
    process.send_signal(signal.SIGKILL)
    said += (await process.stdout.read()).splitlines(keepends=True)
    await process.wait()
    words = [line.decode().split() for line in said if line.endswith(b"\n")]
    return [(word, remediation) for word, remediation in words]


@pytest.mark.timeout(60)
async def test_everything_acknowledged_before_a_kill_is_there_after_it(tmp_path):
    path = tmp_path / "journal.db"
    acknowledged: list[tuple[str, str]] = []
    for number, lines in enumerate((1, 2, 7, 40, 41)):
        acknowledged += await run_and_kill(path, f"run-{number}", lines)
        async with open_journal(path) as journal:
            known = {item.id: item.state for item in await journal.listing(limit=100_000)}
    assert len(acknowledged) >= 91
    assert {remediation for word, remediation in acknowledged if word == "stored"} <= set(known)
    assert all(known[remediation] is State.HELD for word, remediation in acknowledged if word == "held")
