from __future__ import annotations

import pytest
import redis.exceptions as driver

from chassis.errors import Reason
from chassis.redis.session import parse_info, translate

INFO = "# Server\r\nredis_version:7.0.15\r\nos:Linux 6.1 x:y\r\n\r\n# Memory\r\nused_memory:457144\r\n"


def test_info_keeps_words_and_reads_numbers() -> None:
    text = INFO + "mem_fragmentation_ratio:1.5\r\nused_memory_human:446.43K\r\ndb0:keys=1,expires=0\r\n"
    assert parse_info(text) == {
        "redis_version": "7.0.15",
        "os": "Linux 6.1 x:y",
        "used_memory": 457144,
        "mem_fragmentation_ratio": 1.5,
        "used_memory_human": "446.43K",
        "db0": "keys=1,expires=0",
    }


def while_handling(error: OSError) -> driver.ConnectionError:
    """What redis-py makes of a socket's error: its own, raised while handling it."""
    try:
        try:
            raise error
        except OSError:
            raise driver.ConnectionError("its own words")  # noqa: B904 - so does the driver
    except driver.ConnectionError as made:
        return made


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TimeoutError(), Reason.TIMEOUT),
        (driver.TimeoutError("slow"), Reason.TIMEOUT),
        (driver.BusyLoadingError("Redis is loading the dataset in memory"), Reason.STARTING),
        (driver.MasterDownError("Link with MASTER is down"), Reason.STARTING),
        (driver.AuthenticationError("Authentication required."), Reason.AUTH),
        (driver.NoPermissionError("no permissions"), Reason.PERMISSION),
        (driver.ConnectionError("max number of clients reached"), Reason.EXHAUSTED),
        (driver.OutOfMemoryError("command not allowed"), Reason.EXHAUSTED),
        (driver.ConnectionError("Connection closed by server."), Reason.CLOSED),
        (while_handling(ConnectionRefusedError(111, "refused")), Reason.REFUSED),
        (while_handling(ConnectionResetError(104, "reset")), Reason.CLOSED),
        (driver.InvalidResponse("Protocol Error"), Reason.PROTOCOL),
        (driver.ResponseError("DB index is out of range"), Reason.MISSING),
        (driver.ResponseError("unknown command"), Reason.PROTOCOL),
    ],
)
def test_failure_has_its_reason(error: BaseException, reason: Reason) -> None:
    assert translate(error).reason is reason
