"""Tells remediations to people and to scripts: the list, and the whole story of one."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from shlex import quote
from textwrap import wrap
from typing import Any

from chassis.clock import format_timestamp
from chassis.errors import ControlCoreError
from remediations.commands.terminal import Colour, paint, printable, table, width
from remediations.core.model.acts import HumanAct
from remediations.core.model.facts import Pause
from remediations.core.model.remediation import Record, Remediation
from remediations.core.model.stored import describe_difference, plan_from_data

QUIET = frozenset({"claimed"})
"""Records that say nothing to people; they are in the JSON output."""
MAX_CELL = 60
MAX_LINE = 10_000


def render_pauses(pauses: Sequence[Pause], now: float) -> str:
    """The pauses in force as a table; one sentence when there is none. A terminal shows times relative to now."""
    if not pauses:
        return "no pause is in force\n"
    columns = width()

    def time_words(at: float, begin: str = "", end: str = "") -> str:
        return format_timestamp(at) if columns is None else f"{begin}{age_words(abs(now - at))}{end}"

    rows = [("NAME", "STOPS", "BY", "SINCE", "UNTIL", "REASON")]
    for item in pauses:
        since = "" if item.since is None else time_words(item.since, end=" ago")
        until = "resumed" if item.until is None else time_words(item.until, "in ")
        rows.append((item.name, item.scope, item.owner, since, until, item.reason))
    return table(rows, columns)


def render_banner(pauses: Iterable[Pause]) -> str:
    """One line for each pause, to stand above everything else; empty without one."""
    lines = []
    for item in pauses:
        since = "" if item.since is None else f" since {people_time(item.since)}"
        words = f"PAUSED: {item.scope}, by {item.owner}{since}, {until_words(item.until)}: {item.reason}"
        lines += wrap(printable(f"{words} (pause {item.name})"), width() or MAX_LINE, subsequent_indent="  ")
    return "".join(f"{paint(line, Colour.YELLOW)}\n" for line in lines)


def until_words(until: float | None) -> str:
    """When a pause ends."""
    return "until resumed" if until is None else f"until {people_time(until)}"


def people_time(unix_seconds: float) -> str:
    """The time on the wall here, with its zone."""
    return f"{datetime.fromtimestamp(unix_seconds, UTC).astimezone():%Y-%m-%d %H:%M:%S %Z}"


def render_acts(acts: Sequence[HumanAct]) -> str:
    """What people did as a table, newest first; one sentence when there is nothing."""
    if not acts:
        return "nothing was done by hand\n"
    rows = [("AT", "ACT", "BY", "ADDRESS", "SUBJECT")]
    rows += [
        (format_timestamp(act.at), act.kind.value, act.actor.label, act.actor.address, act.subject) for act in acts
    ]
    return table(rows, width())


def render_story(remediation: Remediation, records: Sequence[Record]) -> str:
    """The whole story of one remediation, for a person."""
    lines = [
        f"Remediation {remediation.id}",
        f"  policy   {remediation.policy}",
        f"  target   {printable(remediation.target.key)}",
        f"  alert    {printable(remediation.alert.name)}  (fingerprint {printable(remediation.alert.fingerprint)})",
        f"  labels   {_labels(remediation.alert.labels)}",
        f"  received {format_timestamp(remediation.created_at)}",
        f"  state    {remediation.state.value}{f' ({remediation.reason})' if remediation.reason else ''}",
        "",
    ]
    for record, repeats in _collapsed(records):
        seconds = record.at - remediation.created_at
        again = f"  (and {repeats} times more the same)" if repeats else ""
        first, *rest = list(_record_lines(record, remediation)) or [""]
        lines.append(f"{seconds:>+9.3f} s  {record.kind:<12} {first}{again}")
        lines += [f"{'':>13}{line}" for line in rest]
    return "\n".join(lines) + "\n"


def _collapsed(records: Sequence[Record]) -> Iterator[tuple[Record, int]]:
    """The records that say something, with how often the same was said again right afterwards."""
    said: list[tuple[Record, int]] = []
    for record in records:
        if record.kind in QUIET:
            continue
        if said and _gist(said[-1][0]) == _gist(record):
            said[-1] = (said[-1][0], said[-1][1] + 1)
        else:
            said.append((record, 0))
    yield from said


def _gist(record: Record) -> tuple[Any, ...]:
    """What makes two records say the same."""
    data = record.data
    keys = ("decision", "reason", "result", "outcome", "detail", "fingerprint", "error")
    gist = tuple(str(data.get(key)) for key in keys)
    return (record.kind, *(gist if record.kind != "decision" else gist[:2]))


def _record_lines(record: Record, remediation: Remediation) -> Iterator[str]:
    """One record in words; the first line stands beside its time."""
    data = record.data
    if record.kind == "received":
        yield f"alert stored, then acknowledged ({data.get('alerts', 1)} in one delivery)"
    elif record.kind in {"joined", "resolved"}:
        yield "the alert came again" if record.kind == "joined" else "the alert was reported resolved (proves nothing)"
    elif record.kind == "decision":
        yield from _decision_lines(data, remediation)
    elif record.kind == "write":
        where = "dry run: " if data.get("dry_run") else ""
        generation = f", generation {data['generation']}" if data.get("generation") is not None else ""
        yield f"{where}{data.get('result')}{generation} {printable(data.get('detail') or '')}".rstrip()
    elif record.kind in {"approved", "rejected"}:
        where = f" from {data['address']}" if data.get("address") else ""
        yield printable(f"by {data.get('by')}{where}: plan {str(data.get('plan_hash'))[:12]}")
    elif record.kind in {"observation", "verification"}:
        yield f"{data.get('outcome')}: {printable(data.get('detail') or '')}"
    else:
        yield printable(str(data.get("detail") or data.get("summary") or data.get("error") or ""))


def _decision_lines(data: Mapping[str, Any], remediation: Remediation) -> Iterator[str]:
    """A decision with its guards in order, the facts, and the plan where there is one."""
    yield f"{str(data.get('decision')).upper()} {data.get('reason')}: {printable(data.get('detail') or '')}"
    guards = data.get("guards") or ()
    if guards:
        yield "guards  " + " → ".join(f"{item['guard']} {'HOLD' if item.get('reason') else 'ok'}" for item in guards)
    facts = data.get("facts") or {}
    yield from (f"fact    {line}" for line in _fact_lines(facts))
    if data.get("decision") == "act" and remediation.plan is not None:
        try:
            yield from (f"plan    {line}" for line in describe_difference(plan_from_data(remediation.plan)).split("\n"))
        except ControlCoreError as error:
            yield f"plan    {error}"


def _fact_lines(facts: Mapping[str, Any]) -> Iterator[str]:
    """Each fact with its value, or with why it is unknown."""
    named = {"condition": facts.get("condition")}
    named |= {f"dependency {name}": fact for name, fact in (facts.get("dependencies") or {}).items()}
    named |= {f"witness {name}": fact for name, fact in (facts.get("witnesses") or {}).items()}
    named |= {name: facts.get(name) for name in ("workload", "autoscalers", "budgets")}
    for name, fact in named.items():
        if fact:
            value = f"unknown ({fact.get('problem')})" if fact.get("value") is None else _brief(name, fact["value"])
            yield printable(f"{name}: {value}  ← {fact.get('source')}")
    for change in (facts.get("taking_back") or {}).get("changes") or ():
        yield printable(f"taken back: {change['field']} from {change['after']} to {change['before']}")
    for pause in facts.get("pauses") or ():
        yield printable(f"pause {pause['name']} by {pause['owner']}: {pause['reason']}")


def _brief(name: str, value: Any) -> str:
    """A fact's value, short."""
    if name == "workload":
        ready = f"{value['replicas_ready']}/{value['replicas_desired']} ready"
        return f"{ready}, generation {value['generation']}, CC_DROP_TABLES {value['drop_tables']}"
    if name == "autoscalers":
        return (
            ", ".join(f"{item['name']} {item['minimum']}-{item['maximum']}, at {item['current']}" for item in value)
            or "none"
        )
    if name == "budgets":
        return ", ".join(f"{key} allows {count}" for key, count in value["allowed"].items()) or "none"
    return str(value).lower()


def _labels(labels: Mapping[str, str]) -> str:
    """An alert's labels on one line, each bounded."""
    return ", ".join(f"{printable(name)}={printable(value)[:MAX_CELL]}" for name, value in sorted(labels.items()))


def age_words(seconds: float) -> str:
    """A duration in its largest two units."""
    whole = int(max(0.0, seconds))
    for size, unit, part, below in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            return f"{whole // size}{unit}{whole % size // part}{below}"
    return f"{whole}s"


def printable_lines(text: str) -> str:
    """Several lines, each without characters that a terminal would obey."""
    return "\n".join(printable(line) for line in text.split("\n"))


def write_output(options: argparse.Namespace, content: Any, text: str) -> int:
    """Prints an answer in the form that was asked for; the status of success."""
    form = getattr(options, "output", "table")
    sys.stdout.write(render_data(content, form) if form in {"json", "yaml"} else text)
    return 0


def command_line(options: argparse.Namespace) -> str:
    """How this program was called, up to the command: what a line to copy begins with."""
    path = getattr(options, "config_file", None)
    return "controlcore-remediator" + ("" if path is None else f" --config.file {quote(str(path))}")


def write_error(text: str) -> None:
    """One line about what is wrong."""
    sys.stderr.write(f"controlcore-remediator: {printable_lines(text)}\n")


def render_data(content: Any, form: str) -> str:
    """Data as JSON or YAML, without any character that a terminal would obey: those are written as escapes."""
    text = json.dumps(content, indent=2).replace("\x7f", "\\u007f")
    if form == "yaml":
        data = json.loads(text)  # noqa: TID251 - what was written just now
        import yaml  # noqa: PLC0415 - only this form needs it

        readable = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
        if readable.replace("\n", "").isprintable():
            return readable
        # PyYAML prints bidirectional marks as they are unless it escapes everything beyond ASCII.
        return yaml.safe_dump(data, sort_keys=False, allow_unicode=False)
    return text + "\n"
