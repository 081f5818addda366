"""Runs a backup now, from the CronJob that runs it every night."""

from __future__ import annotations

from hashlib import sha256

from chassis.kubernetes.paths import resource_path
from remediations.core.action import ActionInput, action, refuses
from remediations.core.model.cluster import CronJob
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.facts import MISSING, Need
from remediations.core.model.names import ANNOTATION_OPERATION
from remediations.core.model.plan import CreateStep, Plan
from remediations.core.model.reasons import HoldReason

LABEL_CRON_JOB = "controlcore.io/cronjob"
"""Names the CronJob on the Job, so that the chart's admission policy compares the two."""
MAX_NAME = 52
"""A Job's pods add a suffix to its name, and a label value ends at 63 characters."""


@action(
    kinds=("CronJob",),
    effects=frozenset(),
    refusals=frozenset(
        {HoldReason.TARGET_UNKNOWN, HoldReason.TARGET_MISSING, HoldReason.TARGET_BUSY, HoldReason.WORKLOAD_PAUSED}
    ),
    rbac=("get batch/cronjobs", "get batch/jobs", "create batch/jobs"),
    needs=frozenset({Need.CRON_JOB}),
)
def plan(request: ActionInput) -> Plan | GuardOutcome:
    """Creates one Job from the CronJob's template, as `kubectl create job --from` does.

    Its name follows from the operation id, so a second creation finds the first. The template is read when the Job is
    created, and must be unchanged since the decision. It is not stored, because it may contain a password.

    Undo: none; a backup changes nothing.
    """
    fact, target = request.facts.sights.cron_job, request.target
    if fact is None:
        return refuses(HoldReason.TARGET_UNKNOWN, "the CronJob was not read")
    found = fact.value
    if found is None:
        reason = HoldReason.TARGET_MISSING if fact.problem.startswith(MISSING) else HoldReason.TARGET_UNKNOWN
        return refuses(reason, fact.problem)
    if found.is_suspended:
        return refuses(HoldReason.WORKLOAD_PAUSED, "the CronJob is suspended")
    if found.active:
        return refuses(HoldReason.TARGET_BUSY, f"{', '.join(found.active)} is running")
    return _create(
        request, found, f"{target.name[: MAX_NAME - 11]}-{sha256(request.operation_id.encode()).hexdigest()[:10]}"
    )


def _create(request: ActionInput, found: CronJob, name: str) -> Plan:
    """The plan that creates this Job."""
    target, mark = request.target, {ANNOTATION_OPERATION: request.operation_id}
    owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": target.name, "uid": found.uid, "controller": True}
    body = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": target.namespace,
            "labels": {LABEL_CRON_JOB: target.name},
            "annotations": {"cronjob.kubernetes.io/instantiate": "manual", **mark},
            "ownerReferences": [owner],
        },
    }
    jobs = resource_path("batch/v1", "jobs", namespace=target.namespace)
    return Plan(
        action="run_backup_job",
        target=target,
        operation_id=request.operation_id,
        summary=f"create Job {target.namespace}/{name} from CronJob {target.name}",
        steps=(
            CreateStep(
                jobs,
                body,
                f"{jobs}/{name}",
                mark,
                template_path=resource_path("batch/v1", "cronjobs", namespace=target.namespace, name=target.name),
                template_uid=found.uid,
                template_generation=found.generation,
            ),
        ),
        prior={},
        expected={"effect": "job", "job": name, "operation_id": request.operation_id},
    )
