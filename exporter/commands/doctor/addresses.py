"""Checks whether every configured source can be used: name, port, TLS, login."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from shlex import quote

from chassis.errors import BackendError
from chassis.http.call import Call
from chassis.output.findings import Check, Finding, Severity, ask_all, unchecked
from exporter.commands.configuration import collector_settings
from exporter.commands.doctor.installation import (
    API,
    BOUNCER,
    DATABASE,
    KUBERNETES,
    OPA,
    OPAL_CLIENT,
    OPAL_SERVER,
    REDIS,
    CheckedInstallation,
)
from exporter.commands.doctor.remedies import SourceAddress, explain
from exporter.http.landing_page import NOTHING, is_nothing_watched
from exporter.settings import Scope, place_of

PROBE_SECONDS = 5.0
"""Deadline of one probe, as the collectors' own canaries have it."""
MAX_AT_ONCE = 16
ALL_SECONDS, CHECK_SECONDS = 55.0, 60.0
"""The time for all bouncers, and the deadline of their check, which then still reports its findings."""

Question = Callable[[], Awaitable[list[Finding]]]


async def check_sources(installation: CheckedInstallation, check: str) -> list[Finding]:
    """Checks that at least one source is configured; otherwise the exporter watches nothing."""
    if installation.name or not is_nothing_watched(installation.settings):
        return []
    problem = "nothing is configured, so nothing was checked and the exporter watches nothing"
    evidence = "neither the environment nor a file given with --config.file names a source"
    return [Finding(Severity.WARNING, check, problem, evidence, f"{NOTHING} and give it: --config.file PATH")]


async def check_database(installation: CheckedInstallation, check: str) -> list[Finding]:
    """Connects to PostgreSQL, logs in and runs a query."""
    from chassis.postgres.session import probe  # noqa: PLC0415 - the driver costs memory

    address = installation.sources.postgres_address
    if address is None or installation.sources.postgres is None:
        return _missing(installation, check, "PostgreSQL", "database.url")
    target, setting = address.target(), installation.setting(address.setting)
    password, change = installation.setting("database.password_file"), quote(f"\\password {target.user}")
    told = SourceAddress(
        check, "PostgreSQL", setting, target.host, target.port,
        login=f"set {password} to a file with the role's password, or give the role a new one: "
        f"psql -h {quote(target.host)} -p {target.port} -d {quote(target.database)} -c {change}",
        authorities=f"add sslrootcert=/PATH/ca.pem to {setting}, with the CA that signed it",
        missing=f"set {setting} to a database of this server; list them with: {target.list_databases}",
        starttls="-starttls postgres",
    )  # fmt: skip
    return await _ask(installation, (DATABASE, ""), told, probe(address, PROBE_SECONDS))


async def check_redis(installation: CheckedInstallation, check: str) -> list[Finding]:
    """Connects to Redis, logs in and sends PING."""
    from chassis.redis.session import probe  # noqa: PLC0415 - the driver costs memory

    address = installation.sources.redis_address
    if address is None or installation.sources.redis is None:
        return _missing(installation, check, "Redis", "redis.url")
    target, setting = address.target(), installation.setting(address.setting)
    password = installation.setting("redis.password_file")
    told = SourceAddress(
        check, "Redis", setting, target.host, target.port,
        login=f"set {password} to a file with the password (and the user in {setting}): "
        f"redis-cli -h {target.host} -p {target.port} --askpass PING",
        missing=f"set the number at the end of {setting} to a database of this server: "
        f"redis-cli -h {target.host} -p {target.port} --askpass CONFIG GET databases",
        authorities=f"add ssl_ca_certs=/PATH/ca.pem to {setting}, with the CA that signed it",
    )  # fmt: skip
    return await _ask(installation, (REDIS, ""), told, probe(address, PROBE_SECONDS))


async def check_api(installation: CheckedInstallation, check: str) -> list[Finding]:
    """Queries the API's /health."""
    url = installation.settings.api.url
    if url is None:
        return _missing(installation, check, "the control-plane API", "api.url")
    return await _ask_http(
        installation, (API, ""), _address(check, "the control-plane API", installation.setting("api.url"), url), url
    )


async def check_bouncers(installation: CheckedInstallation, check: str) -> list[Finding]:
    """Queries each bouncer's /health, and that of the OPA behind it."""
    undiscovered = _undiscovered(installation, check)
    if not installation.bouncers:
        return undiscovered or _missing(installation, check, "a bouncer", "bouncers")
    asked: list[Question] = []
    for bouncer in installation.bouncers:
        setting = installation.setting(f"bouncers[{bouncer.name}]")
        told = _address(check, f"bouncer {bouncer.name}", f"{setting}.url", bouncer.url)
        asked.append(partial(_ask_http, installation, (BOUNCER, bouncer.name), told, bouncer.url))
        if bouncer.opa_url is not None:
            told = _address(check, f"the OPA of {bouncer.name}", f"{setting}.opa_url", bouncer.opa_url)
            asked.append(partial(_ask_http, installation, (OPA, bouncer.name), told, bouncer.opa_url))
    return [*undiscovered, *await _all(check, "bouncers", asked)]


def _undiscovered(installation: CheckedInstallation, check: str) -> list[Finding]:
    """The finding for bouncers that discovery could not read."""
    if not installation.discovery_faults:
        return []
    problem = "some or all bouncers cannot be discovered; these are not watched"
    remedy = "correct bouncer_discovery, or fix what the evidence names"
    return [Finding(Severity.ERROR, check, problem, "\n".join(installation.discovery_faults), remedy)]


async def check_opal(installation: CheckedInstallation, check: str) -> list[Finding]:
    """Checks the health of the OPAL server and the OPAL clients."""
    from exporter.collectors.policy_engine.opal import OpalSettings  # noqa: PLC0415 - a collector's own

    own = collector_settings(installation.settings, "opal")
    if not isinstance(own, OpalSettings) or not own.enabled or not installation.settings.runs(Scope.DEPLOYMENT):
        return []
    asked: list[Question] = []
    if own.server_url is not None:
        told = _address(check, "the OPAL server", "collectors.opal.server_url", own.server_url)
        asked.append(partial(_ask_http, installation, (OPAL_SERVER, ""), told, own.server_url, "/healthcheck"))
    for client in own.clients:
        told = _address(check, f"OPAL client {client.name}", f"collectors.opal.clients[{client.name}].url", client.url)
        asked.append(partial(_ask_http, installation, (OPAL_CLIENT, client.name), told, client.url, "/healthy"))
    return await _all(check, "OPAL", asked)


async def check_kubernetes(installation: CheckedInstallation, check: str) -> list[Finding]:
    """Reads the API server's version, which every account may read."""
    client = installation.sources.kubernetes
    if client is None or not installation.settings.runs(Scope.DEPLOYMENT):
        return []
    told = SourceAddress(
        check, "the Kubernetes API server", installation.setting("kubernetes.kubeconfig"), "the API server", 443,
        login="give the account a valid token: set kubernetes.kubeconfig, or the pod's ServiceAccount",
        authorities="set certificate-authority in the kubeconfig",
    )  # fmt: skip
    return await _ask(installation, (KUBERNETES, ""), told, client.get("/version", timeout_seconds=PROBE_SECONDS))


CHECKS: tuple[Check[CheckedInstallation], ...] = (
    Check("sources", check_sources),
    Check("database.address", check_database, asked="PostgreSQL"),
    Check("redis.address", check_redis, asked="Redis"),
    Check("api.address", check_api, asked="the control-plane API"),
    Check("bouncers.address", check_bouncers, CHECK_SECONDS, asked="the bouncers"),
    Check("opal.address", check_opal, CHECK_SECONDS, asked="OPAL"),
    Check("kubernetes.address", check_kubernetes, asked="the API server"),
)


def _missing(installation: CheckedInstallation, check: str, what: str, setting: str) -> list[Finding]:
    """A notice for a source that is not configured; none in a sidecar, which queries only the API."""
    if not installation.settings.runs(Scope.DEPLOYMENT) and setting != "api.url":
        return []
    problem, place = f"{what} is not configured; its collectors do not run", installation.setting(setting)
    return [Finding(Severity.INFO, check, problem, f"{place} is not set", f"set {place}, if this installation has one")]


def _address(check: str, what: str, setting: str, url: str) -> SourceAddress:
    """Where an HTTP source is."""
    host, port = place_of(url)
    return SourceAddress(check, what, setting, host, port)


async def _ask(
    installation: CheckedInstallation, source: tuple[str, str], address: SourceAddress, answer: Awaitable[object]
) -> list[Finding]:
    """Nothing if the source answers; otherwise the reason, and the source is marked as broken."""
    try:
        await answer
    except BackendError as error:
        installation.broken.add(source)
        return [explain(address, error)]
    return []


async def _ask_http(
    installation: CheckedInstallation, source: tuple[str, str], address: SourceAddress, url: str, path: str = "/health"
) -> list[Finding]:
    """The same for a source with an HTTP health endpoint."""

    async def ask() -> None:
        call = Call(f"{url.rstrip('/')}{path}", PROBE_SECONDS, headers={"Connection": "close"})
        (await installation.sources.http.send(call)).require_ok()

    return await _ask(installation, source, address, ask())


async def _all(check: str, what: str, asked: list[Question]) -> list[Finding]:
    """The findings of concurrent checks, some at a time; checks without an answer are counted."""
    answers = await ask_all(asked, MAX_AT_ONCE, ALL_SECONDS)
    found = [finding for answer in answers for finding in answer or ()]
    if None in answers:
        reason = (
            f"{answers.count(None)} of {len(answers)} addresses of {what} were not queried within {ALL_SECONDS:g} s"
        )
        found.append(unchecked(check, reason, "fix the other findings first, then run doctor again"))
    return found
