"""Tests that the API server refuses what no policy allows, before a policy may act by itself.

Changes that the remediator must not be able to make are sent as dry runs: to objects that no policy lists, in each
namespace of the policies in mode auto and in one other namespace. The server checks the rights before it looks for the
object, so 403 means that the rights are limited, and "not found" that they are not. Nothing is ever changed. The
changes have the form of an action's write, so an admission policy that refuses them refuses the object, not the form.

| answer to every change                | for the policies in auto                                      |
|---------------------------------------|---------------------------------------------------------------|
| 403, or an admission policy's denial  | they act                                                      |
| any answer from after the check       | they wait for approval, as in mode approve                    |
| none, 401, or a policy that is broken | they hold until it is known (an earlier proof holds a while)  |
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from chassis.clock import Clock
from chassis.errors import BackendError, Reason
from chassis.kubernetes.client import PatchKind
from chassis.kubernetes.paths import autoscaler_path, deployment_path, deployment_scale_path, pod_path
from chassis.log import get_logger
from remediations.core.decide import ACTIONS
from remediations.core.model.alert import Mode, Target
from remediations.core.model.facts import NO_ORCHESTRATOR, Fact
from remediations.core.model.names import ANNOTATION_OPERATION, FIELD_MANAGER
from remediations.core.policies.policy import Policy, PolicySet, at_rung
from remediations.execution.senders import Patcher
from remediations.metrics import Telemetry

UNLISTED_NAME = "controlcore-self-test"
"""Name of an object that no policy lists; it need not exist."""
FOREIGN_NAMESPACES = ("kube-system", "kube-public", "kube-node-lease", "default")
"""The first of these without a policy represents all other namespaces."""
MARK: Mapping[str, Any] = {"metadata": {"annotations": {ANNOTATION_OPERATION: "self-test-must-be-refused"}}}
"""The smallest write of an action: the chart's admission policy allows it on any object."""
ONE_REPLICA: Mapping[str, Any] = {"spec": {"replicas": 1}}
"""The smallest number of a scaling: no cap forbids it."""
SOURCE = "dry runs of forbidden changes"
NOT_NEEDED: Fact[bool] = Fact(None, SOURCE, "not needed")
UNTESTED: Fact[bool] = Fact(None, SOURCE, NO_ORCHESTRATOR)
REPEAT_SECONDS = 3600.0
RETRY_SECONDS = 15.0
VALID_SECONDS = 2 * REPEAT_SECONDS
"""How long a passed test is valid while the API server does not answer."""
PASSED_BY_RBAC = frozenset({Reason.MISSING, Reason.CONFLICT, Reason.MALFORMED, Reason.HTTP_4XX})
"""Answers that the API server gives only to a caller with the right."""


class SelfTestApi(Patcher, Protocol):
    """The calls of chassis.kubernetes.client.KubernetesClient that the test makes, each as a dry run."""

    async def try_deletion(self, path: str, *, timeout_seconds: float) -> None:
        """Checks whether an object could be deleted; deletes nothing."""
        ...


@dataclass(frozen=True, slots=True)
class ForbiddenChange:
    """One change that must be impossible with our rights."""

    name: str
    path: str
    is_deletion: bool = False
    body: Mapping[str, Any] = field(default_factory=lambda: MARK)


def forbidden_in(namespace: str, targets: Sequence[Target], foreign: str) -> tuple[ForbiddenChange, ...]:
    """The changes that must be refused for a namespace with these targets, and in the namespace `foreign`."""
    listed = sorted({target.name for target in targets if target.kind == "Deployment"})
    names = (*listed, UNLISTED_NAME)
    return (
        ForbiddenChange("patch of another Deployment", deployment_path(namespace, UNLISTED_NAME)),
        ForbiddenChange(
            "scaling of another Deployment", deployment_scale_path(namespace, UNLISTED_NAME), body=ONE_REPLICA
        ),
        ForbiddenChange("patch of another HorizontalPodAutoscaler", autoscaler_path(namespace, UNLISTED_NAME)),
        ForbiddenChange("patch of a Deployment in another namespace", deployment_path(foreign, names[0])),
        ForbiddenChange("deletion of a pod", pod_path(namespace, UNLISTED_NAME), is_deletion=True),
        *(
            ForbiddenChange("deletion of a Deployment", deployment_path(namespace, name), is_deletion=True)
            for name in names
        ),
    )


def acting_targets(policy_set: PolicySet) -> Mapping[str, tuple[Target, ...]]:
    """Namespace → the targets that policies in auto may change in it through the API server."""
    found: dict[str, tuple[Target, ...]] = {}
    for policy in policy_set.policies:
        for target in _own_targets(policy):
            found[target.namespace] = (*found.get(target.namespace, ()), target)
    return found


def changes_of(policy_set: PolicySet, namespace: str) -> tuple[ForbiddenChange, ...]:
    """The changes that must be refused for one namespace of the policy file."""
    places = acting_targets(policy_set)
    foreign = next((name for name in FOREIGN_NAMESPACES if name not in places), FOREIGN_NAMESPACES[0])
    return forbidden_in(namespace, places[namespace], foreign)


def _own_targets(policy: Policy) -> tuple[Target, ...]:
    """The targets of a policy in auto and its rungs, as far as they are changed through the API server."""
    if policy.mode is not Mode.AUTO:
        return ()
    rungs = [at_rung(policy, number) for number in range(1 + len(policy.ladder))]
    return tuple(target for rung in rungs if ACTIONS[rung.action].rbac for target in rung.targets)


async def prove(api: SelfTestApi, changes: Sequence[ForbiddenChange], timeout_seconds: float) -> Fact[bool]:
    """True if every change was refused, False if one was not, unknown if one got no answer."""
    allowed: set[str] = set()
    unknown: list[str] = []

    async def attempt(change: ForbiddenChange) -> None:
        problem = await _try(api, change, timeout_seconds)
        if problem is None:
            allowed.add(change.name)
        elif problem:
            unknown.append(f"{change.name}: {problem}")

    async with asyncio.TaskGroup() as group:
        for change in changes:
            group.create_task(attempt(change), name="self_test.change")
    if allowed:
        return Fact(False, SOURCE, f"the API server does not refuse {', '.join(sorted(allowed))}")
    return Fact(None, SOURCE, min(unknown)) if unknown else Fact(True, SOURCE)


async def _try(api: SelfTestApi, change: ForbiddenChange, timeout_seconds: float) -> str | None:
    """Empty if it was refused, None if it was not, else why this is unknown."""
    try:
        if change.is_deletion:
            await api.try_deletion(change.path, timeout_seconds=timeout_seconds)
        else:
            await api.patch(
                change.path,
                dict(change.body),
                kind=PatchKind.MERGE,
                field_manager=FIELD_MANAGER,
                timeout_seconds=timeout_seconds,
                dry_run=True,
            )
    except BackendError as error:
        if error.reason is Reason.PERMISSION:
            return ""
        return None if error.reason in PASSED_BY_RBAC else f"{error.reason.value}: {error}"
    return None


async def prove_once(
    api: SelfTestApi | None, policy: Policy, policy_set: PolicySet, target: Target, timeout_seconds: float
) -> Fact[bool]:
    """The result for one target, without a running program; for commands."""
    if target not in _own_targets(policy):
        return NOT_NEEDED
    if api is None:
        return UNTESTED
    return await prove(api, changes_of(policy_set, target.namespace), timeout_seconds)


@dataclass(frozen=True, slots=True)
class ProofTiming:
    """How often the test runs."""

    repeat_seconds: float = REPEAT_SECONDS
    retry_seconds: float = RETRY_SECONDS
    """The interval while a result is unknown."""


class SelfTest:
    """Keeps the results for the policy file in force. `api` None: no orchestrator, so every result is unknown."""

    def __init__(
        self,
        api: SelfTestApi | None,
        policies: Callable[[], PolicySet],
        clock: Clock,
        timeout_seconds: float,
        rhythm: ProofTiming = ProofTiming(),
    ) -> None:
        self._api = api
        self._policies = policies
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._rhythm = rhythm
        self._tested: PolicySet | None = None
        self._proofs: dict[str, Fact[bool]] = {}
        self._wanted = asyncio.Event()
        self._finished = asyncio.Event()

    def wake(self) -> None:
        """Requests a new test soon."""
        self._wanted.set()

    async def run(self, telemetry: Telemetry) -> None:
        """Tests at the start, after each change of the policies, and every hour, until cancelled."""
        while True:
            self._wanted.clear()
            is_known = await self.prove_all(telemetry)
            pause = self._rhythm.repeat_seconds if is_known else self._rhythm.retry_seconds
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wanted.wait()

    async def prove_limits(self, policy: Policy, policy_set: PolicySet, target: Target) -> Fact[bool]:
        """The result for the target's namespace under this policy file; waits briefly while the file is new."""
        if target not in _own_targets(policy):
            return NOT_NEEDED
        if self._api is None:
            return UNTESTED
        with suppress(TimeoutError):
            async with asyncio.timeout(self._timeout_seconds):
                await self._wait_for(policy_set)
        if self._tested is not policy_set:
            return Fact(None, SOURCE, f"not answered within {self._timeout_seconds:g} s")
        proof = self._proofs.get(target.namespace, Fact(None, SOURCE, "not asked"))
        if proof.collected_at is not None and self._clock.now() - proof.collected_at > VALID_SECONDS:
            return Fact(None, SOURCE, f"last tested more than {VALID_SECONDS:g} s ago")
        return proof

    async def _wait_for(self, policy_set: PolicySet) -> None:
        """Returns once this policy file has been tested."""
        while self._tested is not policy_set:
            self._wanted.set()
            self._finished.clear()
            await self._finished.wait()

    async def prove_all(self, telemetry: Telemetry) -> bool:
        """Tests every namespace once; returns whether every result is known."""
        policy_set, api = self._policies(), self._api
        places = acting_targets(policy_set) if api is not None else {}
        proofs: dict[str, Fact[bool]] = {}

        async def store_proof(limited: SelfTestApi, namespace: str) -> None:
            proof = await prove(limited, changes_of(policy_set, namespace), self._timeout_seconds)
            now = self._clock.now()
            proofs[namespace] = Fact(proof.value, SOURCE, proof.problem, None if proof.value is None else now)

        if api is not None:
            async with asyncio.TaskGroup() as group:
                for namespace in places:
                    group.create_task(store_proof(api, namespace), name=f"self_test.{namespace}")
        is_known = all(proof.value is not None for proof in proofs.values())
        self._store(policy_set, proofs)
        telemetry.see_downgrades(downgrades(policy_set, self._proofs))
        return is_known

    def _store(self, policy_set: PolicySet, proofs: Mapping[str, Fact[bool]]) -> None:
        """Stores the new results; an unknown one does not replace an earlier one of the same policies."""
        earlier = self._proofs if self._tested is policy_set else {}
        for namespace, proof in proofs.items():
            before = self._proofs.get(namespace)
            if before is None or (before.value, before.problem) != (proof.value, proof.problem):
                _log_proof(namespace, proof)
        self._proofs = {
            namespace: earlier.get(namespace, proof) if proof.value is None else proof
            for namespace, proof in proofs.items()
        }
        self._tested = policy_set
        self._finished.set()


def downgrades(policy_set: PolicySet, proofs: Mapping[str, Fact[bool]]) -> Mapping[str, bool | None]:
    """Name of each policy in auto that needs rights → whether it waits for approval; None while unknown."""
    found: dict[str, bool | None] = {}
    for policy in policy_set.policies:
        values = [proofs[target.namespace].value for target in _own_targets(policy) if target.namespace in proofs]
        if values:
            found[policy.name] = True if False in values else None if None in values else False
    return found


def _log_proof(namespace: str, proof: Fact[bool]) -> None:
    """One log line for a new or changed result."""
    if proof.value is None:
        get_logger().warning("self_test.unknown", namespace=namespace, problem=proof.problem)
    elif proof.value:
        get_logger().info("self_test.passed", namespace=namespace)
    else:
        get_logger().error("self_test.failed", namespace=namespace, problem=proof.problem)
