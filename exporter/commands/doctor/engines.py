"""Checks the setup by the canary questions and the comparison of policies."""

from __future__ import annotations

import json
from shlex import quote
from typing import TYPE_CHECKING

from chassis.output.findings import Check, Finding, Severity
from exporter.collectors.policy_engine.canary_answers import ProbeResult
from exporter.commands.configuration import collector_settings
from exporter.commands.doctor.installation import CheckedInstallation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.settings import BouncerTarget

PARITY = "collectors.policy_parity"
UNDECIDED = {
    ProbeResult.ENGINE_ERROR: "its policy engine fails",
    ProbeResult.TIMEOUT: "it does not answer in time",
    ProbeResult.UNREACHABLE: "it cannot be reached",
    ProbeResult.MALFORMED: "its answer is not a bouncer's",
}


async def check_canary(installation: CheckedInstallation, check: str) -> list[Finding]:
    """Reads each bouncer's answers to the canary questions."""
    from exporter.collectors.policy_engine.policy import PolicySettings  # noqa: PLC0415 - a collector's own

    own = collector_settings(installation.settings, "policy")
    if not isinstance(own, PolicySettings):
        return []
    results = samples(installation, "policy", "controlcore_policy_probe_results_total")
    mismatches = samples(installation, "policy", "controlcore_policy_probe_mismatches_total")
    calibrated = samples(installation, "policy", "controlcore_policy_probe_calibrated")
    question = json.dumps(own.questions[0].body())
    found = []
    for bouncer in installation.bouncers:
        answers = {ProbeResult(labels[1]) for labels, value in results.items() if labels[0] == bouncer.name and value}
        found += judge(
            bouncer,
            answers,
            check,
            question,
            is_mismatch=bool(mismatches.get((bouncer.name,))),
            is_calibrated=calibrated.get((bouncer.name,)) == 1,
        )
    return found


async def check_parity(installation: CheckedInstallation, check: str) -> list[Finding]:
    """Finds engines whose modules fit no policy, and bouncers whose engine is not compared at all."""
    without = [bouncer.name for bouncer in installation.bouncers if bouncer.opa_url is None]
    expected = samples(installation, "policy_parity", "controlcore_policies_expected")
    present = samples(installation, "policy_parity", "controlcore_policies_present")
    compared = samples(installation, "policy_parity", "controlcore_policy_parity")
    unnamed = sorted(
        labels[0] for labels, number in expected.items() if number and present.get(labels) and labels not in compared
    )
    return find_parity(unnamed, without, check)


CHECKS: tuple[Check[CheckedInstallation], ...] = (
    Check("policy.canary", check_canary),
    Check("policy.parity", check_parity),
)


def samples(installation: CheckedInstallation, collector: str, metric: str) -> Mapping[tuple[str, ...], float]:
    """One collector's samples under a name, by label values; nothing when it failed or did not run."""
    outcome = installation.outcomes.get(collector)
    families = () if outcome is None or outcome.admitted is None else outcome.admitted.families
    return {each.labels: each.value for family in families if family.metric.name == metric for each in family.samples}


def judge(
    bouncer: BouncerTarget,
    answers: set[ProbeResult],
    check: str,
    question: str,
    *,
    is_mismatch: bool,
    is_calibrated: bool,
) -> list[Finding]:
    """The findings from one bouncer's answers; `question` is the body that was sent first."""
    ask = f"curl -s -X POST {bouncer.url}/api/v1/authorize -H 'Content-Type: application/json' -d {quote(question)}"
    evidence = f"answers of {bouncer.name}: {', '.join(sorted(answers))}"
    troubles = [problem for result, problem in UNDECIDED.items() if result in answers]
    if troubles:
        what = "decides no canary question" if answers <= UNDECIDED.keys() else "leaves canary questions undecided"
        problem = f"bouncer {bouncer.name} {what}: {troubles[0]}"
        return [Finding(Severity.ERROR, check, problem, evidence, f"check the logs of the bouncer and its OPA: {ask}")]
    if answers & {ProbeResult.NO_POLICY, ProbeResult.UNDEFINED}:
        problem = f"the policy engine of bouncer {bouncer.name} has no policy to answer the canary from"
        remedy = (
            f"have its OPAL client load them: curl -X POST http://OPAL-CLIENT:7000/policy-updater/trigger\nthen: {ask}"
        )
        return [Finding(Severity.WARNING, check, problem, evidence, remedy)]
    if is_mismatch:
        problem = f"bouncer {bouncer.name} answers a canary question wrongly"
        remedy = f"install a rule for the question, or correct collectors.policy.questions: {ask}"
        return [Finding(Severity.ERROR, check, problem, evidence, remedy)]
    if answers and not is_calibrated:
        problem = f"for bouncer {bouncer.name} only denials are checked: no canary question must be allowed"
        remedy = "install the rule of docs/exporter.md, The policy canary, and set collectors.policy.questions"
        return [Finding(Severity.INFO, check, problem, evidence, remedy)]
    return []


def find_parity(unnamed: list[str], without: list[str], check: str) -> list[Finding]:
    """Bouncers whose modules fit no policy, and those whose engine has no address."""
    found = []
    if unnamed:
        problem = f"policies are not compared: the modules of {', '.join(unnamed)} fit no policy's name or id"
        evidence = "controlcore_policy_parity is absent; policies are expected and modules are loaded"
        remedy = f"set {PARITY}.module_pattern (and .identified_by) to how the modules are named: curl OPA/v1/policies"
        found.append(Finding(Severity.WARNING, check, problem, evidence, remedy))
    if without:
        problem = f"policies are not compared for {', '.join(without)}: the address of the OPA is unknown"
        remedy = "set bouncers[].opa_url, if the OPA can be reached from here"
        found.append(Finding(Severity.INFO, check, problem, "opa_url is not set", remedy))
    return found
