from __future__ import annotations

import asyncpg
import pytest

from chassis.errors import BackendError, PermanentError, Reason, TransientError
from chassis.postgres.session import translate


def server_says(state: str) -> asyncpg.PostgresError:
    return asyncpg.PostgresError.new({"S": "FATAL", "C": state, "M": "the message"})


@pytest.mark.parametrize(
    ("state", "kind", "reason"),
    [
        ("28P01", PermanentError, Reason.AUTH),
        ("28000", PermanentError, Reason.AUTH),
        ("42501", PermanentError, Reason.PERMISSION),
        ("25006", PermanentError, Reason.PERMISSION),
        ("53300", TransientError, Reason.EXHAUSTED),
        ("53200", TransientError, Reason.EXHAUSTED),
        ("57P03", TransientError, Reason.STARTING),
        ("57P01", TransientError, Reason.CLOSED),
        ("57P02", TransientError, Reason.CLOSED),
        ("57014", TransientError, Reason.TIMEOUT),
        ("55P03", TransientError, Reason.TIMEOUT),
        ("3D000", PermanentError, Reason.MISSING),
        ("42P01", PermanentError, Reason.MISSING),
        ("22003", PermanentError, Reason.MALFORMED),
        ("42804", PermanentError, Reason.MALFORMED),
        ("08P01", PermanentError, Reason.PROTOCOL),
        ("08006", TransientError, Reason.CLOSED),
        ("XX000", PermanentError, Reason.INTERNAL),
        ("99999", PermanentError, Reason.INTERNAL),
    ],
)
def test_sqlstate_has_its_reason(state: str, kind: type[BackendError], reason: Reason) -> None:
    error = translate(server_says(state))
    assert (type(error), error.reason, str(error)) == (kind, reason, f"the message (SQLSTATE {state})")


@pytest.mark.parametrize(
    "fields",
    [
        {"C": "53300", "M": "zu viele Verbindungen von Rolle »plain«", "R": "InitializeSessionUserId"},
        {"C": "08P01", "M": "no more connections allowed (max_user_client_connections)"},
    ],
)
def test_limit_of_one_account_is_a_quota_whatever_the_language(fields: dict[str, str]) -> None:
    """P12."""
    error = translate(asyncpg.PostgresError.new({"S": "FATAL", **fields}))
    assert (type(error), error.reason) == (TransientError, Reason.QUOTA)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TimeoutError(), Reason.TIMEOUT),
        (ConnectionRefusedError(111, "refused"), Reason.REFUSED),
        (ConnectionError('PostgreSQL server at "h:1" rejected SSL upgrade'), Reason.TLS),
        (ConnectionError("unexpected connection_lost() call"), Reason.CLOSED),
        (asyncpg.ConnectionDoesNotExistError("closed in the middle of operation"), Reason.CLOSED),
        (asyncpg.InterfaceError("unexpected"), Reason.PROTOCOL),
    ],
)
def test_driver_failure_has_its_reason(error: BaseException, reason: Reason) -> None:
    assert translate(error).reason is reason
