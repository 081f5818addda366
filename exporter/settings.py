"""The exporter's configuration: targets, intervals, and where to serve.

Environment prefix CONTROLCORE_EXPORTER_. With only DATABASE_URL, REDIS_URL and CONTROLCORE_API_URL set it works:
these three are read when the setting of the same meaning is absent.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Protocol, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, field_validator

from chassis.config import ConnectionSettings, Section, Settings, require_http
from chassis.errors import ConfigError, Fault
from chassis.postgres.address import PostgresAddress
from chassis.redis.address import RedisAddress


def check_database(url: SecretStr | None) -> SecretStr | None:
    """Refuses an unusable database URL; the fault does not quote it."""
    if url is not None:
        _as_value_error(lambda: PostgresAddress.parse(url))
    return url


def check_redis(url: SecretStr | None) -> SecretStr | None:
    """Refuses an unusable Redis URL; the fault does not quote it."""
    if url is not None:
        _as_value_error(lambda: RedisAddress.parse(url))
    return url


def check_http(url: str | None) -> str | None:
    """Refuses anything but an http or https URL with a host; it may contain no credentials, because it is displayed."""
    if url is None:
        return None
    parts = require_http(url, "http://control-plane-api:8000")
    if parts.username or parts.password:
        raise ValueError("this URL must not contain credentials")
    return url.rstrip("/")


def place_of(url: str) -> tuple[str, int]:
    """Host and port of a base URL; raises ConfigError when it has no host."""
    parts = urlsplit(url)
    if not parts.hostname:
        raise ConfigError((Fault("api.url", "expected http://host:port"),))
    return parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


def _as_value_error(parse: Callable[[], object]) -> None:
    """Lets pydantic add its own path to the faults of an address."""
    try:
        parse()
    except ConfigError as error:
        raise ValueError("; ".join(fault.message for fault in error.faults)) from None


MAX_SERIES = 200_000
"""Limit of all collectors together that still allows scrapes in milliseconds; see the benchmark's growth."""


class Scope(StrEnum):
    """What a collector's values describe."""

    POD = "pod"
    """One replica of the product; runs in every sidecar."""
    DEPLOYMENT = "deployment"
    """The whole installation; runs once, in the Deployment."""


class KubernetesDiscovery(Section):
    """Bouncers by label, in the namespace of `kubernetes`."""

    kind: Literal["pods", "services"] = "pods"
    """Pods are queried one by one; a Service counts as one bouncer, whichever of its pods answers."""
    selector: str = "app=controlcore-bouncer"
    """Label selector."""
    port: int = Field(default=8080, ge=1, le=65535)
    """Port of the bouncer's own API."""
    scheme: Literal["http", "https"] = "http"
    """Scheme of the bouncer's own API."""
    name_label: str = "bouncer"
    """Label that holds the product's bouncer_id; without it the object's name is the bouncer's."""
    environment_label: str = "environment"
    """Label that is `sandbox` or `production`; anything else counts as production."""
    vanished_seconds: float = Field(default=3600.0, ge=0)
    """How long a discovered bouncer that is gone (deleted, scaled to 0, not Running) stays at `bouncer_up` 0. A bouncer
    is not gone while another object has its name (label `name_label`) or its workload, or while its name is configured
    or found in a file. A reload with another search (kind, port, scheme, labels, namespace or kubeconfig) drops it.
    With 0 it is dropped at once; then no alert fires when the last one ends.
    """


class BouncerDiscovery(Section):
    """Discovered bouncers are added to the configured ones; a configured name wins."""

    files: tuple[Path, ...] = ()
    """Files of Prometheus' file_sd format (JSON or YAML). Labels: bouncer, policy_environment, __scheme__."""
    kubernetes: KubernetesDiscovery | None = None
    refresh_seconds: float = Field(default=30.0, ge=1)
    """Interval of discovery. A change restarts the collectors, so a much smaller value only causes restarts."""
    max_bouncers: int = Field(default=1000, ge=1)
    """Most discovered bouncers that are watched; the log says how many more are left out."""


PREFIX = "CONTROLCORE_EXPORTER_"
DEPLOYMENT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""No dot and no colon: a name is never an address."""


BaseUrl = Annotated[str, AfterValidator(check_http)]
"""An http or https URL with a host and without credentials."""


def _check_deployments(deployments: dict[str, Any]) -> dict[str, Any]:
    """Refuses names that cannot be used in /probe?target=NAME."""
    for name in deployments:
        if DEPLOYMENT_NAME.fullmatch(name) is None:
            raise ValueError("a deployment's name is 1 to 64 letters, digits, _ or -, beginning with a letter or digit")
    return deployments


class ServerSettings(Section):
    """Where the exporter serves."""

    host: str = ""
    """Address to listen on. Empty means all addresses of IPv4 and IPv6, as with Go's exporters; 0.0.0.0 means IPv4."""
    port: int = Field(default=9877, ge=0, le=65535)
    """Port to listen on; 0 picks a free one and logs it."""
    web_config_file: Path | None = None
    """File in the web configuration format of Prometheus' exporter-toolkit: TLS, client certificates, basic
    authentication, headers. Read again when it, or a certificate that it names, changes."""
    max_scrapes: int = Field(default=40, ge=1)
    """Scrapes in progress; more get 503. One address (of IPv6 a /64 network) gets at most half of them. Two Prometheus
    servers need two, behind one address four; slow clients hold a slot.
    """
    slow_reader_seconds: float = Field(default=10.0, gt=0)
    """Time in which a scraper must read the page; slower clients are disconnected. Prometheus gives up after 10 s."""
    connections: ConnectionSettings = ConnectionSettings()
    """Limits on connections."""


class DatabaseSettings(Section):
    """The product's PostgreSQL."""

    url: Annotated[SecretStr | None, AfterValidator(check_database)] = None
    """`postgresql://user:password@host:port/database`; a driver suffix such as `postgresql+psycopg2` is accepted."""
    password_file: Path | None = None
    """File with the password, read again at every connect; wins over the URL's. Keeps it out of the environment."""
    max_connection_seconds: float = Field(default=300.0, gt=0)
    """Longest use of the connection for statistics before it is reopened, to follow a DNS name that moved. It is also
    closed when a probe reaches another server. Below a minute it only costs connections.
    """
    role: str = ""
    """Role of the control plane itself, to distinguish its sessions from others; empty counts all roles together."""


class RedisSettings(Section):
    """The product's Redis."""

    url: Annotated[SecretStr | None, AfterValidator(check_redis)] = None
    """`redis://[user:password@]host:port/db` or `rediss://`."""
    password_file: Path | None = None
    """File with the password, read again at every connect; wins over the URL's."""
    max_connection_seconds: float = Field(default=300.0, gt=0)
    """Longest use of the connection for statistics before it is reopened, to follow a DNS name that moved. It is also
    closed when a probe reaches another server. Below a minute it only costs connections.
    """


class ApiSettings(Section):
    """The control-plane API."""

    url: Annotated[str | None, AfterValidator(check_http)] = None
    """Base URL, e.g. http://control-plane-api:8000; absent means the API collector is not configured."""


class HasName(Protocol):
    """An item that is identified by its name."""

    @property
    def name(self) -> str:
        """Value of a label."""


N = TypeVar("N", bound=HasName)


def require_distinct(items: tuple[N, ...]) -> tuple[N, ...]:
    """Refuses duplicate names: with one label value, one of them would be invisible. For pydantic."""
    names = [item.name for item in items]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"each needs its own name; used twice: {', '.join(twice)}")
    return items


class BouncerTarget(Section):
    """One bouncer that is probed directly. Addresses come from here, never from database rows."""

    name: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")
    """Value of the label `bouncer`: the product's bouncer_id."""
    url: Annotated[str, AfterValidator(check_http)]
    """Base URL, e.g. http://bouncer-production:8080."""
    environment: Literal["sandbox", "production"] = "production"
    """Value of the label `policy_environment`."""
    opa_url: BaseUrl | None = None
    """Base URL of the OPA behind it, e.g. http://opa:8181; absent leaves the engine's own figures out."""


class KubernetesSettings(Section):
    """Where the workloads run. Absent means the Kubernetes collectors are not configured."""

    namespace: str = "controlcore"
    """Namespace of the product."""
    kubeconfig: Path | None = None
    """File with credentials; several, separated by `:`, are merged as kubectl does. Absent means the pod's own
    ServiceAccount.
    """
    workloads: tuple[str, ...] = ("control-plane-api",)
    """Deployments to watch by name: the label `component` of their series."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Label selector of a workload's pods by its name, e.g. `app=control-plane-api`."""
    max_list_bytes: int = Field(default=64 * 1024 * 1024, ge=1024 * 1024)
    """Longest list of objects that is read, all pages together. A pod takes about 12 KiB. A longer list fails the
    collection."""


class CollectionSettings(Section):
    """When collectors collect."""

    mode: Literal["interval", "phase", "on-scrape"] = "interval"
    """`interval`: each collector at its own interval. `phase`: the exporter learns when scrapes come, and collections
    end just before the next one; while that is uncertain, by interval. `on-scrape`: a scrape starts the collections and
    waits for them."""
    on_scrape_min_seconds: float = Field(default=1.0, ge=0)
    """In mode `on-scrape`, values younger than this answer a scrape without a collection. With 0 each scrape collects,
    so every scraper adds load to the database.
    """


class DeploymentSettings(Section):
    """One more installation of the product, whose metrics are at /probe?target=NAME."""

    database: DatabaseSettings = DatabaseSettings()
    redis: RedisSettings = RedisSettings()
    api: ApiSettings = ApiSettings()
    bouncers: tuple[BouncerTarget, ...] = ()
    _bouncers_are_distinct = field_validator("bouncers")(require_distinct)
    kubernetes: KubernetesSettings | None = None


class LogSettings(Section):
    """Destination and format of log lines."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe level that is written."""
    form: Literal["auto", "json", "console"] = "auto"
    """`auto` writes console lines on a terminal and JSON elsewhere."""
    file: Path | None = None
    """File that gets every line too, e.g. /var/log/controlcore/exporter.log, as the guide's fluentd configuration
    reads it. It may be rotated by renaming or by truncating. The folder must exist."""


class LimitSettings(Section):
    """How much one collector may publish, so that unexpected data does not overload Prometheus."""

    max_series_per_collector: int = Field(default=5000, ge=1)
    """Series of one collector; the rest is dropped and counted. Ten times what a large installation makes."""
    max_series_per_bouncer: int = Field(default=60, ge=0)
    """Series that each configured or discovered bouncer adds to that limit. `policy`, the largest collector, publishes
    about 35 for one bouncer, however many questions are configured."""
    max_series: int = Field(default=MAX_SERIES, ge=1)
    """Series of all collectors of one page together. Series over the limit are dropped and counted, last collector
    first."""
    max_label_length: int = Field(default=128, ge=8)
    """Characters of a label value; longer ones are cut and counted. Kubernetes names are at most 63 or 253 long."""


class ExporterSettings(Settings):
    """Everything but the collectors' own settings, which `settings_type` adds from their registrations."""

    env_prefix: ClassVar[str] = PREFIX

    server: ServerSettings = ServerSettings()
    database: DatabaseSettings = DatabaseSettings()
    redis: RedisSettings = RedisSettings()
    api: ApiSettings = ApiSettings()
    bouncers: tuple[BouncerTarget, ...] = ()
    _bouncers_are_distinct = field_validator("bouncers")(require_distinct)
    bouncer_discovery: BouncerDiscovery = BouncerDiscovery()
    kubernetes: KubernetesSettings | None = None
    preset: Literal["devops-guide", "enterprise-guide", "snapshot-chart", "compose"] | None = None
    """Names, ports, namespaces and labels of a usual deployment, for settings that are not configured."""
    log: LogSettings = LogSettings()
    scope: Literal["all", "pod", "deployment"] = "deployment"
    """Which collectors run: a sidecar sets `pod`, the one Deployment `deployment`, a single plain process `all`."""
    guide_names: bool = True
    """Publish the product's DevOps guide's own six metric names as well: its rules and panels then work as printed."""
    limits: LimitSettings = LimitSettings()
    collection: CollectionSettings = CollectionSettings()
    deployments: Annotated[dict[str, DeploymentSettings], AfterValidator(_check_deployments)] = Field(
        default_factory=dict
    )
    """Further installations by name. Collectors and limits are set up as for the main one."""

    def watching(self, name: str) -> ExporterSettings:
        """These settings with a deployment's sources instead of the main one's."""
        chosen = self.deployments[name]
        return self.model_copy(update={field: getattr(chosen, field) for field in type(chosen).model_fields})

    def runs(self, scope: Scope) -> bool:
        """Whether collectors of this scope run here.

        The Deployment runs both: it also probes the API, which in a sidecar is `pod` scope.
        """
        return self.scope in {"all", "deployment"} or scope.value == self.scope
