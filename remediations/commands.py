"""Commands that look at a decision or answer one: plan, replay, approve, reject."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import json
import os
import re
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import yaml

from chassis.clock import SystemClock
from chassis.errors import ConfigError, Fault
from remediations import rehearsal, report
from remediations.answers import Answer, AnswerError, find_proposal, give_answer
from remediations.circumstances import ProcessStart
from remediations.intake import PayloadError, parse_payload
from remediations.journal.port import Journal, Match
from remediations.journal.sqlite import open_journal
from remediations.model import Fact, Facts, History
from remediations.policy import Policy, PolicySet
from remediations.program import check_everything, opened_gatherer
from remediations.recorded import INPUTS, facts_from_data, from_text
from remediations.settings import RemediatorSettings
from remediations.story import describe

EXIT_DIFFERS = 1
HISTORY_SECONDS = 86400.0
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def render_data(content: Any, form: str) -> str:
    """Data as JSON or YAML."""
    if form == "yaml":
        return yaml.safe_dump(json.loads(json.dumps(content)), sort_keys=False, allow_unicode=True)
    return json.dumps(content, indent=2) + "\n"


def plan(options: argparse.Namespace, settings: RemediatorSettings) -> tuple[int, str]:
    """Exit status and text of the decision for one payload, on live or recorded facts; writes nothing anywhere."""
    policy_set = check_everything(settings, is_serving=False)
    try:
        payload = parse_payload(_read(options.payload))
    except PayloadError as error:
        raise ConfigError((Fault(str(options.payload), str(error)),)) from error
    recorded = None if options.facts is None else _read_facts(options.facts)

    async def work() -> tuple[rehearsal.Rehearsed, ...]:
        now = SystemClock().now()
        async with AsyncExitStack() as stack:
            gather = await _gatherer(stack, settings, policy_set, recorded)
            remember = await _rememberer(stack, settings, now)
            return await rehearsal.rehearse(payload, policy_set, gather, remember, now)

    rehearsed = asyncio.run(work())
    if not rehearsed:
        raise ConfigError((Fault(str(options.payload), "no firing alert in it belongs to a policy"),))
    is_table = options.output == "table"
    text = rehearsal.render(rehearsed) if is_table else render_data(rehearsal.to_data(rehearsed), options.output)
    return rehearsal.exit_status(rehearsed), text


async def _gatherer(
    stack: AsyncExitStack, settings: RemediatorSettings, policy_set: PolicySet, recorded: Facts | None
) -> rehearsal.Gather:
    """Asks the live systems, or gives the recorded facts; what only a running program knows counts as harmless."""
    if recorded is not None:
        return _given(recorded)
    gather = await opened_gatherer(stack, settings)
    now = SystemClock().now()
    start = Fact(ProcessStart(now, 0.0), "this command", collected_at=now)

    async def ask(policy: Policy, match: Match) -> Facts:
        return replace(await gather(policy, policy_set, match.target, match.alert), start=start)

    return ask


def _given(recorded: Facts) -> Callable[[Policy, Match], Awaitable[Facts]]:
    """The same facts whoever asks."""

    async def give(_policy: Policy, _match: Match) -> Facts:
        return recorded

    return give


async def _rememberer(stack: AsyncExitStack, settings: RemediatorSettings, now: float) -> rehearsal.Remember:
    """The history in the journal; an empty one where there is none yet."""
    journal: Journal | None = None
    if await asyncio.to_thread(settings.journal.path.exists):
        journal = await stack.enter_async_context(open_journal(settings.journal.path))

    async def remember(_policy: Policy, match: Match) -> History:
        if journal is None:
            return History()
        return History(
            actions=tuple(await journal.actions_since(now - HISTORY_SECONDS)),
            in_flight=tuple(await journal.in_flight(match.target, other_than="")),
            arrivals=tuple(await journal.arrivals_since(now - HISTORY_SECONDS)),
            breaker_resets=tuple(await journal.breaker_resets(now - HISTORY_SECONDS)),
        )

    return remember


async def replay(journal: Journal, remediation_id: str) -> tuple[int, list[dict[str, Any]]]:
    """Every decision of a remediation made again; status 1 when one comes out differently now."""
    _, records = await journal.story(remediation_id)
    told: list[dict[str, Any]] = []
    for record in records:
        if record.kind != "decision" or INPUTS not in record.data:
            continue
        kind, reason, _ = describe(from_text(str(record.data[INPUTS])).decide())
        then = f"{record.data.get('decision')} {record.data.get('reason')}"
        told.append({"at": record.at, "then": then, "now": f"{kind} {reason}", "is_same": then == f"{kind} {reason}"})
    return (0 if all(item["is_same"] for item in told) else EXIT_DIFFERS), told


async def answer(journal: Journal, remediation_id: str, given: Answer, now: float) -> tuple[dict[str, Any], str]:
    """Stores an answer; it as data, and in words. Raises AnswerError."""
    approval = await give_answer(journal, remediation_id, given, now)
    word = "approved" if given.is_approved else "rejected"
    return asdict(approval), f"{word}: {approval.remediation}, plan {approval.plan_hash[:12]}\n"


async def waiting_difference(journal: Journal, remediation_id: str) -> str:
    """What the plan that waits would change; raises AnswerError when none waits."""
    _, records = await journal.story(remediation_id)
    proposal = find_proposal(records)
    if proposal is None:
        raise AnswerError(f"no plan of {remediation_id} waits for approval")
    return f"plan {str(proposal['plan_hash'])[:12]}\n{report.printable_lines(str(proposal['difference']))}\n"


def _read(path: Path) -> bytes:
    """A file's content; raises ConfigError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError((Fault(str(path), f"cannot be read: {error.strerror}"),)) from error


def _read_facts(path: Path) -> Facts:
    """Recorded facts: the output of `plan --output json` or `yaml`, or facts alone; raises ConfigError."""
    try:
        content = yaml.safe_load(_read(path))
        if isinstance(content, list) and content:
            content = content[0][rehearsal.RECORDED]
        return facts_from_data(content)
    except (yaml.YAMLError, ValueError, KeyError, TypeError) as error:
        raise ConfigError((Fault(str(path), f"no recorded facts: {error}"),)) from error


def read_duration(text: str) -> float:
    """Seconds of a duration such as 90s, 15m, 1h30m, 2d."""
    parts = re.findall(r"(\d+)([smhd])", text)
    if not parts or "".join(f"{number}{unit}" for number, unit in parts) != text:
        raise argparse.ArgumentTypeError(f"expected a duration such as 90s, 15m, 1h30m or 2d, got {text!r}")
    return sum(int(number) * UNITS[unit] for number, unit in parts)


def user_name() -> str:
    """Who runs this, as far as it can be told."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
