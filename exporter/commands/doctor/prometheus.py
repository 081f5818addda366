"""Queries the Prometheus that scrapes the exporter, and finds our targets in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from shlex import quote
from typing import Any
from urllib.parse import urlsplit

from chassis.documents import duration_seconds
from chassis.errors import BackendError, PermanentError, Reason
from chassis.http.call import Call
from chassis.http.client import HttpClient
from chassis.http.client_auth import ClientAuthSettings, authorization, without_user
from chassis.output.findings import Check, Finding, Severity, unchecked
from chassis.process.build_info import version
from exporter.commands.doctor.installation import CheckedInstallation
from exporter.commands.doctor.remedies import SourceAddress, explain
from exporter.settings import place_of

ASK_SECONDS = 10.0
MAX_ANSWER_BYTES = 64 * 1024 * 1024
JOB = "controlcore-exporter"
BUILD_INFO = "controlcore_exporter_build_info"
MAX_INTERVAL_SECONDS = 30.0
"""Rules with a window of one minute need two samples in it."""


@dataclass(frozen=True, slots=True)
class Prometheus:
    """Reads Prometheus' HTTP API (https://prometheus.io/docs/prometheus/latest/querying/api/)."""

    http: HttpClient
    url: str
    auth: ClientAuthSettings

    async def read(self, path: str, **parameters: str) -> Any:
        """The `data` of GET /api/v1/`path`; raises BackendError, with Prometheus' own message if it has one."""
        headers = await authorization(self.auth, "http.config.file")
        place = f"{self.url.rstrip('/')}/api/v1/{path}"
        call = Call(place, ASK_SECONDS, headers=headers, params=parameters, max_bytes=MAX_ANSWER_BYTES)
        answer = await self.http.send(call)
        try:
            return answer.require_ok().json()["data"]
        except (KeyError, TypeError) as error:
            raise PermanentError(Reason.MALFORMED, "not an answer of Prometheus") from error
        except BackendError as error:
            raise type(error)(error.reason, f"{error}: {_words(answer.body)}") from None

    async def query(self, promql: str) -> list[tuple[Mapping[str, str], float]]:
        """Labels and values of an instant vector; raises BackendError."""
        data = await self.read("query", query=promql)
        try:
            return [(item["metric"], float(item["value"][1])) for item in data["result"]]
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise PermanentError(Reason.MALFORMED, "no instant vector") from error

    async def time(self) -> float:
        """Prometheus' evaluation time of a query now, as Unix time."""
        return float((await self.read("query", query="time()"))["result"][1])

    async def names(self, others: Iterable[str]) -> frozenset[str]:
        """Which series of the two programs and of `others` have a sample now."""
        wanted = "|".join(("controlcore[_:].*", *sorted(others)))
        found = await self.query(f'group by (__name__) ({{__name__=~"{wanted}"}})')
        return frozenset(labels["__name__"] for labels, _ in found)


def _words(body: bytes) -> str:
    """The beginning of an error's body."""
    return " ".join(body[:300].decode("utf-8", "replace").split())


async def check_address(installation: CheckedInstallation, check: str) -> list[Finding]:
    """Reads Prometheus' time; if that fails, the checks that need Prometheus are skipped."""
    prometheus = installation.prometheus
    if prometheus is None:
        return []
    host, port = place_of(prometheus.url)
    login = "give --http.config.file with basic_auth or authorization, as promtool reads it"
    told = SourceAddress(check, "Prometheus", "--prometheus.url", host, port, login=login)
    try:
        await prometheus.time()
    except (BackendError, KeyError, TypeError, ValueError) as error:
        installation.prometheus = None
        known = error if isinstance(error, BackendError) else PermanentError(Reason.MALFORMED, str(error))
        return [explain(told, known)]
    return []


async def check_targets(installation: CheckedInstallation, check: str) -> list[Finding]:
    """Checks whether the exporter is scraped often enough, and which of our targets are down."""
    prometheus = installation.prometheus
    if prometheus is None:
        return []
    builds = [labels.get("version", "") for labels, _ in await prometheus.query(BUILD_INFO)]
    targets = own_targets((await prometheus.read("targets", state="active"))["activeTargets"], installation)
    return find_targets(builds, targets, installation.settings.server.port, without_user(prometheus.url), check)


async def check_bouncers(installation: CheckedInstallation, check: str) -> list[Finding]:
    """Compares the configured bouncers with those that have series in Prometheus."""
    prometheus = installation.prometheus
    if prometheus is None or not installation.bouncers or "policy" in installation.not_configured:
        return []
    if not await prometheus.query(BUILD_INFO):
        return []  # the check of the targets has reported it
    seen = {labels.get("bouncer") for labels, _ in await prometheus.query("controlcore_bouncer_up")}
    absent = sorted({bouncer.name for bouncer in installation.bouncers} - seen)
    if not absent:
        return []
    problem = f"configured bouncers have no series in Prometheus: {', '.join(absent)}"
    evidence = f"controlcore_bouncer_up has bouncer={', '.join(sorted(filter(None, seen))) or 'no series'}"
    remedy = (
        "reload the configuration of the running exporter: curl -X POST "
        f"http://EXPORTER:{installation.settings.server.port}/-/reload"
    )
    return [Finding(Severity.WARNING, check, problem, evidence, remedy)]


ADDRESS: tuple[Check[CheckedInstallation], ...] = (Check("prometheus.address", check_address, asked="Prometheus"),)
CHECKS: tuple[Check[CheckedInstallation], ...] = (
    Check("prometheus.targets", check_targets, 30.0, asked="Prometheus"),
    Check("prometheus.bouncers", check_bouncers, 30.0, asked="Prometheus"),
)


def own_targets(targets: Sequence[Mapping[str, Any]], installation: CheckedInstallation) -> list[Mapping[str, Any]]:
    """The targets that are our exporters, by job or port."""
    return [
        target
        for target in targets
        if JOB in str(target.get("scrapePool", "")) + str(target.get("labels", {}).get("job", ""))
        or _port(str(target.get("scrapeUrl", ""))) == installation.settings.server.port
    ]


def find_targets(
    builds: Sequence[str], targets: Iterable[Mapping[str, Any]], port: int, url: str, check: str
) -> list[Finding]:
    """`builds` are the versions of the scraped exporters, `targets` are targets that look like an exporter."""
    found = []
    by_health: dict[str, list[str]] = {}
    for target in targets:
        # Its parameters may hold a token.
        place = without_user(str(target.get("scrapeUrl")).partition("?")[0])
        by_health.setdefault(str(target.get("health")), []).append(place)
        error = str(target.get("lastError") or "")
        if target.get("health") == "down":
            problem = f"Prometheus cannot scrape {place}"
            remedy = (
                f"start the exporter there, or correct this target in prometheus.yml: curl -s {quote(place)} | head"
            )
            found.append(Finding(Severity.ERROR, check, problem, error, remedy))
        seconds = duration_seconds(str(target.get("scrapeInterval", "")))
        if seconds > MAX_INTERVAL_SECONDS:
            problem = f"Prometheus scrapes {place} too seldom; some rules can never fire"
            remedy = "set scrape_interval: 15s for this job in prometheus.yml"
            found.append(Finding(Severity.WARNING, check, problem, f"scrape_interval is {seconds:g} s", remedy))
    if not builds and "down" not in by_health:
        found.append(_find_nothing(by_health, port, url, check))
    own = version().partition("+")[0]
    others = sorted(set(builds) - {own})
    if others:
        problem = f"the running exporter is another version: {', '.join(others)}"
        remedy = "install the same version there, or run the doctor of that version"
        found.append(Finding(Severity.INFO, check, problem, f"this is {own}", remedy))
    return found


def _find_nothing(by_health: Mapping[str, Sequence[str]], port: int, url: str, check: str) -> Finding:
    """The finding for a Prometheus that has no series of the exporter although no target is down."""
    if not by_health:
        problem = "this Prometheus scrapes no controlcore-exporter"
        remedy = (
            "add to scrape_configs in prometheus.yml:\n"
            f'  - job_name: {JOB}\n    static_configs: [{{targets: ["HOST:{port}"]}}]\n'
            f"then: promtool check config prometheus.yml && curl -fsS -X POST {url}/-/reload"
        )
    elif "up" in by_health:
        place = by_health["up"][0]
        problem = f"Prometheus scrapes {place} but has no series of controlcore-exporter from it"
        remedy = (
            f"curl -s {quote(place)} | grep {BUILD_INFO}   # no output: another program answers, correct this target\n"
            "otherwise remove the metric_relabel_configs that drop it"
        )
    else:
        places = ", ".join(place for each in by_health.values() for place in each)
        return unchecked(check, f"Prometheus has not scraped {places} yet", "run doctor again in a minute")
    return Finding(Severity.ERROR, check, problem, f"{BUILD_INFO} has no series", remedy)


def _port(url: str) -> int | None:
    """The port of a URL; None when it has none or cannot be read."""
    try:
        return urlsplit(url).port
    except ValueError:
        return None
