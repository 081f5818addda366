"""What `check-config` tells of the policies: how far each may go, also by the word of the API server."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from chassis.errors import ConfigError
from chassis.kubernetes.client import KubernetesClient
from remediations import report
from remediations.checking import check_everything
from remediations.core.model.alert import Mode
from remediations.core.model.facts import Fact
from remediations.core.policies.lint import find_placeholders
from remediations.core.policies.policy import PolicySet
from remediations.core.policies.reader import parse_policies
from remediations.execution.self_test import SOURCE, acting_targets, changes_of, downgrades, prove
from remediations.settings import RemediatorSettings

WORDS = {None: "unknown", False: "passed", True: "failed"}
EFFECTIVE = {None: "held", False: Mode.AUTO.value, True: Mode.APPROVE.value}
"""What a policy in auto does after each answer."""


async def prove_all(settings: RemediatorSettings, policy_set: PolicySet) -> dict[str, Fact[bool]]:
    """The proof for each namespace in which a policy acts by itself; empty where Kubernetes is not configured."""
    places, place = acting_targets(policy_set), settings.kubernetes
    if place is None:
        return {}
    async with AsyncExitStack() as stack:
        try:
            api = await stack.enter_async_context(KubernetesClient.opened(place.kubeconfig, place.max_list_bytes))
        except ConfigError as error:
            problem = "; ".join(fault.message for fault in error.faults)
            return {namespace: Fact(None, SOURCE, problem) for namespace in places}
        return {
            namespace: await prove(api, changes_of(policy_set, namespace), place.timeout_seconds)
            for namespace in places
        }


async def check_content(
    settings: RemediatorSettings, policies: str | None = None, *, is_serving: bool = False
) -> dict[str, Any]:
    """Every fault and warning of the settings and their files, and each policy's standing when there is no fault.

    Of `policies` instead, the text of a policy file: then nothing is asked of the API server, whose answer depends on
    the policies that the program runs with.
    """
    try:
        if policies is None:
            policy_set = await asyncio.to_thread(check_everything, settings, is_serving=is_serving)
            proofs = await prove_all(settings, policy_set)
        else:
            policy_set = await asyncio.to_thread(parse_policies, policies, "policies")
            proofs = {place: Fact(None, SOURCE, "not asked") for place in acting_targets(policy_set)}
    except ConfigError as error:
        faults = [{"path": fault.path, "message": fault.message} for fault in error.faults]
        return {"is_valid": False, "faults": faults, "warnings": [], "policies": []}
    warnings = [f"policies[{index}].{key}: {sentence}" for index, key, sentence in find_placeholders(policy_set)]
    found = standing_data(policy_set, proofs)
    return {"is_valid": True, "faults": [], "warnings": warnings, "policies": found}


def standing_data(policy_set: PolicySet, proofs: dict[str, Fact[bool]]) -> list[dict[str, Any]]:
    """Each policy with its mode, what the self-test said, and the mode that follows."""
    tested = downgrades(policy_set, proofs)
    return [
        {
            "policy": item.name,
            "mode": item.mode.value,
            "effective_mode": EFFECTIVE[tested[item.name]] if item.name in tested else item.mode.value,
            "self_test": WORDS[tested[item.name]] if item.name in tested else "not needed",
            "action": item.action,
            "targets": ", ".join(target.key for target in item.targets),
        }
        for item in policy_set.policies
    ]


def render_standing(data: list[dict[str, Any]], proofs: dict[str, Fact[bool]]) -> str:
    """The same for people, with what the API server did not refuse, or why nobody knows."""
    rows = [("POLICY", "MODE", "SELF-TEST", "ACTION", "TARGETS")]
    rows += [(each["policy"], _mode(each), each["self_test"], each["action"], each["targets"]) for each in data]
    lines = [
        f"self-test in {namespace}: {report.printable(proof.problem)}\n"
        for namespace, proof in sorted(proofs.items())
        if proof.value is not True
    ]
    return report.table(rows) + "".join(lines)


def _mode(each: dict[str, Any]) -> str:
    """The mode, with the one in force where that is another."""
    mode, effective = each["mode"], each["effective_mode"]
    return str(mode) if mode == effective else f"{mode} ({effective})"
