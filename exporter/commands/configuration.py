"""Reads the configuration: presets, files, environment, and the settings of every collector."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import create_model

from chassis.config import Section, existing_paths, load, merge, read_secret, read_yaml
from chassis.errors import ConfigError, Fault
from chassis.http.web_config import read_web
from exporter.collector import CollectorSettings, CollectorSpec
from exporter.commands.presets import preset_values
from exporter.settings import PREFIX, DeploymentSettings, ExporterSettings

ENVIRONMENT = "environment"
"""Path of a fault in the whole environment."""
CONVENTIONAL = {"database.url": "DATABASE_URL", "redis.url": "REDIS_URL", "api.url": "CONTROLCORE_API_URL"}
"""The variables that an installation of the product already has, by the setting that they supply."""


def settings_type(specs: tuple[CollectorSpec, ...]) -> type[ExporterSettings]:
    """ExporterSettings with a section `collectors` that has one entry for each registered collector."""
    fields: dict[str, Any] = {spec.name: (spec.settings, spec.settings()) for spec in specs}
    section = create_model("CollectorsSection", __base__=Section, **fields)
    kind: type[ExporterSettings] = create_model(
        "ExporterConfiguration", __base__=ExporterSettings, collectors=(section, section())
    )
    return kind


def load_settings(
    specs: tuple[CollectorSpec, ...], path: Path | None, overrides: Mapping[str, Any] | None = None
) -> ExporterSettings:
    """The configuration from command line, environment, file and the conventional variables, in this order.

    Raises ConfigError with every fault, including named files that cannot be read.
    """
    fallbacks = merge(_preset(path, overrides or {}), conventional_values())
    settings = load(settings_type(specs), path, overrides=overrides, fallbacks=fallbacks, variables=CONVENTIONAL)
    named = [*_files(settings)]
    for name, deployment in settings.deployments.items():
        named += [(f"deployments.{name}.{setting}", file) for setting, file in _files(deployment)]
    faults: list[Fault] = []
    for setting, file in named:
        try:
            read_secret(file, setting)
        except ConfigError as error:
            faults += error.faults
    try:
        if settings.server.web_config_file is not None:
            read_web(settings.server.web_config_file)
    except ConfigError as error:
        faults += error.faults
    if faults:
        raise ConfigError(tuple(faults))
    return settings


def name_file(faults: tuple[Fault, ...], path: Path | None, overrides: Mapping[str, Any]) -> tuple[Fault, ...]:
    """The faults; a fault from the configuration file begins with the file's name."""
    if path is None:
        return faults
    elsewhere = set(_paths_of(overrides))
    return tuple(
        fault
        if "/" in fault.path
        or fault.path in {str(path), ENVIRONMENT, *CONVENTIONAL.values(), *elsewhere}
        or fault.path.upper().startswith(PREFIX)
        else Fault(f"{path}: {fault.path}", fault.message)
        for fault in faults
    )


def _paths_of(values: Mapping[str, Any], before: str = "") -> Iterator[str]:
    """The dotted path of each value."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _paths_of(value, f"{before}{name}.")
        else:
            yield f"{before}{name}"


def _preset(path: Path | None, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the chosen preset; empty without one. An unreadable file is reported elsewhere."""
    try:
        file = {} if path is None else read_yaml(path)
    except ConfigError:
        return {}
    name, scope = (
        overrides.get(field) or os.environ.get(f"{PREFIX}{field.upper()}") or file.get(field)
        for field in ("preset", "scope")
    )
    has_kubernetes = file.get("kubernetes") is not None or "KUBERNETES_SERVICE_HOST" in os.environ
    return preset_values(str(name), is_sidecar=scope == "pod", has_kubernetes=has_kubernetes)


def _files(settings: ExporterSettings | DeploymentSettings) -> Iterator[tuple[str, Path]]:
    """The files that an installation's settings name, each with its setting."""
    for section in ("database", "redis"):
        file = getattr(settings, section).password_file
        if file is not None:
            yield f"{section}.password_file", file
    if settings.kubernetes is not None and settings.kubernetes.kubeconfig is not None:
        for file in existing_paths(settings.kubernetes.kubeconfig):
            yield "kubernetes.kubeconfig", file


def collector_settings(settings: ExporterSettings, name: str) -> CollectorSettings:
    """One collector's own settings, from the section that `settings_type` added."""
    found: CollectorSettings = getattr(settings.collectors, name)  # type: ignore[attr-defined] # added by settings_type
    return found


def conventional_values() -> dict[str, Any]:
    """The settings from DATABASE_URL, REDIS_URL and CONTROLCORE_API_URL; file and prefix variables win over them."""
    values: dict[str, Any] = {}
    for path, variable in CONVENTIONAL.items():
        section, _, name = path.partition(".")
        if os.environ.get(variable):
            values.setdefault(section, {})[name] = os.environ[variable]
    return values
