"""Commands that show a decision or answer a plan: plan, replay, approve, reject."""

from __future__ import annotations

import argparse
import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import yaml

from chassis.clock import SystemClock
from chassis.documents import load_yaml, yaml_problem
from chassis.errors import ConfigError, Fault, InvariantBroken
from chassis.output.terminal import printable, table, width
from remediations.commands.check_config import check_everything
from remediations.commands.connections import opened_asking
from remediations.commands.output import exit_codes as exits
from remediations.commands.output.text import render_banner, render_data
from remediations.core.codec import from_data
from remediations.core.intake import PayloadError, parse_payload
from remediations.core.model.alert import Alert, Mode, Target
from remediations.core.model.decision import Act, NotNeeded
from remediations.core.model.facts import Fact, Facts, ProcessStart
from remediations.core.model.stored import describe_difference
from remediations.core.policies.policy import Policy, PolicySet
from remediations.engine import simulation
from remediations.engine.simulation import Planner, SimulatedDecision
from remediations.journal.port import Journal
from remediations.journal.records import describe
from remediations.journal.sqlite.adapter import open_journal
from remediations.settings import RemediatorSettings

INDENT = "  "
UNWRITTEN = {Mode.DRY_RUN: "dry run", Mode.OBSERVE: "observe"}
"""The modes in which a decision to act writes nothing."""


async def _nobody(_policy: Policy, _policy_set: PolicySet, _target: Target, _alert: Alert) -> Facts:
    """The sources for given facts: no live system is opened."""
    raise InvariantBroken("facts were given, but a live system was queried")


def plan(options: argparse.Namespace, settings: RemediatorSettings) -> tuple[int, str]:
    """Exit status and text of the decision for one payload, on live or recorded facts; writes nothing."""
    policy_set = check_everything(settings, is_serving=False)
    try:
        payload = parse_payload(_read(options.payload))
    except PayloadError as error:
        raise ConfigError((Fault(str(options.payload), str(error)),)) from error
    recorded = None if options.facts is None else _read_facts(options.facts)
    clock = SystemClock()
    # facts that only a running program has are assumed to be harmless
    start = Fact(ProcessStart(clock.now(), 0.0), "this command", collected_at=clock.now())

    async def work() -> tuple[simulation.SimulatedDecision, ...]:
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
        raise ConfigError((Fault(str(options.payload), "it has no firing alert that belongs to a policy"),))
    is_table = options.output == "table"
    text = (
        render_simulation(rehearsed)
        if is_table
        else render_data(simulation.simulation_to_data(rehearsed), options.output)
    )
    return exit_status(rehearsed), text


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
            content = content[0][simulation.RECORDED]
        return from_data(Facts, content)
    except yaml.YAMLError as error:
        raise ConfigError((Fault(str(path), yaml_problem(error)),)) from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError((Fault(str(path), f"no recorded facts: {error}"),)) from error


def show_plan(options: argparse.Namespace, settings: RemediatorSettings) -> int:
    """Prints what would be decided."""
    options.output = getattr(options, "output", "table")
    status, text = plan(options, settings)
    sys.stdout.write(text)
    return status


def exit_status(rehearsed: tuple[SimulatedDecision, ...]) -> int:
    """0 if anything would be done, 3 if something is held, 4 if nothing is needed, 2 if no policy matches."""
    kinds = {type(item.decision) for item in rehearsed}
    if not kinds:
        return exits.CONFIG
    if Act in kinds:
        return exits.OK
    return exits.NOT_NEEDED if kinds == {NotNeeded} else exits.HOLD


def render_simulation(rehearsed: tuple[SimulatedDecision, ...]) -> str:
    """The decisions for a person: pauses, guards in order, then the plan with its difference."""
    pauses = {
        pause
        for item in rehearsed
        for pause in item.facts.pauses
        if pause.covers(item.policy.name, item.match.target.key)
    }
    lines = render_banner(sorted(pauses, key=lambda item: item.name)).splitlines()
    for item in rehearsed:
        kind, reason, detail = describe(item.decision)
        lines.append(f"{item.policy.name} ({item.policy.mode.value}) on {item.match.target.key}")
        rows = [
            (
                f"{number}",
                guard.guard,
                "HOLD" if guard.reason else "settled" if guard.is_settled else "ok",
                guard.detail,
            )
            for number, guard in enumerate(item.decision.guards, 1)
        ]
        columns = width()
        room = None if columns is None else columns - len(INDENT)
        lines += [f"{INDENT}{line}" for line in table([("", "GUARD", "ANSWER", "DETAIL"), *rows], room).splitlines()]
        unwritten = UNWRITTEN.get(item.policy.mode) if isinstance(item.decision, Act) else None
        word = f"{kind.upper()} {reason}" if unwritten is None else f"WOULD ACT ({unwritten}: nothing is written)"
        lines.append(f"  {word}: {printable(detail)}")
        if isinstance(item.decision, Act):
            lines += [f"    {line}" for line in describe_difference(item.decision.plan).splitlines()]
        lines.append("")
    return "\n".join(lines)
