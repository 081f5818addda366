from __future__ import annotations

import asyncio

import pytest
import structlog

from remediations.http.tokens import NoCredentialError, TokenCredentials, check_files
from tests.fakes.clock import ManualClock

TOKEN = "a-token-of-the-test-0001"
OTHER = "a-token-of-the-test-0002"


@pytest.fixture
def token_file(tmp_path):
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    return path


async def test_right_token_is_known_and_others_are_not(token_file):
    credentials = TokenCredentials((token_file,), ManualClock())

    assert await credentials.find(TOKEN)
    for wrong in ("", " ", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "\ud800", "é"):
        assert not await credentials.find(wrong)


async def test_every_configured_token_is_known(token_file, tmp_path):
    second = tmp_path / "second"
    second.write_text(OTHER)
    credentials = TokenCredentials((token_file, second), ManualClock())

    assert await credentials.find(TOKEN)
    assert await credentials.find(OTHER)


async def test_replaced_file_takes_effect_within_a_second(token_file):
    clock = ManualClock()
    credentials = TokenCredentials((token_file,), clock)
    assert await credentials.find(TOKEN)
    await asyncio.to_thread(token_file.write_text, OTHER)

    await clock.advance(1.0)

    assert await credentials.find(OTHER)
    assert not await credentials.find(TOKEN)


async def test_no_readable_file_lets_nobody_in_and_blames_nobody(token_file):
    await asyncio.to_thread(token_file.unlink)

    with pytest.raises(NoCredentialError):
        await TokenCredentials((token_file,), ManualClock()).find(TOKEN)


@pytest.mark.parametrize("content", [None, b"", b"short", b"\xff" * 32])
async def test_file_that_loses_its_token_keeps_the_old_one_and_says_so(token_file, content):
    """M4: an emptied Secret must not turn every delivery away."""
    clock, told = ManualClock(), []
    credentials = TokenCredentials((token_file,), clock, lambda *, are_readable: told.append(are_readable))
    assert await credentials.find(TOKEN)
    await asyncio.to_thread(token_file.unlink if content is None else lambda: token_file.write_bytes(content))
    await clock.advance(1.0)

    with structlog.testing.capture_logs() as lines:
        assert await credentials.find(TOKEN)
        assert not await credentials.find("")
        assert not await credentials.find(content.decode("latin-1") if content else "")
    assert told == [True, False]
    assert [line["event"] for line in lines] == ["credential.unreadable"]

    await asyncio.to_thread(token_file.write_text, OTHER)
    await clock.advance(1.0)
    assert await credentials.find(OTHER)
    assert not await credentials.find(TOKEN)
    assert told == [True, False, True]


async def test_empty_token_never_matches_an_empty_file(token_file):
    await asyncio.to_thread(token_file.write_text, "\n")

    with pytest.raises(NoCredentialError):
        await TokenCredentials((token_file,), ManualClock()).find("")


def test_faults_of_token_files_are_told(tmp_path):
    (tmp_path / "short").write_text("short")
    (tmp_path / "binary").write_bytes(b"\xff" * 32)

    problems = check_files((tmp_path / "short", tmp_path / "binary", tmp_path / "missing"))

    assert problems == (
        f"the token in {tmp_path}/short needs at least 16 characters",
        f"cannot read {tmp_path}/binary: it is not UTF-8 text",
        f"the file {tmp_path}/missing does not exist",
    )


async def test_callers_beside_the_first_one_are_let_in_too(tmp_path):
    """The requests arrive while the file is being read for the first time."""
    path = tmp_path / "token"
    path.write_text("a-token-of-the-test-0001")
    credentials = TokenCredentials((path,), ManualClock())

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(credentials.find("a-token-of-the-test-0001")) for _ in range(3)]

    assert [task.result() for task in tasks] == [(path,)] * 3
