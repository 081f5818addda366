"""Sends a policy's queries to Prometheus, and uses a result only if its data was collected recently.

https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries. The time of a sample is the time of a scrape
or an evaluation, not the time at which the value was true; the exporter's
controlcore_scrape_collector_last_success_timestamp_seconds has that time.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from chassis.clock import Clock
from chassis.errors import BackendError, PermanentError, Reason, TransientError, quote_foreign
from chassis.http.call import Call, Response
from chassis.http.client import HttpClient
from chassis.http.client_auth import authorization, without_user
from chassis.output.redaction import remove_secrets
from remediations.core.model.facts import Fact
from remediations.core.policies.limits import CustomGuard
from remediations.core.policies.policy import Query
from remediations.facts.ask import describe
from remediations.settings import PrometheusSettings

FRESHNESS = "controlcore_scrape_collector_last_success_timestamp_seconds"
MAX_QUOTED = 300
"""Characters of an error or a warning that are shown."""
MAX_SKEW_SECONDS = 10.0
"""A collection may be this far in our future (two hosts' clocks); beyond that, a clock is wrong and the result is
unknown.
"""

HARMLESS = (
    "PromQL info: ",
    "PromQL warning: strategy should be ",
    "PromQL warning: ratio value should be ",
    "PromQL warning: quantile value should be ",
    "PromQL warning: sort is ineffective ",
)
"""Beginnings of warnings without effect on the result: they concern the query's text or a metric's name.

Source: prometheus/prometheus util/annotations/annotations.go. The engine's hints begin with `PromQL info`; 2.48 to
2.53 send them among `warnings`, later ones as `infos`, 2.42 has none. Every other warning means that data is missing
(a failed remote read, a limit, a missing store) or was left out by the engine (histograms mixed with numbers)."""


@dataclass(frozen=True, slots=True)
class QuerySample:
    """One element of an instant vector."""

    labels: Mapping[str, str]
    value: float


@dataclass(slots=True)
class _Asked:
    """A query in progress; `samples` stays None if it failed."""

    is_over: asyncio.Event
    samples: tuple[QuerySample, ...] | None = None


class PrometheusClient:
    """Sends instant queries, each with a deadline."""

    def __init__(self, http: HttpClient, settings: PrometheusSettings, clock: Clock) -> None:
        self._http = http
        self._settings = settings
        self._clock = clock
        self._asked: dict[str, _Asked] = {}

    async def instant(self, promql: str) -> tuple[QuerySample, ...]:
        """The vector (or scalar) that the query returns now; raises BackendError."""
        seconds = self._settings.timeout_seconds
        answer = await self._call("query", {"query": promql, "timeout": f"{seconds:g}s"}, seconds)
        return _samples(_require_ok(answer).json())

    async def find_fault(self, promql: str, timeout_seconds: float) -> str:
        """Why Prometheus cannot parse the query, empty if it can; nothing is evaluated. Raises BackendError.

        https://prometheus.io/docs/prometheus/latest/querying/api/#formatting-query-expressions
        """
        answer = await self._call("format_query", {"query": promql}, timeout_seconds)
        if answer.status == HTTPStatus.BAD_REQUEST:
            document = answer.json()
            if isinstance(document, dict) and document.get("errorType") == "bad_data":
                return quote_foreign(str(document.get("error")), remove_secrets, MAX_QUOTED)
        _require_ok(answer)
        return ""

    async def read(self, endpoint: str, params: Mapping[str, str]) -> Any:
        """The `data` of an endpoint of the API; raises BackendError."""
        document = _require_ok(await self._call(endpoint, params, self._settings.timeout_seconds)).json()
        try:
            return document["data"]
        except (KeyError, TypeError) as error:
            raise PermanentError(Reason.MALFORMED, "not an answer of Prometheus") from error

    async def _call(self, endpoint: str, params: Mapping[str, str], timeout_seconds: float) -> Response:
        """The response of an endpoint of the query API."""
        headers = await authorization(self._settings, "prometheus")
        return await self._http.send(
            Call(
                f"{self._settings.url.rstrip('/')}/api/v1/{endpoint}",
                timeout_seconds,
                headers=headers,
                params=params,
                max_bytes=self._settings.max_answer_bytes,
                limit_setting="prometheus.max_answer_bytes",
            )
        )

    async def query(self, query: Query) -> Fact[bool]:
        """The result of a policy's query, unknown unless it is a single, fresh number.

        The age is read before the value, so the value is at least as new as the age says.
        """
        answer = await self._fresh(query)
        if answer.value is None:
            return Fact(None, answer.source, answer.problem, answer.collected_at)
        samples, collected_at = answer.value, answer.collected_at
        if len(samples) != 1:
            problem = "no sample" if not samples else f"{len(samples)} samples, expected one"
            return Fact(None, query.promql, problem, collected_at)
        if math.isnan(samples[0].value):
            return Fact(None, query.promql, "the sample is NaN", collected_at)
        return Fact(samples[0].value != 0, query.promql, "", collected_at)

    async def measure(self, query: Query) -> Fact[float]:
        """The number that a query returns, unknown unless it is single and fresh."""
        answer = await self._fresh(query)
        if answer.value is None:
            return Fact(None, answer.source, answer.problem, answer.collected_at)
        if len(answer.value) != 1 or not math.isfinite(answer.value[0].value):
            return Fact(None, query.promql, f"{len(answer.value)} samples, expected one number", answer.collected_at)
        return Fact(answer.value[0].value, query.promql, "", answer.collected_at)

    async def has_samples(self, guard: CustomGuard) -> Fact[bool]:
        """Whether the query of a policy's own guard has any sample now; unknown unless its data is fresh."""
        answer = await self._fresh(Query(guard.promql, guard.collectors, guard.max_age_seconds), guard.freshness)
        value = None if answer.value is None else bool(answer.value)
        return Fact(value, answer.source, answer.problem, answer.collected_at)

    async def _fresh(self, query: Query, freshness: str = "") -> Fact[tuple[QuerySample, ...]]:
        """The samples of a query with their age, unknown if that is too great."""
        try:
            collected_at = await self._collected_at(query) if query.collectors else None
            if freshness:
                collected_at = self._require_young(await self._newest(freshness), query.max_age_seconds)
            return Fact(await self.instant(query.promql), query.promql, "", collected_at)
        except BackendError as error:
            place = f"Prometheus at {without_user(self._settings.url)} (prometheus.url)"
            return Fact(None, query.promql, f"{place}: {describe(error)}")
        except _StaleError as error:
            return Fact(None, query.promql, str(error), error.collected_at)

    async def _newest(self, freshness: str) -> float:
        """The Unix time that a query for the newest data returns; raises _StaleError without one."""
        samples = await self.instant(freshness)
        if len(samples) != 1 or not math.isfinite(samples[0].value):
            raise _StaleError(f"{freshness}: {len(samples)} samples, expected one time", None)
        return samples[0].value

    async def _shared(self, promql: str) -> tuple[QuerySample, ...]:
        """The result of `instant`; a caller that sends the same query meanwhile waits for that result.

        The value was true at the latest when the query was answered, so a value read afterwards is newer.
        """
        asked = self._asked.get(promql)
        if asked is not None:
            await asked.is_over.wait()
            if asked.samples is not None:
                return asked.samples
            return await self.instant(promql)
        mine = self._asked[promql] = _Asked(asyncio.Event())
        try:
            mine.samples = await self.instant(promql)
        finally:
            del self._asked[promql]
            mine.is_over.set()
        return mine.samples

    def _require_young(self, collected_at: float, max_age_seconds: float) -> float:
        """The time itself; raises _StaleError if it is too old, or in the future."""
        age = self._clock.now() - collected_at
        if not -MAX_SKEW_SECONDS <= age <= max_age_seconds:
            raise _StaleError(f"collected {age:.1f} s ago, more than {max_age_seconds:g} s", collected_at)
        return collected_at

    async def _collected_at(self, query: Query) -> float:
        """When the oldest of the collectors behind a query last succeeded; raises _StaleError if that is too old."""
        names = "|".join(query.collectors)
        found: dict[str, float] = {}
        for sample in await self._shared(f'{FRESHNESS}{{collector=~"{names}"}}'):
            name = sample.labels.get("collector", "")
            found[name] = min(sample.value, found.get(name, math.inf))
        missing = sorted(set(query.collectors) - set(found))
        if missing:
            raise _StaleError(f"no collection is known for: {', '.join(missing)}", None)
        return self._require_young(min(found.values()), query.max_age_seconds)


class _StaleError(Exception):
    """The data behind a query is too old, or its age is unknown."""

    def __init__(self, message: str, collected_at: float | None) -> None:
        super().__init__(message)
        self.collected_at = collected_at


def _require_ok(answer: Response) -> Response:
    """The response, unless it is an error: then Prometheus' own message, which names the position in a broken query."""
    try:
        return answer.require_ok()
    except BackendError as error:
        said = _read_error(answer)
        raise type(error)(error.reason, f"{error}: {said}") if said else error from None


def _read_error(answer: Response) -> str:
    """Prometheus' message about an error; empty if there is none."""
    try:
        return quote_foreign(str(answer.json()["error"]), remove_secrets, MAX_QUOTED)
    except (BackendError, KeyError, TypeError):
        return ""


def _samples(document: Any) -> tuple[QuerySample, ...]:
    """The samples of an API answer; raises PermanentError(malformed), and TransientError(partial) for a partial one."""
    try:
        missing = [str(text) for text in document.get("warnings") or () if not str(text).startswith(HARMLESS)]
        if document.get("isPartial"):  # VictoriaMetrics: a storage node did not answer
            missing.append("isPartial is true")
        if missing:
            raise TransientError(
                Reason.PARTIAL, f"the answer is partial: {quote_foreign(missing[0], remove_secrets, MAX_QUOTED)}"
            )
        data = document["data"]
        if data["resultType"] == "scalar":
            return (QuerySample({}, float(data["result"][1])),)
        if data["resultType"] != "vector":
            raise PermanentError(Reason.MALFORMED, f"the query gives a {data['resultType']}, expected a vector")
        return tuple(QuerySample(item["metric"], float(item["value"][1])) for item in data["result"])
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise PermanentError(Reason.MALFORMED, "not an answer of Prometheus") from error
