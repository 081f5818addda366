"""Compares our clock with the clocks of the database, the API and Prometheus."""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from chassis.http.call import Call
from chassis.output.findings import Check, Finding, Severity, unchecked
from exporter.commands.doctor.installation import API, DATABASE, CheckedInstallation

if TYPE_CHECKING:
    from chassis.clock import Clock

TOLERANCE_SECONDS = 5.0
"""The remediator rejects values from more than ten seconds in its future; half of that is reported."""
ASK_SECONDS = 5.0
DATE_SECONDS = 1.0
"""A header Date has whole seconds (RFC 9110, 5.6.7)."""


@dataclass(frozen=True, slots=True)
class ClockReading:
    """Another clock's time, read between two moments of ours."""

    began: float
    remote: float
    ended: float
    resolution_seconds: float = 0.0

    @property
    def skew_seconds(self) -> float:
        """How far the other clock is at least ahead of ours, negative when it is behind; 0 when uncertain."""
        if self.remote + self.resolution_seconds < self.began:
            return self.remote + self.resolution_seconds - self.began
        return max(0.0, self.remote - self.ended)


async def check_database(installation: CheckedInstallation, check: str) -> list[Finding]:
    """Compares with PostgreSQL's clock_timestamp()."""
    postgres = installation.sources.postgres
    if postgres is None or (DATABASE, "") in installation.broken:
        return []
    clock, sql = installation.sources.clock, "SELECT extract(epoch FROM clock_timestamp())::float8 AS now"
    await postgres.fetch(sql, timeout_seconds=ASK_SECONDS)  # the connection is open now, so the answer is quick
    began = clock.now()
    rows = await postgres.fetch(sql, timeout_seconds=ASK_SECONDS)
    return find_skew("the database", ClockReading(began, rows[0]["now"], clock.now()), check)


async def check_api(installation: CheckedInstallation, check: str) -> list[Finding]:
    """Compares with the header Date of the API's /health."""
    url = installation.settings.api.url
    if url is None or (API, "") in installation.broken:
        return []
    clock: Clock = installation.sources.clock
    began = clock.now()
    answer = await installation.sources.http.send(Call(f"{url}/health", ASK_SECONDS))
    ended = clock.now()
    try:
        remote = parsedate_to_datetime(answer.date).timestamp()
    except ValueError:
        return [
            unchecked(check, "its answers have no header Date", "nothing to do if a proxy in front of it removes Date")
        ]
    return find_skew("the control-plane API", ClockReading(began, remote, ended, DATE_SECONDS), check)


async def check_prometheus(installation: CheckedInstallation, check: str) -> list[Finding]:
    """Compares with the time at which Prometheus evaluates."""
    prometheus = installation.prometheus
    if prometheus is None:
        return []
    clock = installation.sources.clock
    began = clock.now()
    remote = await prometheus.time()
    return find_skew("Prometheus", ClockReading(began, remote, clock.now()), check)


CHECKS: tuple[Check[CheckedInstallation], ...] = (
    Check("clock.database", check_database, asked="PostgreSQL"),
    Check("clock.api", check_api, asked="the control-plane API"),
)
PROMETHEUS: tuple[Check[CheckedInstallation], ...] = (Check("clock.prometheus", check_prometheus, asked="Prometheus"),)


def find_skew(whose: str, reading: ClockReading, check: str) -> list[Finding]:
    """A clock that is too far from ours."""
    skew = reading.skew_seconds
    if abs(skew) <= TOLERANCE_SECONDS:
        return []
    problem = f"the clocks of {whose} and of this host differ by {abs(skew):.0f} s; ages and expiries are wrong"
    evidence = f"{whose} is {abs(skew):.1f} s {'ahead' if skew > 0 else 'behind'}"
    remedy = (
        "timedatectl; chronyc tracking   # on both hosts: which clock is wrong?\n"
        "there start or repair the time service (chronyd, systemd-timesyncd), which corrects the clock slowly\n"
        "set a clock at once only while nothing is written on its host: times would repeat or jump"
    )
    return [Finding(Severity.WARNING, check, problem, evidence, remedy)]
