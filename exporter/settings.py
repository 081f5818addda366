"""The exporter's configuration: what to watch, how often, where to serve.

Environment prefix CONTROLCORE_EXPORTER_. With only DATABASE_URL, REDIS_URL and CONTROLCORE_API_URL set it works:
these three are read when the setting of the same meaning is absent.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, create_model

from chassis.config import Section, Settings, settings_config
from exporter.collectors import CollectorSpec, Scope

PREFIX = "CONTROLCORE_EXPORTER_"
CONVENTIONAL = {("database", "url"): "DATABASE_URL", ("redis", "url"): "REDIS_URL", ("api", "url"): "CONTROLCORE_API_URL"}


class ServerSettings(Section):
    """Where the exporter serves."""

    host: str = "0.0.0.0"  # noqa: S104 - Prometheus comes from another pod
    """Address to listen on."""
    port: int = Field(default=9877, ge=0, le=65535)
    """Port to listen on; 0 picks a free one and logs it."""


class DatabaseSettings(Section):
    """The product's PostgreSQL."""

    url: SecretStr | None = None
    """`postgresql://user:password@host:port/database`; a driver suffix such as `postgresql+psycopg2` is accepted."""
    password_file: Path | None = None
    """File with the password, read again at every connect; wins over the URL's. Keeps the password out of the environment."""
    role: str = ""
    """Role of the control plane itself, to tell its backends from others; empty counts all roles together."""


class RedisSettings(Section):
    """The product's Redis."""

    url: SecretStr | None = None
    """`redis://[user:password@]host:port/db` or `rediss://`."""
    password_file: Path | None = None
    """File with the password, read again at every connect; wins over the URL's."""


class ApiSettings(Section):
    """The control-plane API."""

    url: str | None = None
    """Base URL, e.g. http://control-plane-api:8000; absent means the API collector is not configured."""


class BouncerTarget(Section):
    """One bouncer that is probed directly. Addresses come from here, never from database rows."""

    name: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")
    """Value of the label `bouncer`: the product's bouncer_id."""
    url: str
    """Base URL, e.g. http://bouncer-production:8080."""
    environment: Literal["sandbox", "production"] = "production"
    """Value of the label `policy_environment`."""


class KubernetesSettings(Section):
    """Where the workloads run. Absent means the Kubernetes collectors are not configured."""

    namespace: str = "controlcore"
    """Namespace of the product."""
    kubeconfig: Path | None = None
    """File with credentials; absent means the pod's own ServiceAccount."""
    workloads: tuple[str, ...] = ("control-plane-api",)
    """Deployments to watch by name: the label `component` of their series."""


class LogSettings(Section):
    """Where log lines go and how they look."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe level that is written."""
    form: Literal["auto", "json", "console"] = "auto"
    """`auto` writes console lines on a terminal and JSON elsewhere."""


class ExporterSettings(Settings):
    """Everything but the collectors' own settings, which `settings_type` adds from their registrations."""

    model_config = settings_config(PREFIX)

    server: ServerSettings = ServerSettings()
    database: DatabaseSettings = DatabaseSettings()
    redis: RedisSettings = RedisSettings()
    api: ApiSettings = ApiSettings()
    bouncers: tuple[BouncerTarget, ...] = ()
    kubernetes: KubernetesSettings | None = None
    log: LogSettings = LogSettings()
    scope: Literal["all", "pod", "deployment"] = "deployment"
    """Which collectors run: a sidecar sets `pod`, the one Deployment `deployment`; `all` suits a single plain process."""
    guide_names: bool = True
    """Publish the six metric names of the product's DevOps guide as well, so that its rules and panels work as printed."""

    def runs(self, scope: Scope) -> bool:
        """Whether collectors of this scope run here. The Deployment also probes the API, which is `pod` scope in a sidecar."""
        return self.scope in {"all", "deployment"} or scope.value == self.scope


def settings_type(specs: tuple[CollectorSpec, ...]) -> type[ExporterSettings]:
    """ExporterSettings with a section `collectors` that has one entry for each registered collector."""
    fields: dict[str, Any] = {spec.name: (spec.settings, spec.settings()) for spec in specs}
    section = create_model("CollectorsSection", __base__=Section, **fields)
    kind: type[ExporterSettings] = create_model(
        "ExporterConfiguration", __base__=ExporterSettings, collectors=(section, section())
    )
    return kind


def conventional_values() -> dict[str, Any]:
    """What DATABASE_URL, REDIS_URL and CONTROLCORE_API_URL say, as settings (weaker than file and prefix variables)."""
    values: dict[str, Any] = {}
    for (section, name), variable in CONVENTIONAL.items():
        if os.environ.get(variable):
            values.setdefault(section, {})[name] = os.environ[variable]
    return values
