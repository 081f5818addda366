"""The checks of `doctor`: their table, how they run, and how their findings are written.

A check returns findings, or none when all is well. A check that could not run returns a finding of severity `unknown`,
which never counts as "nothing found", neither in the summary nor in the exit status.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, Generic, TypeVar

from chassis.errors import BackendError, ConfigError
from chassis.output import data
from chassis.output.redaction import remove_secrets
from chassis.output.terminal import Colour, paint, printable

FORMS = ("table", "json", "yaml")
FAULT = "this is a bug in doctor: report it with this line"
"""Remedy for an error that no server and no file explains."""
C = TypeVar("C")
T = TypeVar("T")


class Severity(StrEnum):
    """Severities, the worst first."""

    ERROR = "error"
    """Something does not work."""
    WARNING = "warning"
    """Something works, but will fail or mislead."""
    UNKNOWN = "unknown"
    """The check could not run."""
    INFO = "info"
    """Useful to know; nothing is wrong."""


ORDER = tuple(Severity)
COUNTED = {Severity.ERROR, Severity.WARNING}
"""Severities whose word takes a plural."""
COLOURS = {Severity.ERROR: Colour.RED, Severity.WARNING: Colour.YELLOW, Severity.UNKNOWN: Colour.CYAN}

OK, FOUND, CONFIG, UNCHECKED = 0, 1, 2, 3
EXIT_STATUSES = {
    OK: "every check ran and found nothing to fix",
    FOUND: "there are errors or warnings",
    CONFIG: "the command line or the configuration is wrong; each fault is printed with its location",
    UNCHECKED: "nothing to fix was found, but some checks could not run",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding: the problem, the evidence, and the command or setting that fixes it."""

    severity: Severity
    check: str
    problem: str
    evidence: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Check(Generic[C]):
    """One entry of a table of checks. `ask` gets the shared state and the check's name."""

    name: str
    ask: Callable[[C, str], Awaitable[Iterable[Finding]]]
    timeout_seconds: float = 10.0
    asked: str = "this machine"
    """The server or file that it checks, as remedies name it."""
    setting: str = ""
    """The setting with the deadline of one call to it; empty without one."""


def unchecked(check: str, reason: str, remedy: str) -> Finding:
    """The result of a check that could not run."""
    return Finding(Severity.UNKNOWN, check, "not checked", reason, remedy)


async def ask_all(questions: Sequence[Callable[[], Awaitable[T]]], at_once: int, seconds: float) -> list[T | None]:
    """The answers in the order of the questions, a bounded number in flight; None without an answer in time.

    Raises a single question's error without a group around it.
    """
    answers: list[T | None] = [None] * len(questions)
    places = asyncio.Semaphore(at_once)

    async def ask(number: int, question: Callable[[], Awaitable[T]]) -> None:
        async with places:
            answers[number] = await question()

    try:
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
            for number, question in enumerate(questions):
                group.create_task(ask(number, question), name=f"question.{number}")
    except TimeoutError:
        pass  # questions without an answer stay None
    except ExceptionGroup as errors:
        raise min(errors.exceptions, key=lambda each: isinstance(each, BackendError)) from errors
    return answers


async def run_checks(context: C, checks: Sequence[Check[C]]) -> list[Finding]:
    """Runs the checks concurrently, each within its deadline; the worst findings come first."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_run(context, check), name=f"check.{check.name}") for check in checks]
    return worst_first(finding for task in tasks for finding in task.result())


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """The findings by severity; within one severity they keep their order."""
    return sorted(findings, key=lambda finding: ORDER.index(finding.severity))


async def _run(context: C, check: Check[C]) -> list[Finding]:
    """One check; an exception makes it unknown, so that the other checks still report."""
    try:
        async with asyncio.timeout(check.timeout_seconds):
            return list(await check.ask(context, check.name))
    except TimeoutError:
        reason = f"{check.asked} gave no answer within {check.timeout_seconds:g} s"
        limit = f" ({check.setting} ends one call to it)" if check.setting else ""
        return [unchecked(check.name, reason, f"see why {check.asked} is slow{limit}, then run doctor again")]
    except Exception as error:  # noqa: BLE001 - the check boundary
        return [_unchecked_after(check.name, error)]


def _unchecked_after(check: str, error: Exception) -> Finding:
    """The result of a check that raised this error; in a group, our own bug comes first."""
    if isinstance(error, ExceptionGroup):
        return min((_unchecked_after(check, each) for each in error.exceptions), key=lambda each: each.remedy != FAULT)
    if isinstance(error, BackendError | ConfigError):
        return unchecked(check, str(error), "fix what the evidence names, then run doctor again")
    return unchecked(check, f"{type(error).__name__}: {error}", FAULT)


def exit_status(findings: Iterable[Finding]) -> int:
    """The status for scripts: findings to fix count more than unknown ones."""
    severities = {finding.severity for finding in findings}
    if severities & {Severity.ERROR, Severity.WARNING}:
        return FOUND
    return UNCHECKED if Severity.UNKNOWN in severities else OK


def render_findings(findings: Sequence[Finding], checks: Sequence[str], form: str, secrets: Iterable[str] = ()) -> str:
    """The findings as a text for people (`table`), JSON or YAML.

    `checks` names every check that ran. Problem and evidence may quote foreign texts, so `secrets` and anything that
    looks like a secret are removed from them.
    """
    known = tuple(secrets)
    clean = [
        replace(
            finding,
            problem=remove_secrets(finding.problem, known),
            evidence=remove_secrets(finding.evidence, known),
        )
        for finding in findings
    ]
    counts = {severity.value: sum(finding.severity is severity for finding in clean) for severity in Severity}
    if form == "table":
        summary = ", ".join(_counted(number, severity) for severity, number in counts.items())
        return "".join(map(_lines, clean)) + f"{len(checks)} checks: {summary if clean else 'nothing found'}\n"
    content: dict[str, Any] = {"checks": list(checks), "counts": counts, "findings": [asdict(each) for each in clean]}
    return data.render(content, form)


def _counted(number: int, severity: str) -> str:
    """A number of findings, as one says it: `2 errors`, `1 warning`, `0 unknown`."""
    return f"{number} {severity}{'s' if severity in COUNTED and number != 1 else ''}"


def _lines(finding: Finding) -> str:
    """One finding for people; a remedy of several lines can be copied as one."""
    head = f"{finding.severity.upper():<8} {finding.check}: {printable(finding.problem)}"
    lines = [paint(head, COLOURS.get(finding.severity, Colour.PLAIN))]
    for title, text in (("found", finding.evidence), ("do", finding.remedy)):
        first, *rest = map(printable, text.split("\n"))
        lines += [f"  {title:<6} {first}", *(f"         {line}" for line in rest)] if text else []
    return "\n".join(lines) + "\n\n"
