"""The large parts of decisions are stored once, then as differences, and are read unchanged."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from remediations.core.codec import from_json, to_json
from remediations.core.model.errors import DamagedRecordError
from remediations.core.model.remediation import Record, State
from remediations.journal.port import Claim, Journal
from remediations.journal.sqlite.adapter import open_journal
from tests.contract.journal_opening import BOUNCER, T0, delivery, match
from tests.fakes.engine import a_world

HELD = 60
FACTS = {f"fact {number}": {"value": number % 2 == 0, "source": f"metric_{number} == bool 1"} for number in range(20)}
GUARDS = [f"guard {number}" for number in range(20)]


def decision(reason: str = "paused", /, **parts: Any) -> dict[str, Any]:
    return {"decision": "hold", "reason": reason, "detail": "x" * 200, "seconds": {"facts": 0.1}, **parts}


async def store(journal: Journal, claim: Claim, *told: dict[str, Any], kind: str = "decision") -> None:
    for data in told:
        await journal.append_record(claim, T0 + 1, Record(T0 + 1, kind, State.CLAIMED, data))


async def begin(journal: Journal, *matches: Any) -> Claim:
    await journal.append(delivery(*(matches or (match(),))))
    claim = await journal.claim("worker", T0, 60)
    assert claim is not None
    return claim


def columns(path: Path, kind: str = "decision") -> Sequence[Any]:
    """Text, packed bytes and base of the records of a kind, in order."""
    with closing(sqlite3.connect(path)) as connection:
        question = "SELECT number, data, packed, base FROM record WHERE kind = ? ORDER BY number"
        return connection.execute(question, (kind,)).fetchall()


def change(path: Path, statement: str) -> None:
    """Changes the file behind the program's back, also what the program never changes."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(f"DROP TRIGGER IF EXISTS record_never_changes; {statement};")


async def test_large_parts_are_packed_and_told_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    told = [
        decision(facts=FACTS, guards=GUARDS),
        decision("approval", facts={**FACTS, "half": {"value": "\ud83d\u00e4"}}, guards=GUARDS, proposal=FACTS),
        decision(guards=[]),
        decision(facts={}, guards=GUARDS),
    ]
    async with open_journal(path) as journal:
        claim = await begin(journal)
        await store(journal, claim, *told)
        remediation, records = await journal.story(claim.remediation.id)
        newest = (await journal.newest_decisions([remediation.id]))[remediation.id]

    assert [record.data for record in records if record.kind == "decision"] == told
    assert newest.data == told[-1]
    (first, text, _, base), second, third, fourth = columns(path)
    assert from_json(text) == decision()
    assert base is None
    assert (second[3], third[2], fourth[3]) == (first, None, first)


async def test_every_remediation_and_kind_has_a_base_of_its_own(tmp_path: Path) -> None:
    """A damaged page takes the decisions of one story at most."""
    path = tmp_path / "journal.db"
    async with open_journal(path) as journal:
        for number, target in enumerate((match(), match("other", BOUNCER))):
            claim = await begin(journal, target)
            await store(journal, claim, decision(facts=FACTS), decision(facts=FACTS))
            await store(journal, claim, {"pods": GUARDS}, {"pods": GUARDS}, kind="evidence")
            assert len((await journal.story(claim.remediation.id))[1]) == 6, number

    for kind in ("decision", "evidence"):
        numbers, bases = [row[0] for row in columns(path, kind)], [row[3] for row in columns(path, kind)]
        assert bases == [None, numbers[0], None, numbers[2]]


@pytest.mark.parametrize("kind", ["observation", "scheduled", "received", "step", "write", "intent"])
async def test_what_the_engine_reads_back_is_stored_as_before(tmp_path: Path, kind: str) -> None:
    """A program with schema 4 continues running verifications and due reverts."""
    path = tmp_path / "journal.db"
    async with open_journal(path) as journal:
        claim = await begin(journal)
        await store(journal, claim, {"observation": FACTS}, kind=kind)

    _, text, packed, base = columns(path, kind)[-1]
    assert (text, packed, base) == (to_json({"observation": FACTS}), None, None)


@pytest.mark.parametrize(
    ("statement", "number", "words"),
    [
        (
            "UPDATE record SET packed = x'789c00' WHERE number = 3",
            3,
            "record 3: packed: compressed text that has no",
        ),
        ("UPDATE record SET packed = 'text' WHERE number = 3", 3, "record 3: packed: not compressed text: "),
        ("UPDATE record SET packed = x'ffff' WHERE number = 4", 4, "record 4: packed: not compressed text: "),
        ("UPDATE record SET packed = substr(packed, 1, 20) WHERE number = 4", 4, "record 4: packed: "),
        (
            "UPDATE record SET base = 99 WHERE number = 4",
            4,
            "record 4: packed: record 99, from which it differs",
        ),
        ("UPDATE record SET base = 4 WHERE number = 4", 4, "record 4: packed: not compressed text: "),
        ("UPDATE record SET data = '[]' WHERE number = 4", 4, "record 4: data: Expected `object`"),
    ],
)
async def test_damaged_part_is_named_and_does_not_keep_the_next_decision_from_being_stored(
    tmp_path: Path, statement: str, number: int, words: str
) -> None:
    path = tmp_path / "journal.db"
    async with open_journal(path) as journal:
        claim = await begin(journal)
        await store(journal, claim, decision(facts=FACTS), decision(facts=FACTS))
        assert [row[0] for row in columns(path)] == [3, 4]
        change(path, statement)

        with pytest.raises(DamagedRecordError) as caught:
            await journal.story(claim.remediation.id)
        assert str(caught.value).startswith(words)

        for reason in ("later", "latest"):
            await store(journal, claim, decision(reason, facts=FACTS))
            newest = (await journal.newest_decisions([claim.remediation.id]))[claim.remediation.id]
            assert newest.data == decision(reason, facts=FACTS)
    assert [row[3] for row in columns(path)[-2:]] == ([None, 5] if number == 3 else [3, 3])


async def test_decisions_that_repeat_take_a_fraction_of_the_first(tmp_path: Path) -> None:
    """Held for as long as a policy waits: the facts are gathered again for each decision and are equal."""
    async with a_world(tmp_path) as world:
        world.prometheus.answers = {**world.prometheus.answers, "controlcore_postgres_up == bool 1": False}
        await world.deliver()
        engine = world.engine()
        for _ in range(HELD):
            while await engine.turn("worker"):
                pass
            await world.clock.advance(15.0)
        records = await world.records("decision")

    first, *later = [len(packed) for _, _, packed, _ in columns(tmp_path / "journal.db")]
    assert len(later) == HELD - 1
    assert len({record.data["facts"]["condition"]["collected_at"] for record in records}) == HELD
    assert max(later) < first / 4


async def test_parts_go_with_their_remediation(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with a_world(tmp_path) as world:
        await world.deliver()
        await world.work(world.engine())
        assert columns(path)
        assert await world.journal.prune(world.clock.now() + 1) == 1
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM record").fetchone() == (0,)
