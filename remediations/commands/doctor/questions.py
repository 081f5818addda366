"""Checks of Prometheus as policies use it: it answers, its clock agrees with ours, and queries have results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from chassis.documents import asked_names
from chassis.errors import BackendError
from chassis.output.findings import Finding, Severity, ask_all, unchecked
from remediations.commands.doctor.installation import Installation, names_of, severity_of, unreachable
from remediations.commands.output.text import age_words
from remediations.core.policies.lint import find_queries
from remediations.core.policies.policy import Policy, PolicySet, Query
from remediations.facts.prometheus import FRESHNESS, MAX_SKEW_SECONDS, QuerySample

SKEW_SECONDS = MAX_SKEW_SECONDS / 2
FAULT_SECONDS = 3.0
AT_ONCE, ALL_SECONDS = 8, 10.0
"""Queries that run concurrently, and the time for all of them."""
BUILD = "controlcore_remediator_build_info"


async def check_prometheus(place: Installation, check: str) -> list[Finding]:
    """Prometheus answers, and its clock agrees with ours."""
    began = place.clock.now()
    try:
        samples = await place.prometheus.instant("time()")
    except BackendError as error:
        return [unreachable(check, "Prometheus", place.prometheus_url, "prometheus", error)]
    now = place.clock.now()
    return judge_clock(check, samples, (began, now))


def judge_clock(check: str, samples: Iterable[QuerySample], between: tuple[float, float]) -> list[Finding]:
    """The finding for a clock that differs; the request took place `between` these two times."""
    began, ended = between
    for sample in samples:
        skew = max(began - sample.value, sample.value - ended, 0.0)
        if skew > SKEW_SECONDS:
            problem = (
                "the clocks of this host and of Prometheus differ: fresh data looks stale, or stale data looks fresh"
            )
            severity = Severity.ERROR if skew > MAX_SKEW_SECONDS else Severity.WARNING
            remedy = "chronyc tracking   # or timedatectl timesync-status, on both hosts"
            return [Finding(severity, check, problem, f"they differ by {skew:.1f} s", remedy)]
    return []


async def check_promql(place: Installation, check: str) -> list[Finding]:
    """Prometheus can parse every query of the policy file."""
    queries = list(find_queries(place.policy_set))
    ask = place.prometheus.find_fault
    problems = await ask_all([partial(ask, promql, FAULT_SECONDS) for _, promql in queries], AT_ONCE, ALL_SECONDS)
    found = _unasked(check, problems)
    for (where, _), problem in zip(queries, problems, strict=True):
        if problem:
            remedy = f"correct {where} in {place.settings.policies_file}"
            found.append(Finding(Severity.ERROR, check, f"{where} is not PromQL", problem, remedy))
    return found


def _unasked(check: str, answers: Sequence[object]) -> list[Finding]:
    """The finding for queries that Prometheus did not answer in time."""
    if None not in answers:
        return []
    reason = f"{answers.count(None)} of {len(answers)} questions had no answer within {ALL_SECONDS:g} s"
    return [unchecked(check, reason, "see why Prometheus is slow, then run doctor again")]


async def check_collectors(place: Installation, check: str) -> list[Finding]:
    """The exporter's collectors that policies need have succeeded recently."""
    needed = collectors_of(place.policy_set)
    if not needed:
        return []
    samples = await place.prometheus.instant(FRESHNESS)
    oldest: dict[str, float] = {}
    for sample in samples:
        name = sample.labels.get("collector", "")
        oldest[name] = min(sample.value, oldest.get(name, sample.value))
    found = []
    if not oldest:
        problem = "Prometheus has no data of the exporter: every decision is held as unknown"
        remedy = "add a scrape job for the exporter (port 9877) to prometheus.yml, as docs/examples/prometheus.yml does"
        everyone = place.policy_set.policies
        return [Finding(severity_of(everyone), check, problem, f"{FRESHNESS} has no series", remedy)]
    missing = {name: policies for name, (policies, _) in needed.items() if name not in oldest}
    if missing:
        waiting = [policy for policies in missing.values() for policy in policies]
        problem = "collectors of the exporter report nothing: the policies that need them are held as unknown"
        evidence = f"collectors {', '.join(sorted(missing))}; policies {names_of(waiting)}"
        remedy = f"{place.exporter_doctor}   # names the setting that each collector needs"
        found.append(Finding(severity_of(waiting), check, problem, evidence, remedy))
    now = place.clock.now()
    for name, (policies, seconds) in needed.items():
        age = now - oldest.get(name, now)
        if not -MAX_SKEW_SECONDS <= age <= seconds:
            when = f"{age_words(age)} ago, policies accept {seconds:g} s" if age > 0 else f"{-age:.0f} s in the future"
            problem = (
                (f"the collector {name} has not succeeded recently")
                if age > 0
                else "the exporter's clock is ahead of ours"
            )
            remedy = f"{place.exporter_doctor}   # its /debug/collectors shows the last error"
            found.append(
                Finding(severity_of(policies), check, problem, f"{name}: {when}; policies {names_of(policies)}", remedy)
            )
    return found


def collectors_of(policy_set: PolicySet) -> dict[str, tuple[list[Policy], float]]:
    """Collector → the policies that need it, and the greatest age that one of their queries accepts."""
    found: dict[str, tuple[list[Policy], float]] = {}
    for policy in policy_set.policies:
        for _, query in questions_of(policy, policy_set):
            for name in query.collectors:
                policies, seconds = found.get(name, ([], 0.0))
                found[name] = ([*policies, policy], max(seconds, query.max_age_seconds))
    return found


def questions_of(policy: Policy, policy_set: PolicySet) -> Iterator[tuple[str, Query]]:
    """The queries that must have exactly one result before the policy can act, with their titles."""
    yield "condition", policy.condition
    yield "verify", policy.verify
    for name in policy.dependencies:
        if name in policy_set.dependencies:
            yield f"dependency {name}", policy_set.dependencies[name]
    if policy.connections is not None:
        yield "connections.limit", Query(policy.connections.limit, policy.connections.collectors)


async def check_series(place: Installation, check: str) -> list[Finding]:
    """The policies' queries have exactly one result now; otherwise the policy never acts."""
    known = {sample.labels.get("collector", "") for sample in await place.prometheus.instant(FRESHNESS)}
    asked: dict[str, list[tuple[str, Policy]]] = {}
    for policy in place.policy_set.policies:
        for title, query in questions_of(policy, place.policy_set):
            if known.issuperset(query.collectors):  # otherwise the collector is reported as the fault
                asked.setdefault(query.promql, []).append((title, policy))
    answers = await ask_all([partial(place.prometheus.instant, promql) for promql in asked], AT_ONCE, ALL_SECONDS)
    found, lost = _unasked(check, answers), []
    for (promql, users), samples in zip(asked.items(), answers, strict=True):
        if samples is None:
            continue
        if not samples:
            lost.append((promql, users))
        elif len(samples) > 1:
            problem = f"{_titles(users)} has {len(samples)} results and needs exactly one"
            remedy = f"aggregate it to one value (min, max, sum) in {place.settings.policies_file}"
            found.append(Finding(severity_of(policy for _, policy in users), check, problem, promql, remedy))
    return [*found, *await _unanswered(place, check, lost)]


Users = list[tuple[str, Policy]]
"""A query's purpose: its part in a policy, and the policy."""


def _titles(users: Users) -> str:
    """The same as text."""
    return ", ".join(dict.fromkeys(f"{title} of {policy.name}" for title, policy in users))


async def _unanswered(place: Installation, check: str, lost: list[tuple[str, Users]]) -> list[Finding]:
    """The findings for queries without a result: one for those that lack the same series."""
    names = sorted({name for promql, _ in lost for name in asked_names(promql)})
    asked = f'count by (__name__) ({{__name__=~"{"|".join(names)}"}})'
    present = await place.prometheus.instant(asked) if names else ()
    known = {sample.labels.get("__name__", "") for sample in present}
    by_cause: dict[tuple[str, ...], list[tuple[str, Users]]] = {}
    for promql, users in lost:
        by_cause.setdefault(tuple(sorted(asked_names(promql) - known)), []).append((promql, users))
    remedy = f"{place.exporter_doctor}   # which setting exports it; or remove the policy if this is not installed"
    found = []
    for absent, questions in by_cause.items():
        users = [user for _, each in questions for user in each]
        evidence = f"no series of {', '.join(absent)}" if absent else "\n".join(promql for promql, _ in questions)
        problem = f"{_titles(users)}: no result, so it stays unknown and the policy never acts"
        found.append(Finding(severity_of(policy for _, policy in users), check, problem, evidence, remedy))
    return found


async def check_scraped(place: Installation, check: str) -> list[Finding]:
    """Prometheus scrapes the remediator itself; otherwise the alerts about it never fire."""
    if await place.prometheus.instant(f"count({BUILD})"):
        return []
    problem = "Prometheus does not scrape the remediator: ControlCoreAlertPathBroken and its other alerts never fire"
    remedy = "add a scrape job for the remediator (port 9878) to prometheus.yml, as docs/examples/prometheus.yml does"
    return [Finding(Severity.WARNING, check, problem, f"{BUILD} has no series", remedy)]
