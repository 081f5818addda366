"""Waits and reads that the SQLite journal avoids."""

from __future__ import annotations

import pytest

from remediations.core.model.errors import JournalError
from remediations.core.model.remediation import State
from remediations.journal.sqlite.adapter import open_journal
from tests.contract.journal_opening import T0, change, delivery, match


async def test_claims_alone_do_not_wait_for_the_disk_and_what_follows_does(tmp_path):
    async with open_journal(tmp_path / "journal.db") as journal:

        async def level() -> int:
            return await journal._thread.read(lambda connection: connection.execute("PRAGMA synchronous").fetchone()[0])

        await journal.append(delivery(match()))
        levels = [await level()]
        claim = await journal.claim("one", T0, 10)
        assert claim is not None
        levels.append(await level())
        await journal.renew(claim, T0, 10)
        levels.append(await level())
        await journal.advance(claim, State.CLAIMED, State.HELD, T0, change())
        levels.append(await level())
    assert levels == [2, 1, 1, 2]


async def test_damage_is_looked_for_only_when_asked(tmp_path):
    """The command line opens a journal that `serve` has checked; reading all of a large one takes seconds."""
    path = tmp_path / "journal.db"
    async with open_journal(path) as journal:
        for number in range(60):
            await journal.append(delivery(match(f"policy-{number}")))
    damaged = bytearray(path.read_bytes())
    damaged[-4096 * 4 :] = b"\xff" * (4096 * 4)
    path.write_bytes(bytes(damaged))

    async with open_journal(path, is_checked=False) as journal:
        with pytest.raises(JournalError, match="damaged"):
            _ = [await journal.story(item.id) for item in await journal.listing()]
