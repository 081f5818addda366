"""A record that cannot be read is named by table, id and field, stays as it is, and keeps no other one waiting."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from remediations.core.model.acts import ActKind, Actor, ActSource, HumanAct
from remediations.core.model.errors import DamagedRecordError
from remediations.core.model.facts import Approval, BreakerReset, Pause
from remediations.core.model.remediation import State
from remediations.journal.port import Journal
from remediations.journal.sqlite.adapter import DAMAGED_SECONDS, open_journal
from tests.contract.journal_opening import BOUNCER, T0, delivery, match
from tests.fakes.decisions import SAM
from tests.fakes.engine import a_world

Ask = Callable[[Journal, str], Awaitable[Any]]


async def fill(path: Path) -> str:
    """A journal with one of everything; the id of its remediation."""
    async with open_journal(path) as journal:
        (opened,) = (await journal.append(delivery(match()))).opened
        await journal.answer(Approval(opened, "hash", "7", SAM.label, T0, T0 + 900), SAM, T0)
        await journal.pause(Pause("night", "ann", "freeze", None), T0, SAM)
        await journal.reset_breaker(BreakerReset("restart_workload", "Deployment/a/b", "kim", T0), SAM)
        await journal.note_act(HumanAct(T0, ActKind.RELOAD, "policies.yaml", Actor(ActSource.SIGNAL)))
    return opened


def damage(path: Path, statement: str) -> None:
    """Changes the file behind the program's back, also what the program never changes."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(f"DROP TRIGGER record_never_changes; DROP TRIGGER act_never_changes; {statement};")


def content(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


@pytest.mark.parametrize(
    ("statement", "ask", "words"),
    [
        (
            "UPDATE remediation SET alert = '{'",
            lambda journal, _: journal.listing(),
            "remediation {}: alert: not JSON: ",
        ),
        (
            "UPDATE remediation SET alert = json_set(alert, '$.labels', 7)",
            lambda journal, _: journal.listing(),
            "remediation {}: alert.labels: Expected `object`, got `int`",
        ),
        (
            "UPDATE remediation SET state = 'lost'",
            lambda journal, name: journal.story(name),
            "remediation {}: state: Invalid enum value 'lost'",
        ),
        ("UPDATE remediation SET plan = '['", lambda journal, _: journal.listing(), "remediation {}: plan: not JSON: "),
        (
            "UPDATE remediation SET written_at = 5, plan = '{\"action\": 5}'",
            lambda journal, _: journal.actions_since(0.0),
            "remediation {}: action: Expected `str`, got `int`",
        ),
        (
            "UPDATE record SET data = x'00' WHERE kind = 'received'",
            lambda journal, name: journal.story(name),
            "record 1: data: not JSON: ",
        ),
        (
            "UPDATE record SET data = '[]' WHERE kind = 'received'",
            lambda journal, name: journal.story(name),
            "record 1: data: Expected `object`, got `array`",
        ),
        (
            "UPDATE approval SET expires_at = 'noon'",
            lambda journal, name: journal.newest_answers([name]),
            "approval 1: expires_at: Expected `float`, got `str`",
        ),
        (
            "UPDATE pause SET until = 'noon'",
            lambda journal, _: journal.pauses(T0),
            "pause night: until: Expected `float | null`, got `str`",
        ),
        (
            "UPDATE breaker_reset SET at = 'noon'",
            lambda journal, _: journal.breaker_resets(T0),
            "breaker_reset restart_workload: at: Expected `float`, got `str`",
        ),
        ("UPDATE act SET detail = ''", lambda journal, _: journal.acts(1), "act 4: detail: not JSON: "),
        (
            "UPDATE act SET source = 'telepathy'",
            lambda journal, _: journal.acts(1),
            "act 4: actor.source: Invalid enum value 'telepathy'",
        ),
    ],
)
async def test_damage_is_named_and_left_as_it_is(tmp_path: Path, statement: str, ask: Ask, words: str) -> None:
    path = tmp_path / "journal.db"
    name = await fill(path)
    damage(path, statement)
    before = content(path)

    async with open_journal(path) as journal:
        with pytest.raises(DamagedRecordError) as caught:
            await ask(journal, name)

    assert str(caught.value).startswith(words.format(name))
    assert content(path) == before


async def test_remediation_that_cannot_be_read_rests_and_the_next_is_claimed(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with open_journal(path) as journal:
        (damaged,) = (await journal.append(delivery(match()))).opened
        (whole,) = (await journal.append(delivery(match("other", BOUNCER), at=T0 + 1))).opened
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE remediation SET alert = '{' WHERE id = ?", (damaged,))

        with pytest.raises(DamagedRecordError, match=f"remediation {damaged}: alert: "):
            await journal.claim("worker", T0 + 2, 10)
        claim = await journal.claim("worker", T0 + 2, 2 * DAMAGED_SECONDS)
        assert claim is not None
        assert claim.remediation.id == whole
        assert await journal.claim("worker", T0 + 2, 10) is None

        with pytest.raises(DamagedRecordError, match=f"remediation {damaged}: alert: "):
            await journal.claim("worker", T0 + 2 + DAMAGED_SECONDS, 10)
        with closing(sqlite3.connect(path)) as connection:
            row = connection.execute("SELECT alert, state, fence FROM remediation WHERE id = ?", (damaged,)).fetchone()
        assert row == ("{", State.RECEIVED.value, 0)


async def test_engine_goes_on_beside_a_remediation_that_cannot_be_read(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        await world.deliver()
        damaged = (await world.newest()).id
        with closing(sqlite3.connect(tmp_path / "journal.db")) as connection, connection:
            connection.execute("UPDATE remediation SET alert = '{', kind = 'CronJob' WHERE id = ?", (damaged,))
        await world.deliver()
        engine = world.engine()

        async with asyncio.TaskGroup() as group:
            turn = group.create_task(engine.turn("worker"))
            await world.clock.wait_until_sleeping()
            await world.clock.advance(1.0)
        assert turn.result() is False
        assert await engine.turn("worker")

        with closing(sqlite3.connect(tmp_path / "journal.db")) as connection:
            states = dict(connection.execute("SELECT id, state FROM remediation"))
    assert states.pop(damaged) == State.RECEIVED.value
    assert list(states.values()) == [State.VERIFYING.value]
