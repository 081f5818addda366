"""Reports at a reload which settings of the file differ from those that the program runs with."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from chassis.config import load
from chassis.errors import ConfigError
from chassis.log import get_logger
from remediations.settings import RemediatorSettings

HINT = "a reload reads only the policy file; restart the program to use the changed settings"


def find_changed(running: BaseModel, written: BaseModel, place: str = "") -> Iterator[str]:
    """The settings that differ; a section that was added or removed counts as one."""
    for name in type(running).model_fields:
        before, after = getattr(running, name), getattr(written, name)
        if isinstance(before, BaseModel) and isinstance(after, BaseModel):
            yield from find_changed(before, after, f"{place}{name}.")
        elif before != after:
            yield f"{place}{name}"


async def tell_changed(running: RemediatorSettings, path: Path | None) -> None:
    """Logs the names of the changed settings, or why the file could not be read; logs nothing if nothing changed."""
    try:
        written = await asyncio.to_thread(load, RemediatorSettings, path)
    except ConfigError as error:
        get_logger().warning("settings.unreadable", faults=[str(fault) for fault in error.faults], hint=HINT)
        return
    if changed := list(find_changed(running, written)):
        get_logger().warning("settings.changed", settings=changed, hint=HINT)
