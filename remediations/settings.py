"""The remediator's configuration: where it listens, what it believes, where it may act.

Environment prefix CONTROLCORE_REMEDIATOR_. Without `server.token_file` the program refuses to serve: a webhook that
anybody may call is a remote control.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, field_validator

from chassis.config import ConnectionSettings, Section, Settings, require_http, settings_config
from chassis.errors import ConfigError, Fault
from chassis.http.client_auth import ClientAuthSettings
from remediations.core.model.names import RESERVED_LABELS


class Role(StrEnum):
    """What a credential may do."""

    DELIVER = "deliver"
    """Send alerts."""
    READ = "read"
    """See remediations, pauses and acts; ask what would be decided."""
    OPERATE = "operate"
    """Pause, resume, reset a breaker."""
    APPROVE = "approve"
    """Approve or reject a plan."""


class HoldersSettings(Section):
    """The credentials that have one role."""

    token_files: tuple[Path, ...] = ()
    """Files with a bearer token each; the file's path is the name under which an act is recorded."""
    users: tuple[str, ...] = ()
    """Users of `server.web_config_file`."""
    certificates: tuple[str, ...] = ()
    """Subject alternative names of client certificates that `server.web_config_file` verifies. Such a certificate is a
    credential of its own for requests without an Authorization header."""

    def is_empty(self) -> bool:
        """Whether nobody has the role."""
        return not (self.token_files or self.users or self.certificates)


class RolesSettings(Section):
    """Which credentials have which role. One credential may stand in several."""

    deliver: HoldersSettings = HoldersSettings()
    """May send alerts, nothing else. The tokens of `server.token_file` and `server.more_token_files` always may."""
    read: HoldersSettings = HoldersSettings()
    """May look at everything, and ask what would be decided."""
    operate: HoldersSettings = HoldersSettings()
    """May also pause, resume and reset breakers."""
    approve: HoldersSettings = HoldersSettings()
    """May also approve and reject plans. Give it to persons, never to Alertmanager."""

    def holders(self) -> dict[Role, HoldersSettings]:
        """The credentials of each role."""
        return {role: getattr(self, role.value) for role in Role}

    def token_files(self) -> tuple[Path, ...]:
        """Every token file that stands in a role, each once."""
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
    """Files with further tokens that are accepted too, for the time of a rotation."""
    web_config_file: Path | None = None
    """File in the web configuration format of Prometheus' exporter-toolkit: TLS, client certificates, users with bcrypt
    hashes. A user is let in beside the tokens; with users, everything but the two probes needs a credential. Its rate
    limit answers 503, because Alertmanager drops what gets 429. Read again within a second of a change."""
    roles: RolesSettings | None = None
    """Which credentials may read, operate and approve. Absent means: every credential delivers and reads, and none
    operates or approves over HTTP."""
    connections: ConnectionSettings = ConnectionSettings()
    """Limits on connections."""


class IntakeSettings(Section):
    """When two deliveries are the same alert: two Alertmanagers, or two Prometheus servers, send everything twice."""

    replica_labels: tuple[str, ...] = ("prometheus_replica", "replica")
    """Labels that only say which Prometheus server sent the alert. One that says what the alert is about must not
    stand here: two faults would count as one."""
    duplicate_seconds: float = Field(default=60.0, ge=0, le=3600)
    """Within this time after an alert was stored, the same alert counts as a second delivery and opens nothing, unless
    it was resolved in between. Alertmanagers that fail over send again after 15 s each. Above repeat_interval, a fault
    that stays is never looked at again."""


class JournalSettings(Section):
    """Where remediations are stored."""

    path: Path = Path("/var/lib/controlcore-remediator/journal.db")
    """SQLite file on a disk that survives the pod. On an ephemeral disk a restart forgets cooldowns and budgets."""
    is_ephemeral_accepted: bool = False
    """Lets policies act although the file lies on tmpfs, overlay, NFS or the like. Such a journal forgets cooldowns,
    budgets and approvals at a restart, or may be damaged: for trials only."""
    is_shared_accepted: bool = False
    """Lets `serve` start although another process serves this file, to take over from one that hangs. Each step is
    fenced, so nothing is done twice; but both receive, decide and announce."""
    keep_days: float = Field(default=90.0, ge=1, le=3650)
    """Closed remediations are kept this long. Below a day cooldowns and budgets would suffer; a fault that is held
    for ever adds about 20 MB a day."""
    max_log_bytes: int = Field(default=256 * 1024 * 1024, ge=1024 * 1024)
    """Limit of the write-ahead log, which grows while another process keeps a read open. Above it new alerts are
    answered 503. Too small refuses alerts during a backup; too large may fill the disk."""
    timeout_seconds: float = Field(default=20.0, gt=0, le=120)
    """Longest wait for one call to the journal. Too small rolls a storm on a slow disk back each time; Alertmanager
    hangs up after 10 s or more, sends again, and then finds everything stored."""


def _checked(example: str) -> AfterValidator:
    """Refuses anything but an http or https URL with a host."""

    def require_url(url: str) -> str:
        require_http(url, example)
        return url

    return AfterValidator(require_url)


PrometheusUrl = Annotated[str, _checked("http://prometheus:9090")]
AlertmanagerUrl = Annotated[str, _checked("http://alertmanager:9093")]


class PrometheusSettings(ClientAuthSettings):
    """The Prometheus that answers the policies' questions."""

    url: PrometheusUrl = "http://127.0.0.1:9090"
    """Base URL, with the route prefix if there is one."""
    timeout_seconds: float = Field(default=3.0, gt=0, le=30)
    """Longest wait for one query. Too small holds everything as unknown; too large delays every decision."""
    max_answer_bytes: int = Field(default=4 * 1024 * 1024, ge=64 * 1024, le=64 * 1024 * 1024)
    """Longest answer to one query that is read. A sample takes about 300 bytes; a query whose answer is longer is
    unknown. Each byte takes up to ten of memory while it is read."""


class AlertmanagerSettings(ClientAuthSettings):
    """The Alertmanager that is asked, before each decision, whether people have silenced the alert."""

    url: AlertmanagerUrl = "http://127.0.0.1:9093"
    """Base URL, with the route prefix if there is one. Any member of a cluster will do for asking."""
    more_urls: tuple[AlertmanagerUrl, ...] = ()
    """The other members of the cluster. Members do not share alerts, so announcements are sent to each."""
    announce: bool = True
    """Sends what is planned, done or held as the alerts RemediationPlanned, RemediationActed and RemediationHeld, of
    severity info or warning. Without it people learn of a repair from the journal and the metrics only."""
    announce_labels: dict[Annotated[str, Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")], str] = Field(default_factory=dict)
    """Labels for these alerts beside their own, such as the external labels of Prometheus by which they are routed."""
    announce_seconds: float = Field(default=600.0, ge=0, le=86400)
    """Minimum time for which an announcement fires, also when the action was verified sooner. Below group_wait it is
    never notified; below group_interval it is missed when the group was notified just before."""
    timeout_seconds: float = Field(default=2.0, gt=0, le=30)
    """Longest wait for one call. An Alertmanager that does not answer holds every action."""
    max_answer_bytes: int = Field(default=64 * 1024 * 1024, ge=64 * 1024)
    """Longest list of silences or alerts that is read; it is read in pieces and only what is in force is kept. An
    expired silence takes about 400 bytes until Alertmanager's `--data.retention` is over. A longer list holds every
    action."""

    @field_validator("announce_labels")
    @classmethod
    def _leave_own_labels(cls, labels: dict[str, str]) -> dict[str, str]:
        """Refuses labels that say what an announcement is, or that would ask for a policy."""
        taken = sorted(labels.keys() & RESERVED_LABELS)
        if taken:
            raise ValueError(f"{', '.join(taken)}: set by the program itself, or not allowed on what it announces")
        return labels


class RemediatorKubernetesSettings(Section):
    """The cluster that is acted on. Absent means: no orchestrator, workload actions are held."""

    kubeconfig: Path | None = None
    """File with credentials; several, apart by `:`, are merged as kubectl does. Absent means the pod's own
    ServiceAccount."""
    timeout_seconds: float = Field(default=3.0, gt=0, le=30)
    """Longest wait for one call. Must stay below `worker.lease_seconds`, so that no write outlives its lease."""
    max_list_bytes: int = Field(default=64 * 1024 * 1024, ge=1024 * 1024)
    """Longest list of objects that is read, all pages together. A pod takes about 12 KiB. A longer list is unknown."""


class RemediatorDatabaseSettings(Section):
    """The product's database, for ending idle sessions. Absent means: such plans are refused."""

    url: SecretStr
    """`postgresql://user@host:port/database`, with a role that may call the functions that `grants` prints, and
    nothing else."""
    password_file: Path | None = None
    """File with the password; read again at every connect."""
    timeout_seconds: float = Field(default=3.0, gt=0, le=30)
    """Longest wait for one call. Must stay below `worker.lease_seconds`."""
    max_connection_seconds: float = Field(default=60.0, gt=0)
    """How long the connection is used before it is opened anew, so that after a failover no session of the old server
    is ended for long. A server without a free place leaves the old one in use."""


class HttpKeySettings(Section):
    """A key for one origin: it is never sent anywhere else, and redirects are not followed."""

    origin: str = Field(pattern=r"^https?://[^\s/?#@]+/?$")
    """scheme://host:port that the key belongs to."""
    key_file: Path
    """File with the key; read again at every call."""
    header: Literal["Authorization", "X-API-Key"] = "Authorization"
    """`Authorization` sends it as a bearer token."""


class WorkerSettings(Section):
    """How the engine works through the journal."""

    lease_seconds: float = Field(default=10.0, ge=2, le=300)
    """How long a claim lasts without renewal: after a crash another start resumes no later than this."""
    facts_timeout_seconds: float = Field(default=5.0, gt=0, le=60)
    """The one deadline for gathering all facts of a decision; what has not answered by then is unknown."""
    concurrency: int = Field(default=4, ge=1, le=32)
    """Remediations whose facts are gathered at the same time. Decisions are still made one at a time."""
    idle_seconds: float = Field(default=0.25, gt=0, le=5)
    """Pause between looks at the journal when nothing is due."""
    verify_seconds: float = Field(default=2.0, gt=0, le=60)
    """Pause between two looks at a remediation that is being verified."""


class RemediatorLogSettings(Section):
    """Where log lines go and how they look."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe level that is written."""
    form: Literal["auto", "json", "console"] = "auto"
    """`auto` writes console lines on a terminal and JSON elsewhere."""


class RemediatorSettings(Settings):
    """The whole configuration of controlcore-remediator."""

    model_config = settings_config(PREFIX)

    server: RemediatorServerSettings = RemediatorServerSettings()
    intake: IntakeSettings = IntakeSettings()
    journal: JournalSettings = JournalSettings()
    policies_file: Path = Path("/etc/controlcore-remediator/policies.yaml")
    """The policy file; `check-config` reports every fault in it."""
    pause_file: Path | None = None
    """While this file exists nothing is written, whatever the journal says; its first line is the reason shown.
    It works when the journal does not. A file that cannot be looked at counts as existing."""
    prometheus: PrometheusSettings = PrometheusSettings()
    alertmanager: AlertmanagerSettings | None = None
    """Absent means: silences are not asked about, only alerts that Alertmanager delivers are acted on."""
    kubernetes: RemediatorKubernetesSettings | None = None
    database: RemediatorDatabaseSettings | None = None
    http_keys: tuple[HttpKeySettings, ...] = ()
    """Keys for what policies call, each bound to one origin."""
    worker: WorkerSettings = WorkerSettings()
    log: RemediatorLogSettings = RemediatorLogSettings()

    def token_files(self) -> tuple[Path, ...]:
        """Every file whose token is accepted; empty when no credential is configured."""
        roles = self.server.roles
        return self.delivering_files() + (() if roles is None else roles.token_files())

    def delivering_files(self) -> tuple[Path, ...]:
        """The files whose tokens may deliver, whatever the roles say."""
        first = () if self.server.token_file is None else (self.server.token_file,)
        return first + self.server.more_token_files

    def serve_faults(self) -> tuple[Fault, ...]:
        """What keeps `serve` from starting although each setting alone is well formed."""
        faults = []
        if not self.token_files() and self.server.web_config_file is None:
            faults.append(Fault("server.token_file", "not set: without a credential anybody could order changes"))
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
