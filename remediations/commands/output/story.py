"""One remediation as text for people: its state, the possible commands, then everything that happened, in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from shlex import quote
from textwrap import wrap
from typing import Any

from chassis.errors import ControlCoreError
from chassis.output.terminal import Colour, paint, printable, width
from remediations.commands.output.text import MAX_LINE, age_words, people_time
from remediations.core.model.facts import Pause
from remediations.core.model.reasons import EXPLANATIONS, PAGE, describe_reason
from remediations.core.model.remediation import CLOSED, REJECTED, Record, Remediation, State
from remediations.core.model.stored import describe_difference, read_plan
from remediations.facts.pause_file import is_of_file
from remediations.journal.standing import UNACTED, Standing

QUIET = frozenset({"claimed"})
"""Records that are not shown to people; the JSON output has them."""
HELPED = frozenset({State.HELD, State.EXPIRED})
"""States with a reason that a person may be able to fix."""
MAX_LABEL = 60
LEAST_WIDTH = 24
INDENT = 4
MORE = " " * 16
"""Indentation of further lines of a record."""
OVERDUE_SECONDS = 30.0
"""If a remediation has been due for this long, the engine does not run."""
MODES = {
    "observe": "observe (decides; changes nothing)",
    "dry_run": "dry_run (sends dry runs; changes nothing)",
    "approve": "approve (acts after a person has approved the plan)",
    "auto": "auto (acts by itself)",
}
NEXT = {
    State.RECEIVED: "decides",
    State.WRITING: "reads whether the write arrived",
    State.VERIFYING: "observes whether it helped",
}
"""The next step in a state, if that is not a new decision."""
DIFFERENCE = {"+": Colour.GREEN, "-": Colour.RED}


@dataclass(frozen=True, slots=True)
class StoryView:
    """Options of the output."""

    now: float
    """Unix seconds."""
    command: str
    """The beginning of a line to copy."""
    is_verbose: bool = False
    pauses: Sequence[Pause] = ()
    """The pauses in force that stop this remediation."""


def render_story(standing: Standing, records: Sequence[Record], view: StoryView) -> str:
    """The summary, what can be done, the plan, and the timeline."""
    lines = [f"Remediation {standing.remediation.id}"]
    for name, text in _summary(standing, records, view):
        lines += _block(f"  {name:<9}", text)
    ways = list(_ways(standing, view))
    lines += ["  you can", *(f"    {line}" for way in ways for line in _copyable(way))] if ways else []
    plan = list(_plan_lines(standing))
    lines += ["", "plan", *(f"  {_coloured(printable(line))}" for line in plan)] if plan else []
    lines += ["", *_timeline(standing.remediation, records, view)]
    return "\n".join(lines) + "\n"


def _summary(standing: Standing, records: Sequence[Record], view: StoryView) -> Iterator[tuple[str, str]]:
    """Each line of the summary: its name and text."""
    remediation = standing.remediation
    alert = remediation.alert
    yield "policy", remediation.policy
    yield "target", remediation.target.key
    yield "why", f"alert {alert.name} (fingerprint {alert.fingerprint})"
    if view.is_verbose:
        yield "labels", ", ".join(f"{name}={_short(value)}" for name, value in sorted(alert.labels.items()))
    unknown = (
        "not recorded by the version that made the decision"
        if standing.decision
        else "unknown before the first decision"
    )
    yield "mode", MODES.get(standing.mode, standing.mode or unknown)
    yield "received", _ago(remediation.created_at, view.now)
    yield "state", _state(standing, records)
    if remediation.state in HELPED and remediation.reason in EXPLANATIONS:
        yield "help", f"{EXPLANATIONS[remediation.reason][1]} ({PAGE}#{remediation.reason})"
    yield "next", _next(standing, view.now)


def _state(standing: Standing, records: Sequence[Record]) -> str:
    """Its state and the reason."""
    remediation = standing.remediation
    if remediation.state not in CLOSED:
        link = ", waits for" if standing.proposal is not None and not standing.is_answered else ":"
        return f"{remediation.state.value}{link} {standing.waits_for}"
    if remediation.state in UNACTED:
        return f"closed: would have acted: {standing.decision.get('detail') or ''}"
    if standing.outcome == REJECTED and standing.answer is not None:
        return f"closed: rejected by {standing.answer.by}, and expired"
    told = [str(record.data.get("detail") or "") for record in records if record.state is remediation.state]
    return f"closed: {describe_reason(standing.outcome)}" + (f": {told[-1]}" if told and told[-1] else "")


def _next(standing: Standing, now: float) -> str:
    """What happens next, and when."""
    remediation = standing.remediation
    if remediation.state in CLOSED:
        again = "if the fault lasts, its alert is sent again and begins a new remediation"
        if remediation.state in UNACTED:
            again = (
                f"to let the policy act, set `mode: approve` or `auto` under {remediation.policy} in the policy file"
            )
        return f"nothing (closed {_ago(remediation.updated_at, now)}); {again}"
    if now - remediation.next_at > OVERDUE_SECONDS and (remediation.lease_until or 0.0) < now:
        return f"overdue since {_ago(remediation.next_at, now)}: does `serve` run on this journal?"
    what = NEXT.get(remediation.state, "decides again")
    due = "at once" if remediation.next_at <= now else _ahead(remediation.next_at, now)
    expires = standing.decision.get("expires_at")
    is_early = remediation.state in {State.RECEIVED, State.CLAIMED, State.HELD}
    if not is_early or not isinstance(expires, int | float):
        return f"{what} {due}"
    end = f"expires {_ahead(expires, now)}" if expires > now else "has expired, and is closed at the next decision"
    return f"{what} {due}; {end}"


def _ways(standing: Standing, view: StoryView) -> Iterator[str]:
    """The possible commands, as lines to copy."""
    remediation, command = standing.remediation, view.command
    if remediation.state in CLOSED:
        return
    for pause in view.pauses:
        yield f"rm {quote(pause.owner)}" if is_of_file(pause) else f"{command} resume {quote(pause.name)}"
    if (proposal := standing.proposal) is not None:
        if not standing.is_answered or standing.is_rejected:
            yield f"{command} approve {remediation.id} --plan {proposal['plan_hash']}"
        if not standing.is_rejected:
            yield f"{command} reject {remediation.id}"
    action = (remediation.plan or {}).get("action")
    if remediation.reason == "breaker_open" and action:
        yield f"{command} breaker reset {action} {remediation.target.key}"
    if not view.pauses:
        yield f"{command} pause --policy {remediation.policy.partition(':')[0]} --reason WHY"


def _plan_lines(standing: Standing) -> Iterator[str]:
    """The waiting or last plan, as a difference."""
    if standing.proposal is not None:
        yield from str(standing.proposal["difference"]).split("\n")
        yield f"hash {standing.proposal['plan_hash']}"
    elif standing.remediation.plan is not None:
        try:
            yield from describe_difference(read_plan(standing.remediation)).split("\n")
        except ControlCoreError as error:
            yield str(error)


def _coloured(line: str) -> str:
    """A line of a difference in its colour."""
    return paint(line, DIFFERENCE.get(line.strip()[:1], Colour.PLAIN))


def _block(head: str, text: str) -> list[str]:
    """The text after its heading, wrapped to the terminal."""
    room = max((width() or MAX_LINE) - len(head), LEAST_WIDTH)
    first, *rest = wrap(printable(text), room, break_on_hyphens=False) or [""]
    return [f"{head}{first}".rstrip(), *(f"{'':>{len(head)}}{line}" for line in rest)]


def _copyable(command: str) -> list[str]:
    """A line to copy; if too long for the terminal it continues after a backslash, never inside a quoted word."""
    shown = printable(command)
    room = (width() or MAX_LINE) - INDENT
    if len(shown) <= room or "'" in shown:
        return [shown]
    first, *rest = wrap(shown, max(room - INDENT, LEAST_WIDTH), break_long_words=False, break_on_hyphens=False)
    lines = [first, *(f"  {line}" for line in rest)]
    return [*(f"{line} \\" for line in lines[:-1]), lines[-1]]


def _short(text: str) -> str:
    """A label's value, or its beginning with an ellipsis."""
    return text if len(text) <= MAX_LABEL else f"{text[: MAX_LABEL - 1]}…"


def _ago(at: float, now: float) -> str:
    """A past time: local, in UTC, and how long ago."""
    return f"{_both(at)}, {age_words(now - at)} ago"


def _ahead(at: float, now: float) -> str:
    """A future time, with the time until then."""
    return f"at {people_time(at).split(' ', 1)[1]} (in {age_words(at - now)})"


def _both(at: float) -> str:
    """The local time, and the time in UTC if it differs."""
    here, there = datetime.fromtimestamp(at, UTC).astimezone(), datetime.fromtimestamp(at, UTC)
    return people_time(at) + ("" if not here.utcoffset() else f" ({there:%H:%M:%S} UTC)")


def _timeline(remediation: Remediation, records: Sequence[Record], view: StoryView) -> Iterator[str]:
    """Everything that happened: local time and UTC, the kind, and the text."""
    said = list(_collapsed(records))
    decisions = [number for number, (record, _, _) in enumerate(said) if record.kind == "decision"]
    zone, day = f"{datetime.fromtimestamp(remediation.created_at, UTC).astimezone():%Z}", ""
    yield f"timeline ({zone}{'' if zone == 'UTC' else ', UTC'})"
    for number, (record, newest, repeats) in enumerate(said):
        here = datetime.fromtimestamp(record.at, UTC).astimezone()
        if day != (day := f"{here:%Y-%m-%d}"):
            yield f"  {day}"
        there = "" if not here.utcoffset() else f"{datetime.fromtimestamp(record.at, UTC):%H:%M:%SZ}  "
        is_whole = view.is_verbose or (bool(decisions) and number == decisions[-1])
        first, *rest = list(_record_lines(newest, view, has_facts=is_whole)) or [""]
        until = f"{datetime.fromtimestamp(newest.at, UTC).astimezone():%H:%M:%S}"
        again = f" (repeated {'once, at' if repeats == 1 else f'{repeats} times, until'} {until})" if repeats else ""
        head = f"  {here:%H:%M:%S}.{here.microsecond // 1000:03d}  {there}{record.kind:<12}  "
        yield from _block(head, f"{first}{again}")
        for line in rest:
            yield from _block(MORE, line)


def _collapsed(records: Sequence[Record]) -> Iterator[tuple[Record, Record, int]]:
    """The records with content; equal neighbours are merged, with the last one and their number."""
    said: list[tuple[Record, Record, int]] = []
    for record in records:
        if record.kind in QUIET:
            continue
        if said and _gist(said[-1][0]) == _gist(record):
            said[-1] = (said[-1][0], record, said[-1][2] + 1)
        else:
            said.append((record, record, 0))
    yield from said


def _gist(record: Record) -> tuple[Any, ...]:
    """The part of a record that makes two records equal."""
    data = record.data
    keys = ("decision", "reason", "result", "outcome", "detail", "fingerprint", "error")
    gist = tuple(str(data.get(key)) for key in keys)
    return (record.kind, *(gist if record.kind != "decision" else gist[:2]))


def _record_lines(record: Record, view: StoryView, *, has_facts: bool) -> Iterator[str]:
    """One record as text; its first line is on the line of its time."""
    data = record.data
    detail = str(data.get("detail") or "")
    if record.kind == "received":
        number = f" ({data['alerts']} in one delivery)" if "alerts" in data else ""
        yield f"alert stored, then acknowledged{number}"
    elif record.kind in {"joined", "resolved"}:
        yield (
            ("the alert was sent again")
            if record.kind == "joined"
            else "the alert was reported resolved (proves nothing)"
        )
    elif record.kind == "decision":
        yield from _decision_lines(data, view, has_facts=has_facts)
    elif record.kind == "write":
        yield from _write_lines(data, detail)
    elif record.kind == "evidence":
        yield "stored the data that the write may destroy; see the JSON output"
    elif record.kind in {"approved", "rejected"}:
        where = f" from {data['address']}" if data.get("address") else ""
        yield f"by {data.get('by')}{where}: plan {str(data.get('plan_hash'))[:12]}"
    elif record.kind in {"observation", "verification"}:
        yield f"{data.get('outcome')}: {detail}"
    else:
        yield str(detail or data.get("summary") or data.get("error") or "")


def _write_lines(data: Mapping[str, Any], detail: str) -> Iterator[str]:
    """The request, and the server's answer."""
    generation = f", generation {data['generation']}" if data.get("generation") is not None else ""
    result = describe_reason(str(data.get("result")))
    if not data.get("dry_run"):
        yield f"{result}{generation}{f': {detail}' if detail else ''}"
    elif detail.startswith("not sent"):
        yield f"would have acted; {detail}"
    elif data.get("result") == "done":
        yield f"would have acted; the server accepted the dry run{generation}{f': {detail}' if detail else ''}"
    else:
        yield f"would have acted, but the dry run was answered: {result}{f': {detail}' if detail else ''}"


def _decision_lines(data: Mapping[str, Any], view: StoryView, *, has_facts: bool) -> Iterator[str]:
    """A decision as text, with its guards and facts."""
    kind, reason, detail = str(data.get("decision")), str(data.get("reason")), str(data.get("detail") or "")
    words = {"hold": "held", "act": "acts", "not_needed": "not needed"}.get(kind, kind)
    if kind == "act":
        words = "would act" if data.get("mode") in {"observe", "dry_run"} else words
        yield f"{words}: {detail}"
    else:
        why = describe_reason(reason)
        yield f"{words}: {detail if why in detail else why + (f': {detail}' if detail else '')}"
    guards = data.get("guards") or ()
    if view.is_verbose:
        yield f"code    {kind} {reason}"
        for item in guards:
            answer = f"HOLD {item['reason']}" if item.get("reason") else "ok"
            yield f"guard   {item['guard']}: {answer}{' - ' if item.get('detail') else ''}{item.get('detail') or ''}"
    elif guards:
        passed = sum(1 for item in guards if not item.get("reason"))
        last = guards[-1]
        held = f", then {last['guard']} held" if last.get("reason") else ""
        yield f"{passed} guard{'' if passed == 1 else 's'} passed{held} (-v shows each)"
    if has_facts:
        yield from (f"fact    {line}" for line in _fact_lines(data.get("facts") or {}, is_verbose=view.is_verbose))


def _fact_lines(facts: Mapping[str, Any], *, is_verbose: bool) -> Iterator[str]:
    """Each fact with its value, or why it is unknown; its source only if verbose."""
    named: dict[str, Any] = {"condition": facts.get("condition")}
    named |= {f"dependency {name}": fact for name, fact in (facts.get("dependencies") or {}).items()}
    named |= {f"witness {name}": fact for name, fact in (facts.get("witnesses") or {}).items()}
    named |= {name: facts.get(name) for name in ("workload", "autoscalers", "budgets")}
    named |= {f"lock {name} is held": fact for name, fact in (facts.get("locks") or {}).items()}
    named |= {f"samples of guard {name}": fact for name, fact in (facts.get("custom") or {}).items()}
    for name, fact in named.items():
        if not fact or (not is_verbose and _is_idle(fact)):
            continue
        why = fact.get("problem") or "not asked"
        value = f"unknown ({why})" if fact.get("value") is None else _brief(name, fact["value"])
        yield f"{name}: {value}" + (f"  ← {fact.get('source')}" if is_verbose or fact.get("value") is None else "")
    for change in (facts.get("taking_back") or {}).get("changes") or ():
        yield f"undone: {change['field']} from {change['after']} to {change['before']}"
    for pause in facts.get("pauses") or ():
        yield f"pause {pause['name']} by {pause['owner']}: {pause['reason']}"


def _is_idle(fact: Mapping[str, Any]) -> bool:
    """Whether a fact was not read, or does not apply to this kind of target."""
    problem = str(fact.get("problem") or "")
    return fact.get("value") is None and (problem in {"", "not asked"} or "only Deployments are acted on" in problem)


def _brief(name: str, value: Any) -> str:
    """A fact's value, short."""
    if name == "workload":
        ready = f"{value['replicas_ready']}/{value['replicas_desired']} ready"
        return f"{ready}, generation {value['generation']}, CC_DROP_TABLES {value['drop_tables']}"
    if name == "autoscalers":
        found = [f"{item['name']} {item['minimum']}-{item['maximum']}, at {item['current']}" for item in value]
        return ", ".join(found) or "none"
    if name == "budgets":
        return ", ".join(f"{key} allows {count}" for key, count in value["allowed"].items()) or "none"
    return str(value).lower()
