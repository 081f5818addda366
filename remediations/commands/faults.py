"""Faults as the command line prints them: each with its file and key, the faults of all files together."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from chassis.config import read_yaml
from chassis.errors import ConfigError, Fault
from remediations.commands.policy_store import read_policies
from remediations.settings import PREFIX, RemediatorSettings

ENVIRONMENT = "environment"
"""Path of a fault in the whole environment."""


def name_file(faults: tuple[Fault, ...], path: Path | None) -> tuple[Fault, ...]:
    """The faults; a fault of a setting is given with the settings file."""
    if path is None:
        return faults
    return tuple(Fault(f"{path}: {fault.path}", fault.message) if _is_setting(fault) else fault for fault in faults)


def faults_of_files(error: ConfigError, path: Path | None, *, has_policies: bool) -> tuple[Fault, ...]:
    """The faults of the settings, and those of the policy file too, even if the settings cannot be used.

    If the settings file is not valid YAML, it names no policy file, and only its own fault is reported.
    """
    known = () if path is None else (str(path), ENVIRONMENT)
    faults = tuple(
        fault
        if path is None or fault.path in known or fault.path.upper().startswith(PREFIX)
        else Fault(f"{path}: {fault.path}", fault.message)
        for fault in error.faults
    )
    if not has_policies or any(fault.path == str(path) for fault in faults):
        return faults
    values: dict[str, Any] = {} if path is None else read_yaml(path)
    default = RemediatorSettings.model_fields["policies_file"].default
    place = os.environ.get(f"{PREFIX}POLICIES_FILE") or values.get("policies_file", default)
    with suppress(TypeError):
        try:
            read_policies(Path(place))
        except ConfigError as others:
            faults += name_file(others.faults, path)
    return faults


def _is_setting(fault: Fault) -> bool:
    """Whether the fault concerns a setting, and not another file or the command line."""
    return fault.path.partition(".")[0].partition("[")[0] in RemediatorSettings.model_fields
