"""What the checks of `doctor` share: settings, policies and connections, and the severity of faults."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from urllib.parse import urlsplit

from chassis.clock import Clock, SystemClock
from chassis.errors import BackendError, ConfigError, PermanentError, Reason
from chassis.http.client import HttpClient
from chassis.http.client_auth import without_user
from chassis.http.web_config import Web, read_web
from chassis.kubernetes.client import KubernetesClient
from chassis.net.trust import Trust
from chassis.output.findings import Finding, Severity, unchecked
from remediations.commands.connections import call_seconds, open_cluster
from remediations.commands.output.text import call_with
from remediations.commands.policy_store import read_policies
from remediations.core.decide import ACTIONS
from remediations.core.model.alert import Mode, Target
from remediations.core.policies.policy import Policy, PolicySet, at_rung
from remediations.facts.ask import describe
from remediations.facts.kubernetes.reader import ClusterReader
from remediations.facts.prometheus import PrometheusClient
from remediations.settings import RemediatorSettings

UNREADABLE_FILE = re.compile(r"[a-z_.]+_file: ")
"""How chassis.http.client_auth's message about an unreadable file begins."""
OPEN_SECONDS = 15.0
"""Longest wait for the policy file; a network file system may hang."""
KINDS = ("Deployment", "CronJob")
"""Kinds of target that are objects of Kubernetes."""
ACTING = frozenset({Mode.APPROVE, Mode.AUTO})


@dataclass(frozen=True, slots=True)
class Installation:
    """Everything that checks read. `policy_set` is empty if the policy file has faults."""

    settings: RemediatorSettings
    file: Path | None
    """The settings file."""
    policy_set: PolicySet
    http: HttpClient
    own_http: HttpClient
    """Client for the running program: trusts the certificate of the web configuration."""
    prometheus: PrometheusClient
    cluster: KubernetesClient | None
    """None if Kubernetes is not configured; if credentials are missing, `cluster_problem` says why."""
    cluster_problem: str
    clock: Clock
    is_sending: bool
    """Whether a test alert may be sent."""
    url: str = ""
    """Where the running program is, if not on this machine; its journal is not here then."""

    @property
    def command(self) -> str:
        """How the commands of a remedy call this program."""
        return call_with(self.file)

    @property
    def exporter_doctor(self) -> str:
        """How a remedy calls the exporter's doctor: with the Prometheus whose rules, targets and series it checks."""
        return f"controlcore-exporter doctor --prometheus.url {quote(self.prometheus_url)}"

    @property
    def place(self) -> str:
        """The settings file, for a remedy."""
        return "the settings" if self.file is None else str(self.file)

    @property
    def api(self) -> KubernetesClient:
        """The API server's client; raises PermanentError without one."""
        if self.cluster is None:
            raise PermanentError(Reason.AUTH, self.cluster_problem or "kubernetes is not configured")
        return self.cluster

    @property
    def reader(self) -> ClusterReader:
        """A reader for one check, as for a decision; raises PermanentError without an API server."""
        return ClusterReader(self.api, self.api_seconds).for_decision()

    @property
    def api_seconds(self) -> float:
        """Longest wait for one call to the API server."""
        return call_seconds(self.settings)

    @property
    def alertmanagers(self) -> tuple[str, ...]:
        """The base addresses of all Alertmanagers."""
        place = self.settings.alertmanager
        return () if place is None else tuple(url.rstrip("/") for url in (place.url, *place.more_urls))

    @property
    def prometheus_url(self) -> str:
        """Prometheus' address without credentials."""
        return without_user(self.settings.prometheus.url)

    def targets(self) -> dict[Target, list[Policy]]:
        """The Kubernetes objects that policies may change, with the policies of each rung."""
        found: dict[Target, list[Policy]] = {}
        for policy in self.rungs():
            for target in policy.targets:
                if target.kind in KINDS and ACTIONS[policy.action].rbac:
                    found.setdefault(target, []).append(policy)
        return found

    def rungs(self) -> list[Policy]:
        """Every policy, and every rung of its ladder as a separate policy."""
        return [
            at_rung(policy, number) for policy in self.policy_set.policies for number in range(1 + len(policy.ladder))
        ]


def shell_word(path: Path) -> str:
    """The path quoted for a shell as one word."""
    return quote(str(path))


@asynccontextmanager
async def opened(
    settings: RemediatorSettings, file: Path | None, *, is_sending: bool, url: str = ""
) -> AsyncIterator[Installation]:
    """The installation with its connections, which close at exit. Faults of files are reported by the checks."""
    clock = SystemClock()
    try:
        async with asyncio.timeout(OPEN_SECONDS):
            policy_set = await asyncio.to_thread(read_policies, settings.policies_file)
    except (ConfigError, TimeoutError):
        policy_set = PolicySet(())
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(HttpClient.opened())
        own = await stack.enter_async_context(HttpClient.opened(trust=Trust(lambda: _own_trust(settings))))
        cluster, problem = None, ""
        try:
            cluster = await open_cluster(stack, settings)
        except ConfigError as error:
            problem = "; ".join(str(fault) for fault in error.faults)
        prometheus = PrometheusClient(http, settings.prometheus, clock)
        yield Installation(
            settings, file, policy_set, http, own, prometheus, cluster, problem, clock, is_sending, url.rstrip("/")
        )  # fmt: skip


def own_web(settings: RemediatorSettings) -> Web | None:
    """The web configuration in force; None without a file, or if it has faults. Blocks on the disk."""
    path = settings.server.web_config_file
    try:
        return None if path is None else read_web(path)
    except ConfigError:
        return None


def _own_trust(settings: RemediatorSettings) -> ssl.SSLContext:
    """Trusts exactly the certificate that the program serves with; that certificate names the Service, not loopback."""
    web, path = own_web(settings), settings.server.web_config_file
    tls = None if web is None else web.config.tls_server_config
    if tls is None or path is None:
        return ssl.create_default_context()
    if tls.cert_file is not None:
        context = ssl.create_default_context(cafile=str(path.parent / tls.cert_file))
    else:
        context = ssl.create_default_context(cadata=tls.cert)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def severity_of(policies: Iterable[Policy]) -> Severity:
    """The severity if these policies cannot act: an error if one of them is meant to act."""
    modes = {policy.mode for policy in policies}
    if modes & ACTING:
        return Severity.ERROR
    return Severity.WARNING if Mode.DRY_RUN in modes else Severity.INFO


def names_of(policies: Iterable[Policy]) -> str:
    """The policies' names, without duplicates."""
    return ", ".join(dict.fromkeys(policy.name for policy in policies))


def unreachable(check: str, what: str, url: str, section: str, error: BackendError) -> Finding:
    """The finding for a server that did not answer properly; `section` is its settings section, `url` has no secret.

    If the file with our credential cannot be read, the check of the configuration reports that.
    """
    if error.reason is Reason.AUTH and UNREADABLE_FILE.match(str(error)):
        return unchecked(
            check, f"{url} was not queried", "fix what the check configuration names, then run doctor again"
        )
    return Finding(
        Severity.ERROR, check, f"{what} does not answer as it should", f"{url}: {describe(error)}",
        remedy_for(url, section, error.reason),
    )  # fmt: skip


def remedy_for(url: str, section: str, reason: Reason) -> str:
    """The remedy for it."""
    parts = urlsplit(url)
    host = parts.hostname or url
    port = parts.port or (443 if parts.scheme == "https" else 80)
    advice = {
        Reason.DNS: f"getent hosts {host}   # no such name: correct {section}.url",
        Reason.REFUSED: f"curl -si {url}/-/ready   # nothing listens there: start it, or correct {section}.url",
        Reason.TLS: (
            f"openssl s_client -connect {host}:{port} -servername {host} </dev/null   # shows the chain\n"
            "add its CA to the system's, or name a file with it in the environment variable SSL_CERT_FILE"
        ),
        Reason.AUTH: f"set {section}.basic_auth or {section}.authorization to a credential that this server accepts",
        Reason.PERMISSION: f"give the user of {section}.basic_auth or {section}.authorization the right to read",
        Reason.MISSING: f"add the route prefix to {section}.url (--web.route-prefix, --web.external-url of the server)",
    }
    blocked = (
        f"curl -si --max-time 5 {url}/-/ready   # allow the connection (NetworkPolicy, firewall), or correct "
        f"{section}.url"
    )
    return advice.get(reason, blocked)
