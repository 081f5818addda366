"""What the checks share: the open sources, which of them are broken, and each collector's result."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pydantic import SecretStr

from chassis.config import giving_variable
from exporter.collection.schedule import Job
from exporter.commands.configuration import CONVENTIONAL, collector_settings
from exporter.settings import ApiSettings, ExporterSettings, Scope

if TYPE_CHECKING:
    from exporter.collector import CollectorSettings, CollectorSpec
    from exporter.commands.doctor.prometheus import Prometheus
    from exporter.commands.doctor.rights import Rights
    from exporter.results.record import CollectionOutcome
    from exporter.settings import BouncerTarget
    from exporter.sources.sources import Sources

DATABASE, REDIS, API, KUBERNETES = "database", "redis", "api", "kubernetes"
BOUNCER, OPA, OPAL_SERVER, OPAL_CLIENT = "bouncer", "opa", "opal_server", "opal_client"


@dataclass(slots=True)
class CheckedInstallation:
    """The checked installation. Earlier checks fill in the fields that later checks use."""

    settings: ExporterSettings
    specs: tuple[CollectorSpec, ...]
    sources: Sources
    """Its settings include the discovered bouncers."""
    name: str = ""
    """Name of a further deployment; empty for the one at /metrics."""
    prometheus: Prometheus | None = None
    """None for a further deployment, and where no --prometheus.url is given."""
    discovery_faults: tuple[str, ...] = ()
    """Why not all bouncers could be discovered."""
    broken: set[tuple[str, str]] = field(default_factory=set)
    """Kind and name of each unusable source; its own check has reported why."""
    outcomes: dict[str, CollectionOutcome] = field(default_factory=dict)
    """The outcome of each collector's one collection."""
    not_configured: dict[str, str] = field(default_factory=dict)
    """Why each of the other collectors does not run: switched off, or the setting that its source lacks."""
    not_run: set[str] = field(default_factory=set)
    """Collectors whose sources are broken."""
    rights: Rights | None = None
    """The rights of the database role; None while the database cannot be queried."""

    def setting(self, path: str) -> str:
        """The full path of a setting of this installation, and the conventional variable that supplied it, if any."""
        if self.name:
            return f"deployments.{self.name}.{path}"
        variable = giving_variable(CONVENTIONAL, path, self._text_of(path)) if path in CONVENTIONAL else ""
        return f"{path} ({variable})" if variable else path

    def _text_of(self, path: str) -> str | None:
        """The value of a setting that is an address."""
        section, _, name = path.partition(".")
        value = getattr(getattr(self.settings, section), name)
        return value.get_secret_value() if isinstance(value, SecretStr) else value

    def jobs(self) -> Iterator[Job]:
        """The collectors that `serve` would run."""
        for spec in self.specs:
            own = collector_settings(self.settings, spec.name)
            if self.settings.runs(spec.scope) and own.enabled:
                yield Job(spec, own)

    def working_sources(self) -> Sources:
        """The sources without the broken ones: a collector that needs a broken one is then not configured."""
        kinds = {kind for kind, _ in self.broken}
        bouncers = tuple(
            bouncer if (OPA, bouncer.name) not in self.broken else bouncer.model_copy(update={"opa_url": None})
            for bouncer in self.bouncers
            if (BOUNCER, bouncer.name) not in self.broken
        )
        changed: dict[str, object] = {"bouncers": bouncers}
        if API in kinds:
            changed["api"] = ApiSettings()
        sources = replace(self.sources, settings=self.sources.settings.model_copy(update=changed))
        if DATABASE in kinds:
            sources = replace(sources, postgres=None, postgres_address=None)
        if REDIS in kinds:
            sources = replace(sources, redis=None, redis_address=None)
        return replace(sources, kubernetes=None) if KUBERNETES in kinds else sources

    def working_settings(self, name: str) -> CollectorSettings:
        """A collector's own settings without the broken addresses in them."""
        from exporter.collectors.policy_engine.opal import OpalSettings  # noqa: PLC0415 - a collector's own

        own = collector_settings(self.settings, name)
        if not isinstance(own, OpalSettings):
            return own
        clients = tuple(client for client in own.clients if (OPAL_CLIENT, client.name) not in self.broken)
        server = None if (OPAL_SERVER, "") in self.broken else own.server_url
        return own.model_copy(update={"clients": clients, "server_url": server})

    @property
    def bouncers(self) -> tuple[BouncerTarget, ...]:
        """The configured and discovered bouncers; none in a sidecar, which queries only the API."""
        return self.sources.settings.bouncers if self.settings.runs(Scope.DEPLOYMENT) else ()
