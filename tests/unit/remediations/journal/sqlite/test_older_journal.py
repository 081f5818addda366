"""A journal that commit dac4849 wrote is opened, and goes back to that commit's schema by the documented statements."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from remediations.core.model.acts import ActKind, Actor, ActSource, HumanAct
from remediations.core.model.errors import JournalError
from remediations.core.model.facts import Approval, Pause
from remediations.core.model.remediation import State
from remediations.engine.simulation import replay
from remediations.journal.port import Journal
from remediations.journal.records import acts_content, list_content, story_content
from remediations.journal.sqlite.adapter import open_journal
from remediations.journal.sqlite.migrations import MIGRATIONS
from remediations.journal.standing import read_standings
from tests.fakes.decisions import NOW, SAM

ROOT = Path(__file__).parents[5]
FIXTURES = ROOT / "tests" / "fixtures" / "journal"
"""Each commit's journal, and the answers of the program of commit c65e67b about it."""
WRITTEN_BEFORE = FIXTURES / "dac4849.sql"
DOCUMENTATION = ROOT / "docs" / "remediations" / "README.md"
KNOWN_BEFORE = 2
"""The schema that commit dac4849 knows."""


@pytest.fixture
def older(tmp_path: Path) -> Path:
    path = tmp_path / "journal.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(WRITTEN_BEFORE.read_text(encoding="utf-8"))
    return path


async def all_answers(journal: Journal) -> dict[str, Any]:
    """What `list`, `show`, `replay` and `acts` answer about everything in the journal."""
    found = await journal.listing()
    return {
        "list": list_content(await read_standings(journal, found)),
        "stories": [story_content(*await journal.story(item.id)) for item in found],
        "replays": [await replay(journal, item.id) for item in found],
        "acts": acts_content(await journal.acts(100)),
    }


@pytest.mark.parametrize("commit", ["dac4849", "c65e67b"])
async def test_older_journal_is_answered_from_as_by_the_program_that_wrote_it(commit: str, tmp_path: Path) -> None:
    path, written = tmp_path / "journal.db", FIXTURES / f"{commit}.sql"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(written.read_text(encoding="utf-8"))

    async with open_journal(path) as journal:
        answers = json.loads(json.dumps(await all_answers(journal)))

    expected = json.loads(written.with_suffix(".json").read_text(encoding="utf-8"))
    # `list` may print more now than it did then.
    pairs = zip(answers["list"], expected["list"], strict=True)
    answers["list"] = [{name: item.get(name) for name in before} for item, before in pairs]
    assert answers == expected


def schema_of(path: Path) -> tuple[int, set[tuple[str, str]]]:
    """The number of the schema, and every object with its definition."""
    with closing(sqlite3.connect(path)) as connection:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        rows = connection.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL").fetchall()
    return version, {(name, " ".join(definition.split())) for name, definition in rows}


async def test_journal_of_the_older_program_keeps_everything_and_takes_acts(older: Path) -> None:
    """M8: what was stored before is there, and what is done from now on is stored with who did it."""
    async with open_journal(older) as journal:
        scaling, restart = await journal.listing()
        assert (restart.state, scaling.state, scaling.attempts) == (State.HELD, State.WRITING, 1)
        assert [record.kind for record in (await journal.story(restart.id))[1]][-2:] == ["decision", "approved"]
        answers = await journal.newest_answers([restart.id, scaling.id])
        assert {name: approval.by for name, approval in answers.items()} == {restart.id: "ann"}
        assert await journal.pauses(NOW) == [Pause("night", "ops", "freeze", None, since=1700000000.0)]
        assert [item.by for item in await journal.breaker_resets(0.0)] == ["kim"]
        assert await journal.acts(10) == []

        assert await journal.resume("night", NOW + 5, SAM)
        answer = Approval(restart.id, "hash", "7", SAM.label, NOW + 6, NOW + 900)
        await journal.answer(answer, SAM, NOW + 6)

    async with open_journal(older) as journal:
        assert [(act.at, act.kind, act.subject, act.actor) for act in await journal.acts(10)] == [
            (NOW + 6, ActKind.APPROVE, restart.id, SAM),
            (NOW + 5, ActKind.RESUME, "night", SAM),
        ]


async def test_documented_statements_lead_back_to_the_older_schema(older: Path) -> None:
    before = schema_of(older)
    (statements,) = set(re.findall(r"DROP TABLE[^'\"]+;", DOCUMENTATION.read_text(encoding="utf-8")))
    async with open_journal(older) as journal:
        await journal.resume("night", NOW, SAM)
    assert schema_of(older)[0] == len(MIGRATIONS) > KNOWN_BEFORE

    with closing(sqlite3.connect(older)) as connection:
        connection.executescript(statements)

    assert schema_of(older) == before
    assert before[0] == KNOWN_BEFORE
    async with open_journal(older) as journal:
        assert len(await journal.listing()) == 2


async def test_documented_statements_lead_back_to_schema_4_and_keep_what_the_engine_reads(tmp_path: Path) -> None:
    (statements,) = re.findall(
        r"(ALTER TABLE record[^'\"]+user_version = 4;)'", DOCUMENTATION.read_text(encoding="utf-8")
    )
    path = tmp_path / "journal.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((FIXTURES / "c65e67b.sql").read_text(encoding="utf-8"))
    before = schema_of(path)
    async with open_journal(path) as journal:
        answers = await all_answers(journal)
    assert schema_of(path)[0] == len(MIGRATIONS)

    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(statements)

    assert schema_of(path) == before
    async with open_journal(path) as journal:
        assert await all_answers(journal) == answers


async def test_program_that_knows_less_refuses_the_journal(older: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_journal(older):
        pass
    monkeypatch.setattr("remediations.journal.sqlite.migrations.MIGRATIONS", MIGRATIONS[:KNOWN_BEFORE])

    with pytest.raises(JournalError, match=f"schema {len(MIGRATIONS)}, this program knows up to {KNOWN_BEFORE}"):
        async with open_journal(older):
            pass


async def test_act_is_never_changed_and_is_forgotten_with_its_time(tmp_path: Path) -> None:
    by_signal = Actor(ActSource.SIGNAL)
    async with open_journal(tmp_path / "journal.db") as journal:
        await journal.note_act(HumanAct(NOW, ActKind.RELOAD, "policies.yaml", by_signal, {"outcome": "reloaded"}))
        await journal.note_act(HumanAct(NOW + 10, ActKind.RELOAD, "policies.yaml", by_signal))
        assert not await journal.resume("nothing", NOW, SAM)
        assert [act.at for act in await journal.acts(10)] == [NOW + 10, NOW]
        assert len(await journal.acts(1)) == 1
        await journal.prune(NOW + 5)
        assert [act.at for act in await journal.acts(10)] == [NOW + 10]

    with closing(sqlite3.connect(tmp_path / "journal.db")) as connection, pytest.raises(sqlite3.Error, match="never"):
        connection.execute("UPDATE act SET name = 'ceo'")


@pytest.mark.parametrize(
    ("actor", "label"),
    [
        (Actor(ActSource.USER, "ann", "ann"), "ann"),
        (Actor(ActSource.USER, "ann", "ceo"), "ann (claimed ceo)"),
        (Actor(ActSource.TOKEN, "/run/token", "ceo"), "token /run/token (claimed ceo)"),
        (Actor(ActSource.CERTIFICATE, "ann.example"), "certificate ann.example"),
        (Actor(ActSource.COMMAND_LINE, claimed="ceo"), "ceo (claimed)"),
        (Actor(ActSource.COMMAND_LINE), "unknown (claimed)"),
        (Actor(ActSource.SIGNAL), "signal"),
    ],
)
def test_claimed_name_is_always_marked(actor: Actor, label: str) -> None:
    """S6: a claimed name never looks like an authenticated one."""
    assert actor.label == label
