"""A running stand-in for the tests of the stand-in."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING

import pytest

from tools.servers.postgres import PostgresServer
from tools.servers.redis import RedisServer
from tools.standin.running import Options, StandIn, running_standin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def make_database(postgres_server: PostgresServer) -> Callable[[], str]:
    """Make an empty database and return its URL."""
    return lambda: postgres_server.create_database(f"standin_{os.getpid()}_{next(NUMBERS)}")


@pytest.fixture(scope="session")
def quiet(make_database: Callable[[], str], redis_server: RedisServer) -> Iterator[StandIn]:
    """A stand-in without its own users, for tests that do not change it."""
    with running_standin(make_database(), redis_server.url, Options(traffic_interval_seconds=0)) as standin:
        yield standin


@pytest.fixture
def healed(quiet: StandIn) -> Iterator[StandIn]:
    """The quiet stand-in, for a test that switches faults: they are off again after it."""
    yield quiet
    for component, program in quiet.programs.items():
        if program.is_running():
            quiet.clear(component)
        else:
            quiet.restart(component)
