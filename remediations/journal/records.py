"""Decisions, facts and writes as plain data for the journal, so that everything about a remediation can be shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chassis.clock import format_rfc3339
from remediations.core.codec import to_data, to_short_text
from remediations.core.model import acts as human_acts
from remediations.core.model.decision import INPUTS, Act, Decision, GuardOutcome, Hold
from remediations.core.model.facts import Fact, Facts, action_facts_to_data
from remediations.core.model.plan import SendOutcome
from remediations.core.model.remediation import Record, Remediation, Verdict
from remediations.journal.approvals import PROPOSAL, proposal_data
from remediations.journal.standing import Standing

MAX_TEXT = 500
"""Characters kept of one text: an error of the API server can be long."""


def decision_data(decision: Decision, facts: Facts) -> dict[str, Any]:
    """The decision, its reason, the guards that ran, and the facts."""
    kind, reason, detail = describe(decision)
    data: dict[str, Any] = {"decision": kind, "reason": reason, "detail": detail[:MAX_TEXT]}
    if isinstance(decision, Hold):
        data["until"] = decision.until
        if decision.proposal is not None:
            data[PROPOSAL] = proposal_data(decision.proposal)
    data["guards"] = [_guard_data(outcome) for outcome in decision.guards]
    data["facts"] = facts_data(facts)
    return data


def describe(decision: Decision) -> tuple[str, str, str]:
    """Kind (act, hold, not_needed), reason from the closed set, and the detail for people."""
    if isinstance(decision, Act):
        return "act", "guards_passed", decision.plan.summary
    if isinstance(decision, Hold):
        return "hold", decision.reason.value, decision.detail
    return "not_needed", decision.reason.value, decision.detail


def facts_data(facts: Facts) -> dict[str, Any]:
    """Every fact with its source, and with its problem where it is unknown."""
    return {
        "condition": _fact_data(facts.condition),
        "dependencies": {name: _fact_data(fact) for name, fact in sorted(facts.dependencies.items())},
        "witnesses": {name: _fact_data(fact) for name, fact in sorted(facts.witnesses.items())},
        "workload": _fact_data(facts.workload),
        "autoscalers": _fact_data(facts.autoscalers),
        "budgets": _fact_data(facts.budgets),
        "sights": action_facts_to_data(facts.sights),
        "pauses": to_data(facts.pauses),
        "start": _fact_data(facts.start),
        "mutes": _fact_data(facts.mutes),
        "changes": _fact_data(facts.changes),
        "template": _fact_data(facts.template),
        "pods": _fact_data(facts.pods),
        "connection_limit": _fact_data(facts.connection_limit),
        "locks": {name: _fact_data(fact) for name, fact in sorted(facts.locks.items())},
        "taking_back": to_data(facts.taking_back),
        "custom": {name: _fact_data(fact) for name, fact in sorted(facts.custom.items())},
        "self_test": _fact_data(facts.self_test),
    }


def sent_data(sent: SendOutcome, *, is_dry_run: bool = False) -> dict[str, Any]:
    """The API server's answer."""
    return {
        "result": sent.result.value,
        "detail": sent.detail[:MAX_TEXT],
        "generation": sent.generation,
        "dry_run": is_dry_run,
    } | ({"warnings": [text[:MAX_TEXT] for text in sent.warnings]} if sent.warnings else {})


def verdict_data(verdict: Verdict, facts: Facts) -> dict[str, Any]:
    """The verdict of verification, and its facts."""
    return {"outcome": verdict.outcome.value, "detail": verdict.detail[:MAX_TEXT], "facts": facts_data(facts)}


def _guard_data(outcome: GuardOutcome) -> dict[str, Any]:
    """One guard's answer."""
    reason = None if outcome.reason is None else outcome.reason.value
    return {"guard": outcome.guard, "reason": reason, "detail": outcome.detail[:MAX_TEXT]}


def _fact_data(fact: Fact[Any]) -> dict[str, Any]:
    """One fact; with its problem only if there is one."""
    data: dict[str, Any] = {"value": to_data(fact.value), "source": fact.source[:MAX_TEXT]}
    if fact.problem:
        data["problem"] = fact.problem[:MAX_TEXT]
    if fact.collected_at is not None:
        data["collected_at"] = fact.collected_at
    return data


def acts_content(acts: Sequence[human_acts.HumanAct]) -> list[dict[str, Any]]:
    """People's acts as JSON-able data."""
    return [
        {
            "at": act.at,
            "time": format_rfc3339(act.at),
            "act": act.kind.value,
            "subject": act.subject,
            **act.actor.to_data(),
            "detail": dict(act.detail),
        }
        for act in acts
    ]


def list_content(standings: Sequence[Standing]) -> list[dict[str, Any]]:
    """The remediations as JSON-able data, each with its state in words and the newest answer to its plan or null."""
    return [remediation_data(item.remediation) | item.to_data() for item in standings]


def story_content(remediation: Remediation, records: Sequence[Record]) -> dict[str, Any]:
    """One remediation and all its records as JSON-able data."""
    story = [
        {
            "at": item.at,
            "time": format_rfc3339(item.at),
            "kind": item.kind,
            "state": item.state.value,
            "data": _told(item.data),
        }
        for item in records
    ]
    return {"remediation": remediation_data(remediation), "story": story}


def _told(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """A record's data with the inputs of a decision as one text; in full they would hide everything else."""
    inputs = data.get(INPUTS)
    return {**data, INPUTS: to_short_text(inputs)} if isinstance(inputs, Mapping) else data


def remediation_data(remediation: Remediation) -> dict[str, Any]:
    """One remediation as JSON-able data."""
    data: dict[str, Any] = to_data(remediation)
    return data | {"written_at": remediation.written_at or None}
