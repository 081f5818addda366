"""A new collector is one file: settings, metrics, grants and reading."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.running_exporter import PLUG_IN, RUN, environment, running_exporter

EXAMPLE = '''
"""Counts the doors of the building."""

from contextlib import asynccontextmanager

from pydantic import Field

from exporter.metrics import Metric
from exporter.settings import Scope
from exporter.collector import CollectorSettings, Result, collector

DOORS = Metric("controlcore_doors", "Doors of the building.", labels=("side",))


class DoorsSettings(CollectorSettings):
    """How many there are."""

    north: int = Field(default=1, ge=0)


@collector(scope=Scope.POD, settings=DoorsSettings, metrics=(DOORS,))
class DoorsCollector:
    """Counts doors."""

    def __init__(self, settings):
        self._settings = settings

    @classmethod
    @asynccontextmanager
    async def open(cls, settings, sources):
        yield cls(settings)

    async def collect(self):
        return Result((DOORS.family({("north",): self._settings.north}),))
'''


@pytest.mark.timeout(60)
def test_new_collector_is_one_file(tmp_path: Path) -> None:
    """Found, configured, published, switchable and in the catalogue, with no other edit."""
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "doors.py").write_text(EXAMPLE)
    before = PLUG_IN.format(folder=str(plugins))
    variables = {"CONTROLCORE_EXPORTER_COLLECTORS__DOORS__NORTH": "4"}
    with running_exporter(tmp_path, variables=variables, before=before) as exporter:
        exporter.wait_until_ready()
        samples = exporter.samples()
        assert samples['controlcore_doors{side="north"}'] == 4
        assert samples['controlcore_scrape_collector_success{collector="doors"}'] == 1
        assert "<code>doors</code>" in exporter.get("/").text
        assert exporter.end()[0] == 0
    for argument, expected in (("--print-metrics", "## Collector `doors`"), ("--help", "--no-collector.doors")):
        answer = subprocess.run(
            [sys.executable, "-c", before + RUN, argument],
            capture_output=True,
            text=True,
            check=True,
            env=environment(),
        )
        assert expected in answer.stdout
