"""Commands that look at a decision or answer one: plan, replay, approve, reject."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import json
import os
import re
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from chassis.clock import SystemClock
from chassis.documents import load_yaml
from chassis.errors import ConfigError, Fault, InvariantBroken
from remediations import rehearsal, report
from remediations.checking import check_everything
from remediations.core.decision_inputs import facts_from_data
from remediations.core.intake import PayloadError, parse_payload
from remediations.core.model.acts import MAX_NAME, Actor, Source
from remediations.core.model.alert import Alert, Target
from remediations.core.model.facts import Fact, Facts, ProcessStart
from remediations.core.policies.policy import Policy, PolicySet
from remediations.engine.simulation import Planner
from remediations.journal.approvals import Answer, AnswerError, find_proposal, give_answer
from remediations.journal.port import Journal
from remediations.journal.sqlite.adapter import open_journal
from remediations.opening import opened_asking
from remediations.settings import RemediatorSettings

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def render_data(content: Any, form: str) -> str:
    """Data as JSON or YAML, without any character that a terminal would obey: those are written as escapes."""
    text = json.dumps(content, indent=2).replace("\x7f", "\\u007f")
    if form == "yaml":
        data = json.loads(text)  # noqa: TID251 - what was written just now
        readable = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
        if readable.replace("\n", "").isprintable():
            return readable
        # PyYAML prints bidirectional marks as they are unless it escapes everything beyond ASCII.
        return yaml.safe_dump(data, sort_keys=False, allow_unicode=False)
    return text + "\n"


def plan(options: argparse.Namespace, settings: RemediatorSettings) -> tuple[int, str]:
    """Exit status and text of the decision for one payload, on live or recorded facts; writes nothing anywhere."""
    policy_set = check_everything(settings, is_serving=False)
    try:
        payload = parse_payload(_read(options.payload))
    except PayloadError as error:
        raise ConfigError((Fault(str(options.payload), str(error)),)) from error
    recorded = None if options.facts is None else _read_facts(options.facts)
    clock = SystemClock()
    # What only a running program knows counts as harmless.
    start = Fact(ProcessStart(clock.now(), 0.0), "this command", collected_at=clock.now())

    async def work() -> tuple[rehearsal.Rehearsed, ...]:
        async with AsyncExitStack() as stack:
            journal: Journal | None = None
            if await asyncio.to_thread(settings.journal.path.exists):
                journal = await stack.enter_async_context(
                    open_journal(settings.journal.path, timeout_seconds=settings.journal.timeout_seconds)
                )
            ask = _nobody if recorded is not None else await opened_asking(stack, settings)
            planner = Planner(lambda: policy_set, journal, ask, start, clock, settings.pause_file)
            return await planner.plan(payload, recorded)

    rehearsed = asyncio.run(work())
    if not rehearsed:
        raise ConfigError((Fault(str(options.payload), "no firing alert in it belongs to a policy"),))
    is_table = options.output == "table"
    text = rehearsal.render(rehearsed) if is_table else render_data(rehearsal.to_data(rehearsed), options.output)
    return rehearsal.exit_status(rehearsed), text


async def _nobody(_policy: Policy, _policy_set: PolicySet, _target: Target, _alert: Alert) -> Facts:
    """Stands where facts are given: nothing live is opened."""
    raise InvariantBroken("facts were given and asked for all the same")


async def answer(journal: Journal, remediation_id: str, given: Answer, now: float) -> tuple[dict[str, Any], str]:
    """Stores an answer; it as data, and in words. Raises AnswerError."""
    approval = await give_answer(journal, remediation_id, given, now)
    word = "approved" if given.is_approved else "rejected"
    return asdict(approval), f"{word}: {approval.remediation}, plan {approval.plan_hash}\n"


async def waiting_difference(journal: Journal, remediation_id: str) -> str:
    """What the plan that waits would change; raises AnswerError when none waits."""
    _, records = await journal.story(remediation_id)
    proposal = find_proposal(records)
    if proposal is None:
        raise AnswerError(f"no plan of {remediation_id} waits for approval")
    return f"plan {proposal['plan_hash']}\n{report.printable_lines(str(proposal['difference']))}\n"


def _read(path: Path) -> bytes:
    """A file's content; raises ConfigError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError((Fault(str(path), f"cannot be read: {error.strerror}"),)) from error


def _read_facts(path: Path) -> Facts:
    """Recorded facts: the output of `plan --output json` or `yaml`, or facts alone; raises ConfigError."""
    try:
        content = load_yaml(_read(path).decode())
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


def read_name(text: str) -> str:
    """The name that somebody gives himself; at most MAX_NAME characters."""
    if not text.strip() or len(text) > MAX_NAME:
        raise argparse.ArgumentTypeError(f"expected a name of 1 to {MAX_NAME} characters")
    return text.strip()


def actor_here(claimed: str | None) -> Actor:
    """Who runs this command: a claimed name, because the environment can say anything."""
    return Actor(Source.COMMAND_LINE, claimed=claimed or _user_name())


def _user_name() -> str:
    """The name of the user, as far as it can be told."""
    try:
        return getpass.getuser()[:MAX_NAME]
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
