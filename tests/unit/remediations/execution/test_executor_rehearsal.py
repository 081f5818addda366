"""R5: a write that starts pods is sent as a dry run first, and the server's warnings count."""

from __future__ import annotations

from typing import Any

import pytest

from chassis.errors import ConflictError, PermanentError, Reason, TransientError
from chassis.kubernetes.client import WrittenObject
from remediations.core.model.names import ANNOTATION_OPERATION
from remediations.core.model.plan import PatchStep, Plan, SendResult
from remediations.core.model.reasons import HoldReason
from remediations.execution.executor import Executor
from remediations.execution.pod_security import ENFORCE, WARN
from tests.fakes.clock import ManualClock
from tests.fakes.decisions import API, NOW
from tests.fakes.kubernetes import DEPLOYMENT, NAMESPACE, FakeCluster, a_cluster

MARK = {ANNOTATION_OPERATION: "op-1"}
STEP = PatchStep(DEPLOYMENT, "strategic", {"spec": {"template": {"metadata": {"annotations": MARK}}}}, MARK)
WARNING = 'would violate PodSecurity "restricted:latest": runAsNonRoot != true (pod or container "api" must set it)'


class WarningCluster(FakeCluster):
    """Adds a warning to every answer to a write, and answers a dry run as the test says."""

    said: tuple[str, ...] = ()
    refusal: Exception | None = None
    sent: list[bool]

    async def patch(self, path: str, body: Any, *, dry_run: bool = False, **rest: Any) -> Any:
        self.sent = [*getattr(self, "sent", []), dry_run]
        if dry_run and self.refusal is not None:
            raise self.refusal
        answer = WrittenObject(await super().patch(path, body, dry_run=dry_run, **rest))
        answer.warnings = self.said
        return answer


def a_server(**labels: str) -> WarningCluster:
    namespace = {"metadata": {"name": NAMESPACE, "labels": labels}}
    return WarningCluster(a_cluster(ready=3).objects | {f"/api/v1/namespaces/{NAMESPACE}": namespace})


async def write(server: WarningCluster) -> Any:
    plan = Plan("restart_workload", API, "op-1", "restarts", (STEP,), {}, {"effect": "rollout"})
    return await Executor(server, ManualClock(NOW), 3.0).write(plan, NOW + 10.0)


async def test_nothing_is_sent_where_new_pods_would_be_refused():
    server = a_server(**{ENFORCE: "restricted"})
    server.said = (WARNING,)
    sent = await write(server)
    assert (sent.result, sent.hold, server.sent, server.stored) == (
        SendResult.HELD,
        HoldReason.PODS_REFUSED,
        [True],
        [],
    )
    assert WARNING in sent.detail


async def test_nothing_is_sent_where_the_server_would_not_warn_of_a_refusal():
    """R5: `warn` is laxer than `enforce`, so that no warning comes whatever the pods are."""
    server = a_server(**{ENFORCE: "restricted", WARN: "baseline"})
    sent = await write(server)
    assert (sent.result, sent.hold, server.sent, server.stored) == (
        SendResult.HELD,
        HoldReason.PODS_UNKNOWN,
        [True],
        [],
    )
    assert "enforces restricted:latest and warns only of baseline:latest" in sent.detail


@pytest.mark.parametrize("labels", [{}, {ENFORCE: "restricted"}, {ENFORCE: "baseline", WARN: "restricted"}])
async def test_no_warning_where_one_would_come_is_believed(labels):
    server = a_server(**labels)
    assert ((await write(server)).result, server.sent) == (SendResult.DONE, [True, False])


async def test_namespace_that_may_not_be_read_does_not_hold_without_a_warning():
    """Roles written by hand may leave it out."""
    server = a_server()
    del server.objects[f"/api/v1/namespaces/{NAMESPACE}"]
    assert ((await write(server)).result, server.sent) == (SendResult.DONE, [True, False])


@pytest.mark.parametrize("labels", [{}, {ENFORCE: "baseline"}])
async def test_warning_about_a_level_that_is_not_enforced_is_told(labels):
    server = a_server(**labels)
    server.said = (WARNING,)
    sent = await write(server)
    assert (sent.result, sent.warnings, server.sent) == (SendResult.DONE, (WARNING,), [True, False])


async def test_namespace_that_may_not_be_read_leaves_the_servers_word():
    server = a_server()
    server.said = (WARNING,)
    del server.objects[f"/api/v1/namespaces/{NAMESPACE}"]
    assert (await write(server)).hold is HoldReason.PODS_REFUSED


@pytest.mark.parametrize(
    ("refusal", "result"),
    [
        (ConflictError("HTTP status 409"), SendResult.CHANGED),
        (PermanentError(Reason.PERMISSION, "HTTP status 403"), SendResult.REFUSED),
        (TransientError(Reason.HTTP_5XX, "HTTP status 500: failed calling webhook"), SendResult.UNKNOWN),
    ],
)
async def test_what_the_dry_run_is_answered_is_not_sent_for_real(refusal, result):
    """R3: so a server that fails is sent one request for each attempt."""
    server = a_server()
    server.refusal = refusal
    assert ((await write(server)).result, server.sent) == (result, [True])


async def test_webhook_that_knows_no_dry_run_does_not_hold():
    server = a_server()
    server.refusal = PermanentError(Reason.MALFORMED, 'HTTP status 400: admission webhook "x" does not support dry run')
    assert ((await write(server)).result, server.sent) == (SendResult.DONE, [True, False])
