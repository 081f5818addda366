"""The remediator's configuration: where it listens, which sources it reads, where it may act.

Environment prefix CONTROLCORE_REMEDIATOR_. Without `server.token_file` the program refuses to serve: without a
credential anyone could trigger actions.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, SecretStr, field_validator

from chassis.config import ConnectionSettings, Section, Settings, require_http
from chassis.errors import ConfigError, Fault
from chassis.http.client_auth import ClientAuthSettings
from remediations.core.model.names import RESERVED_LABELS


class Role(StrEnum):
    """The rights of a credential."""

    DELIVER = "deliver"
    """Deliver alerts."""
    READ = "read"
    """Read remediations, pauses and acts; simulate decisions."""
    OPERATE = "operate"
    """Pause, resume, reset a breaker."""
    APPROVE = "approve"
    """Approve or reject a plan."""


class HoldersSettings(Section):
    """The credentials of one role."""

    token_files: tuple[Path, ...] = ()
    """Files with a bearer token each; the file's path is the name under which an act is recorded."""
    users: tuple[str, ...] = ()
    """Users of `server.web_config_file`."""
    certificates: tuple[str, ...] = ()
    """Subject alternative names of client certificates that `server.web_config_file` verifies. Such a certificate is
    itself a credential for requests without an Authorization header.
    """

    def is_empty(self) -> bool:
        """Whether no credential has the role."""
        return not (self.token_files or self.users or self.certificates)


class RolesSettings(Section):
    """The credentials of each role. One credential may have several roles."""

    deliver: HoldersSettings = HoldersSettings()
    """May only deliver alerts. The tokens of `server.token_file` and `server.more_token_files` always may."""
    read: HoldersSettings = HoldersSettings()
    """May read everything, and simulate decisions."""
    operate: HoldersSettings = HoldersSettings()
    """May also pause, resume and reset breakers."""
    approve: HoldersSettings = HoldersSettings()
    """May also approve and reject plans. Give it to people, never to Alertmanager."""

    def holders(self) -> dict[Role, HoldersSettings]:
        """The credentials of each role."""
        return {role: getattr(self, role.value) for role in Role}

    def token_files(self) -> tuple[Path, ...]:
        """Every token file with a role, each once."""
        return tuple(dict.fromkeys(path for held in self.holders().values() for path in held.token_files))


PREFIX = "CONTROLCORE_REMEDIATOR_"


class RemediatorServerSettings(Section):
    """Where the remediator listens, and which credentials it accepts."""

    host: str = ""
    """Address to listen on. Empty means all addresses of IPv4 and IPv6; 0.0.0.0 means IPv4."""
    port: int = Field(default=9878, ge=0, le=65535)
    """Port to listen on; 0 picks a free one and logs it."""
    token_file: Path | None = None
    """File with the bearer token that Alertmanager sends; read again when it changes. `serve` needs it, or another
    credential. With `roles` this token may only deliver."""
    more_token_files: tuple[Path, ...] = ()
    """Files with additional accepted tokens, for the time of a rotation."""
    web_config_file: Path | None = None
    """File in the web configuration format of Prometheus' exporter-toolkit: TLS, client certificates, users with
    bcrypt hashes. Its users are accepted in addition to the tokens; with users, everything but the two probes needs
    a credential. Its rate limit answers 503, because Alertmanager does not retry after 429. Read again within a
    second of a change."""
    roles: RolesSettings | None = None
    """Which credentials may read, operate and approve. Absent means: every credential may deliver and read, and none
    may operate or approve over HTTP."""
    connections: ConnectionSettings = ConnectionSettings()
    """Limits on connections."""


class IntakeSettings(Section):
    """When two deliveries are the same alert: two Alertmanagers, or two Prometheus servers, send everything twice."""

    replica_labels: tuple[str, ...] = ("prometheus_replica", "replica")
    """Labels that only name the sending Prometheus server. A label that says what the alert is about must not be
    listed here: two faults would count as one."""
    duplicate_seconds: float = Field(default=60.0, ge=0, le=3600)
    """Within this time after an alert was stored, the same alert counts as a repeated delivery and opens nothing,
    unless it was resolved in between. Alertmanagers that fail over send again after 15 s each. If it is larger than
    repeat_interval, a lasting fault is never decided again."""


class JournalSettings(Section):
    """Where remediations are stored."""

    path: Path = Path("/var/lib/controlcore-remediator/journal.db")
    """An SQLite file on a disk that survives the pod. On an ephemeral disk cooldowns and budgets are lost at a
    restart."""
    is_ephemeral_accepted: bool = False
    """Lets policies act although the file is on tmpfs, overlay, NFS or the like. Such a journal loses cooldowns,
    budgets and approvals at a restart, or may be damaged: for trials only."""
    is_shared_accepted: bool = False
    """Lets `serve` start although another process serves this file, to take over from a hanging one. Each step is
    fenced, so nothing is done twice; but both processes receive, decide and announce.
    """
    keep_days: float = Field(default=90.0, ge=1, le=3650)
    """How long closed remediations are kept. Below a day cooldowns and budgets would be wrong; a permanently held
    fault adds about 4 MB a day."""
    max_log_bytes: int = Field(default=256 * 1024 * 1024, ge=1024 * 1024)
    """Limit of the write-ahead log, which grows while another process keeps a read open. Above it new alerts are
    answered 503. If it is too small, alerts are refused during a backup; if it is too large, the disk may fill up."""
    timeout_seconds: float = Field(default=20.0, gt=0, le=120)
    """Longest wait for one call to the journal. If it is too small, a storm on a slow disk is rolled back each time.
    Alertmanager stops waiting after 10 s or more and sends again; by then everything is already stored."""


def _checked(example: str) -> AfterValidator:
    """Refuses anything that is not an http or https URL with a host."""

    def require_url(url: str) -> str:
        require_http(url, example)
        return url

    return AfterValidator(require_url)


PrometheusUrl = Annotated[str, _checked("http://prometheus:9090")]
AlertmanagerUrl = Annotated[str, _checked("http://alertmanager:9093")]


class PrometheusSettings(ClientAuthSettings):
    """The Prometheus that answers the policies' queries."""

    url: PrometheusUrl = "http://127.0.0.1:9090"
    """Base URL, with the route prefix if there is one."""
    timeout_seconds: float = Field(default=3.0, gt=0, le=30)
    """Longest wait for one query. If it is too small, everything is held as unknown; if it is too large, every
    decision is delayed."""
    max_answer_bytes: int = Field(default=4 * 1024 * 1024, ge=64 * 1024, le=64 * 1024 * 1024)
    """Longest answer to one query that is read. A sample takes about 300 bytes; a longer answer makes the result
    unknown. Reading takes up to ten times its size in memory."""


class AlertmanagerSettings(ClientAuthSettings):
    """The Alertmanager whose silences are read before each decision."""

    url: AlertmanagerUrl = "http://127.0.0.1:9093"
    """Base URL, with the route prefix if there is one. Any member of a cluster will do for reading silences."""
    more_urls: tuple[AlertmanagerUrl, ...] = ()
    """The other members of the cluster. Members do not share alerts, so announcements are sent to each."""
    announce: bool = True
    """Announces plans, actions and holds as the alerts RemediationPlanned, RemediationActed and RemediationHeld, of
    severity info or warning. Without it people see a repair only in the journal and the metrics."""
    announce_labels: dict[Annotated[str, Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")], str] = Field(default_factory=dict)
    """Additional labels for these alerts, such as the external labels of Prometheus that your routes use."""
    announce_seconds: float = Field(default=600.0, ge=0, le=86400)
    """Minimum time for which an announcement fires, even if the action was verified sooner. Below group_wait there
    is no notification; below group_interval there is none if the group was notified just before."""
    announce_command: Annotated[str, Field(pattern=r"^\S[\S ]*$", max_length=300)] = "controlcore-remediator"
    """How people call this program: the commands in these alerts begin with it, and so do the lines to copy that
    `list`, `show`, `approve` and `pause` print, unless `--config.file` is given. The chart sets
    `kubectl -n NAMESPACE exec deploy/NAME -- controlcore-remediator`."""
    timeout_seconds: float = Field(default=2.0, gt=0, le=30)
    """Longest wait for one call. If Alertmanager does not answer, every action is held."""
    max_answer_bytes: int = Field(default=64 * 1024 * 1024, ge=64 * 1024)
    """Longest list of silences or alerts that is read; it is read in pieces and only silences in force are kept. An
    expired silence takes about 400 bytes until Alertmanager's `--data.retention` is over. A longer list holds every
    action."""

    @field_validator("announce_labels")
    @classmethod
    def _leave_own_labels(cls, labels: dict[str, str]) -> dict[str, str]:
        """Refuses labels that announcements set themselves, or that would name a policy."""
        taken = sorted(labels.keys() & RESERVED_LABELS)
        if taken:
            raise ValueError(f"{', '.join(taken)}: set by the program itself, or not allowed on what it announces")
        return labels


class RemediatorKubernetesSettings(Section):
    """The cluster in which policies act. Absent means: no orchestrator, so workload actions are held."""

    kubeconfig: Path | None = None
    """File with credentials; several, separated by `:`, are merged as kubectl does. Absent means the pod's own
    ServiceAccount.
    """
    timeout_seconds: float = Field(default=3.0, gt=0, le=30)
    """Longest wait for one call. Must stay below `worker.lease_seconds`, so that no write outlives its lease."""
    max_list_bytes: int = Field(default=64 * 1024 * 1024, ge=1024 * 1024)
    """Longest list of objects that is read, all pages together. A pod takes about 12 KiB. A longer list is unknown."""


class RemediatorDatabaseSettings(Section):
    """The product's database, for ending idle sessions. Absent means: such plans are refused."""

    url: SecretStr
    """`postgresql://user@host:port/database`, with a role that may call only the functions that `grants` prints."""
    password_file: Path | None = None
    """File with the password; read again at every connect."""
    timeout_seconds: float = Field(default=3.0, gt=0, le=30)
    """Longest wait for one call. Must stay below `worker.lease_seconds`."""
    max_connection_seconds: float = Field(default=60.0, gt=0)
    """How long the connection is used before it is reopened, so that after a failover no session of the old server
    is ended for long. If the server has no free connection, the old one stays in use."""


class HttpKeySettings(Section):
    """A key for one origin: it is never sent to another one, and redirects are not followed."""

    origin: str = Field(pattern=r"^https?://[^\s/?#@]+/?$")
    """scheme://host:port to which the key is sent."""
    key_file: Path
    """File with the key; read again at every call."""
    header: Literal["Authorization", "X-API-Key"] = "Authorization"
    """`Authorization` sends it as a bearer token."""


class WorkerSettings(Section):
    """How the engine processes the journal."""

    lease_seconds: float = Field(default=10.0, ge=2, le=300)
    """How long a claim lasts without renewal: after a crash another process resumes no later than this."""
    facts_timeout_seconds: float = Field(default=5.0, gt=0, le=60)
    """The deadline for gathering all facts of a decision; sources that have not answered by then are unknown."""
    concurrency: int = Field(default=4, ge=1, le=32)
    """Remediations whose facts are gathered at the same time. Decisions are still made one at a time."""
    idle_seconds: float = Field(default=0.25, gt=0, le=5)
    """Pause between two reads of the journal while nothing is due."""
    verify_seconds: float = Field(default=2.0, gt=0, le=60)
    """Pause between two observations of a remediation that is being verified."""


class RemediatorLogSettings(Section):
    """Destination and format of log lines."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe level that is written."""
    form: Literal["auto", "json", "console"] = "auto"
    """`auto` writes console lines on a terminal and JSON elsewhere."""


class RemediatorSettings(Settings):
    """The whole configuration of controlcore-remediator."""

    env_prefix: ClassVar[str] = PREFIX

    server: RemediatorServerSettings = RemediatorServerSettings()
    intake: IntakeSettings = IntakeSettings()
    journal: JournalSettings = JournalSettings()
    policies_file: Path = Path("/etc/controlcore-remediator/policies.yaml")
    """The policy file; `check-config` reports every fault in it."""
    pause_file: Path | None = None
    """While this file exists nothing is written, whatever the journal says; its first line is the reason shown. It
    works even if the journal does not. If it cannot be found out whether the file exists, it counts as existing."""
    prometheus: PrometheusSettings = PrometheusSettings()
    alertmanager: AlertmanagerSettings | None = None
    """Absent means: silences are not read; only delivered alerts are acted on."""
    kubernetes: RemediatorKubernetesSettings | None = None
    database: RemediatorDatabaseSettings | None = None
    http_keys: tuple[HttpKeySettings, ...] = ()
    """Keys for the addresses that policies call, each for one origin."""
    worker: WorkerSettings = WorkerSettings()
    log: RemediatorLogSettings = RemediatorLogSettings()

    def token_files(self) -> tuple[Path, ...]:
        """Every file whose token is accepted; empty if no credential is configured."""
        roles = self.server.roles
        return self.delivering_files() + (() if roles is None else roles.token_files())

    def delivering_files(self) -> tuple[Path, ...]:
        """The files whose tokens may always deliver."""
        first = () if self.server.token_file is None else (self.server.token_file,)
        return first + self.server.more_token_files

    def serve_faults(self) -> tuple[Fault, ...]:
        """What prevents `serve` from starting although each setting is valid by itself."""
        faults = []
        if not self.token_files() and self.server.web_config_file is None:
            faults.append(Fault("server.token_file", "not set: without a credential anyone could trigger actions"))
        roles = self.server.roles
        if roles is not None and roles.deliver.is_empty() and not self.delivering_files():
            faults.append(Fault("server.roles.deliver", "names no credential, so every alert would be refused"))
        if self.kubernetes is not None and self.kubernetes.timeout_seconds >= self.worker.lease_seconds:
            faults.append(Fault("kubernetes.timeout_seconds", "must be below worker.lease_seconds"))
        if self.database is not None and self.database.timeout_seconds >= self.worker.lease_seconds:
            faults.append(Fault("database.timeout_seconds", "must be below worker.lease_seconds"))
        if self.worker.facts_timeout_seconds >= self.worker.lease_seconds:
            faults.append(Fault("worker.facts_timeout_seconds", "must be below worker.lease_seconds"))
        return tuple(faults)

    def require_servable(self) -> None:
        """Raises ConfigError with every fault of `serve_faults`."""
        faults = self.serve_faults()
        if faults:
            raise ConfigError(faults)
