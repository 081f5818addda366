"""Checks the configuration, or serves with it; a sidecar also serves with a faulty one, and reports that."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from chassis import log
from chassis.clock import SystemClock
from chassis.errors import ConfigError
from chassis.log import LogFile
from chassis.process.lifecycle import Lifecycle, run
from exporter.collector import CollectorSpec
from exporter.commands.configuration import load_settings, name_file
from exporter.commands.serve import Exporter
from exporter.commands.sidecar import bare_settings
from exporter.http.landing_page import NOTHING, is_nothing_watched
from exporter.settings import ExporterSettings


def start(specs: tuple[CollectorSpec, ...], path: Path | None, overrides: Mapping[str, Any], *, is_check: bool) -> None:
    """Runs until a signal, or only checks. Raises ConfigError, or OSError when it cannot listen."""

    def load() -> ExporterSettings:
        return load_settings(specs, path, overrides)

    try:
        settings = load()
    except ConfigError as error:
        bare = None if is_check else bare_settings(specs, path, overrides)
        if bare is None:
            raise ConfigError(name_file(error.faults, path, overrides)) from None
        _serve(bare, specs, load, error)
        return
    if is_check:
        sys.stdout.write(f"{path or 'the configuration from defaults and environment, without a file,'} is valid\n")
        if is_nothing_watched(settings):
            sys.stderr.write(f"warning: nothing is watched: {NOTHING}\n")
    else:
        _serve(settings, specs, load)


def _serve(
    settings: ExporterSettings,
    specs: tuple[CollectorSpec, ...],
    load: Callable[[], ExporterSettings],
    rejected: ConfigError | None = None,
) -> None:
    """Runs the exporter until a signal ends it. `rejected` says why these are not the configured settings."""
    clock = SystemClock()
    file = None if settings.log.file is None else LogFile(settings.log.file)
    level, form = settings.log.level, settings.log.form
    log.configure(program="controlcore-exporter", level=level, form=form, clock=clock, file=file)

    async def body(life: Lifecycle) -> None:
        exporter = Exporter(settings, load, specs, clock, log.get_logger())
        if rejected is not None:
            exporter.reject(rejected)
        await exporter.run(life)

    try:
        run(body)
    finally:
        if file is not None:
            file.close()
