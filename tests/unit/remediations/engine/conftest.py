"""The world that most tests of the engine begin in."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
import structlog

from chassis import log
from tests.fakes.engine import a_world


@pytest.fixture
async def world(tmp_path):
    async with a_world(tmp_path) as made:
        yield made


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """The log as JSON."""
    stream = io.StringIO()
    log.configure(program="test", form="json", stream=stream)
    yield stream
    structlog.reset_defaults()
